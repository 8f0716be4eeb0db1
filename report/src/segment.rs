//! A tenant's contacts by what is known of their mail. Sendings and deliveries are known in every
//! mode; opens and clicks lead to people in `individual` alone, and to nobody in any other.

use std::collections::BTreeMap;

use hushmark_policy::{CampaignId, Kind, Mode, TenantId};

use crate::completed;
use crate::people::{self, Known, Person, Whom, leads_to_nobody};
use crate::read::{ClickHouse, ReadError};

/// By what contacts are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A message was made for them.
    Sent,
    /// The receiving server took it: its last word of the campaign.
    Delivered,
    /// A message was made, and the receiving server's last word is not that it took it, or there is
    /// none.
    NotDelivered,
    /// They opened it.
    Opened,
    /// They followed one of its links.
    Clicked,
}

impl By {
    /// As it is spelled.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::NotDelivered => "not delivered",
            Self::Opened => "opened",
            Self::Clicked => "clicked",
        }
    }

    const fn kind(self) -> Option<Kind> {
        match self {
            Self::Sent | Self::Delivered | Self::NotDelivered => None,
            Self::Opened => Some(Kind::Open),
            Self::Clicked => Some(Kind::Click),
        }
    }
}

/// The contacts that were found.
pub struct Segment {
    /// The version of this form; a field is never given another meaning.
    pub schema: u32,
    /// Region and namespace, and the campaign's name if it is of one.
    pub of: String,
    /// By what they were chosen.
    pub by: By,
    /// Their addresses, in order.
    pub people: Vec<Person>,
    /// Contacts whose address the tenant's key does not open.
    pub unreadable: u64,
    /// Why nobody, or not everybody, is among them.
    pub because: Vec<String>,
}

/// Reads a segment of one campaign, or of all of `known`.
///
/// # Errors
/// [`ReadError`].
pub async fn read(
    clickhouse: &ClickHouse,
    of: String,
    tenant: TenantId,
    (campaigns, by): (&[Known], By),
    whom: Whom<'_>,
) -> Result<Segment, ReadError> {
    let told =
        |known: &&Known| by.kind().is_none_or(|kind| leads_to_nobody(known.mode(kind)).is_none());
    let ids: Vec<CampaignId> = campaigns.iter().filter(told).map(|known| known.id).collect();
    let contacts = contacts(tenant, &ids, by);
    let found = people::addresses(clickhouse, tenant, &contacts, by.kind().is_none(), whom).await?;
    let (all, mut people) = (found.len(), found.into_values().flatten().collect::<Vec<Person>>());
    people.sort_unstable();
    let unreadable = (all - people.len()) as u64;
    let mut because = because(campaigns, by);
    if by.kind().is_none() {
        let gone =
            completed::of(clickhouse, tenant, campaigns.iter().map(|known| known.id)).await?;
        because.extend(campaigns.iter().filter_map(|known| {
            Some(format!("0 of {}: {}", known.name, gone.get(&known.id)?.told()))
        }));
    }
    Ok(Segment { schema: 1, of, by, people, unreadable, because })
}

/// The query of the contacts' ids.
fn contacts(tenant: TenantId, campaigns: &[CampaignId], by: By) -> String {
    let ids = people::list(campaigns.iter().map(|id| id.0));
    let among = format!("tenant = {} AND campaign IN ({ids})", tenant.0);
    // Of no row, the first name of an Enum stands for the last word, and that is not 'delivered'.
    let last_word = "argMaxIf(event, day, event != 'sent')";
    let by_last_word = |is: &str| {
        format!(
            "SELECT contact FROM deliveries FINAL WHERE {among} GROUP BY campaign, contact \
             HAVING countIf(event = 'sent') > 0 AND {last_word} {is} 'delivered'"
        )
    };
    match by {
        By::Sent => format!("SELECT contact FROM deliveries WHERE {among} AND event = 'sent'"),
        By::Delivered => by_last_word("="),
        By::NotDelivered => by_last_word("!="),
        By::Opened => format!("SELECT contact FROM hits WHERE {among} AND kind = 'open'"),
        By::Clicked => format!("SELECT contact FROM hits WHERE {among} AND kind = 'click'"),
    }
}

/// One sentence a mode that leads to nobody.
fn because(campaigns: &[Known], by: By) -> Vec<String> {
    let Some(kind) = by.kind() else { return Vec::new() };
    let mut modes = BTreeMap::<_, Vec<&str>>::new();
    for known in campaigns {
        modes.entry(known.mode(kind) as u8).or_default().push(&known.name);
    }
    let sentence = |(mode, mut names): (_, Vec<&str>)| {
        let mode = Mode::from_u8(mode)?;
        let why = leads_to_nobody(mode)?;
        names.sort_unstable();
        let who = by.name();
        let what = kind.name();
        Some(format!("0 who {who} {}: {what}s are {mode}, {why}", names.join(", ")))
    };
    modes.into_iter().filter_map(sentence).collect()
}

impl Segment {
    /// For people: a line that says what it is, and one a contact.
    #[must_use]
    pub fn text(&self) -> String {
        let n = self.people.len();
        let contacts = if n == 1 { "contact" } else { "contacts" };
        let mut out = format!("{}, {}: {n} {contacts}\n", self.of, self.by.name());
        self.reasons().for_each(|line| out += &format!("{line}\n"));
        self.people.iter().for_each(|person| out += &format!("{}\n", person.expose()));
        out
    }

    /// What is to be said beside the addresses.
    pub fn reasons(&self) -> impl Iterator<Item = String> {
        let unreadable = (self.unreadable > 0).then(|| {
            format!("{} more have addresses that the tenant's key does not open", self.unreadable)
        });
        self.because.iter().cloned().chain(unreadable)
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> String {
        let addresses: Vec<&str> = self.people.iter().map(Person::expose).collect();
        let value = serde_json::json!({
            "schema": self.schema,
            "of": self.of,
            "by": self.by.name(),
            "count": addresses.len(),
            "unreadable": self.unreadable,
            "because": self.because,
            "addresses": addresses,
        });
        format!("{value:#}\n")
    }

    /// For spreadsheets, and as the list of the next mailing.
    ///
    /// # Errors
    /// As [`crate::export::csv`].
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["address"])?;
        for person in &self.people {
            writer.write_record([crate::export::inert(person.expose())])?;
        }
        crate::export::finish(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hushmark_policy::{MailType, Mode, Tracking};

    fn known(name: &str, opens: Mode) -> Known {
        let tracking = Tracking { opens, clicks: Mode::Individual };
        let (id, mail_type) = (CampaignId(1), MailType::Campaign);
        Known { id, name: name.to_owned(), mail_type, tracking }
    }

    #[test]
    fn every_mode_that_leads_to_nobody_says_why() {
        let all = [
            known("spring", Mode::Anonymous),
            known("autumn", Mode::Anonymous),
            known("summer", Mode::Individual),
            known("winter", Mode::Overall),
        ];
        insta::assert_snapshot!(because(&all, By::Opened).join("\n"), @r"
        0 who opened winter: opens are overall, every recipient has the same links
        0 who opened autumn, spring: opens are anonymous, who owns a message's mark is written nowhere
        ");
        assert!(because(&all, By::Clicked).is_empty() && because(&all, By::Sent).is_empty());
    }

    #[test]
    fn nobody_is_asked_for_by_rows_where_no_campaign_tells() {
        let query = contacts(TenantId(7), &[], By::Opened);
        assert!(query.ends_with("tenant = 7 AND campaign IN (0) AND kind = 'open'"), "{query}");
    }

    #[test]
    fn a_segment_reads_so_and_is_inert_in_a_spreadsheet() {
        let people = ["+cmd@example.org", "ann@example.org"];
        let segment = Segment {
            schema: 1,
            of: "local/acme/spring".into(),
            by: By::NotDelivered,
            people: people.into_iter().map(|it| Person::new(it.into())).collect(),
            unreadable: 1,
            because: Vec::new(),
        };
        insta::assert_snapshot!(segment.text(), @r"
        local/acme/spring, not delivered: 2 contacts
        1 more have addresses that the tenant's key does not open
        +cmd@example.org
        ann@example.org
        ");
        insta::assert_snapshot!(segment.csv().unwrap(), @r"
        address
        '+cmd@example.org
        ann@example.org
        ");
        insta::assert_snapshot!(segment.json(), @r#"
        {
          "addresses": [
            "+cmd@example.org",
            "ann@example.org"
          ],
          "because": [],
          "by": "not delivered",
          "count": 2,
          "of": "local/acme/spring",
          "schema": 1,
          "unreadable": 1
        }
        "#);
    }
}
