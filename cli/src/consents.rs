//! Who agreed to be tracked, when, and how they said so. Where a tenant asks for consent
//! (`consentFrom`), whoever is not among them gets the same mail without any tracking.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result};
use clickhouse::Row;
use hushmark_event::audit::{Target, Write};
use hushmark_policy::TenantId;
use hushmark_report::ClickHouse;
use hushmark_sender::Address;
use serde::{Deserialize, Serialize};

use crate::asks::{addresses, persons, tenant};
use crate::contacts::{Contacts, Lookup};
use crate::data::DataFolder;
use crate::erase::Log;
use crate::report::print;
use crate::up::now_ms;
use crate::{args, keys, known};

#[derive(Row, Serialize)]
struct ConsentRow<'a> {
    tenant: u64,
    lookup: Lookup,
    source: &'a str,
    at: i64,
}

#[derive(Row, Deserialize)]
struct Known {
    lookup: Lookup,
}

/// Whose consent a tenant has.
pub(crate) struct Consents(HashSet<Lookup>);

impl Consents {
    pub(crate) async fn read(clickhouse: &ClickHouse, tenant: TenantId) -> Result<Self> {
        let client = clickhouse.client();
        let known = client
            .query("SELECT DISTINCT lookup FROM consents WHERE tenant = ?")
            .bind(tenant.0)
            .fetch_all::<Known>()
            .await
            .context("cannot read from ClickHouse who consented; is `hushmark up` running?")?;
        Ok(Self(known.into_iter().map(|row| row.lookup).collect()))
    }

    pub(crate) fn has(&self, contacts: &Contacts, person: &Address) -> bool {
        self.0.contains(&contacts.lookup(person))
    }
}

/// `hushmark consent`: writes down who agreed.
pub(crate) async fn consent(data: &Path, options: &args::Consent) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    let tenant = tenant(&state, &options.tenant)?;
    let people = addresses(&options.people)?;
    let log = Log::read(&folder)?;
    log.tenant(tenant, &options.tenant)?;
    log.is_obeyed(&state.clickhouse()?).await?;
    let key = keys::tenant_key(&folder, tenant, &state.clickhouse()?).await?;
    let contacts = Contacts::read((&folder, &log.0), &state.clickhouse()?, tenant, key).await?;
    known::audit_write(&folder, Write::Consents, Target::Tenant(tenant)).await?;
    let client = state.clickhouse()?.client().with_setting("async_insert", "0");
    let at = i64::try_from(now_ms()).unwrap_or(i64::MAX);
    let write = async {
        let mut insert = client.insert::<ConsentRow<'_>>("consents").await?;
        for person in &people {
            let (lookup, source) = (contacts.lookup(person), &*options.source);
            insert.write(&ConsentRow { tenant: tenant.0, lookup, source, at }).await?;
        }
        insert.end().await
    };
    write.await.context("cannot write down in ClickHouse who consented")?;
    let mut said = format!("consented: {} of tenant {}\n", persons(people.len()), options.tenant);
    let withdrawn = people.iter().filter(|person| contacts.is_withdrawn(person)).count();
    if withdrawn > 0 {
        said += &format!(
            "  {} among them ended their tracking, which outweighs it: their mail carries none\n",
            persons(withdrawn)
        );
    }
    print(&said)
}
