//! One machine as people run it: `hushmark up`, campaigns in every mode stamped by `hushmark stamp`,
//! and the folder beside its data where all that commands said is kept.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::people::Person;
use crate::letters::{self, Letter};
use crate::one_machine::OneMachine;
use crate::tools::Tools;

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(180);

/// The namespace of the tenant.
pub(super) const TENANT: &str = "acme";

/// Campaigns that are tracked: name, type and mode. In mail of `off` is nothing to ask for, so that
/// its hits come of mail that was sent as `anonymous`, and whose tracking was withdrawn.
pub(super) const TRACKED: [(&str, &str, &str); 5] = [
    ("to-all", "campaign", "overall"),
    ("unnamed", "campaign", "anonymous"),
    ("by-name", "campaign", "individual"),
    ("ended", "campaign", "anonymous"),
    ("receipt", "transactional", "anonymous"),
];

/// The campaign that names people.
pub(super) const BY_NAME: usize = 2;

/// The campaign that is withdrawn.
pub(super) const ENDED: usize = 3;

/// The campaign that is `off` from the first.
pub(super) const UNTRACKED: (&str, &str, &str) = ("untracked", "campaign", "off");

const REGION: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Region
metadata: {name: local}
spec:
  jurisdiction: EU
  baseUrl: http://127.0.0.1:8080
  ceilings: {opens: individual, clicks: individual, place: none}
  minimumGroup: 10
  epoch: 10s
  trustedProxies: [127.0.0.1/32]
---
apiVersion: hushmark.io/v1alpha1
kind: Tenant
metadata: {name: acme, namespace: acme}
spec:
  region: local
  consentFrom: individual
  defaults:
    campaign: {opens: individual, clicks: individual}
    transactional: {opens: anonymous, clicks: anonymous}
";

const CAMPAIGN: &str = "\
---
apiVersion: hushmark.io/v1alpha1
kind: Campaign
metadata: {name: NAME, namespace: acme}
spec:
  type: TYPE
  subject: What spring brings
  from: Acme News <news@acme.example>
  content: {path: LETTER}
  list: {path: recipients.csv}
  tracking: {opens: \"MODE\", clicks: \"MODE\"}
";

/// A link of everybody's own would differ by recipient, which `overall` refuses.
const LETTER: &str = "<!DOCTYPE html><html><body><p>Spring!</p>\
<p><a href=\"https://news.example.org/market\">The market</a>
<a href=\"https://news.example.org/ferry?from=letter\">The ferry</a>OWN
<a href=\"{{tracking-page}}\">What this mail records</a></p></body></html>\n";

/// Addresses are refused in links. The name of these people is as recognizable.
const OWN: &str = " <a href=\"https://news.example.org/you?for={{first_name}}\">Your page</a>";

/// What people got of one campaign, by their address; of `overall` nobody's is one for all.
type Letters = BTreeMap<String, Letter>;

/// The running machine.
pub(super) struct Scene {
    folder: TempDir,
    machine: OneMachine,
    /// Of each of [`TRACKED`].
    letters: Vec<Letters>,
}

impl Scene {
    /// Starts everything, writes down that these people agreed, and stamps their mail.
    pub(super) fn start(tools: &Tools, people: &[Person]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hushmark-").tempdir()?;
        for name in ["data", "said", "given"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let manifests = folder.path().join("manifests");
        write_manifests(&manifests, people)?;
        let machine = OneMachine::start_with(tools, &folder.path().join("data"), &manifests)?;
        let mut scene = Self { folder, machine, letters: Vec::new() };
        let everybody: String = people.iter().map(|it| format!("{}\n", it.address)).collect();
        scene.give("everybody", &everybody)?;
        let (everybody, source) = (scene.file("everybody")?, "a form of 3 March");
        let agreed = ["consent", "--tenant", TENANT, "--people", &everybody, "--source", source];
        scene.say("consent", &agreed)?;
        let letters = TRACKED.map(|(name, ..)| scene.stamp(name));
        scene.letters = letters.into_iter().collect::<Result<_>>()?;
        let untracked = scene.stamp(UNTRACKED.0)?;
        let asks_for_nothing = |it: &Letter| it.pixel.is_none() && it.links.is_empty();
        ensure!(untracked.values().all(asks_for_nothing), "mail of `off` is tracked");
        Ok(scene)
    }

    /// What a person got of one of [`TRACKED`].
    pub(super) fn letter(&self, campaign: usize, person: &Person) -> Result<&Letter> {
        let letters = self.letters.get(campaign).context("there is no such campaign")?;
        let letter = letters.get(&person.address).or_else(|| letters.get(""));
        letter.context("everybody gets mail of each campaign")
    }

    /// All that the stack keeps.
    pub(super) fn data(&self) -> &Path {
        self.machine.data()
    }

    /// What commands said, and what lay in lane logs meanwhile.
    pub(super) fn said(&self) -> PathBuf {
        self.folder.path().join("said")
    }

    /// Writes what a person hands to a command. It is theirs: nothing there is searched.
    pub(super) fn give(&self, name: &str, text: &str) -> Result<()> {
        Ok(fs::write(self.folder.path().join("given").join(name), text)?)
    }

    /// The name of what was given.
    pub(super) fn file(&self, name: &str) -> Result<String> {
        let path = self.folder.path().join("given").join(name);
        path.to_str().map(str::to_owned).context("the temporary folder's name is not text")
    }

    pub(super) fn edge(&self) -> Result<SocketAddr> {
        self.machine.edge()
    }

    pub(super) fn edge_admin(&self) -> Result<SocketAddr> {
        self.machine.edge_admin()
    }

    pub(super) fn writer_admin(&self) -> Result<SocketAddr> {
        self.machine.writer_admin()
    }

    pub(super) fn redis(&self) -> Result<redis::Connection> {
        let socket = self.data().join("redis/redis.sock");
        let client = redis::Client::open(format!("unix://{}", socket.display()))?;
        Ok(client.get_connection_with_timeout(Duration::from_secs(10))?)
    }

    /// Lets a child stand still while something is done.
    pub(super) fn without<T>(&self, child: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let children = self.machine.children()?;
        let pid = children.get(child).copied().and_then(Pid::from_raw);
        let pid = pid.with_context(|| format!("there is no {child}"))?;
        kill_process(pid, Signal::STOP)?;
        let done = act();
        kill_process(pid, Signal::CONT)?;
        done
    }

    /// Runs a command on the data folder. Returns all that it said.
    pub(super) fn command(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = self.machine.run(args)?;
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`hushmark {}`: {complained}", args.join(" "));
        Ok([output.stdout, output.stderr].concat())
    }

    /// Runs a command and keeps what it said, to be searched.
    pub(super) fn say(&self, name: &str, args: &[&str]) -> Result<()> {
        Ok(fs::write(self.said().join(name), self.command(args)?)?)
    }

    /// What ClickHouse answers, as it is.
    pub(super) fn ask(&self, sql: &str) -> Result<Vec<u8>> {
        Ok(self.machine.query(sql)?.body)
    }

    pub(super) fn text(&self, sql: &str) -> Result<String> {
        String::from_utf8(self.ask(sql)?).with_context(|| format!("`{sql}` yields no text"))
    }

    pub(super) fn number(&self, sql: &str) -> Result<u64> {
        let text = self.text(sql)?;
        text.trim().parse().with_context(|| format!("`{sql}` yields {text:?}, not a number"))
    }

    /// Waits until something is so.
    pub(super) fn wait(&self, what: &str, so: impl Fn() -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !so()? {
            if Instant::now() > until {
                bail!("waited in vain until {what}; it said:\n{}", self.machine.said());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stamps a campaign and reads the mail as its recipients do.
    fn stamp(&self, campaign: &str) -> Result<Letters> {
        let out = self.folder.path().join("mail").join(campaign);
        fs::create_dir_all(&out)?;
        let folder = out.to_str().context("the folder's name is not text")?;
        self.say(&format!("stamp-{campaign}"), &["stamp", campaign, "--out", folder])?;
        let letters = letters::read(&out, &self.machine.base_url()?)?;
        Ok(letters.into_iter().map(|letter| (letter.to.clone(), letter)).collect())
    }

    /// Copies the edge's folder as it is now: lane logs are emptied once Redis has their batches.
    pub(super) fn keep_lane_logs(&self) -> Result<u64> {
        let (from, to) = (self.data().join("edge"), self.said().join("lane-logs"));
        fs::create_dir_all(&to)?;
        let mut bytes = 0;
        for entry in fs::read_dir(from)? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "log") {
                let name = path.file_name().context("a file has a name")?;
                bytes += fs::copy(&path, to.join(name))?;
            }
        }
        Ok(bytes)
    }
}

fn write_manifests(folder: &Path, people: &[Person]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut text = REGION.to_owned();
    for (name, of_type, mode) in TRACKED.into_iter().chain([UNTRACKED]) {
        let letter = if mode == "overall" { "to-all.html" } else { "own.html" };
        let campaign = CAMPAIGN.replace("NAME", name).replace("TYPE", of_type);
        text += &campaign.replace("MODE", mode).replace("LETTER", letter);
    }
    fs::write(folder.join("all.yaml"), text)?;
    fs::write(folder.join("to-all.html"), LETTER.replace("OWN", ""))?;
    fs::write(folder.join("own.html"), LETTER.replace("OWN", OWN))?;
    let rows: String = people.iter().map(|it| format!("{},{}\n", it.address, it.word)).collect();
    fs::write(folder.join("recipients.csv"), format!("address,first_name\n{rows}"))?;
    Ok(())
}
