//! A tenant's contacts by what is known of their mail. Sendings and deliveries are known in every
//! mode; opens and clicks lead to people in `individual` alone, and to nobody in any other.

use std::collections::BTreeMap;

use hushmark_policy::{CampaignId, Day, Kind, Mode, TenantId};

use crate::completed;
use crate::last_opens;
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
    /// The day of their last open is this one or a later one, where opens are `lastOpenDay`.
    OpenedSince(Day),
    /// Such mail was made for them on this day or later, and they did not open any since.
    NotOpenedSince(Day),
}

impl By {
    /// As it is spelled.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Sent => "sent".to_owned(),
            Self::Delivered => "delivered".to_owned(),
            Self::NotDelivered => "not delivered".to_owned(),
            Self::Opened => "opened".to_owned(),
            Self::Clicked => "clicked".to_owned(),
            Self::OpenedSince(day) => format!("opened since {day}"),
            Self::NotOpenedSince(day) => format!("not opened since {day}"),
        }
    }

    /// The kind of single hits that choose them.
    const fn kind(self) -> Option<Kind> {
        match self {
            Self::Opened => Some(Kind::Open),
            Self::Clicked => Some(Kind::Click),
            _ => None,
        }
    }

    /// Whether it is a day of a last open that chooses them.
    const fn is_of_last_opens(self) -> bool {
        matches!(self, Self::OpenedSince(_) | Self::NotOpenedSince(_))
    }

    /// Whether a campaign can say so of anybody.
    fn is_told_by(self, known: &Known) -> bool {
        match self.kind() {
            Some(kind) => leads_to_nobody(known.mode(kind)).is_none(),
            None => !self.is_of_last_opens() || known.mode(Kind::Open) == Mode::LastOpenDay,
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
    let told: Vec<&Known> = campaigns.iter().filter(|known| by.is_told_by(known)).collect();
    let ids: Vec<CampaignId> = told.iter().map(|known| known.id).collect();
    let contacts = contacts(tenant, &ids, by);
    let with_withdrawn = by.kind().is_none() && !by.is_of_last_opens();
    let found = people::addresses(clickhouse, tenant, &contacts, with_withdrawn, whom).await?;
    let (all, mut people) = (found.len(), found.into_values().flatten().collect::<Vec<Person>>());
    people.sort_unstable();
    let unreadable = (all - people.len()) as u64;
    let mut because = because(campaigns, by);
    if by.kind().is_none() && !matches!(by, By::OpenedSince(_)) {
        let gone = completed::of(clickhouse, tenant, ids.into_iter()).await?;
        because.extend(told.iter().filter_map(|known| {
            Some(format!("without those of {}: {}", known.name, gone.get(&known.id)?.told()))
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
        By::OpenedSince(day) => last_opens::since(tenant, day),
        By::NotOpenedSince(day) => last_opens::not_since(tenant, campaigns, day),
    }
}

/// What a list of people who were not seen opening has to say of itself.
const UNSEEN: &str = "not opened is: no open was seen. Whoever blocks pictures, reads in Apple Mail with \
                      its privacy protection on, or has a program that says GPC or DNT is not seen: ask \
                      before you strike somebody off";

/// One sentence a mode that leads to nobody.
fn because(campaigns: &[Known], by: By) -> Vec<String> {
    if by.is_of_last_opens() && !campaigns.iter().any(|known| by.is_told_by(known)) {
        let said =
            "no campaign keeps the day of the last open: give spec.tracking.opens: lastOpenDay";
        return vec![said.to_owned()];
    }
    if matches!(by, By::NotOpenedSince(_)) {
        return vec![UNSEEN.to_owned()];
    }
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
