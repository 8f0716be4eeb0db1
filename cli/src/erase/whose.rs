//! Whose data is to go, checked before anything is asked for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use hushmark_event::audit::{Action, Reason, Target};
use hushmark_event::refusal::{Erased, Whose as Logged};
use hushmark_policy::TenantId;

use super::Log;
use crate::args::Erase;
use crate::asks::{addresses, decline, known_campaign, persons, tenant};
use crate::contacts::{Contacts, Withdrew};
use crate::data::{DataFolder, State};
use crate::keys;

/// One erasure.
pub(super) struct Whose {
    /// As the refusal log names it.
    pub(super) erased: Erased,
    /// As the audit log names it.
    pub(super) target: Target,
    /// The log demands it already: only its receipt is waited for.
    pub(super) is_asked_for: bool,
}

/// The tenant of what is to go.
pub(super) fn tenant_of(state: &State, options: &Erase) -> Result<TenantId> {
    match (&options.campaign, &options.tenant) {
        (Some(asked), _) => Ok(state.campaign(asked)?.1),
        (None, Some(namespace)) => tenant(state, namespace),
        (None, None) => bail!("say whose data goes: --campaign or --tenant"),
    }
}

pub(super) async fn whose(
    folder: &DataFolder,
    state: &State,
    options: &Erase,
) -> Result<Vec<Whose>> {
    let log = Log::read(folder)?;
    if let Some(asked) = &options.campaign {
        let (name, tenant, id) = state.campaign(asked)?;
        log.tenant(tenant, name.split('/').nth(1).unwrap_or_default())?;
        let is_asked_for = log.0.erasures().of_campaign(tenant, id).is_some();
        let target = Target::Campaign { tenant, id };
        if !is_asked_for {
            known_campaign(folder, state, (asked, id), Action::Erase(target.clone())).await?;
        }
        let erased = Erased::Campaign { tenant: tenant.to_string(), id: id.to_string() };
        return Ok(vec![Whose { erased, target, is_asked_for }]);
    }
    let Some(namespace) = &options.tenant else {
        bail!("say whose data goes: --campaign or --tenant");
    };
    let id = tenant(state, namespace)?;
    match (&options.people, options.all) {
        (Some(file), _) => {
            log.tenant(id, namespace)?;
            people(folder, state, (id, namespace), file, &log).await
        }
        (None, true) => {
            let is_asked_for = log.0.erasures().of_tenant(id).is_some();
            let erased = Erased::Tenant(id.to_string());
            Ok(vec![Whose { erased, target: Target::Tenant(id), is_asked_for }])
        }
        (None, false) => bail!(
            "say what of tenant {namespace} goes: --people FILE, or --all for everything; nothing \
             was changed"
        ),
    }
}

async fn people(
    folder: &DataFolder,
    state: &State,
    (tenant, namespace): (TenantId, &str),
    file: &Path,
    log: &Log,
) -> Result<Vec<Whose>> {
    let key = keys::known_tenant_key(folder, tenant)?;
    let people = addresses(file)?;
    let contacts = Contacts::read((folder, &log.0), &state.clickhouse()?, tenant, key).await?;
    let consented = contacts.consented(&state.clickhouse()?).await?;
    let (mut found, mut unknown) = (BTreeMap::new(), Vec::new());
    for (n, person) in (1..).zip(&people) {
        let lookup = contacts.found_by(person);
        if found.contains_key(&lookup) {
            continue;
        }
        let named = contacts.ids(person);
        let has_said_no = contacts.withdrew(person) == Some(Withdrew::Said);
        let is_named = !named.is_empty();
        let texts = named.iter().map(|one| format!("{:016x}", one.expose())).collect();
        let erased = Erased::Person { tenant: tenant.to_string(), lookup, contacts: texts };
        let now = Logged::Person { tenant, lookup, contacts: named };
        let is_asked_for = log.0.erasures().last_of(&now).is_some_and(|it| it.whose.covers(&now));
        let is_known = is_named || consented.contains(&lookup) || has_said_no || is_asked_for;
        let target = Target::Person { tenant, tombstone: contacts.tombstone(person) };
        if !is_known {
            unknown.push((n.to_string(), Action::Erase(target)));
            continue;
        }
        found.insert(lookup, Whose { erased, target, is_asked_for });
    }
    if !unknown.is_empty() {
        let (unknown, actions): (Vec<String>, Vec<Action>) = unknown.into_iter().unzip();
        decline(folder, actions, Reason::Unknown).await;
        bail!(
            "tenant {namespace} does not know {} of {} in {} (address {}): look for typing errors, \
             or take them out; nothing was changed",
            unknown.len(),
            persons(people.len()),
            file.display(),
            unknown.join(", ")
        );
    }
    Ok(found.into_values().collect())
}
