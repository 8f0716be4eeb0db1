//! Contacts of a tenant: a random id beside the sealed address, found by a keyed hash. Mail of
//! `individual` names the id; mail of the other modes is noted beside it (see [`deliveries`]), and
//! nothing in the mail is.
//!
//! In reading order: [`ended`] is what the logs say of them, [`mod@turn`] lets one command at a time
//! draw ids.
//!
//! [`deliveries`]: crate::deliveries

mod ended;
mod turn;

use std::collections::{HashMap, HashSet};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use anyhow::{Context, Result};
use clickhouse::Row;
use hmac::{Hmac, Mac};
use hushmark_event::chain::Hash32;
use hushmark_event::refusal::RefusalLog;
use hushmark_policy::resolve::Word;
use hushmark_policy::{Caps, Day, Mark, TenantId};
use hushmark_report::{ClickHouse, Person};
use hushmark_sender::Address;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::data::DataFolder;
use crate::keys::random64;
use ended::Ended;
pub(crate) use turn::turn;

/// People that one query names: each takes 75 bytes, and ClickHouse reads 256 KiB.
const NAMED_AT_ONCE: usize = 1_000;

/// A keyed hash of an address: it finds a contact, and tells nobody without the key anything.
pub(crate) type Lookup = [u8; 32];

#[derive(Row, Serialize)]
struct WithdrawalRow<'a> {
    tenant: u64,
    lookup: Lookup,
    source: &'a str,
    at: i64,
}

#[derive(Row, Serialize)]
struct ContactRow {
    tenant: u64,
    lookup: Lookup,
    contact: u64,
    #[serde(with = "serde_bytes_as_string")]
    sealed: Vec<u8>,
    /// The day, in milliseconds: that mail went out at the same moment would tell of whom it was.
    at: i64,
}

/// A String column takes any bytes; serde's bytes are length-prefixed just so.
mod serde_bytes_as_string {
    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }
}

#[derive(Row, Deserialize)]
struct Known {
    lookup: Lookup,
    contact: u64,
}

#[derive(Row, Deserialize)]
struct Withdrawn {
    lookup: Lookup,
    is_erased: bool,
}

#[derive(Row, Deserialize)]
struct Agreed {
    lookup: Lookup,
}

/// Why somebody's mail is not tracked any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withdrew {
    /// They ended their tracking, and when and how is written down.
    Said,
    /// They were erased: this is all that is left.
    Erased,
}

/// One tenant's contacts, as far as they are known, and those that a stamping adds.
pub(crate) struct Contacts {
    tenant: TenantId,
    key: Zeroizing<[u8; 32]>,
    /// What mail made from now on names somebody by.
    known: HashMap<Lookup, u64>,
    /// Every id of those who have several: before stampings waited for one another, two at once
    /// drew two.
    several: HashMap<Lookup, Vec<u64>>,
    withdrawn: HashMap<Lookup, Withdrew>,
    ended: Ended,
    added: Vec<ContactRow>,
    /// Whose messages of this stamping are tracked.
    tracked: HashSet<Lookup>,
    /// Contacts that a message was made for.
    made_for: Vec<u64>,
}

impl Contacts {
    /// Reads the tenant's contacts: keyed hashes and ids, no address; and who ended their tracking,
    /// by the table and by the logs, which outlive a ClickHouse that is restored.
    pub(crate) async fn read(
        (folder, log): (&DataFolder, &RefusalLog),
        clickhouse: &ClickHouse,
        tenant: TenantId,
        key: Zeroizing<[u8; 32]>,
    ) -> Result<Self> {
        let ended = Ended::read(folder, log, tenant)?;
        let (client, t) = (clickhouse.client(), tenant.0);
        let read = async |query: &str| {
            let rows = client.query_raw(query).fetch_all::<Known>().await;
            rows.context("cannot read the contacts from ClickHouse; is `hushmark up` running?")
        };
        let known = format!("SELECT lookup, contact FROM contacts FINAL WHERE tenant = {t}");
        let known = read(&known).await?;
        let known = known.into_iter().map(|row| (row.lookup, row.contact)).collect();
        let twice = format!(
            "SELECT DISTINCT lookup, contact FROM contacts WHERE tenant = {t} AND lookup IN \
             (SELECT lookup FROM contacts WHERE tenant = {t} GROUP BY lookup \
              HAVING min(contact) != max(contact))"
        );
        let mut several = HashMap::<Lookup, Vec<u64>>::new();
        for Known { lookup, contact } in read(&twice).await? {
            several.entry(lookup).or_default().push(contact);
        }
        let withdrawn = withdrawn(clickhouse, tenant).await?;
        let (added, tracked, made_for) = (Vec::new(), HashSet::new(), Vec::new());
        Ok(Self { tenant, key, known, several, withdrawn, ended, added, tracked, made_for })
    }

    /// A keyed hash of the address, for one use alone.
    fn hashed(&self, label: &[u8], address: &Address) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(self.key.as_ref())
            .expect("HMAC takes any key");
        mac.update(label);
        mac.update(address.folded().as_bytes());
        mac.finalize().into_bytes().into()
    }

    /// What finds a person in the tables of one tenant.
    pub(crate) fn lookup(&self, address: &Address) -> Lookup {
        self.hashed(b"hushmark contact 1", address)
    }

    /// What names a person in the audit log: whoever has the tenant's key can tell that it is
    /// somebody whom they know already, and nobody else can tell anything.
    pub(crate) fn tombstone(&self, address: &Address) -> Hash32 {
        Hash32(self.hashed(b"hushmark tombstone 1", address))
    }

    /// The id of a contact that there is.
    pub(crate) fn known(&self, address: &Address) -> Option<Mark> {
        self.known.get(&self.lookup(address)).copied().map(Mark::new)
    }

    /// Whether the person's tracking ended.
    pub(crate) fn is_withdrawn(&self, address: &Address) -> bool {
        self.withdrew(address).is_some()
    }

    /// Why the person's tracking ended, if it did.
    pub(crate) fn withdrew(&self, address: &Address) -> Option<Withdrew> {
        if self.withdrawn.is_empty() && self.ended.is_empty() {
            return None;
        }
        let lookup = self.lookup(address);
        let by_table = self.withdrawn.get(&lookup).copied();
        by_table.or_else(|| self.ended.how(&Hash32(lookup), || self.tombstone(address)))
    }

    /// The keyed hash that finds a person, which is all that an erasure leaves.
    pub(crate) fn found_by(&self, address: &Address) -> Hash32 {
        Hash32(self.lookup(address))
    }

    /// Every id that mail named the person by; none where no mail did.
    pub(crate) fn ids(&self, address: &Address) -> Vec<Mark> {
        self.ids_of(&self.lookup(address)).map(Mark::new).collect()
    }

    fn ids_of(&self, lookup: &Lookup) -> impl Iterator<Item = u64> {
        let one = self.known.get(lookup).into_iter();
        let all = self.several.get(lookup).into_iter().flatten();
        let only = if self.several.contains_key(lookup) { 0 } else { 1 };
        one.take(only).chain(all).copied()
    }

    /// The ids of some people as they are now, by their keyed hashes. Asked after
    /// [`withdraw`](Self::withdraw): of whoever is stamped at the same time either this finds the
    /// new id, or the stamping finds that they withdrew.
    pub(crate) async fn ids_now(
        &self,
        clickhouse: &ClickHouse,
        people: &[Address],
    ) -> Result<HashMap<Hash32, Vec<Mark>>> {
        let client = clickhouse.client();
        let mut ids = HashMap::<Hash32, Vec<Mark>>::new();
        for some in people.chunks(NAMED_AT_ONCE) {
            let named = some.iter().map(|it| format!("unhex('{}')", self.found_by(it)));
            let query = format!(
                "SELECT DISTINCT lookup, contact FROM contacts WHERE tenant = {} AND lookup IN ({})",
                self.tenant.0,
                named.collect::<Vec<_>>().join(",")
            );
            let rows = client.query_raw(&query).fetch_all::<Known>().await;
            for Known { lookup, contact } in rows.context("cannot read the contacts' ids")? {
                ids.entry(Hash32(lookup)).or_default().push(Mark::new(contact));
            }
        }
        Ok(ids)
    }

    /// Who is on record as having agreed, by their keyed hash.
    pub(crate) async fn consented(&self, clickhouse: &ClickHouse) -> Result<HashSet<Hash32>> {
        let lookups = clickhouse
            .client()
            .query("SELECT DISTINCT lookup FROM consents WHERE tenant = ?")
            .bind(self.tenant.0)
            .fetch_all::<Agreed>()
            .await
            .context("cannot read from ClickHouse who agreed")?;
        Ok(lookups.into_iter().map(|row| Hash32(row.lookup)).collect())
    }

    /// Whether the refusal log refuses the contact: by the page of a message that named it.
    pub(crate) fn has_objected(&self, address: &Address, refused: &Caps) -> bool {
        self.objected(&self.lookup(address), refused)
    }

    fn objected(&self, lookup: &Lookup, refused: &Caps) -> bool {
        !refused.objected().is_empty()
            && self.ids_of(lookup).any(|id| refused.is_withdrawn(self.tenant, &Mark::new(id)))
    }

    /// Takes note that a person's message is tracked.
    pub(crate) fn note_tracked(&mut self, address: &Address) {
        self.tracked.insert(self.lookup(address));
    }

    /// How many of those whose messages are tracked ended it since the contacts were read. Asked
    /// once the new ids are stored; see [`ids_now`](Self::ids_now).
    pub(crate) async fn ended_meanwhile(
        &self,
        clickhouse: &ClickHouse,
        refused: &Caps,
    ) -> Result<usize> {
        let withdrawn = withdrawn(clickhouse, self.tenant).await?;
        let has_ended = |it: &&Lookup| withdrawn.contains_key(*it) || self.objected(it, refused);
        Ok(self.tracked.iter().filter(has_ended).count())
    }

    /// What is on record of a person's own word; whether they agreed is looked up where it matters.
    pub(crate) fn word(&self, address: &Address, refused: &Caps, agreed: bool) -> Word {
        let withdrew = self.withdrew(address);
        Word {
            erased: withdrew == Some(Withdrew::Erased),
            withdrew: withdrew == Some(Withdrew::Said),
            objected: self.has_objected(address, refused),
            agreed,
        }
    }

    /// Writes down that people's tracking ended, and how they said so. Durable when it returns.
    pub(crate) async fn withdraw(
        &self,
        clickhouse: &ClickHouse,
        people: &[&Address],
        source: &str,
        now_ms: u64,
    ) -> Result<()> {
        let client = clickhouse.client().with_setting("async_insert", "0");
        let at = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let write = async {
            let mut insert = client.insert::<WithdrawalRow<'_>>("withdrawals").await?;
            for address in people {
                let (tenant, lookup) = (self.tenant.0, self.lookup(address));
                insert.write(&WithdrawalRow { tenant, lookup, source, at }).await?;
            }
            insert.end().await
        };
        write.await.context("cannot write down in ClickHouse whose tracking ends")
    }

    /// What `individual` mail names a contact by: the id it has, or a random one from now on.
    pub(crate) fn mark(&mut self, address: &Address, today: Day) -> Result<Mark> {
        self.id(address, today).map(Mark::new)
    }

    /// Takes note that a message was made for a person. The id stays here.
    pub(crate) fn made_for(&mut self, address: &Address, today: Day) -> Result<()> {
        let contact = self.id(address, today)?;
        self.made_for.push(contact);
        Ok(())
    }

    fn id(&mut self, address: &Address, today: Day) -> Result<u64> {
        let lookup = self.lookup(address);
        if let Some(contact) = self.known.get(&lookup) {
            return Ok(*contact);
        }
        let contact = random64();
        let sealed = self.seal(address.expose().as_bytes(), contact)?;
        let at = i64::try_from(today.start_ms()).unwrap_or(i64::MAX);
        self.added.push(ContactRow { tenant: self.tenant.0, lookup, contact, sealed, at });
        self.known.insert(lookup, contact);
        Ok(contact)
    }

    /// Nonce ‖ AES-256-GCM of the address, bound to tenant and contact. The nonce is random: a
    /// contact is sealed once.
    fn seal(&self, address: &[u8], contact: u64) -> Result<Vec<u8>> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).context("the system has no random numbers")?;
        let bound = bound(self.tenant, contact);
        let cipher = Aes256Gcm::new_from_slice(self.key.as_ref()).expect("the key has 32 bytes");
        let sealed = cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: address, aad: &bound })
            .map_err(|_| anyhow::anyhow!("an address could not be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Stores the contacts that were added, and hands out whom messages were made for. Done before
    /// any message leaves, so that no hit ever names a contact that nobody knows.
    pub(crate) async fn store(&mut self, clickhouse: &ClickHouse) -> Result<Vec<u64>> {
        let made_for = std::mem::take(&mut self.made_for);
        if self.added.is_empty() {
            return Ok(made_for);
        }
        // Not in the list's order.
        self.added.sort_unstable_by_key(|row| row.contact);
        let client = clickhouse.client().with_setting("async_insert", "0");
        let write = async {
            let mut insert = client.insert::<ContactRow>("contacts").await?;
            for row in &self.added {
                insert.write(row).await?;
            }
            insert.end().await
        };
        write.await.context("cannot store the contacts in ClickHouse")?;
        Ok(made_for)
    }
}

/// Who ended a tenant's tracking or was erased, as ClickHouse has it.
async fn withdrawn(clickhouse: &ClickHouse, tenant: TenantId) -> Result<HashMap<Lookup, Withdrew>> {
    let rows = clickhouse
        .client()
        .query(
            "SELECT lookup, min(source = 'erased') AS is_erased FROM withdrawals \
             WHERE tenant = ? GROUP BY lookup",
        )
        .bind(tenant.0)
        .fetch_all::<Withdrawn>()
        .await
        .context("cannot read from ClickHouse whose tracking ended")?;
    let why = |is_erased| if is_erased { Withdrew::Erased } else { Withdrew::Said };
    Ok(rows.into_iter().map(|row| (row.lookup, why(row.is_erased))).collect())
}

/// What a sealed address is bound to.
fn bound(tenant: TenantId, contact: u64) -> Vec<u8> {
    [tenant.0.to_be_bytes(), contact.to_be_bytes()].concat()
}

/// Opens the addresses of a tenant's contacts, for those who hold the tenant's key. Nothing for one
/// that was sealed under another key, or for another contact.
pub(crate) fn unseal(
    tenant: TenantId,
    key: &[u8; 32],
) -> impl Fn(u64, &[u8]) -> Option<Person> + use<> {
    let cipher = Aes256Gcm::new_from_slice(key).expect("the key has 32 bytes");
    move |contact, sealed| {
        let (nonce, sealed) = sealed.split_at_checked(12)?;
        let nonce: [u8; 12] = nonce.try_into().ok()?;
        let bound = bound(tenant, contact);
        let opened = cipher.decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad: &bound });
        String::from_utf8(opened.ok()?).ok().map(Person::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contacts(tenant: u64, key: u8) -> Contacts {
        Contacts {
            tenant: TenantId(tenant),
            key: Zeroizing::new([key; 32]),
            known: HashMap::new(),
            several: HashMap::new(),
            withdrawn: HashMap::new(),
            ended: Ended::default(),
            added: Vec::new(),
            tracked: HashSet::new(),
            made_for: Vec::new(),
        }
    }

    #[test]
    fn an_address_is_opened_by_its_tenants_key_for_its_contact_alone() {
        let mut all = contacts(1, 7);
        let ann = Address::parse("Ann@example.org").unwrap();
        let mark = all.mark(&ann, Day(20_000)).unwrap();
        let same = Address::parse("ann@EXAMPLE.org").unwrap();
        assert!(all.mark(&same, Day(20_001)).unwrap() == mark, "case tells no two people apart");
        let row = &all.added[0];
        let opened = |tenant, key: u8, contact, sealed: &[u8]| {
            let person = unseal(TenantId(tenant), &[key; 32])(contact, sealed);
            person.map(|person| person.expose().to_owned())
        };
        let id = mark.expose();
        assert_eq!(opened(1, 7, id, &row.sealed).as_deref(), Some("Ann@example.org"));
        assert_eq!(opened(2, 7, id, &row.sealed), None);
        assert_eq!(opened(1, 8, id, &row.sealed), None);
        assert_eq!(opened(1, 7, id ^ 1, &row.sealed), None);
        assert_eq!(opened(1, 7, id, &row.sealed[..11]), None);
        assert_eq!(row.at % 86_400_000, 0, "no finer than the day");
        assert_eq!(all.added.len(), 1);
    }

    #[test]
    fn who_has_two_ids_objects_by_either() {
        let mut all = contacts(1, 7);
        let [ann, ben] =
            ["ann@example.org", "ben@example.org"].map(|it| Address::parse(it).unwrap());
        all.known = HashMap::from([(all.lookup(&ann), 11), (all.lookup(&ben), 13)]);
        all.several = HashMap::from([(all.lookup(&ann), vec![11, 12])]);
        let ids = |who| all.ids(who).iter().map(Mark::expose).collect::<Vec<_>>();
        assert_eq!((ids(&ann), ids(&ben)), (vec![11, 12], vec![13]));
        let mut refused = Caps::default();
        assert!(!all.has_objected(&ann, &refused));
        // Not the one that new mail names.
        refused.withdraw(TenantId(1), &Mark::new(12));
        assert!(all.has_objected(&ann, &refused) && !all.has_objected(&ben, &refused));
    }
}
