//! The bytes of a lane log: a header, then frames.
//!
//! The header is eight bytes that name the format and the offset (8) of the first frame that Redis
//! does not have; what is before it may be a hole.
//!
//! A frame is the length of its blob (4 bytes), the batch's number (8), a CRC-32C over these two
//! and the blob (4), and the blob, which is a sealed batch. Numbers are big-endian. What does not
//! check at the end of a file was being written when the process died: nobody was answered for it.

/// What every lane log begins with; the digit is the version.
pub(crate) const MAGIC: &[u8; 8] = b"hmlane 1";

/// Where frames begin.
pub(crate) const BEGIN: u64 = 16;

/// The header of a log whose first frame is at `start`.
pub(crate) fn file_header(start: u64) -> [u8; BEGIN as usize] {
    let mut header = [0; BEGIN as usize];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&start.to_be_bytes());
    header
}

/// Where a log's first frame is; `None` where the bytes are no log's header.
pub(crate) fn file_start(header: [u8; BEGIN as usize]) -> Option<u64> {
    let (magic, start) = header.split_first_chunk::<8>()?;
    let start = u64::from_be_bytes(start.try_into().ok()?);
    (magic == MAGIC && start >= BEGIN).then_some(start)
}

/// Length, number and checksum.
pub(crate) const FRAME_HEADER: usize = 4 + 8 + 4;

/// The longest blob: 65,535 records of 48 bytes and the seal are 3.2 MB.
pub(crate) const BLOB_MAX: usize = 4 << 20;

/// One batch in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) number: u64,
    pub(crate) blob: &'a [u8],
}

/// Appends a frame's bytes to `into`.
pub(crate) fn encode(frame: Frame<'_>, into: &mut Vec<u8>) {
    let length = u32::try_from(frame.blob.len()).expect("a batch has at most 4 MiB");
    into.extend_from_slice(&length.to_be_bytes());
    into.extend_from_slice(&frame.number.to_be_bytes());
    into.extend_from_slice(&checksum(frame).to_be_bytes());
    into.extend_from_slice(frame.blob);
}

fn checksum(frame: Frame<'_>) -> u32 {
    let crc = crc32c::crc32c(&(frame.blob.len() as u32).to_be_bytes());
    let crc = crc32c::crc32c_append(crc, &frame.number.to_be_bytes());
    crc32c::crc32c_append(crc, frame.blob)
}

/// What stands at the front of some bytes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<'a> {
    /// A frame, and how many bytes it takes.
    Frame(Frame<'a>, usize),
    /// Not enough bytes to tell; with at least so many there would be.
    Short(usize),
    /// No frame: a torn tail.
    Torn,
}

/// Reads one frame.
pub(crate) fn decode(bytes: &[u8]) -> Next<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<FRAME_HEADER>() else {
        return Next::Short(FRAME_HEADER);
    };
    let field = |from: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| header[from + i]));
    let length = field(0) as usize;
    if length > BLOB_MAX {
        return Next::Torn;
    }
    let Some(blob) = rest.get(..length) else { return Next::Short(FRAME_HEADER + length) };
    let frame = Frame { number: u64::from(field(4)) << 32 | u64::from(field(8)), blob };
    if checksum(frame) == field(12) {
        Next::Frame(frame, FRAME_HEADER + length)
    } else {
        Next::Torn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Batches = Vec<(u64, Vec<u8>)>;

    fn batches() -> impl Strategy<Value = Batches> {
        let blob = prop::collection::vec(any::<u8>(), 0..200);
        prop::collection::vec((any::<u64>(), blob), 0..20)
    }

    fn written(batches: &Batches) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, blob) in batches {
            encode(Frame { number: *number, blob }, &mut bytes);
        }
        bytes
    }

    fn read(mut bytes: &[u8]) -> Batches {
        let mut batches = Vec::new();
        while let Next::Frame(frame, length) = decode(bytes) {
            batches.push((frame.number, frame.blob.to_vec()));
            bytes = &bytes[length..];
        }
        batches
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(batches in batches()) {
            prop_assert_eq!(read(&written(&batches)), batches);
        }

        /// Whatever a crash leaves of the last write, all before it is read and nothing else.
        #[test]
        fn a_torn_tail_costs_only_itself(
            batches in batches(), last in prop::collection::vec(any::<u8>(), 1..100),
            keep in 0.0..1.0f64, junk in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let whole = written(&batches);
            let mut torn = whole.clone();
            encode(Frame { number: 7, blob: &last }, &mut torn);
            let cut = whole.len() + ((torn.len() - whole.len()) as f64 * keep) as usize;
            torn.truncate(cut);
            prop_assert_eq!(read(&torn), batches.clone());
            // A file system may also leave zeros or old bytes where the write should have been.
            torn.truncate(whole.len());
            torn.extend_from_slice(&[0; 24]);
            torn.extend_from_slice(&junk);
            prop_assert_eq!(read(&torn), batches);
        }

        #[test]
        fn a_flipped_bit_ends_the_log_before_it(batches in batches(), at: prop::sample::Index) {
            prop_assume!(!batches.is_empty());
            let mut bytes = written(&batches);
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = read(&bytes);
            prop_assert!(read.len() < batches.len());
            prop_assert_eq!(&batches[..read.len()], &read[..]);
        }
    }
}
