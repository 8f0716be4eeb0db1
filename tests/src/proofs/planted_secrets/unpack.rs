//! What is compressed, unpacked: ClickHouse's blocks, Redis's strings, and streams of gzip, zlib, LZ4
//! and Zstandard wherever they begin.

use std::io::Read;

use aho_corasick::AhoCorasick;
use anyhow::{Context, Result};

/// More than this of one stream is not looked at; nothing here comes near it.
const MOST: u64 = 256 << 20;

/// Fewer bytes hold no secret; so short is what comes of a beginning that was none.
const LEAST: usize = 8;

/// How often what was unpacked is unpacked again.
const DEPTH: u32 = 3;

/// The beginnings of streams. Of zlib: a window of 32 KiB, at any level.
const MAGIC: [&[u8]; 7] = [
    &[0x1f, 0x8b, 0x08],
    &[0x28, 0xb5, 0x2f, 0xfd],
    &[0x04, 0x22, 0x4d, 0x18],
    &[0x78, 0x01],
    &[0x78, 0x5e],
    &[0x78, 0x9c],
    &[0x78, 0xda],
];

/// Unpacks.
pub(super) struct Unpacker {
    streams: AhoCorasick,
    /// ClickHouse's blocks of a codec that is not known here.
    pub(super) unread: u64,
}

impl Unpacker {
    pub(super) fn new() -> Result<Self> {
        let streams = AhoCorasick::new(MAGIC).context("seven patterns")?;
        Ok(Self { streams, unread: 0 })
    }

    /// Hands on everything that is compressed in these bytes, and in what that holds.
    pub(super) fn each(&mut self, bytes: &[u8], visit: &mut impl FnMut(&[u8])) {
        self.deeper(bytes, DEPTH, visit);
    }

    fn deeper(&mut self, bytes: &[u8], depth: u32, visit: &mut impl FnMut(&[u8])) {
        if depth == 0 {
            return;
        }
        let mut found = self.blocks(bytes);
        if bytes.starts_with(b"REDIS") {
            found.extend(redis_strings(bytes));
        }
        let begins: Vec<usize> = self.streams.find_iter(bytes).map(|hit| hit.start()).collect();
        found.extend(begins.into_iter().map(|at| stream(&bytes[at..])));
        for unpacked in found.iter().filter(|unpacked| unpacked.len() >= LEAST) {
            visit(unpacked);
            self.deeper(unpacked, depth - 1, visit);
        }
    }

    /// A file of ClickHouse's is block after block from its first byte, each behind a checksum.
    fn blocks(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut rest, mut found) = (bytes, Vec::new());
        while let Some((unpacked, length)) = rest.get(CHECKSUM..).and_then(|it| self.block(it)) {
            found.push(unpacked);
            rest = &rest[CHECKSUM + length..];
        }
        // What only looks like one block is none.
        if rest.is_empty() { found } else { Vec::new() }
    }

    /// One block behind its checksum, and how long it is.
    fn block(&mut self, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
        let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let (packed, unpacked) = (word(1)? as usize, word(5)? as usize);
        if unpacked as u64 > MOST || packed < HEADER {
            return None;
        }
        let body = bytes.get(HEADER..packed)?;
        let found = match bytes[0] {
            0x02 => body.to_vec(),
            0x82 => lz4_flex::block::decompress(body, unpacked).ok()?,
            0x90 => zstandard(body),
            // Several codecs: how many, which, and the block of the last.
            0x91 => self.block(body.get(1 + usize::from(*body.first()?)..)?)?.0,
            // Differences of numbers, which hold no text.
            0x92..=0x95 => body.to_vec(),
            method if (0x80..0xa0).contains(&method) => {
                self.unread += 1;
                Vec::new()
            }
            _ => return None,
        };
        Some((found, packed))
    }
}

/// Before each of ClickHouse's blocks; its method and two lengths.
const CHECKSUM: usize = 16;
const HEADER: usize = 9;

/// What can be unpacked of a stream, though its end be missing.
fn stream(bytes: &[u8]) -> Vec<u8> {
    match bytes {
        [0x1f, ..] => as_far_as(flate2::read::GzDecoder::new(bytes)),
        [0x28, ..] => zstandard(bytes),
        [0x04, ..] => as_far_as(lz4_flex::frame::FrameDecoder::new(bytes)),
        _ => as_far_as(flate2::read::ZlibDecoder::new(bytes)),
    }
}

fn zstandard(bytes: &[u8]) -> Vec<u8> {
    ruzstd::decoding::StreamingDecoder::new(bytes).map(as_far_as).unwrap_or_default()
}

fn as_far_as(reader: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Where it breaks off, what came before it stands.
    reader.take(MOST).read_to_end(&mut bytes).ok();
    bytes
}

/// Strings that Redis wrote with LZF into a snapshot, or into the base of its append-only file.
fn redis_strings(bytes: &[u8]) -> Vec<Vec<u8>> {
    const COMPRESSED: u8 = 0xc3;
    let begins = bytes.iter().enumerate().filter(|(_, byte)| **byte == COMPRESSED);
    begins.filter_map(|(at, _)| redis_string(&bytes[at + 1..])).collect()
}

fn redis_string(bytes: &[u8]) -> Option<Vec<u8>> {
    let (packed, bytes) = redis_length(bytes)?;
    let (unpacked, bytes) = redis_length(bytes)?;
    if unpacked as u64 > MOST || packed >= unpacked {
        return None;
    }
    lzf(bytes.get(..packed)?, unpacked)
}

/// A length of the snapshot's format: 6, 14 or 32 bits.
fn redis_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    match first >> 6 {
        0 => Some((usize::from(*first), rest)),
        1 => {
            let (second, rest) = rest.split_first()?;
            Some((usize::from(first & 0x3f) << 8 | usize::from(*second), rest))
        }
        2 if *first == 0x80 => {
            let (word, rest) = rest.split_first_chunk()?;
            Some((u32::from_be_bytes(*word) as usize, rest))
        }
        _ => None,
    }
}

/// LibLZF's format, as `lzf_d.c` reads it: runs of literals, and copies of what came before.
fn lzf(mut packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(length.min(1 << 20));
    while let Some((control, rest)) = packed.split_first() {
        let (control, mut rest) = (usize::from(*control), rest);
        if control < 32 {
            let (literals, after) = rest.split_at_checked(control + 1)?;
            out.extend_from_slice(literals);
            rest = after;
        } else {
            let mut count = control >> 5;
            if count == 7 {
                let (more, after) = rest.split_first()?;
                (count, rest) = (count + usize::from(*more), after);
            }
            let (low, after) = rest.split_first()?;
            let back = ((control & 0x1f) << 8 | usize::from(*low)) + 1;
            let from = out.len().checked_sub(back)?;
            for at in from..from + count + 2 {
                out.push(out[at]);
            }
            rest = after;
        }
        if out.len() > length {
            return None;
        }
        packed = rest;
    }
    (out.len() == length).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn found(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        Unpacker::new().unwrap().each(bytes, &mut |unpacked| all.push(unpacked.to_vec()));
        all
    }

    #[test]
    fn streams_are_unpacked_wherever_they_begin_and_one_within_another() {
        let text = b"what is written here, what is written here".to_vec();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&text).unwrap();
        let gzip = gzip.finish().unwrap();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(&gzip).unwrap();
        let zlib = zlib.finish().unwrap();
        let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
        lz4.write_all(&text).unwrap();
        let lz4 = lz4.finish().unwrap();
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let zstd = ruzstd::encoding::compress_to_vec(&text[..], level);
        for packed in [gzip, zlib, lz4, zstd] {
            let between = [b"before", &packed[..], b"after"].concat();
            assert!(found(&between).contains(&text), "{packed:x?}");
        }
    }

    #[test]
    fn blocks_of_clickhouse_are_unpacked() {
        let text = [b'x'; 64];
        let packed = lz4_flex::block::compress(&text);
        let mut block = vec![7; CHECKSUM];
        block.push(0x82);
        block.extend_from_slice(&((packed.len() + HEADER) as u32).to_le_bytes());
        block.extend_from_slice(&64_u32.to_le_bytes());
        block.extend_from_slice(&packed);
        assert_eq!(found(&[block.clone(), block].concat()), [text, text]);
    }

    #[test]
    fn strings_of_redis_are_unpacked() {
        // "abc", then nine bytes from three back: 0x20 + 7 << 5 would be longer.
        let packed = [0x02, b'a', b'b', b'c', 0xe0, 0x00, 0x02];
        let file = [b"REDIS0012\xc3", &[packed.len() as u8, 12][..], &packed].concat();
        assert_eq!(found(&file), [b"abcabcabcabc"]);
    }
}
