//! The Secrets of the hops: one authority a release, which nothing mounts, and a certificate for
//! each component that has an end of one.

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::authority::{Authorities, CA, CERTIFICATE, End, KEY};
use super::vault::{Changes, Data, Vault};
use crate::Error;
use crate::redis_link::Shown;
use crate::region::build::{CLICKHOUSE_SETTINGS, Versions};
use crate::region::validate::{Store, ValidatedRegion};

/// What the certificates mean for the rest.
#[derive(Default)]
pub(super) struct Certificates {
    /// What pods have to be replaced for.
    pub(super) versions: Versions,
    /// What the operator shows Redis, and trusts of it.
    pub(super) operator: Option<Shown>,
}

/// A component with an end.
struct Component {
    name: &'static str,
    is_server: bool,
}

/// Who has an end: each managed store and everyone who connects to it.
fn components(region: &ValidatedRegion) -> Vec<Component> {
    let [redis, clickhouse] = [&region.redis, &region.clickhouse].map(|it| *it == Store::Managed);
    let all = [
        ("redis", true, redis),
        ("clickhouse", true, clickhouse),
        ("edge", false, redis),
        ("writer", false, redis || clickhouse),
        ("operator", false, redis),
    ];
    let has_one = all.into_iter().filter(|(.., has_one)| *has_one);
    has_one.map(|(name, is_server, _)| Component { name, is_server }).collect()
}

/// Makes and renews what is due. At rest it writes nothing.
pub(super) async fn ensure(
    vault: &Vault<'_>,
    region: &ValidatedRegion,
    now: i64,
) -> Result<Certificates, Error> {
    let mut made = Certificates::default();
    let components = components(region);
    if components.is_empty() {
        return Ok(made);
    }
    let authorities = authorities(vault, region, now).await?;
    for Component { name, is_server } in components {
        let hosts = if is_server { region.hosts_of(name) } else { Vec::new() };
        let end = End { name: region.named(name), hosts };
        let held = hold(vault, &authorities, name, &end, now).await?;
        match name {
            "redis" => made.versions.redis.certificate = version(&held),
            "clickhouse" => made.versions.clickhouse.certificate = version(&held),
            "operator" => made.operator = Some(shown(held, true)),
            // They read theirs again whenever they connect.
            _ => {}
        }
    }
    Ok(made)
}

async fn authorities(
    vault: &Vault<'_>,
    region: &ValidatedRegion,
    now: i64,
) -> Result<Authorities, Error> {
    let name = region.named("ca");
    let found = vault.get_versioned(&name).await?;
    let mut data = found.as_ref().map(|(data, _)| data.clone()).unwrap_or_default();
    let held = Authorities::read(&data);
    if !held.want_another(now) {
        return Ok(held);
    }
    let another = held.another(&region.config.name, now)?;
    match found {
        // Somebody may have been quicker: theirs is the one.
        None => data = vault.create(&name, another).await?,
        Some((_, version)) => {
            let changes: Changes =
                another.iter().map(|(entry, bytes)| (entry.clone(), Some(bytes.clone()))).collect();
            vault.change(&name, &changes, &version).await?;
            tracing::info!(secret = name, "another authority was made, and signs from tomorrow on");
            data.extend(another);
        }
    }
    Ok(Authorities::read(&data))
}

/// What a component's Secret holds, once all of it is as it should be.
async fn hold(
    vault: &Vault<'_>,
    authorities: &Authorities,
    component: &str,
    end: &End,
    now: i64,
) -> Result<Data, Error> {
    let name = format!("{}-tls", end.name);
    let mut data = vault.get(&name).await?.unwrap_or_default();
    if !authorities.keep(&data, end, now) {
        data.extend(authorities.sign(end, now)?);
        tracing::info!(secret = name, "a certificate was signed");
    }
    data.insert(CA.into(), authorities.trusted(now).into_bytes());
    if component == "clickhouse" {
        data.insert("server.xml".into(), CLICKHOUSE_SETTINGS.into());
    }
    vault.hold(&name, data.clone()).await?;
    Ok(data)
}

/// Changes with everything that a server reads at its start alone.
fn version(data: &Data) -> String {
    let mut hash = Sha256::new();
    for entry in [CA, CERTIFICATE, "server.xml"] {
        hash.update(data.get(entry).map(Vec::as_slice).unwrap_or_default());
    }
    hex::encode(&hash.finalize()[..8])
}

/// What the operator shows and trusts, from the entries of a Secret.
pub(super) fn shown(mut data: Data, has_own: bool) -> Shown {
    let mut take = |entry: &str| data.remove(entry).unwrap_or_default();
    let own = has_own.then(|| (take(CERTIFICATE), Zeroizing::new(take(KEY))));
    Shown { ca: take(CA), own }
}
