//! What each region key was when it was first seen. A key that was replaced by other bytes would
//! start without a word, and every link that was sealed under it would lead nowhere.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use hushmark_token::RegionKeys;
use hushmark_token::key::KEY_LEN;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::data::DataFolder;
use crate::files;

/// A hash of each region key's 256 random bits, by number: it tells nothing of them.
const FILE: &str = "region-keys.json";

type Prints = BTreeMap<u16, String>;

/// All region keys.
///
/// # Errors
/// Where one is gone or is not what it was, which says what to do.
pub(crate) fn region_keys(folder: &DataFolder) -> Result<RegionKeys> {
    verify(folder)?;
    Ok(RegionKeys::load(&folder.path("keys"))?)
}

/// Fails where a key that was seen before is gone, or is not what it was.
pub(super) fn verify(folder: &DataFolder) -> Result<()> {
    for (kid, known) in seen(folder)? {
        let path = folder.path("keys").join(format!("{kid}.key"));
        let Some(bytes) = files::read_if_there(&path)?.map(Zeroizing::new) else {
            bail!(
                "{} is gone, and every link that was sealed under it needs it: restore it from a backup. \
                 {}; nothing was changed",
                path.display(),
                or_else(folder, kid)
            );
        };
        if print(&bytes) != known {
            bail!(
                "{} is not the key that it was: links that were sealed under that one would lead \
                 nowhere. Restore it from a backup. {}; nothing was changed",
                path.display(),
                or_else(folder, kid)
            );
        }
    }
    Ok(())
}

/// What is left to do where a key is lost for good.
fn or_else(folder: &DataFolder, kid: u16) -> String {
    format!(
        "If it is lost for good, its links are dead: take \"{kid}\" out of {} to go on without",
        folder.path(FILE).display()
    )
}

/// Writes down what the keys are that were not seen before.
pub(super) fn note(folder: &DataFolder) -> Result<()> {
    let seen = seen(folder)?;
    let mut prints = seen.clone();
    for entry in fs::read_dir(folder.path("keys")).context("cannot read the key folder")? {
        let path = entry.context("cannot read the key folder")?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let kid = name.and_then(|name| name.strip_suffix(".key")?.parse::<u16>().ok());
        // What is no key, the edge names and refuses.
        let Some(kid) = kid.filter(|kid| path.ends_with(format!("{kid}.key"))) else { continue };
        let Some(bytes) = files::read_if_there(&path)?.map(Zeroizing::new) else { continue };
        if bytes.len() == KEY_LEN {
            prints.entry(kid).or_insert_with(|| print(&bytes));
        }
    }
    if prints == seen {
        return Ok(());
    }
    let text = serde_json::to_vec(&prints).context("cannot write JSON")?;
    files::replace(&folder.path(FILE), &text)
}

fn seen(folder: &DataFolder) -> Result<Prints> {
    let path = folder.path(FILE);
    let Some(text) = files::read_if_there(&path)? else { return Ok(Prints::new()) };
    let prints = serde_json::from_slice(&text);
    prints.with_context(|| format!("{} is damaged: restore it", path.display()))
}

fn print(key: &[u8]) -> String {
    let hash = Sha256::new().chain_update(b"hushmark region key 1\n").chain_update(key);
    hex::encode(hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_gone_or_was_replaced_is_named_and_one_that_was_restored_is_taken() {
        let data = tempfile::tempdir().unwrap();
        let folder = DataFolder::new(data.path());
        files::private_folder(&folder.path("keys")).unwrap();
        let (first, second) = (folder.path("keys/1.key"), folder.path("keys/2.key"));
        fs::write(&first, [1; 32]).unwrap();
        verify(&folder).unwrap();
        note(&folder).unwrap();
        fs::write(&second, [2; 32]).unwrap();
        verify(&folder).unwrap();
        note(&folder).unwrap();
        let fault = || verify(&folder).unwrap_err().to_string();

        fs::write(&first, [3; 32]).unwrap();
        assert!(fault().contains("1.key is not the key that it was"), "{}", fault());
        fs::write(&first, [1; 32]).unwrap();
        fs::remove_file(&second).unwrap();
        assert!(fault().contains("2.key is gone"), "{}", fault());
        fs::write(&second, [2; 32]).unwrap();
        verify(&folder).unwrap();

        // What is no key is not remembered as one.
        for (name, length) in [("07.key", 32), ("8.key", 5)] {
            let path = folder.path("keys").join(name);
            fs::write(&path, vec![7; length]).unwrap();
            note(&folder).unwrap();
            fs::remove_file(&path).unwrap();
        }
        verify(&folder).unwrap();
    }
}
