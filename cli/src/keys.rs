//! The keys of a region on one machine: files of mode 0600, made where they are missing.

mod prints;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use ed25519_dalek::SigningKey;
use hushmark_policy::{Day, TenantId};
use hushmark_report::ClickHouse;
use zeroize::Zeroizing;

use crate::data::DataFolder;
use crate::files;

pub(crate) use prints::region_keys;
use prints::{REGION, TENANTS};

/// The refusal log, an entry a line.
pub(crate) const REFUSAL_LOG: &str = "refusals/log.jsonl";

/// Fails where a folder that ran before lost what cannot be made again: new keys in place of lost
/// ones would look like a good start.
pub(crate) fn nothing_lost(folder: &DataFolder) -> Result<()> {
    let ran_before = folder.path("refusal.pub").exists();
    let no_keys = fs::read_dir(folder.path("keys")).map_or(true, |mut keys| keys.next().is_none());
    let lost = [
        (no_keys, "keys", "every link in mail that was sent needs them"),
        (!folder.path("refusal.key").exists(), "refusal.key", "it signs caps and takedowns"),
        (
            !folder.path(REFUSAL_LOG).exists(),
            REFUSAL_LOG,
            "it says what may not be stored any more",
        ),
        (!folder.path("tenants").exists(), "tenants", "its keys open the contacts' addresses"),
    ];
    if let Some((_, name, why)) = lost.iter().find(|(lost, ..)| ran_before && *lost) {
        bail!(
            "{} is gone, and this folder was used before: {why}; restore it, or start with another \
             --data",
            folder.path(name).display()
        );
    }
    REGION.verify(folder)
}

/// How many keys deep the batch and salt rings are made: today, and as many days ahead.
pub(crate) fn make(folder: &DataFolder, today: Day, days_ahead: u16) -> Result<()> {
    for sub in ["keys", "ring", "ring/batch", "ring/salt", "tenants"] {
        files::private_folder(&folder.path(sub))?;
    }
    if fs::read_dir(folder.path("keys")).context("cannot read the key folder")?.next().is_none() {
        random_file(&folder.path("keys/1.key"))?;
    }
    let signing = folder.path("refusal.key");
    if !signing.exists() {
        random_file(&signing)?;
    }
    // Empty until something is refused, so that a log that is missing is one that was lost.
    let log = folder.path(REFUSAL_LOG);
    if !log.exists() {
        files::replace(&log, b"")?;
    }
    let (public, path) =
        (signing_key(folder)?.verifying_key().to_bytes(), folder.path("refusal.pub"));
    match files::read_if_there(&path)? {
        None => files::replace(&path, &public)?,
        Some(known) => ensure!(
            known == public,
            "{} is not the key that {} is of: restore it; nothing was changed",
            signing.display(),
            path.display()
        ),
    }
    REGION.note(folder)?;
    TENANTS.note(folder)?;
    extend_ring(folder, today, days_ahead)
}

/// Makes the day keys that are missing from today on. A day that was closed never gets new ones:
/// it lies before the first day that has any.
pub(crate) fn extend_ring(folder: &DataFolder, today: Day, days_ahead: u16) -> Result<()> {
    for ring in ["ring/batch", "ring/salt"] {
        let folder = folder.path(ring);
        let days = (0..=days_ahead).map(|ahead| folder.join(today.plus(ahead).to_string()));
        let missing = days.filter(|path| !path.exists());
        let made: Vec<_> = missing.map(|path| Ok((path, random_key()?))).collect::<Result<_>>()?;
        if !made.is_empty() {
            files::replace_all(&folder, &made)?;
        }
    }
    Ok(())
}

/// Makes another region key where the newest is older than a schedule allows. The edge reads it
/// within a second, and says so; links under older keys go on working.
pub(crate) fn rotate(folder: &DataFolder, every_days: Option<u16>, now: SystemTime) -> Result<()> {
    let Some(days) = every_days else { return Ok(()) };
    let keys = folder.path("keys");
    let mut newest: Option<(u16, SystemTime)> = None;
    for entry in fs::read_dir(&keys).context("cannot read the key folder")? {
        let entry = entry.context("cannot read the key folder")?;
        let name = entry.file_name();
        let kid = name.to_str().and_then(|name| name.strip_suffix(".key")?.parse().ok());
        let Some(kid) = kid.filter(|kid| newest.is_none_or(|(newest, _)| newest < *kid)) else {
            continue;
        };
        let made = entry.metadata().and_then(|data| data.modified());
        newest = Some((kid, made.context("cannot tell how old a region key is")?));
    }
    let (kid, made) = newest.context("there is no region key")?;
    let age = now.duration_since(made).unwrap_or_default();
    if age < Duration::from_secs(86_400 * u64::from(days)) {
        return Ok(());
    }
    let next = kid.checked_add(1).context(
        "the newest region key has the last number that there is: take spec.keys.rotateEvery away",
    )?;
    random_file(&keys.join(format!("{next}.key")))?;
    REGION.note(folder)
}

/// Closes a day by destroying both of its keys. What was sealed or salted with them is gone.
pub(crate) fn close_day(folder: &DataFolder, day: Day) -> Result<()> {
    for ring in ["ring/batch", "ring/salt"] {
        let path = folder.path(ring).join(day.to_string());
        if path.exists() {
            files::wipe(&path)?;
        }
    }
    Ok(())
}

/// The key that signs the refusal log's head.
pub(crate) fn signing_key(folder: &DataFolder) -> Result<SigningKey> {
    let seed = read_key(&folder.path("refusal.key"))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// The key that seals a tenant's addresses, made when it is first needed. One that is gone is not made
/// anew: by another key nobody is found who withdrew, and nobody's mail that was sent.
pub(crate) async fn tenant_key(
    folder: &DataFolder,
    tenant: TenantId,
    clickhouse: &ClickHouse,
) -> Result<Zeroizing<[u8; 32]>> {
    if let Some(key) = tenant_key_if_there(folder, tenant)? {
        return Ok(key);
    }
    let path = tenant_path(folder, tenant);
    let of = |table| format!("SELECT 1 FROM {table} WHERE tenant = {}", tenant.0);
    let all = ["contacts", "withdrawals", "consents"].map(of).join(" UNION ALL ");
    let known: u64 = clickhouse
        .client()
        .query_raw(&format!("SELECT count() FROM ({all})"))
        .fetch_one()
        .await
        .context("cannot see whether the tenant had a key; is `hushmark up` running?")?;
    ensure!(
        known == 0,
        "the tenant's key {} is gone, and contacts, withdrawals and consents are found by it alone: \
         restore it, or erase the whole tenant with `hushmark erase --tenant NAMESPACE --all`; \
         nothing was changed",
        path.display()
    );
    random_file(&path)?;
    TENANTS.note(folder)?;
    read_key(&path)
}

/// The key that seals a tenant's addresses, where there is one.
pub(crate) fn tenant_key_if_there(
    folder: &DataFolder,
    tenant: TenantId,
) -> Result<Option<Zeroizing<[u8; 32]>>> {
    TENANTS.verify_one(folder, &tenant.to_string())?;
    let path = tenant_path(folder, tenant);
    path.exists().then(|| read_key(&path)).transpose()
}

/// What is amiss with the keys of tenants: commands about their people refuse to go on.
pub(crate) fn tenants_amiss(folder: &DataFolder) -> Result<Vec<String>> {
    TENANTS.amiss(folder)
}

/// The key that seals a tenant's addresses, which has to be there.
pub(crate) fn known_tenant_key(
    folder: &DataFolder,
    tenant: TenantId,
) -> Result<Zeroizing<[u8; 32]>> {
    tenant_key_if_there(folder, tenant)?.with_context(|| {
        format!(
            "the tenant's key {} is gone, or no mail was stamped yet, and nobody can be found without \
             it: restore it, or erase the whole tenant with --all; nothing was changed",
            tenant_path(folder, tenant).display()
        )
    })
}

/// Destroys the key of a tenant that is erased: what it sealed is gone wherever a copy lies. Returns
/// whether there was one.
pub(crate) fn destroy_tenant_key(folder: &DataFolder, tenant: TenantId) -> Result<bool> {
    TENANTS.forget(folder, &tenant.to_string())?;
    let path = tenant_path(folder, tenant);
    if !path.exists() {
        return Ok(false);
    }
    files::wipe(&path)?;
    Ok(true)
}

pub(crate) fn tenant_path(folder: &DataFolder, tenant: TenantId) -> PathBuf {
    folder.path("tenants").join(format!("{tenant}.key"))
}

fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let bytes = fs::read(path)
        .map(Zeroizing::new)
        .with_context(|| format!("cannot read the key {}", path.display()))?;
    let found = bytes.len();
    bytes.as_slice().try_into().map(Zeroizing::new).map_err(|_| {
        anyhow::anyhow!("{} holds {found} bytes, a key has 32: restore it", path.display())
    })
}

fn random_key() -> Result<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut()).context("the system has no random numbers")?;
    Ok(bytes)
}

fn random_file(path: &Path) -> Result<()> {
    files::replace(path, random_key()?.as_ref())
}

/// Draws a password that is text.
pub(crate) fn random_password(path: &Path) -> Result<()> {
    let mut text = Zeroizing::new(hex::encode(random_key()?.as_ref()));
    text.push('\n');
    files::replace(path, text.as_bytes())
}

/// 64 random bits that nobody can guess.
pub(crate) fn random64() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system's random numbers never end once it has booted");
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_when_the_newest_is_old_enough_and_no_key_goes() {
        let data = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(data.path());
        files::private_folder(&folder.path("keys")).unwrap();
        random_file(&folder.path("keys/1.key")).unwrap();
        random_file(&folder.path("keys/9.key")).unwrap();
        let names = || fs::read_dir(folder.path("keys")).unwrap().count();
        let in_days = |days: u64| SystemTime::now() + Duration::from_secs(86_400 * days);
        rotate(&folder, None, in_days(5_000)).unwrap();
        rotate(&folder, Some(90), in_days(89)).unwrap();
        assert_eq!(names(), 2);
        rotate(&folder, Some(90), in_days(90)).unwrap();
        assert_eq!(names(), 3);
        assert_eq!(fs::read(folder.path("keys/10.key")).unwrap().len(), 32);
    }
}
