//! What an edge holds of the refusal log, in memory and on disk, and how it gets longer.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use hushmark_event::refusal::{LogError, RefusalLog, SignedHead};

use super::FollowError;
use crate::control::write_whole;

/// Entries that are read at once, and that wait at most for a head that covers them: at 8 KiB each
/// at most 4 MiB. How many are read in all a signed head says.
pub(super) const AT_ONCE: usize = 512;

/// Lines on their way to the disk, in bytes: a log of any length is written down in such pieces.
const LINES_MAX: usize = 4 << 20;

/// The copy.
pub(crate) struct Copy {
    key: VerifyingKey,
    pub(super) entries: PathBuf,
    head_path: PathBuf,
    pub(super) log: Arc<RefusalLog>,
    /// The head that covers `log`; none until one was seen.
    pub(super) head: Option<SignedHead>,
    /// How many bytes of the file hold what `log` does.
    bytes: u64,
    /// What is on its way to a longer head.
    ahead: Option<Ahead>,
    /// Entries that are read and in neither yet, [`AT_ONCE`] and those of one more read at most.
    pending: VecDeque<Vec<u8>>,
    /// Whether the disk holds what `log` does.
    pub(super) kept: bool,
}

/// The log on its way to a head that is signed and longer. What is read is chained at once, so that
/// a long log takes no more memory than it will need for good, and is obeyed once all of it proves
/// to be what the head says.
struct Ahead {
    to: SignedHead,
    log: RefusalLog,
    /// Lines that are not in the file yet.
    lines: Vec<u8>,
    /// How long the file is with those that are.
    bytes: u64,
}

impl Copy {
    /// Reads the copy on disk. One that does not verify is set aside: the edge then is as new.
    pub(crate) fn load(folder: &Path, key: VerifyingKey) -> Self {
        let mut copy = Self {
            key,
            entries: folder.join("refusals.jsonl"),
            head_path: folder.join("refusals.head"),
            log: Arc::default(),
            head: None,
            bytes: 0,
            ahead: None,
            pending: VecDeque::new(),
            kept: true,
        };
        match copy.read() {
            Ok(()) => {}
            Err(FollowError::Disk(error)) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::error!(%error, "the refusal log's copy is set aside");
                let aside = copy.entries.with_extension("bad");
                drop(std::fs::rename(&copy.entries, aside));
                drop(std::fs::remove_file(&copy.head_path));
            }
        }
        copy
    }

    fn read(&mut self) -> Result<(), FollowError> {
        let head = std::fs::read(&self.head_path)?;
        let head: SignedHead = serde_json::from_slice(&head).map_err(FollowError::Head)?;
        let bytes = match std::fs::read(&self.entries) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && head.length == 0 => Vec::new(),
            read => read?,
        };
        let (mut log, mut whole) = (RefusalLog::default(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            // What follows the head was written just before a crash: it comes again from Redis.
            let Some(entry) = line.strip_suffix(b"\n") else { break };
            if log.length() == head.length {
                break;
            }
            log.append(entry)?;
            whole += line.len();
        }
        log.verify_head(&head, &self.key)?;
        (self.log, self.head, self.bytes) = (Arc::new(log), Some(head), whole as u64);
        Ok(())
    }

    /// The verified log, if there is one.
    pub(crate) fn verified(&self) -> Option<Arc<RefusalLog>> {
        self.head.as_ref().map(|_| Arc::clone(&self.log))
    }

    /// The last entry that was read.
    pub(super) fn read_to(&self) -> u64 {
        let chained = self.ahead.as_ref().map_or(self.log.length(), |ahead| ahead.log.length());
        chained + self.pending.len() as u64
    }

    /// Whether more is to be read: what a signed head promises, and beyond it as much as is read at
    /// once. Who can write to Redis and cannot sign makes no edge read on and on.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < AT_ONCE || self.ahead.is_some()
    }

    /// Learns of the head that Redis shows. One that is longer is where the log goes, unless it is
    /// on its way to another already, which comes first.
    pub(super) fn learn(&mut self, head: SignedHead) -> Result<(), FollowError> {
        let is_known = |known: Option<&SignedHead>| known == Some(&head);
        if is_known(self.head.as_ref()) || is_known(self.ahead.as_ref().map(|ahead| &ahead.to)) {
            return Ok(());
        }
        head.verify(&self.key)?;
        let is_longer = head.length > self.log.length() || self.head.is_none();
        if is_longer && self.ahead.is_none() {
            let log = RefusalLog::clone(&self.log);
            self.ahead = Some(Ahead { to: head, log, lines: Vec::new(), bytes: self.bytes });
        }
        Ok(())
    }

    /// Chains what was read. `Some` once all that the head covers is there: lines to keep, and the
    /// length that the file has without them.
    pub(super) fn advance(&mut self) -> Result<Option<(Vec<u8>, u64)>, FollowError> {
        let Some(ahead) = &mut self.ahead else { return Ok(None) };
        while ahead.log.length() < ahead.to.length
            && let Some(entry) = self.pending.pop_front()
        {
            ahead.log.append(&entry)?;
            if self.kept {
                ahead.lines.extend_from_slice(&entry);
                ahead.lines.push(b'\n');
            }
        }
        if ahead.log.length() < ahead.to.length {
            self.spill()?;
            return Ok(None);
        }
        ahead.log.verify_head(&ahead.to, &self.key)?;
        let Some(Ahead { to, log, lines, bytes }) = self.ahead.take() else { return Ok(None) };
        (self.log, self.head) = (Arc::new(log), Some(to));
        Ok(Some((lines, bytes)))
    }

    /// Writes lines of a long log before its head proves them: until then the head on disk covers
    /// less, and whoever reads the file passes them by.
    fn spill(&mut self) -> Result<(), FollowError> {
        let Some(ahead) = self.ahead.as_mut().filter(|it| it.lines.len() >= LINES_MAX) else {
            return Ok(());
        };
        let (lines, at) = (std::mem::take(&mut ahead.lines), ahead.bytes);
        ahead.bytes += lines.len() as u64;
        let put = self.put(&lines, at);
        self.give_up_unless(put.map(drop))
    }

    /// Keeps on disk what is obeyed already: a disk that fails must not delay a takedown. After a
    /// failure there is no copy on disk any more, and a restarted edge asks Redis for all of it.
    pub(super) fn keep(&mut self, (lines, at): (Vec<u8>, u64)) -> Result<(), FollowError> {
        if !self.kept {
            return Ok(());
        }
        let written = self.write(&lines, at);
        self.bytes = at + lines.len() as u64;
        self.give_up_unless(written)
    }

    fn give_up_unless(&mut self, written: io::Result<()>) -> Result<(), FollowError> {
        if written.is_err() {
            self.kept = false;
            drop(std::fs::remove_file(&self.head_path));
            drop(std::fs::remove_file(&self.entries));
        }
        Ok(written?)
    }

    /// Entries first, then the head that covers them.
    fn write(&self, lines: &[u8], at: u64) -> io::Result<()> {
        if at > 0 || !lines.is_empty() {
            self.put(lines, at)?.sync_data()?;
        }
        if let Some(head) = &self.head {
            let head = serde_json::to_vec(head).map_err(io::Error::other)?;
            write_whole(&self.head_path, &head)?;
            if let Some(folder) = self.head_path.parent() {
                File::open(folder)?.sync_all()?;
            }
        }
        Ok(())
    }

    /// Puts lines into the file where `at` bytes of it count, in place of what may follow: a tail
    /// that a crash or another log left.
    fn put(&self, lines: &[u8], at: u64) -> io::Result<File> {
        let options = OpenOptions::new().write(true).create(true).truncate(false).clone();
        let mut file = options.open(&self.entries)?;
        if file.metadata()?.len() < at {
            return Err(io::Error::other("somebody cut it"));
        }
        file.set_len(at)?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(lines)?;
        Ok(file)
    }

    /// Takes entries that follow what is held.
    pub(super) fn take(&mut self, entries: Vec<(u64, Vec<u8>)>) -> Result<(), FollowError> {
        for (n, entry) in entries {
            let expected = self.read_to() + 1;
            if n != expected {
                return Err(LogError::OutOfOrder { length: expected - 1, found: n }.into());
            }
            self.pending.push_back(entry);
        }
        Ok(())
    }

    /// After an error: what was read and is not proven is read again, but for what a connection
    /// that broke has left in order.
    pub(super) fn forget(&mut self, error: &FollowError) {
        self.pending.clear();
        if !matches!(error, FollowError::Link(_) | FollowError::Late) {
            self.ahead = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use hushmark_event::refusal::{Entry, Refuses, Takedown};

    use super::*;

    fn signer() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn load(folder: &Path) -> Copy {
        Copy::load(folder, signer().verifying_key())
    }

    /// Entries of nearly the greatest length, so that few of them reach the disk before their head.
    fn entries(host: &str, count: u64) -> Vec<(u64, Vec<u8>)> {
        let entry = |n| {
            let down = Takedown::Url(format!("https://{host}/{n}/{}", "x".repeat(8_000)));
            (n, Entry { n, at_ms: 1, refuses: Refuses::Takedown(down) }.to_bytes())
        };
        (1..=count).map(entry).collect()
    }

    fn head(of: &[(u64, Vec<u8>)]) -> SignedHead {
        let mut log = RefusalLog::default();
        of.iter().for_each(|(_, entry)| drop(log.append(entry).unwrap()));
        log.sign_head(&signer())
    }

    /// What is read of a stream, as much at once as an edge reads.
    fn read(copy: &mut Copy, stream: &[(u64, Vec<u8>)]) -> Result<bool, FollowError> {
        let mut came = false;
        while copy.has_room() && copy.read_to() < stream.len() as u64 {
            let rest = &stream[copy.read_to() as usize..];
            copy.take(rest[..rest.len().min(AT_ONCE)].to_vec())?;
            if let Some(lines) = copy.advance()? {
                copy.keep(lines)?;
                came = true;
            }
        }
        Ok(came)
    }

    #[test]
    fn a_long_log_is_taken_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let (short, long) = (entries("a.example", 2), entries("a.example", 1_500));
        let mut copy = load(folder.path());
        copy.learn(head(&short)).unwrap();
        assert!(read(&mut copy, &short).unwrap());

        let mut forged = long.clone();
        forged[1_400].1 = entries("b.example", 1_401).pop().unwrap().1;
        copy.learn(head(&long)).unwrap();
        let error = read(&mut copy, &forged).unwrap_err();
        assert!(matches!(error, FollowError::Log(LogError::BadHead(1_500))), "{error}");
        copy.forget(&error);
        let on_disk = std::fs::metadata(&copy.entries).unwrap().len();
        assert!(on_disk > copy.bytes, "part of it was written down before it was known for forged");
        assert_eq!((copy.log.length(), load(folder.path()).log.length()), (2, 2));

        copy.learn(head(&long)).unwrap();
        assert!(read(&mut copy, &long).unwrap());
        assert_eq!((copy.log.length(), load(folder.path()).log.length()), (1_500, 1_500));
        assert_eq!(std::fs::metadata(&copy.entries).unwrap().len(), copy.bytes);
    }

    #[test]
    fn without_a_signed_head_little_is_read_and_nothing_is_obeyed() {
        let folder = tempfile::tempdir().unwrap();
        let stream = entries("a.example", 2_000);
        let mut copy = load(folder.path());
        let stranger = SigningKey::from_bytes(&[4; 32]);
        let mut log = RefusalLog::default();
        stream.iter().for_each(|(_, entry)| drop(log.append(entry).unwrap()));
        assert!(copy.learn(log.sign_head(&stranger)).is_err());
        assert!(!read(&mut copy, &stream).unwrap());
        assert_eq!((copy.pending.len(), copy.log.length()), (AT_ONCE, 0));
        assert!(copy.verified().is_none());
    }

    #[test]
    fn a_connection_that_breaks_costs_no_more_than_what_it_carried() {
        let folder = tempfile::tempdir().unwrap();
        let stream = entries("a.example", 700);
        let mut copy = load(folder.path());
        copy.learn(head(&stream)).unwrap();
        assert!(!read(&mut copy, &stream[..600]).unwrap());
        copy.forget(&FollowError::Late);
        assert_eq!(copy.read_to(), 600);
        assert!(read(&mut copy, &stream).unwrap());
        assert_eq!(copy.log.length(), 700);
    }
}
