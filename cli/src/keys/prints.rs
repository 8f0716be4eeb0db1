//! What each key was when it was first seen. One that was replaced by other bytes would be taken
//! without a word: links that were sealed under the old one would lead nowhere, and whoever withdrew
//! would not be found, and be tracked again.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use hushmark_token::RegionKeys;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::data::DataFolder;
use crate::files;

/// The keys of one folder, and where their hashes are: each of 256 random bits, which it tells nothing
/// of.
pub(super) struct Keys {
    folder: &'static str,
    file: &'static str,
    /// Whether a key can have the name.
    is_name: fn(&str) -> bool,
    /// What comes of it where one is gone or another.
    why: &'static str,
    /// What else is left to do where one is lost for good.
    lost: &'static str,
}

/// Tokens are sealed under them.
pub(super) const REGION: Keys = Keys {
    folder: "keys",
    file: "region-keys.json",
    is_name: |name| name.parse::<u16>().is_ok_and(|kid| kid.to_string() == name),
    why: "links that were sealed under it lead nowhere without it",
    lost: "its links are dead: take its line out of region-keys.json to go on without",
};

/// They find and open contacts.
pub(super) const TENANTS: Keys = Keys {
    folder: "tenants",
    file: "tenant-keys.json",
    is_name: |name| name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit()),
    why: "nobody is found without it, not even who withdrew",
    lost: "erase the whole tenant: `hushmark erase --tenant NAMESPACE --all`",
};

type Prints = BTreeMap<String, String>;

/// All region keys.
///
/// # Errors
/// Where one is gone or is not what it was, which says what to do.
pub(crate) fn region_keys(folder: &DataFolder) -> Result<RegionKeys> {
    REGION.verify(folder)?;
    Ok(RegionKeys::load(&folder.path("keys"))?)
}

impl Keys {
    /// What is amiss with keys that were seen before, a sentence each.
    pub(super) fn amiss(&self, folder: &DataFolder) -> Result<Vec<String>> {
        let seen = self.seen(folder)?;
        let all = seen.iter().map(|(name, known)| self.fault(folder, name, known));
        all.filter_map(Result::transpose).collect()
    }

    /// What is amiss with one key, which was seen before.
    fn fault(&self, folder: &DataFolder, name: &str, known: &str) -> Result<Option<String>> {
        let path = folder.path(self.folder).join(format!("{name}.key"));
        let what = match files::read_if_there(&path)?.map(Zeroizing::new) {
            None => "is gone",
            Some(bytes) if print(&bytes) != known => "is not the key that it was",
            Some(_) => return Ok(None),
        };
        let Self { why, lost, .. } = self;
        Ok(Some(format!(
            "{} {what}, and {why}: restore it from a backup. If it is lost for good, {lost}",
            path.display()
        )))
    }

    /// Fails where a key that was seen before is gone, or is not what it was.
    pub(super) fn verify(&self, folder: &DataFolder) -> Result<()> {
        self.amiss(folder)?.into_iter().next().map_or(Ok(()), refused)
    }

    /// The same of one key alone.
    pub(super) fn verify_one(&self, folder: &DataFolder, name: &str) -> Result<()> {
        let Some(known) = self.seen(folder)?.remove(name) else { return Ok(()) };
        self.fault(folder, name, &known)?.map_or(Ok(()), refused)
    }

    /// Writes down what the keys are that were not seen before.
    pub(super) fn note(&self, folder: &DataFolder) -> Result<()> {
        let mut prints = self.seen(folder)?;
        let before = prints.len();
        let cannot = || format!("cannot read the folder {}", folder.path(self.folder).display());
        for entry in fs::read_dir(folder.path(self.folder)).with_context(cannot)? {
            let path = entry.with_context(cannot)?.path();
            let name = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".key"));
            // What is no key, whoever reads it names.
            let Some(name) = name.filter(|name| (self.is_name)(name)) else { continue };
            let Some(bytes) = files::read_if_there(&path)?.map(Zeroizing::new) else { continue };
            if bytes.len() == 32 {
                prints.entry(name.to_owned()).or_insert_with(|| print(&bytes));
            }
        }
        if prints.len() == before { Ok(()) } else { self.write(folder, &prints) }
    }

    /// Forgets a key that is about to be destroyed.
    pub(super) fn forget(&self, folder: &DataFolder, name: &str) -> Result<()> {
        let mut prints = self.seen(folder)?;
        if prints.remove(name).is_none() {
            return Ok(());
        }
        self.write(folder, &prints)
    }

    fn seen(&self, folder: &DataFolder) -> Result<Prints> {
        let path = folder.path(self.file);
        let Some(text) = files::read_if_there(&path)? else { return Ok(Prints::new()) };
        let prints = serde_json::from_slice(&text);
        prints.with_context(|| format!("{} is damaged: restore it", path.display()))
    }

    fn write(&self, folder: &DataFolder, prints: &Prints) -> Result<()> {
        let text = serde_json::to_vec_pretty(prints).context("cannot write JSON")?;
        files::replace(&folder.path(self.file), &text)
    }
}

fn refused(why: String) -> Result<()> {
    bail!("{why}. Nothing was changed")
}

fn print(key: &[u8]) -> String {
    let hash = Sha256::new().chain_update(b"hushmark key 1\n").chain_update(key);
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
        REGION.verify(&folder).unwrap();
        REGION.note(&folder).unwrap();
        fs::write(&second, [2; 32]).unwrap();
        REGION.verify(&folder).unwrap();
        REGION.note(&folder).unwrap();
        let fault = || REGION.verify(&folder).unwrap_err().to_string();

        fs::write(&first, [3; 32]).unwrap();
        assert!(fault().contains("1.key is not the key that it was"), "{}", fault());
        REGION.note(&folder).unwrap();
        assert!(fault().contains("1.key is not the key that it was"), "{}", fault());
        REGION.verify_one(&folder, "2").unwrap();
        assert!(REGION.verify_one(&folder, "1").is_err());
        fs::write(&first, [1; 32]).unwrap();
        fs::remove_file(&second).unwrap();
        assert!(fault().contains("2.key is gone"), "{}", fault());
        fs::write(&second, [2; 32]).unwrap();
        REGION.verify(&folder).unwrap();

        // What is no key is not remembered as one, and a key that went by a command is forgotten.
        for (name, length) in [("07.key", 32), ("8.key", 5)] {
            let path = folder.path("keys").join(name);
            fs::write(&path, vec![7; length]).unwrap();
            REGION.note(&folder).unwrap();
            fs::remove_file(&path).unwrap();
        }
        REGION.verify(&folder).unwrap();
        REGION.forget(&folder, "2").unwrap();
        fs::remove_file(&second).unwrap();
        REGION.verify(&folder).unwrap();
    }
}
