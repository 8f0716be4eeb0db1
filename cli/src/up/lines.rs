//! A log on disk that one process appends to, many lines at once.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::files;

/// The file, and how long it is as far as its lines are known.
pub(super) struct Lines {
    path: PathBuf,
    bytes: u64,
}

impl Lines {
    /// The file, and the lines in it. A last one without its line end was never taken, and is cut
    /// off.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Vec<Vec<u8>>)> {
        files::mend_lines(&path)?;
        let lines = files::lines(&path)?;
        let bytes = length(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok((Self { path, bytes }, lines))
    }

    /// Where it is, for people.
    pub(super) fn path(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    /// Appends all lines by one write and waits once until the disk has them. What an append that
    /// failed left behind is cut off first: nobody was told of it.
    pub(super) fn append(&mut self, lines: &[Vec<u8>]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        self.cut_off().with_context(|| format!("cannot mend {}", self.path()))?;
        let lines = lines.join(&b'\n');
        files::append_line(&self.path, &lines)?;
        self.bytes += lines.len() as u64 + 1;
        Ok(())
    }

    fn cut_off(&self) -> io::Result<()> {
        if length(&self.path)? > self.bytes {
            OpenOptions::new().write(true).open(&self.path)?.set_len(self.bytes)?;
        }
        Ok(())
    }
}

fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        there => Ok(there?.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_append_that_failed_left_behind_is_no_line_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let lines = |all: &[&str]| -> Vec<Vec<u8>> { all.iter().map(|it| (*it).into()).collect() };
        let (mut log, there) = Lines::open(path.clone()).unwrap();
        assert!(there.is_empty());
        log.append(&lines(&["one", "two"])).unwrap();
        // The disk was full in the middle of the second of two.
        fs::write(&path, "one\ntwo\nthree\nfo").unwrap();
        log.append(&lines(&["three again"])).unwrap();
        log.append(&[]).unwrap();
        let (mut log, there) = Lines::open(path.clone()).unwrap();
        assert_eq!(there, lines(&["one", "two", "three again"]));
        log.append(&lines(&["four"])).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree again\nfour\n");
    }
}
