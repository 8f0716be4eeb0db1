//! A lane's log on disk: where batches go while Redis is slow, gone or nearly full.
//!
//! Files in the folder, by lane: `LANE.log` holds the batches that Redis does not have yet,
//! `LANE.drops` counts the records that neither would take. Both are locked for as long as the
//! process lives, so that what another process finds unlocked belongs to a dead one. Everything
//! that touches the disk happens on a thread of its own: see [`LogThread`].

pub(crate) mod frame;
mod thread;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use hushmark_event::Lane;

use crate::start::{StartError, file_error};
use frame::{FILE_HEADER, Frame};

pub(crate) use thread::{LogRefused, LogThread};

/// What a drop counter begins with; records and batches follow, 8 bytes each.
const DROPS_HEADER: &[u8; 8] = b"hmdrop 1";

/// A drop counter is as long as a disk's block, and written at once, so that counting needs no new
/// room on a disk that has none.
const DROPS_LENGTH: usize = 4096;

/// The lane log of a living lane.
pub(crate) struct LaneLog {
    file: File,
    path: PathBuf,
    length: u64,
    max: u64,
    /// A write failed and could not be taken back: what comes after it would not be read.
    broken: bool,
    buffer: Vec<u8>,
    drops: DropFile,
}

impl LaneLog {
    /// Makes the files of a new lane. They get their names once they are locked and whole.
    pub(crate) fn create(folder: &Path, lane: Lane, max: u64) -> Result<Self, StartError> {
        let path = log_path(folder, lane);
        let drops = DropFile::create(folder, lane)?;
        let file = named_once_locked(&path, FILE_HEADER)?;
        sync_folder(folder)?;
        let length = FILE_HEADER.len() as u64;
        Ok(Self { file, path, length, max, broken: false, buffer: Vec::new(), drops })
    }

    /// Appends and syncs a batch.
    fn append(&mut self, number: u64, blob: &[u8]) -> Result<u64, LogRefused> {
        self.buffer.clear();
        frame::encode(Frame { number, blob }, &mut self.buffer);
        let length = self.length + self.buffer.len() as u64;
        if self.broken || length > self.max {
            return Err(LogRefused::Full);
        }
        let written =
            self.file.write_all_at(&self.buffer, self.length).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A sync that failed once says nothing when repeated: the bytes are given up.
            self.broken = self.file.set_len(self.length).is_err();
            return Err(LogRefused::Io(error));
        }
        self.length = length;
        Ok(length)
    }

    /// Empties the log once Redis has all of it. Not synced: batches that reappear after a power
    /// cut are replayed again, which is harmless.
    fn clear(&mut self) -> io::Result<()> {
        let length = FILE_HEADER.len() as u64;
        self.file.set_len(length)?;
        (self.length, self.broken) = (length, false);
        Ok(())
    }

    /// Removes the files of a lane that leaves nothing behind.
    fn close(self) -> io::Result<()> {
        if self.length == FILE_HEADER.len() as u64 {
            std::fs::remove_file(&self.path)?;
        }
        if self.drops.records == 0 {
            std::fs::remove_file(&self.drops.path)?;
        }
        Ok(())
    }
}

/// Counts records that neither Redis nor the lane log would take.
struct DropFile {
    file: File,
    path: PathBuf,
    records: u64,
    batches: u64,
}

impl DropFile {
    fn create(folder: &Path, lane: Lane) -> Result<Self, StartError> {
        let path = folder.join(format!("{lane}.drops"));
        let mut bytes = vec![0; DROPS_LENGTH];
        bytes[..8].copy_from_slice(DROPS_HEADER);
        let file = named_once_locked(&path, &bytes)?;
        Ok(Self { file, path, records: 0, batches: 0 })
    }

    fn count(&mut self, records: u16) -> io::Result<()> {
        self.records += u64::from(records);
        self.batches += 1;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.records.to_be_bytes());
        bytes[8..].copy_from_slice(&self.batches.to_be_bytes());
        self.file.write_all_at(&bytes, DROPS_HEADER.len() as u64)?;
        self.file.sync_data()
    }
}

/// Records that the drop counters of a folder hold, of living and dead lanes together.
///
/// # Errors
/// What the system says of the folder.
pub fn dropped_records(folder: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "drops") {
            sum += read_drops(&path).unwrap_or(0);
        }
    }
    Ok(sum)
}

fn read_drops(path: &Path) -> io::Result<u64> {
    let mut bytes = [0; 16];
    File::open(path)?.read_exact_at(&mut bytes, 0)?;
    let (header, records) = bytes.split_at(8);
    if header != DROPS_HEADER {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(u64::from_be_bytes(records.try_into().expect("eight of sixteen bytes")))
}

/// The log of a lane whose process is dead, locked by us.
pub(crate) struct DeadLog {
    pub(crate) lane: Lane,
    pub(crate) file: File,
    path: PathBuf,
}

impl DeadLog {
    /// All logs in a folder that no living process holds.
    pub(crate) fn find(folder: &Path) -> io::Result<Vec<Self>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let lane =
                path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".log"));
            let Some(lane) = lane.and_then(|name| name.parse().ok()) else { continue };
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            if file.try_lock().is_ok() {
                found.push(Self { lane, file, path });
            }
        }
        found.sort_by_key(|log| log.lane);
        Ok(found)
    }

    /// Whether the file's first bytes are a lane log's; an empty file is one that was never named.
    pub(crate) fn is_log(&self) -> io::Result<bool> {
        let mut bytes = [0; 8];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => Ok(&bytes == FILE_HEADER),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Counts a batch that Redis will never take, in the dead lane's own counter.
    pub(crate) fn count_drop(&self, records: u16) -> io::Result<()> {
        let path = self.path.with_extension("drops");
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let mut bytes = [0; 16];
        file.read_exact_at(&mut bytes, DROPS_HEADER.len() as u64)?;
        let (old, batches) = bytes.split_at(8);
        let number = |bytes: &[u8]| u64::from_be_bytes(bytes.try_into().expect("eight bytes"));
        let (old, batches) = (number(old), number(batches));
        DropFile { file, path, records: old, batches }.count(records)
    }

    /// Deletes it, now that Redis has all of it, and its drop counter if that counted nothing.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)?;
        let drops = self.path.with_extension("drops");
        if read_drops(&drops).is_ok_and(|records| records == 0) {
            std::fs::remove_file(drops)?;
        }
        Ok(())
    }
}

fn log_path(folder: &Path, lane: Lane) -> PathBuf {
    folder.join(format!("{lane}.log"))
}

/// Writes and locks a file under a name that nobody looks for, then gives it its own.
fn named_once_locked(path: &Path, content: &[u8]) -> Result<File, StartError> {
    let mut unnamed = path.as_os_str().to_owned();
    unnamed.push(".new");
    let unnamed = PathBuf::from(unnamed);
    let failed = || file_error("write", path);
    let open = OpenOptions::new().read(true).write(true).create_new(true).open(&unnamed);
    let file = open.map_err(failed())?;
    file.try_lock().map_err(|error| failed()(error.into()))?;
    file.write_all_at(content, 0).map_err(failed())?;
    file.sync_all().map_err(failed())?;
    std::fs::rename(&unnamed, path).map_err(failed())?;
    Ok(file)
}

fn sync_folder(folder: &Path) -> Result<(), StartError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("sync", folder))
}
