//! Single people, for commands that hold the tenant's key: their addresses, and which campaigns may
//! tell of each of them.

use std::collections::HashMap;

use clickhouse::Row;
use hushmark_event::Verdict;
use hushmark_policy::{CampaignId, Day, Kind, MailType, Mode, TenantId, Tracking};
use serde::Deserialize;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::read::{ClickHouse, ReadError};

/// What stands in the place of an address where it is not told.
pub const ANONYMIZED_CONTACT: &str = "Anonymized contact";

/// What stands in the log in the place of what is not told, and in the place of a day.
pub const ANONYMIZED: &str = "Anonymized";

/// What stands in a campaign's export in the place of anything else that is not told.
pub const ANONYMIZED_DATA: &str = "Anonymized data";

/// A person's address, opened to be shown to who asked. It has neither `Debug` nor `Display`, so
/// that logging one does not compile, and it is wiped when dropped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Zeroize, ZeroizeOnDrop)]
pub struct Person(String);

impl Person {
    /// Wraps an address.
    #[must_use]
    pub const fn new(address: String) -> Self {
        Self(address)
    }

    /// The address, for the code that prints it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Opens the sealed address of a contact; nothing where the key at hand does not open it.
pub type Unseal<'a> = &'a dyn Fn(u64, &[u8]) -> Option<Person>;

/// Contacts of a tenant whose tracking the refusal log ended, and when. Whoever objected by the page
/// of a message is here alone: no table knows of it.
pub type Ended = HashMap<u64, Day>;

/// What it takes to tell of people.
#[derive(Clone, Copy)]
pub struct Whom<'a> {
    /// Opens their addresses.
    pub unseal: Unseal<'a>,
    /// Who is in no list of readers.
    pub ended: &'a Ended,
}

/// A campaign as far as single people may be shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Which one.
    pub id: CampaignId,
    /// Its name in its namespace.
    pub name: String,
    /// Campaign or transactional mail.
    pub mail_type: MailType,
    /// The least that its manifest, its sendings and the last epoch say of opens and clicks. Whoever
    /// has the refusal log lowers it further.
    pub tracking: Tracking,
}

impl Known {
    /// What a kind of hit may tell.
    #[must_use]
    pub const fn mode(&self, kind: Kind) -> Mode {
        match kind {
            Kind::Open => self.tracking.opens,
            Kind::Click => self.tracking.clicks,
        }
    }

    fn lower(&mut self, kind: Kind, mode: Mode) {
        let of = match kind {
            Kind::Open => &mut self.tracking.opens,
            Kind::Click => &mut self.tracking.clicks,
        };
        *of = mode.strictest(*of);
    }

    /// Whether a delivery may be shown with its address beside what is counted: nothing of it is
    /// counted for people who were promised not to be known.
    #[must_use]
    pub fn tells_of_people(&self) -> bool {
        let modes = Kind::ALL.map(|kind| self.mode(kind));
        let is_guarded = |mode: &Mode| mode.is_guarded() && mode.counts();
        modes.contains(&Mode::Individual) && !modes.iter().any(is_guarded)
    }
}

/// Why hits of a mode lead to nobody; nothing for the one that does lead to people.
#[must_use]
pub const fn leads_to_nobody(mode: Mode) -> Option<&'static str> {
    match mode {
        Mode::Off => Some("nothing is recorded"),
        Mode::Overall => Some("every recipient has the same links"),
        Mode::Anonymous => Some("who owns a message's mark is written nowhere"),
        Mode::LastOpenDay => Some("only the day of a contact's last open is kept, of no campaign"),
        Mode::Individual => None,
    }
}

/// Every campaign of a tenant that a manifest ever named, by its id.
///
/// # Errors
/// [`ReadError`] when ClickHouse cannot be asked, or says what this program does not know.
pub async fn campaigns(
    clickhouse: &ClickHouse,
    tenant: TenantId,
) -> Result<HashMap<CampaignId, Known>, ReadError> {
    #[derive(Row, Deserialize)]
    struct Manifest {
        campaign: u64,
        name: String,
        mail_type: u8,
        opens: u8,
        clicks: u8,
    }
    #[derive(Row, Deserialize)]
    struct Modes {
        campaign: u64,
        kind: u8,
        mode: u8,
    }
    let client = clickhouse.client();
    let failed = |source| ReadError::ClickHouse { url: clickhouse.url.clone(), source };
    let manifests = "SELECT campaign, name, toUInt8(mail_type) AS mail_type, \
        toUInt8(opens) AS opens, toUInt8(clicks) AS clicks FROM campaigns FINAL WHERE tenant = ?";
    let rows = client.query(manifests).bind(tenant.0).fetch_all::<Manifest>().await;
    let mut all = HashMap::new();
    for row in rows.map_err(failed)? {
        let mail_type = match row.mail_type {
            0 => MailType::Campaign,
            1 => MailType::Transactional,
            other => return Err(ReadError::Unknown(format!("mail type {other}"))),
        };
        let (id, name) = (CampaignId(row.campaign), row.name);
        let tracking = Tracking { opens: mode(row.opens)?, clicks: mode(row.clicks)? };
        all.insert(id, Known { id, name, mail_type, tracking });
    }
    // A sending without tracking counted nobody, and takes nothing from the others.
    let stricter = "SELECT campaign, toUInt8(0) AS kind, toUInt8(opens) AS mode FROM sends FINAL \
        WHERE tenant = ? AND opens != 'off' UNION DISTINCT \
        SELECT campaign, toUInt8(1) AS kind, toUInt8(clicks) AS mode FROM sends FINAL \
        WHERE tenant = ? AND clicks != 'off' UNION DISTINCT \
        SELECT campaign, toUInt8(kind) AS kind, toUInt8(mode) AS mode \
        FROM published_campaigns FINAL WHERE tenant = ?";
    let ask = client.query(stricter).bind(tenant.0).bind(tenant.0).bind(tenant.0);
    for row in ask.fetch_all::<Modes>().await.map_err(failed)? {
        let kind = if row.kind == 0 { Kind::Open } else { Kind::Click };
        if let Some(known) = all.get_mut(&CampaignId(row.campaign)) {
            known.lower(kind, mode(row.mode)?);
        }
    }
    Ok(all)
}

fn mode(n: u8) -> Result<Mode, ReadError> {
    Mode::from_u8(n).ok_or_else(|| ReadError::Unknown(format!("mode {n}")))
}

/// The verdicts that count as people, as a list in SQL.
pub(crate) fn human() -> String {
    let human = Verdict::ALL.iter().filter(|verdict| verdict.is_human());
    let names: Vec<String> = human.map(|verdict| format!("'{}'", verdict.name())).collect();
    names.join(",")
}

/// Ids as a list in SQL. No campaign and no contact has the id zero, which stands for an empty one.
pub(crate) fn list(ids: impl Iterator<Item = u64>) -> String {
    std::iter::once(0).chain(ids).map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

/// A String column's bytes.
#[derive(Default)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(Bytes(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

/// The addresses of contacts that a query names, by id. Those whose tracking ended are among them
/// only where `with_withdrawn` says so.
pub(crate) async fn addresses(
    clickhouse: &ClickHouse,
    tenant: TenantId,
    contacts: &str,
    with_withdrawn: bool,
    whom: Whom<'_>,
) -> Result<HashMap<u64, Option<Person>>, ReadError> {
    #[derive(Row, Deserialize)]
    struct Sealed {
        contact: u64,
        sealed: Bytes,
    }
    let (tenant, withdrawn) = (tenant.0, if with_withdrawn { "0" } else { "1" });
    let query = format!(
        "SELECT contact, sealed FROM contacts FINAL WHERE tenant = {tenant} \
         AND contact IN ({contacts}) AND NOT ({withdrawn} \
         AND lookup IN (SELECT lookup FROM withdrawals WHERE tenant = {tenant}))"
    );
    let rows = clickhouse.client().query_raw(&query).fetch_all::<Sealed>().await;
    let rows =
        rows.map_err(|source| ReadError::ClickHouse { url: clickhouse.url.clone(), source })?;
    let is_told = |row: &Sealed| with_withdrawn || !whom.ended.contains_key(&row.contact);
    let open = |row: Sealed| (row.contact, (whom.unseal)(row.contact, &row.sealed.0));
    Ok(rows.into_iter().filter(is_told).map(open).collect())
}
