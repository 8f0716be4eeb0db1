//! ClickHouse's compressed blocks (`decompress=1`): what the clickhouse crate sends with LZ4 on.
//!
//! A block is a 16-byte CityHash128 of the rest, a method byte, the compressed length with the
//! nine bytes of this header, the plain length, and the data.
//! <https://clickhouse.com/docs/reference/interfaces/specs/NativeFormat#frame-format>
#![forbid(unsafe_code)]

use crate::failure::{Failure, code};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
/// Far above the 256 KiB that the crate sends; bounds what one block may ask us to hold.
const MAX_BLOCK: usize = 64 << 20;

const NONE: u8 = 0x02;
const LZ4: u8 = 0x82;

/// Turns pieces of a compressed body into plain bytes.
#[derive(Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes the next piece and returns what is complete, perhaps nothing.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<u8>, Failure> {
        self.pending.extend_from_slice(piece);
        let mut plain = Vec::new();
        let mut taken = 0;
        while let Some(block) = whole_block(&self.pending[taken..])? {
            unpack(block, &mut plain)?;
            taken += block.len();
        }
        self.pending.drain(..taken);
        Ok(plain)
    }

    /// Refuses a body that ends within a block.
    pub fn finish(&self) -> Result<(), Failure> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let left = self.pending.len();
        Err(broken(format_args!("the body ends {left} bytes into a compressed block")))
    }
}

fn whole_block(bytes: &[u8]) -> Result<Option<&[u8]>, Failure> {
    let Some(header) = bytes.get(CHECKSUM..CHECKSUM + HEADER) else { return Ok(None) };
    let packed = number(&header[1..5]);
    if !(HEADER..=MAX_BLOCK).contains(&packed) || number(&header[5..9]) > MAX_BLOCK {
        return Err(broken("a compressed block states an impossible length"));
    }
    Ok(bytes.get(..CHECKSUM + packed))
}

fn unpack(block: &[u8], plain: &mut Vec<u8>) -> Result<(), Failure> {
    let (checksum, packed) = block.split_at(CHECKSUM);
    let expected = cityhash_rs::cityhash_102_128(packed).rotate_right(64).to_le_bytes();
    if checksum != expected {
        return Err(Failure::new(
            code::CHECKSUM_DOESNT_MATCH,
            "a compressed block's checksum does not match: the body was damaged on the way",
        ));
    }
    let (header, data) = packed.split_at(HEADER);
    let length = number(&header[5..9]);
    match header[0] {
        NONE if data.len() == length => plain.extend_from_slice(data),
        LZ4 => {
            let start = plain.len();
            plain.resize(start + length, 0);
            let written = lz4_flex::block::decompress_into(data, &mut plain[start..]);
            if written.ok() != Some(length) {
                return Err(broken("a compressed block's data is not the LZ4 it says it is"));
            }
        }
        method => {
            return Err(broken(format_args!(
                "a compressed block of method {method:#04x}; this server reads LZ4 (0x82) and \
                 none (0x02)"
            )));
        }
    }
    Ok(())
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
}

fn broken(text: impl std::fmt::Display) -> Failure {
    Failure::new(code::CANNOT_DECOMPRESS, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(plain: &[u8], method: u8) -> Vec<u8> {
        let data = if method == LZ4 { lz4_flex::block::compress(plain) } else { plain.to_vec() };
        let mut packed = vec![method];
        packed.extend_from_slice(&((data.len() + HEADER) as u32).to_le_bytes());
        packed.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        packed.extend_from_slice(&data);
        let mut block =
            cityhash_rs::cityhash_102_128(&packed).rotate_right(64).to_le_bytes().to_vec();
        block.extend_from_slice(&packed);
        block
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_back_however_it_is_cut(
            blocks in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..300), prop_oneof![Just(LZ4), Just(NONE)]),
                0..5,
            ),
            step in 1usize..200,
        ) {
            let body: Vec<u8> = blocks.iter().flat_map(|(plain, method)| pack(plain, *method)).collect();
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            for piece in body.chunks(step) {
                out.extend(decoder.push(piece).unwrap());
            }
            decoder.finish().unwrap();
            prop_assert_eq!(out, blocks.concat_plain());
        }

        #[test]
        fn damage_is_refused(at in 0usize..60, bit in 0u8..8) {
            let mut body = pack(b"abcabcabcabcabcabcabcabcabcabc", LZ4);
            let at = at % body.len();
            body[at] ^= 1 << bit;
            let mut decoder = Decoder::default();
            let refused = decoder.push(&body).is_err() || decoder.finish().is_err();
            prop_assert!(refused);
        }
    }

    trait ConcatPlain {
        fn concat_plain(&self) -> Vec<u8>;
    }

    impl ConcatPlain for Vec<(Vec<u8>, u8)> {
        fn concat_plain(&self) -> Vec<u8> {
            self.iter().flat_map(|(plain, _)| plain.clone()).collect()
        }
    }
}
