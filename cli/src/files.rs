//! Files that hold secrets or must survive a power cut.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result};

/// Files that are synced at once. Each is a thread that waits for the disk.
const SYNCS_AT_ONCE: usize = 16;

/// Makes a folder, and those above it, that its owner alone can enter.
pub(crate) fn private_folder(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the folder {}", path.display()))
}

/// Replaces a file whole: whoever reads it sees the old content or the new, and after a power cut
/// it is one of the two. Its owner alone can read it.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let draft = draft(path, content)?;
        fs::rename(&draft, path)?;
        sync_parent(path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// [`replace`] for many files of one folder, in a fraction of the time: a disk that is asked to
/// sync many files at once does most of it once.
pub(crate) fn replace_all<C: AsRef<[u8]> + Sync>(
    folder: &Path,
    all: &[(PathBuf, C)],
) -> Result<()> {
    let write = |(path, content): &(PathBuf, C)| draft(path, content.as_ref());
    let share = all.len().div_ceil(SYNCS_AT_ONCE).max(1);
    let done: io::Result<()> = thread::scope(|scope| {
        let start = |part: &[(PathBuf, C)]| -> io::Result<Vec<PathBuf>> {
            part.iter().map(write).collect()
        };
        let threads: Vec<_> =
            all.chunks(share).map(|part| scope.spawn(move || start(part))).collect();
        let mut drafts = Vec::with_capacity(all.len());
        for thread in threads {
            drafts.extend(thread.join().map_err(|_| io::Error::other("a thread panicked"))??);
        }
        drafts.iter().zip(all).try_for_each(|(draft, (path, _))| fs::rename(draft, path))?;
        File::open(folder)?.sync_all()
    });
    done.with_context(|| format!("cannot write to {}", folder.display()))
}

/// Writes and syncs what is to become a file, under a hidden name beside it: whoever reads the
/// folder meanwhile passes it by.
fn draft(path: &Path, content: &[u8]) -> io::Result<PathBuf> {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".draft");
    let draft = path.with_file_name(name);
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(draft)
}

/// Appends a line and waits until the disk has it. Where that fails, what may be there of it is cut
/// off again: the next line would be its end, or it would be there twice.
pub(crate) fn append_line(path: &Path, line: &[u8]) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let before = file.metadata()?.len();
        file.write_all(&[line, b"\n"].concat()).and_then(|()| file.sync_all()).inspect_err(|_| {
            // A disk that takes neither leaves a torn line, which whoever opens the file mends.
            drop(file.set_len(before).and_then(|()| file.sync_all()));
        })
    };
    write().with_context(|| format!("cannot append to {}", path.display()))
}

/// Removes a file whose content has to be gone. It is overwritten in place first, for file systems
/// that write in place: what a drive or a copy-on-write file system keeps is out of a program's reach.
pub(crate) fn wipe(path: &Path) -> Result<()> {
    let overwrite = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(path)?;
        let length = file.metadata()?.len();
        io::copy(&mut io::repeat(0).take(length), &mut file)?;
        file.sync_all()?;
        fs::remove_file(path)?;
        sync_parent(path)
    };
    overwrite().with_context(|| format!("cannot wipe {}", path.display()))
}

/// The file's content, or `None` where there is no file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The whole lines of a file that lines are appended to, without their ends; none where there is no
/// file. A last line without its end is not there yet, or never was.
pub(crate) fn lines(path: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = read_if_there(path)?.unwrap_or_default();
    let lines = bytes[..whole(&bytes)].split(|byte| *byte == b'\n').filter(|it| !it.is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}

/// Cuts off a last line without its end. For the one who appends alone: to anybody else it may be
/// one that is being written.
pub(crate) fn mend_lines(path: &Path) -> Result<()> {
    let bytes = read_if_there(path)?.unwrap_or_default();
    let whole = whole(&bytes);
    if whole < bytes.len() {
        let cut = || -> io::Result<()> {
            let file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole as u64)?;
            file.sync_all()
        };
        cut().with_context(|| format!("cannot mend {}", path.display()))?;
    }
    Ok(())
}

/// How many bytes whole lines have.
fn whole(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_line_that_was_cut_was_never_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(lines(&path).unwrap().is_empty());
        append_line(&path, b"one").unwrap();
        append_line(&path, b"two").unwrap();
        let whole = fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let complete = whole[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(lines(&path).unwrap().len(), complete, "{cut}");
            assert_eq!(fs::read(&path).unwrap(), &whole[..cut], "who reads changes nothing");
            mend_lines(&path).unwrap();
            assert_eq!(lines(&path).unwrap().len(), complete, "{cut}");
            append_line(&path, b"three").unwrap();
            assert_eq!(lines(&path).unwrap().last().unwrap(), b"three");
        }
    }

    #[test]
    fn what_is_wiped_is_overwritten_where_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let (path, seen) = (folder.path().join("key"), folder.path().join("seen"));
        fs::write(&path, [7; 32]).unwrap();
        fs::hard_link(&path, &seen).unwrap();
        wipe(&path).unwrap();
        assert!(!path.exists());
        assert_eq!(fs::read(&seen).unwrap(), [0; 32]);
        assert!(wipe(&path).is_err(), "what is not there was not wiped");
    }

    #[test]
    fn many_files_are_replaced_whole_for_their_owner_alone_and_leave_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let all: Vec<(PathBuf, String)> =
            (0..50).map(|n| (folder.path().join(n.to_string()), format!("content {n}"))).collect();
        fs::write(&all[7].0, "old").unwrap();
        replace_all(folder.path(), &all).unwrap();
        for (path, content) in &all {
            assert_eq!(&fs::read_to_string(path).unwrap(), content);
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 50);
        replace_all::<&str>(folder.path(), &[]).unwrap();
        replace(&all[0].0, b"new").unwrap();
        assert_eq!(fs::read(&all[0].0).unwrap(), b"new");
    }
}
