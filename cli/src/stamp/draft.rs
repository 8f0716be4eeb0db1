//! The folder in which messages are written until all of them are there. It holds addresses, so
//! that whatever ends a stamping early, nothing of it stays: a failure takes it away at once, and
//! after Ctrl-C or a crash the next stamping to the same place does.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::files;
use crate::keys::random64;

/// What a folder's name ends with as long as nobody may send what is in it.
const END: &str = ".partial";

/// The folder, held by a lock that ends with the process.
pub(super) struct Draft {
    folder: PathBuf,
    _held: File,
    is_kept: bool,
}

impl Draft {
    /// Makes one beside `out`, which must not hold anything yet.
    pub(super) fn beside(out: &Path) -> Result<Self> {
        match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
            Ok(false) => bail!("{} is not empty: give another folder with --out", out.display()),
            Ok(true) => {
                fs::remove_dir(out).with_context(|| format!("cannot replace {}", out.display()))?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", out.display()));
            }
        }
        remove_left_behind(out)?;
        let mut name = out.file_name().context("--out names no folder")?.to_owned();
        name.push(format!(".{:016x}{END}", random64()));
        let folder = out.with_file_name(name);
        files::private_folder(&folder)?;
        let Some(held) = held(&folder)? else {
            bail!("another `hushmark stamp` looks through {}: try again", folder.display());
        };
        Ok(Self { folder, _held: held, is_kept: false })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Gives it the name that was asked for.
    pub(super) fn keep_as(mut self, out: &Path) -> Result<()> {
        fs::rename(&self.folder, out).with_context(|| format!("cannot make {}", out.display()))?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_dir_all(&self.folder)
        {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// The folder's lock, unless a stamping that works on it has it.
fn held(folder: &Path) -> Result<Option<File>> {
    let file = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    Ok(flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok().then_some(file))
}

/// Removes what stampings to the same place left that nobody works on any more.
fn remove_left_behind(out: &Path) -> Result<()> {
    let parent = out.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder that is not there holds nothing; whoever makes it complains.
    let Ok(entries) = fs::read_dir(parent) else { return Ok(()) };
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let is_draft = |other: &str| {
        let number = other.strip_prefix(&*name).and_then(|rest| rest.strip_prefix('.'));
        let number = number.and_then(|rest| rest.strip_suffix(END));
        number.is_some_and(|it| it.len() == 16 && it.bytes().all(|c| c.is_ascii_hexdigit()))
    };
    for entry in entries.flatten().filter(|entry| is_draft(&entry.file_name().to_string_lossy())) {
        let folder = entry.path();
        let Some(_held) = held(&folder)? else { continue };
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
        eprintln!("removed {}, which a stamping that was stopped left", folder.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_of_a_stamping_that_was_stopped() {
        let root = tempfile::tempdir().unwrap();
        let out = root.path().join("out");
        let names = || {
            let entries = fs::read_dir(root.path()).unwrap().map(Result::unwrap);
            let mut names: Vec<_> =
                entries.map(|it| it.file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        // One that was killed, one of another place, and what only looks like one.
        let others = ["other.0123456789abcdef.partial", "out.mine.partial"];
        for name in others.into_iter().chain(["out.0123456789abcdef.partial"]) {
            fs::create_dir(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join("1.eml"), "To: ann@example.org").unwrap();
        }
        let at_work = Draft::beside(&out).unwrap();
        let second = Draft::beside(&out).unwrap();
        assert!(at_work.folder().is_dir(), "nobody takes away what is being written");
        assert_eq!(names().len(), 4, "{:?}", names());
        drop(at_work);
        second.keep_as(&out).unwrap();
        assert_eq!(names(), [others[0], "out", others[1]]);
    }
}
