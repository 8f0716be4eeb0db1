//! The writer's copy of the refusal log: followed in Redis, kept on disk, put back when Redis
//! shows less. It never gets shorter. When the writer stores, its copy decides.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use ed25519_dalek::VerifyingKey;
use hushmark_event::chain::{self, Log};
use hushmark_event::redis_keys::{REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{LogError, RefusalLog, SignedHead};
use redis::aio::MultiplexedConnection;
use redis::{Script, cmd};

/// Entries taken from Redis at once; at 8 KiB each at most, 8 MiB.
const AT_ONCE: u64 = 1_000;

/// Why the copy cannot be used, or was not continued.
#[derive(Debug, thiserror::Error)]
pub enum RefusalError {
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The key file holds no key.
    #[error("{0} holds no Ed25519 public key: its 32 bytes are expected, and nothing else")]
    Key(PathBuf),
    /// The copy and its head do not belong together.
    #[error("{path}: {source}; restore the folder, or move it away to fetch the log anew")]
    Copy {
        /// The copy.
        path: PathBuf,
        /// What is wrong.
        source: LogError,
    },
    /// What Redis shows is not a continuation of the copy.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The head in Redis cannot be read.
    #[error("refusal log head in redis cannot be read: {0}")]
    Head(#[from] serde_json::Error),
    /// Redis did not answer.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
}

/// The copy.
#[derive(Clone)]
pub struct Refusals {
    key: VerifyingKey,
    log: RefusalLog,
    entries: Vec<Vec<u8>>,
    head: Option<SignedHead>,
    /// The longest log that a signed head in Redis spoke of.
    shown: u64,
    folder: PathBuf,
}

/// Names and values of a stream entry.
type Fields = Vec<(String, Vec<u8>)>;

/// Sets the head only over a shorter one.
static PUT_HEAD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local now = redis.call('GET', KEYS[1]) \
         if now and cjson.decode(now).length >= tonumber(ARGV[1]) then return 0 end \
         redis.call('SET', KEYS[1], ARGV[2]) return 1",
    )
});

impl Refusals {
    /// Reads the copy that an earlier run left in `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// [`RefusalError`]: nothing is started without knowing what is refused.
    pub fn load(folder: &Path, key_file: &Path) -> Result<Self, RefusalError> {
        let key = public_key(key_file)?;
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let folder = folder.to_owned();
        let mut copy = Self {
            key,
            log: RefusalLog::default(),
            entries: Vec::new(),
            head: None,
            shown: 0,
            folder,
        };
        let head = match fs::read(copy.head_path()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(copy),
            read => read.map_err(failed(&copy.head_path()))?,
        };
        let head: SignedHead = serde_json::from_slice(&head)?;
        let path = copy.log_path();
        let bytes = fs::read(&path).map_err(failed(&path))?;
        // What stands behind the head was never taken: the writer died before it wrote the head.
        let count = usize::try_from(head.length).unwrap_or(usize::MAX);
        let entries: Vec<Vec<u8>> =
            bytes.split_inclusive(|b| *b == b'\n').filter_map(line).take(count).collect();
        copy.extend(entries, head).map_err(|source| RefusalError::Copy { path, source })?;
        Ok(copy)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("refusals.log")
    }

    fn head_path(&self) -> PathBuf {
        self.folder.join("refusals.head")
    }

    /// The verified log.
    #[must_use]
    pub const fn log(&self) -> &RefusalLog {
        &self.log
    }

    /// Number of entries.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.log.length()
    }

    /// How long the log is as far as is known here. While the copy is shorter, somebody is refused
    /// of whom it knows nothing.
    #[must_use]
    pub fn known_length(&self) -> u64 {
        self.length().max(self.shown)
    }

    /// Entries from number `n` on, for the copy in ClickHouse.
    pub fn entries_from(&self, n: u64) -> impl Iterator<Item = (u64, &[u8])> {
        let skip = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
        (n.max(1)..).zip(self.entries.iter().skip(skip).map(Vec::as_slice))
    }

    /// Takes entries and the head that proves them, all or none.
    fn extend(&mut self, entries: Vec<Vec<u8>>, head: SignedHead) -> Result<(), LogError> {
        let following = self.log.read(entries.iter().map(Vec::as_slice))?;
        following.verify_head(&head, &self.key)?;
        self.log.take(following)?;
        self.entries.extend(entries);
        self.head = Some(head);
        Ok(())
    }

    /// Takes what Redis has more, or puts back what it has less. What goes wrong leaves the copy
    /// as it is, and a line says so.
    pub async fn follow(&mut self, redis: &mut MultiplexedConnection) {
        if let Err(error) = self.try_follow(redis).await {
            tracing::error!(%error, length = self.length(), "refusal log was not followed");
        }
    }

    async fn try_follow(&mut self, redis: &mut MultiplexedConnection) -> Result<(), RefusalError> {
        let shown: Option<Vec<u8>> = cmd("GET").arg(REFUSALS_HEAD).query_async(redis).await?;
        let shown: Option<SignedHead> =
            shown.map(|bytes| serde_json::from_slice(&bytes)).transpose()?;
        let shown_length = shown.as_ref().map_or(0, |head| head.length);
        if shown_length < self.length() {
            return self.put_back(redis).await;
        }
        let Some(head) = shown.filter(|head| head.length > self.length()) else { return Ok(()) };
        head.verify(&self.key)?;
        self.shown = self.shown.max(head.length);
        let (mut entries, mut next) = (Vec::new(), self.length() + 1);
        while next <= head.length {
            let last = head.length.min(next + AT_ONCE - 1);
            let mut range = cmd("XRANGE");
            range.arg(REFUSALS).arg(format!("{next}-0")).arg(format!("{last}-0"));
            let found: Vec<(String, Fields)> = range.query_async(redis).await?;
            let count = found.len() as u64;
            for (_, fields) in found {
                entries.extend(
                    fields.into_iter().filter(|(name, _)| name == REFUSAL_FIELD).map(|(_, e)| e),
                );
            }
            if count < last - next + 1 {
                return Err(LogError::OutOfOrder { length: next - 1 + count, found: last }.into());
            }
            next = last + 1;
        }
        let old_length = self.length();
        self.extend(entries, head)?;
        self.save(old_length)?;
        tracing::info!(length = self.length(), "refusal log grew");
        Ok(())
    }

    /// The entries first and synced, then the head by rename: a death between leaves a tail that
    /// the next start ignores.
    fn save(&self, old_length: u64) -> Result<(), RefusalError> {
        let unfinished = self.folder.join("refusals.head.unfinished");
        let write = || -> std::io::Result<()> {
            if !self.append(old_length)? {
                self.rewrite()?;
            }
            if let Some(head) = &self.head {
                let mut file = fs::File::create(&unfinished)?;
                file.write_all(&serde_json::to_vec(head)?)?;
                file.sync_all()?;
                fs::rename(&unfinished, self.head_path())?;
            }
            fs::File::open(&self.folder)?.sync_all()
        };
        write().map_err(|source| RefusalError::File { path: self.log_path(), source })?;
        tracing::debug!(old_length, length = self.length(), "refusal log saved");
        Ok(())
    }

    /// Writes what is new behind the old entries, in place of a tail that a death left there.
    /// `false` if the file does not hold all of the old ones.
    fn append(&self, old_length: u64) -> std::io::Result<bool> {
        let old_length = usize::try_from(old_length).unwrap_or(usize::MAX);
        let (old, new) = self.entries.split_at(old_length.min(self.entries.len()));
        let held: u64 = old.iter().map(|entry| entry.len() as u64 + 1).sum();
        let options = fs::OpenOptions::new().write(true).create(true).truncate(false).clone();
        let mut file = options.open(self.log_path())?;
        if file.metadata()?.len() < held {
            return Ok(false);
        }
        file.set_len(held)?;
        file.seek(SeekFrom::Start(held))?;
        file.write_all(&lines(new))?;
        file.sync_all()?;
        Ok(true)
    }

    /// Writes all of it anew, after somebody took away what was there.
    fn rewrite(&self) -> std::io::Result<()> {
        let unfinished = self.folder.join("refusals.log.unfinished");
        let mut file = fs::File::create(&unfinished)?;
        file.write_all(&lines(&self.entries))?;
        file.sync_all()?;
        fs::rename(&unfinished, self.log_path())
    }

    async fn put_back(&self, redis: &mut MultiplexedConnection) -> Result<(), RefusalError> {
        let Some(head) = &self.head else { return Ok(()) };
        for (n, entry) in self.entries_from(1) {
            let mut add = cmd("XADD");
            add.arg(REFUSALS).arg(format!("{n}-0")).arg(REFUSAL_FIELD).arg(entry);
            // One that is there already is refused, which is what is wanted.
            if let Err(error) = add.query_async::<String>(redis).await
                && error.code() != Some("ERR")
            {
                return Err(error.into());
            }
        }
        if raise_head(redis, REFUSALS_HEAD, head).await? {
            tracing::warn!(length = head.length, "refusal log was put back into redis");
        }
        Ok(())
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> RefusalError {
    let path = path.to_owned();
    move |source| RefusalError::File { path, source }
}

/// The public key that both logs' heads are signed by.
pub(crate) fn public_key(file: &Path) -> Result<VerifyingKey, RefusalError> {
    let bytes = fs::read(file).map_err(failed(file))?;
    parse_key(&bytes).ok_or_else(|| RefusalError::Key(file.to_owned()))
}

/// Sets a log's head where Redis shows a shorter one, or none; tells whether it did.
pub(crate) async fn raise_head<L: Log>(
    redis: &mut MultiplexedConnection,
    key: &str,
    head: &chain::SignedHead<L>,
) -> Result<bool, redis::RedisError> {
    let text = serde_json::to_vec(head).expect("text and numbers always serialise");
    let mut call = PUT_HEAD.key(key);
    let put: i64 = call.arg(head.length).arg(text).invoke_async(redis).await?;
    Ok(put == 1)
}

/// Entries as the file holds them.
fn lines(entries: &[Vec<u8>]) -> Vec<u8> {
    entries.iter().flat_map(|entry| entry.iter().chain(b"\n")).copied().collect()
}

/// A whole line without its end; a last one that was cut short is none.
fn line(bytes: &[u8]) -> Option<Vec<u8>> {
    bytes.strip_suffix(b"\n").map(<[u8]>::to_vec)
}

/// 32 bytes, as the edges read it.
fn parse_key(bytes: &[u8]) -> Option<VerifyingKey> {
    let key: [u8; 32] = bytes.try_into().ok()?;
    VerifyingKey::from_bytes(&key).ok()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use hushmark_event::refusal::{Journal, Refuses, Takedown};

    use super::*;

    /// One who appends, and the copy that follows in a folder.
    struct Scene {
        folder: tempfile::TempDir,
        journal: Journal,
    }

    impl Scene {
        fn new() -> Self {
            let scene = Self { folder: tempfile::tempdir().unwrap(), journal: Journal::default() };
            std::fs::write(scene.path("key"), signer().verifying_key().to_bytes()).unwrap();
            scene
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn load(&self) -> Refusals {
            Refusals::load(self.folder.path(), &self.path("key")).unwrap()
        }

        /// What the copy takes when the log has so many entries.
        fn grow(&mut self, copy: &mut Refusals, to: u16) {
            let old = copy.length();
            let new = (self.journal.log().length() as u16..to)
                .map(|kid| Refuses::Takedown(Takedown::Kid(kid)));
            let prepared = self.journal.prepare(new, 5).unwrap();
            let (entries, head) =
                (prepared.entries().to_vec(), prepared.log().sign_head(&signer()));
            self.journal.commit(prepared);
            copy.extend(entries, head).unwrap();
            copy.save(old).unwrap();
        }
    }

    fn signer() -> SigningKey {
        SigningKey::from_bytes(&[9; 32])
    }

    #[test]
    fn what_is_new_is_written_behind_what_was_there() {
        let mut scene = Scene::new();
        let mut copy = scene.load();
        scene.grow(&mut copy, 0);
        scene.grow(&mut copy, 3);
        let first = std::fs::metadata(scene.path("refusals.log")).unwrap();
        scene.grow(&mut copy, 5);
        let then = std::fs::metadata(scene.path("refusals.log")).unwrap();
        let number = |of: &std::fs::Metadata| std::os::unix::fs::MetadataExt::ino(of);
        assert_eq!(number(&first), number(&then), "the file is not written anew");
        assert_eq!((scene.load().length(), scene.load().log().hash()), (5, copy.log().hash()));

        // A death left entries that no head covers, and half of one.
        let mut bytes = std::fs::read(scene.path("refusals.log")).unwrap();
        bytes.extend_from_slice(b"{\"n\":6}\n{\"n\":7");
        std::fs::write(scene.path("refusals.log"), bytes).unwrap();
        let mut copy = scene.load();
        scene.grow(&mut copy, 6);
        assert_eq!((scene.load().length(), scene.load().log().hash()), (6, copy.log().hash()));

        // Somebody took it away while the writer works.
        std::fs::remove_file(scene.path("refusals.log")).unwrap();
        scene.grow(&mut copy, 8);
        assert_eq!((scene.load().length(), scene.load().log().hash()), (8, copy.log().hash()));
    }

    #[test]
    fn entries_that_their_head_does_not_prove_change_nothing() {
        let mut scene = Scene::new();
        let mut copy = scene.load();
        scene.grow(&mut copy, 2);
        let down = |kid| [Refuses::Takedown(Takedown::Kid(kid))];
        let (one, other) = (
            scene.journal.prepare(down(7), 5).unwrap(),
            scene.journal.prepare(down(8), 5).unwrap(),
        );
        let head = one.log().sign_head(&signer());
        assert!(copy.extend(other.entries().to_vec(), head.clone()).is_err());
        assert_eq!((copy.length(), copy.log().hash()), (2, scene.journal.log().hash()));
        copy.extend(one.entries().to_vec(), head).unwrap();
        assert_eq!(copy.length(), 3);
    }
}
