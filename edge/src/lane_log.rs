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
use frame::Frame;

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
    /// Where the first frame is that Redis does not have; before it is a hole.
    start: u64,
    /// Bytes between `start` and `length` at most.
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
        let start = frame::BEGIN;
        let file = named_once_locked(&path, &frame::file_header(start))?;
        sync_folder(folder)?;
        let buffer = Vec::new();
        Ok(Self { file, path, length: start, start, max, broken: false, buffer, drops })
    }

    /// Appends and syncs a batch.
    fn append(&mut self, number: u64, blob: &[u8]) -> Result<u64, LogRefused> {
        self.buffer.clear();
        frame::encode(Frame { number, blob }, &mut self.buffer);
        let length = self.length + self.buffer.len() as u64;
        if self.broken || length - self.start > self.max {
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
        self.file.write_all_at(&frame::file_header(frame::BEGIN), 0)?;
        self.file.set_len(frame::BEGIN)?;
        (self.length, self.start, self.broken) = (frame::BEGIN, frame::BEGIN, false);
        Ok(())
    }

    /// Gives the room before an offset back to the disk, now that Redis has what was there. The
    /// header is synced first: a hole where frames are expected would look like a torn tail.
    fn reclaim(&mut self, start: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        self.file.write_all_at(&frame::file_header(start), 0)?;
        self.file.sync_data()?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, hole, frame::BEGIN, start - frame::BEGIN) {
            Ok(()) => self.start = start,
            // The limit then counts what is replayed as well, as the disk does.
            Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Removes the files of a lane that leaves nothing behind.
    fn close(self) -> io::Result<()> {
        if self.length == frame::BEGIN {
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

    /// Where the first frame is; at the end where the file is too short for any. What another
    /// program wrote is an error and stays where it is.
    pub(crate) fn start(&self) -> io::Result<u64> {
        let mut header = [0; frame::BEGIN as usize];
        match self.file.read_exact_at(&mut header, 0) {
            Ok(()) => frame::file_start(header).ok_or_else(|| {
                let text = format!("{} is no lane log of this version", self.path.display());
                io::Error::new(io::ErrorKind::InvalidData, text)
            }),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(frame::BEGIN),
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

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: Lane = Lane { incarnation: 1, core: 0 };

    fn numbers(file: &File, start: u64) -> Vec<u64> {
        let end = file.metadata().unwrap().len();
        let mut bytes = vec![0; (end - start) as usize];
        file.read_exact_at(&mut bytes, start).unwrap();
        crate::lane::drain::frames(&bytes).0.iter().map(|frame| frame.number).collect()
    }

    #[test]
    fn a_full_log_has_room_again_for_what_was_replayed_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LaneLog::create(folder.path(), LANE, 1 << 20).unwrap();
        let blob = vec![7; 100_000];
        let frame = (frame::FRAME_HEADER + blob.len()) as u64;
        let mut number = 0;
        while log.append(number + 1, &blob).is_ok() {
            number += 1;
        }
        assert_eq!(number, 10);
        log.reclaim(frame::BEGIN + 4 * frame).unwrap();
        for number in 11..=14 {
            log.append(number, &blob).unwrap();
        }
        assert!(log.append(15, &blob).is_err());

        // The next process begins where this one stopped.
        drop(log);
        let dead = DeadLog::find(folder.path()).unwrap().remove(0);
        let start = dead.start().unwrap();
        assert_eq!(numbers(&dead.file, start), (5..=14).collect::<Vec<_>>());
        dead.remove().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_living_lanes_log_is_nobody_elses_to_replay() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LaneLog::create(folder.path(), LANE, 1 << 20).unwrap();
        log.append(1, b"blob").unwrap();
        assert!(DeadLog::find(folder.path()).unwrap().is_empty());
        log.clear().unwrap();
        log.close().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_newer_editions_log_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = log_path(folder.path(), LANE);
        std::fs::write(&path, b"hmlane 2 and whatever follows").unwrap();
        let dead = DeadLog::find(folder.path()).unwrap().remove(0);
        assert!(dead.start().is_err());
        std::fs::write(&path, b"").unwrap();
        assert_eq!(dead.start().unwrap(), frame::BEGIN, "a file that was never begun");
    }

    #[test]
    fn drops_are_counted_on_disk_and_outlive_their_lane() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = LaneLog::create(folder.path(), LANE, 0).unwrap();
        assert!(matches!(log.append(1, b"blob"), Err(LogRefused::Full)));
        log.drops.count(3).unwrap();
        log.drops.count(4).unwrap();
        assert_eq!(dropped_records(folder.path()).unwrap(), 7);
        log.close().unwrap();
        assert_eq!(dropped_records(folder.path()).unwrap(), 7);
    }
}
