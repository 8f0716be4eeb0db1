//! What texts hash to without a key. Hashed are they by ClickHouse itself, which is who would store
//! such a hash most easily, in an engine apart from the one that is searched: asking that would
//! plant them.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};

use super::people::Person;
use crate::proofs::Run;
use crate::stack::{ClickHouse, Shape, Stack, wait_ready};

/// How long a hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    /// A number of 64 bits.
    Word,
    /// 128 bits and more.
    Digest,
}

/// A function that anybody can compute.
pub(super) struct Function {
    /// As ClickHouse calls it.
    pub(super) name: &'static str,
    pub(super) width: Width,
}

const fn digest(name: &'static str) -> Function {
    Function { name, width: Width::Digest }
}

const fn word(name: &'static str) -> Function {
    Function { name, width: Width::Word }
}

/// Those that people use, and those that ClickHouse and its libraries use within.
pub(super) const FUNCTIONS: [Function; 15] = [
    digest("MD5"),
    digest("SHA1"),
    digest("SHA224"),
    digest("SHA256"),
    digest("SHA384"),
    digest("SHA512"),
    digest("keccak256"),
    digest("RIPEMD160"),
    digest("sipHash128"),
    word("sipHash64"),
    word("cityHash64"),
    word("xxHash64"),
    word("farmHash64"),
    word("murmurHash3_64"),
    word("halfMD5"),
];

/// Texts that are asked for at once.
const AT_ONCE: usize = 500;

/// What each text hashes to, by each of [`FUNCTIONS`].
pub(super) struct Hashes(HashMap<Vec<u8>, Vec<Vec<u8>>>);

impl Hashes {
    /// Hashes everything of these people that somebody might hash.
    pub(super) fn make(run: &Run, people: &[Person]) -> Result<Self> {
        let shape = Shape { edges: 0, writers: 0, ..Shape::default() };
        let stack = Stack::prepare(&run.tools, &shape, run.seed())?;
        let engine = &stack.clickhouse;
        engine.process.start()?;
        wait_ready("the engine", &engine.process, || engine.is_ready())?;
        let texts: Vec<Vec<u8>> =
            people.iter().flat_map(Person::hashables).map(|text| text.bytes).collect();
        let mut all = HashMap::new();
        for some in texts.chunks(AT_ONCE) {
            all.extend(some.iter().cloned().zip(ask(engine, some)?));
        }
        Ok(Self(all))
    }

    /// A stand-in without an engine: as long as hashes are, and nothing else.
    #[cfg(test)]
    pub(super) fn stand_in(people: &[Person]) -> Self {
        let one = |bytes: &[u8], n: u64| {
            let mix = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
            let begin = bytes.iter().fold(0xcbf2_9ce4_8422_2325 ^ (n << 32), mix);
            (0..4).flat_map(|at: u64| mix(begin, &(at as u8)).to_be_bytes()).collect::<Vec<u8>>()
        };
        let all = |bytes: Vec<u8>| {
            let hashes = FUNCTIONS.iter().zip(0..).map(|(function, n)| match function.width {
                Width::Word => one(&bytes, n)[..8].to_vec(),
                Width::Digest => one(&bytes, n),
            });
            (bytes.clone(), hashes.collect())
        };
        Self(people.iter().flat_map(Person::hashables).map(|text| all(text.bytes)).collect())
    }

    /// By each of [`FUNCTIONS`], in their order.
    pub(super) fn of(&self, text: &[u8]) -> Result<&[Vec<u8>]> {
        self.0.get(text).map(Vec::as_slice).context("a text was not hashed")
    }
}

fn ask(engine: &ClickHouse, texts: &[Vec<u8>]) -> Result<Vec<Vec<Vec<u8>>>> {
    let all: Vec<String> = texts.iter().map(|text| format!("'{}'", hex::encode(text))).collect();
    let functions = FUNCTIONS.map(|Function { name, width }| match width {
        // A number's hex has no zeros in front.
        Width::Word => format!("leftPad(hex({name}(s)), 16, '0')"),
        Width::Digest => format!("hex({name}(s))"),
    });
    let answer = engine.query(&format!(
        "SELECT {} FROM (SELECT unhex(arrayJoin([{}])) AS s) FORMAT TSVRaw",
        functions.join(", "),
        all.join(",")
    ))?;
    let row = |line: &str| line.split('\t').map(|text| Ok(hex::decode(text)?)).collect();
    let rows = answer.lines().map(row).collect::<Result<Vec<Vec<_>>>>()?;
    ensure!(rows.len() == texts.len(), "{} of {} texts were hashed", rows.len(), texts.len());
    Ok(rows)
}
