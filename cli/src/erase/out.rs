//! Where receipts are saved, looked at before anything is erased: an erasure cannot be undone, and
//! whoever named a place that cannot be written learns it while nothing has happened.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hushmark_event::audit::ReceiptFile;

use super::wait::Received;

/// A place that could be written a moment ago.
#[derive(Debug)]
pub(super) enum Out {
    /// The one receipt is this file.
    File(PathBuf),
    /// Receipts are files of this folder.
    Folder(PathBuf),
}

impl Out {
    /// The place that a person named, for so many receipts: of one it is the file itself, unless it
    /// is a folder that is there. A folder for several is made.
    pub(super) fn ready(named: &Path, receipts: usize) -> Result<Self> {
        if named.is_file() && !is_receipt(named)? {
            bail!(
                "{} is there and is no receipt, so nothing is erased: give another place with --out{}",
                named.display(),
                if receipts > 1 { ", a folder, because there are several" } else { "" }
            );
        }
        let (out, folder) = if receipts > 1 || named.is_dir() {
            fs::create_dir_all(named).with_context(|| {
                format!("cannot make {}, so nothing is erased", named.display())
            })?;
            (Self::Folder(named.to_owned()), named)
        } else {
            let parent = named.parent().filter(|it| !it.as_os_str().is_empty());
            (Self::File(named.to_owned()), parent.unwrap_or(Path::new(".")))
        };
        out.try_out(folder).with_context(|| {
            format!(
                "receipts cannot be saved in {}, so nothing is erased: make the folder, or give \
                 another place with --out",
                named.display()
            )
        })?;
        Ok(out)
    }

    /// Opens what will be written, and leaves it as it is.
    fn try_out(&self, folder: &Path) -> std::io::Result<()> {
        if let Self::File(file) = self
            && file.exists()
        {
            return OpenOptions::new().write(true).open(file).map(drop);
        }
        let draft = folder.join(format!(".receipt-{}.draft", std::process::id()));
        OpenOptions::new().write(true).create(true).truncate(true).open(&draft)?;
        fs::remove_file(&draft)
    }

    pub(super) fn save(&self, receipts: &[Received]) -> Result<()> {
        let write = |path: &Path, bytes: &[u8]| {
            fs::write(path, bytes).with_context(|| {
                format!(
                    "it is erased, but {} cannot be written: copy the receipt from receipts/ of \
                     the data folder, or run the same command again with another --out",
                    path.display()
                )
            })
        };
        receipts.iter().try_for_each(|it| match self {
            Self::File(file) => write(file, &it.bytes),
            Self::Folder(folder) => {
                write(&folder.join(format!("receipt-{}.json", it.verified.pin.n)), &it.bytes)
            }
        })
    }
}

/// Whether a file is what this command wrote before: it may be written again.
fn is_receipt(path: &Path) -> Result<bool> {
    let bytes = fs::read(path).with_context(|| {
        format!("cannot read {}, so nothing is erased: give another --out", path.display())
    })?;
    Ok(serde_json::from_slice::<ReceiptFile>(&bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_cannot_be_written_is_found_before_anything_is_erased() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::write(at("file"), "kept").unwrap();
        for (named, receipts) in
            [("no/receipt.json", 1), ("file/receipt.json", 1), ("file", 1), ("file", 2)]
        {
            let said = format!("{:#}", Out::ready(&at(named), receipts).unwrap_err());
            assert!(said.contains("so nothing is erased"), "{said}");
        }
        assert!(!at("no").exists());

        assert!(matches!(Out::ready(&at("receipt.json"), 1).unwrap(), Out::File(_)));
        assert!(matches!(Out::ready(root.path(), 1).unwrap(), Out::Folder(_)));
        assert_eq!(
            fs::read(at("file")).unwrap(),
            b"kept",
            "what is there stays until it is replaced"
        );
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "a look leaves nothing");
        assert!(matches!(Out::ready(&at("all"), 2).unwrap(), Out::Folder(_)));
        assert!(at("all").is_dir());
    }
}
