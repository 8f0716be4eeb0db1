//! Contacts of `individual` mail: a random id beside the sealed address, found by a keyed hash.

use std::collections::{HashMap, HashSet};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use anyhow::{Context, Result};
use clickhouse::Row;
use hmac::{Hmac, Mac};
use hushmark_event::chain::Hash32;
use hushmark_policy::{Caps, Mark, TenantId};
use hushmark_sender::Address;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::keys::random64;

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
}

/// One tenant's contacts, as far as they are known, and those that a stamping adds.
pub(crate) struct Contacts {
    tenant: TenantId,
    key: Zeroizing<[u8; 32]>,
    known: HashMap<Lookup, u64>,
    withdrawn: HashSet<Lookup>,
    added: Vec<ContactRow>,
}

impl Contacts {
    /// Reads the tenant's contacts: keyed hashes and ids, no address.
    pub(crate) async fn read(
        clickhouse: &str,
        tenant: TenantId,
        key: Zeroizing<[u8; 32]>,
    ) -> Result<Self> {
        let client = hushmark_report::client(clickhouse);
        let known = client
            .query("SELECT lookup, contact FROM contacts FINAL WHERE tenant = ?")
            .bind(tenant.0)
            .fetch_all::<Known>()
            .await
            .context("cannot read the contacts from ClickHouse; is `hushmark up` running?")?;
        let known = known.into_iter().map(|row| (row.lookup, row.contact)).collect();
        let withdrawn = client
            .query("SELECT DISTINCT lookup FROM withdrawals WHERE tenant = ?")
            .bind(tenant.0)
            .fetch_all::<Withdrawn>()
            .await
            .context("cannot read from ClickHouse whose tracking ended")?;
        let withdrawn = withdrawn.into_iter().map(|row| row.lookup).collect();
        Ok(Self { tenant, key, known, withdrawn, added: Vec::new() })
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
        !self.withdrawn.is_empty() && self.withdrawn.contains(&self.lookup(address))
    }

    /// Whether the refusal log refuses the contact: by the page of a message that named it.
    pub(crate) fn has_objected(&self, address: &Address, refused: &Caps) -> bool {
        !refused.objected().is_empty()
            && self.known(address).is_some_and(|it| refused.is_withdrawn(self.tenant, &it))
    }

    /// Writes down that people's tracking ended, and how they said so. Durable when it returns.
    pub(crate) async fn withdraw(
        &self,
        clickhouse: &str,
        people: &[Address],
        source: &str,
        now_ms: u64,
    ) -> Result<()> {
        let client = hushmark_report::client(clickhouse).with_setting("async_insert", "0");
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

    /// The contact's id: the one it has, or a random one from now on.
    pub(crate) fn mark(&mut self, address: &Address, now_ms: u64) -> Result<Mark> {
        let lookup = self.lookup(address);
        if let Some(contact) = self.known.get(&lookup) {
            return Ok(Mark::new(*contact));
        }
        let contact = random64();
        let sealed = self.seal(address.expose().as_bytes(), contact)?;
        let at = i64::try_from(now_ms).unwrap_or(i64::MAX);
        self.added.push(ContactRow { tenant: self.tenant.0, lookup, contact, sealed, at });
        self.known.insert(lookup, contact);
        Ok(Mark::new(contact))
    }

    /// Nonce ‖ AES-256-GCM of the address, bound to tenant and contact. The nonce is random: a
    /// contact is sealed once.
    fn seal(&self, address: &[u8], contact: u64) -> Result<Vec<u8>> {
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).context("the system has no random numbers")?;
        let bound = [self.tenant.0.to_be_bytes(), contact.to_be_bytes()].concat();
        let cipher = Aes256Gcm::new_from_slice(self.key.as_ref()).expect("the key has 32 bytes");
        let sealed = cipher
            .encrypt(&Nonce::from(nonce), Payload { msg: address, aad: &bound })
            .map_err(|_| anyhow::anyhow!("an address could not be sealed"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// Stores the contacts that were added. Done before any message leaves, so that no hit ever
    /// names a contact that nobody knows.
    pub(crate) async fn store(self, clickhouse: &str) -> Result<()> {
        if self.added.is_empty() {
            return Ok(());
        }
        let client = hushmark_report::client(clickhouse).with_setting("async_insert", "0");
        let write = async {
            let mut insert = client.insert::<ContactRow>("contacts").await?;
            for row in &self.added {
                insert.write(row).await?;
            }
            insert.end().await
        };
        write.await.context("cannot store the contacts in ClickHouse")
    }
}
