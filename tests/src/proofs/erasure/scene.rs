//! The whole product on one machine, with mail that names people, and the questions that a proof of
//! forgetting asks of it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::http;
use crate::letters::{self, Letter};
use crate::one_machine::{OneMachine, QUICKSTART};
use crate::tools::Tools;

/// The campaign whose mail names people.
pub(in crate::proofs) const CAMPAIGN: &str = "spring-individual";

/// The namespace of the tenant whose mail the plans' hits are of.
pub(in crate::proofs) const NAMESPACE: &str = "tenant";

const SECOND_VERIFIER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/receipts/verify.py");

/// How long anything may take, which ends a proof that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running stack whose tenant is that of the plans.
pub(in crate::proofs) struct Scene {
    pub(in crate::proofs) machine: OneMachine,
    tools: Tools,
    folder: TempDir,
}

impl Scene {
    /// The quickstart under the region and the namespace of the plans.
    pub(in crate::proofs) fn start(tools: &Tools, epoch: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hushmark-").tempdir()?;
        let manifests = folder.path().join("manifests");
        fs::create_dir(&manifests)?;
        for entry in fs::read_dir(QUICKSTART)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?
                .replace("namespace: acme", &format!("namespace: {NAMESPACE}"))
                .replace("name: local", "name: proof")
                .replace("region: local", "region: proof")
                .replace("epoch: 10s", &format!("epoch: {epoch}"));
            fs::write(manifests.join(path.file_name().context("a file has a name")?), text)?;
        }
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        let machine = OneMachine::start_with(tools, &data, &manifests)?;
        Ok(Self { machine, tools: tools.clone(), folder })
    }

    /// Stops everything, lets somebody at the files, and starts it again.
    pub(in crate::proofs) fn restart(
        self,
        between: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let Self { machine, tools, folder } = self;
        let data = machine.data().to_owned();
        machine.stop()?;
        between(&data)?;
        let machine = OneMachine::start_with(&tools, &data, &folder.path().join("manifests"))?;
        Ok(Self { machine, tools, folder })
    }

    pub(in crate::proofs) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(in crate::proofs) fn stamp(&self, campaign: &str) -> Result<Vec<Letter>> {
        let out = self.path(campaign);
        self.machine.ask(&["stamp", campaign, "--out", text(&out)?])?;
        letters::read(&out, &self.machine.base_url()?)
    }

    /// Opens a message as its reader's client does.
    pub(in crate::proofs) fn open(&self, letter: &Letter) -> Result<()> {
        let pixel = letter.pixel.as_deref().context("a message has no pixel")?;
        let answer = http::get(self.machine.edge()?, pixel, PATIENCE)?;
        ensure!(answer.status == 200, "a pixel was answered with {}", answer.status);
        Ok(())
    }

    /// Opens a message and returns the id that its row has. No other row may be there yet.
    pub(in crate::proofs) fn contact_of(&self, letter: &Letter) -> Result<u64> {
        self.open(letter)?;
        self.wait_rows("tenant != 0", 1)?;
        self.number("SELECT any(contact) FROM hits WHERE tenant != 0")
    }

    pub(in crate::proofs) fn query(&self, sql: &str) -> Result<String> {
        Ok(self.machine.query(sql)?.text().trim().to_owned())
    }

    pub(in crate::proofs) fn number(&self, sql: &str) -> Result<u64> {
        let answer = self.query(sql)?;
        answer.parse().with_context(|| format!("{sql}: {answer}"))
    }

    pub(in crate::proofs) fn rows(&self, which: &str) -> Result<u64> {
        self.number(&format!("SELECT count() FROM hits WHERE {which}"))
    }

    pub(in crate::proofs) fn wait_rows(&self, which: &str, wanted: u64) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.rows(which)? < wanted {
            if Instant::now() > until {
                bail!("{} of {wanted} rows are stored: {which}", self.rows(which)?);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Erases one person. Returns the receipt.
    pub(in crate::proofs) fn erase(&self, address: &str) -> Result<PathBuf> {
        let (people, receipt) = (self.path("people"), self.path("receipt.json"));
        fs::write(&people, format!("{address}\n"))?;
        self.machine.ask(&[
            "erase",
            "--tenant",
            NAMESPACE,
            "--people",
            text(&people)?,
            "--out",
            text(&receipt)?,
        ])?;
        Ok(receipt)
    }

    /// Whether a verifier that was written from the description alone takes a receipt.
    pub(in crate::proofs) fn is_verified(&self, receipt: &Path) -> Result<bool> {
        let key = self.machine.data().join("refusal.pub");
        let mut verifier = Command::new("python3");
        let verifier = verifier.args(["-B", SECOND_VERIFIER]).arg(key).arg(receipt);
        Ok(verifier.output().context("python3 does not start")?.status.success())
    }

    /// How many files of ClickHouse hold one of these numbers as it lies in a column or an index.
    /// Numbers that are random do not shrink, so that compression leaves them as they are.
    pub(in crate::proofs) fn files_with(&self, numbers: &[u64]) -> Result<u64> {
        let needles: Vec<[u8; 8]> = numbers.iter().map(|n| n.to_le_bytes()).collect();
        let mut found = 0;
        let mut folders = vec![self.machine.data().join("clickhouse")];
        while let Some(folder) = folders.pop() {
            // A merge ends, and its parts are gone.
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                let Ok(entry) = entry else { continue };
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => found += u64::from(holds(&path, &needles)?),
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}

fn holds(path: &Path, needles: &[[u8; 8]]) -> Result<bool> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        file => file.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut buffer = vec![0; 4 << 20];
    let mut kept = 0;
    loop {
        let read = file.read(&mut buffer[kept..])?;
        let filled = kept + read;
        let is_there = |needle: &[u8; 8]| buffer[..filled].windows(8).any(|part| part == needle);
        if needles.iter().any(is_there) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        kept = filled.min(7);
        buffer.copy_within(filled - kept..filled, 0);
    }
}

/// How many rows of a table a receipt says were removed.
pub(in crate::proofs) fn reached(receipt: &Path, table: &str) -> Result<u64> {
    let file: Value = serde_json::from_slice(&fs::read(receipt)?)?;
    let entry: Value =
        serde_json::from_str(file["entry"].as_str().context("the receipt has no entry")?)?;
    let reached = entry["says"]["receipt"]["reached"].as_array().context("nothing was reached")?;
    let table = reached.iter().find(|it| it["store"] == "clickhouse" && it["name"] == table);
    table.and_then(|it| it["rows"].as_u64()).context("the receipt does not name the table")
}

pub(in crate::proofs) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a folder's name is no text")
}
