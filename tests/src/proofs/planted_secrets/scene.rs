//! One machine as people run it: `hushmark up`, four campaigns stamped by `hushmark stamp`, and their
//! recipients, who read through a proxy that says where they are.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mail_parser::MessageParser;
use serde_json::Value;
use tempfile::TempDir;

use super::people::Person;
use crate::http;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::tools::Tools;

/// How long anything may take to happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

/// The campaigns, by the mode of their hits. In mail of `off` is nothing to ask for: its hits come
/// of mail that was sent as `anonymous`, and whose tracking was withdrawn.
pub(super) const CAMPAIGNS: [(&str, &str); 4] = [
    ("to-all", "overall"),
    ("unnamed", "anonymous"),
    ("by-name", "individual"),
    ("ended", "anonymous"),
];

/// The campaign that is withdrawn.
pub(super) const ENDED: usize = 3;

const REGION: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Region
metadata: {name: local}
spec:
  jurisdiction: EU
  baseUrl: BASE
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
  defaults:
    campaign: {opens: individual, clicks: individual}
";

const CAMPAIGN: &str = "\
---
apiVersion: hushmark.io/v1alpha1
kind: Campaign
metadata: {name: NAME, namespace: acme}
spec:
  type: campaign
  subject: What spring brings
  from: Acme News <news@acme.example>
  content: {path: LETTER}
  list: {path: recipients.csv}
  tracking: {opens: MODE, clicks: MODE}
";

/// A link of everybody's own would differ by recipient, which `overall` refuses.
const LETTER: &str = "<!DOCTYPE html><html><body><p>Spring!</p>\
<p><a href=\"https://news.example.org/market\">The market</a>
<a href=\"https://news.example.org/ferry?from=letter\">The ferry</a>OWN</p></body></html>\n";

/// Addresses are refused in links. The name of these people is as recognizable.
const OWN: &str = " <a href=\"https://news.example.org/you?for={{first_name}}\">Your page</a>";

/// What one recipient can ask for of one campaign: the pixel first.
pub(super) type Letter = Vec<String>;

/// The running machine.
pub(super) struct Scene {
    folder: TempDir,
    tools: Tools,
    up: Process,
    pub(super) edge: SocketAddr,
    pub(super) clickhouse: SocketAddr,
    /// Pages that anybody in the cluster may read.
    pub(super) pages: Vec<(String, SocketAddr)>,
}

impl Scene {
    /// Starts everything, with a list of these people.
    pub(super) fn start(tools: &Tools, people: &[Person]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hushmark-").tempdir()?;
        let edge = ports::free()?;
        write_manifests(&folder.path().join("manifests"), edge, people)?;
        let path = |name: &str| {
            let path = folder.path().join(name).to_str().map(str::to_owned);
            path.context("the temporary folder's name is not text")
        };
        fs::create_dir(folder.path().join("said"))?;
        let program = tools.program("hushmark")?;
        let bin_dir = program.parent().context("a program lies in a folder")?;
        let bin_dir = bin_dir.to_str().context("the folder's name is not text")?.to_owned();
        let engine = tools.engine_lib()?.to_str().context("the folder's name is not text")?;
        let args = ["--data", &path("data")?, "up", &path("manifests")?, "--listen"];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        args.push(edge.to_string());
        let env = BTreeMap::from([
            ("HUSHMARK_BIN_DIR".to_owned(), bin_dir),
            ("HUSHMARK_ENGINE_LIB".to_owned(), engine.to_owned()),
        ]);
        let recipe = Recipe { name: "up".into(), program, args, env };
        let up = Process::new(recipe, &folder.path().join("said"));
        up.start()?;
        let mut scene =
            Self { folder, tools: tools.clone(), up, edge, clickhouse: edge, pages: Vec::new() };
        scene.wait("it is ready", |it| Ok(it.up.printed().contains("press Ctrl-C")))?;
        let state = scene.state()?;
        let address = |field: &str| -> Result<SocketAddr> {
            let text = state[field].as_str().context("the state has no such field")?;
            Ok(text.trim_start_matches("http://").parse()?)
        };
        scene.clickhouse = address("clickhouse")?;
        for page in ["edge", "writer"] {
            scene.pages.push((page.to_owned(), address(&format!("{page}_admin"))?));
        }
        Ok(scene)
    }

    fn state(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(self.data().join("state.json"))?)?)
    }

    /// The process id of a child.
    pub(super) fn child(&self, name: &str) -> Result<rustix::process::Pid> {
        let state = self.state()?;
        let children = state["children"].as_array().context("the state names no children")?;
        let child = children.iter().find(|child| child["name"] == name);
        let pid = child.and_then(|child| i32::try_from(child["pid"].as_i64()?).ok());
        pid.and_then(rustix::process::Pid::from_raw).context("the state has no such child")
    }

    /// All that the stack keeps.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What programs said to whom started them, and what lay in lane logs meanwhile.
    pub(super) fn said(&self) -> PathBuf {
        self.folder.path().join("said")
    }

    pub(super) fn redis(&self) -> Result<redis::Connection> {
        let socket = self.data().join("redis/redis.sock");
        let client = redis::Client::open(format!("unix://{}", socket.display()))?;
        Ok(client.get_connection_with_timeout(Duration::from_secs(10))?)
    }

    /// Runs a command on the data folder and keeps what it says.
    pub(super) fn command(&self, args: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(self.tools.program("hushmark")?);
        let output = command.arg("--data").arg(self.data()).args(args).output()?;
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`hushmark {}`: {complained}", args.join(" "));
        Ok([output.stdout, output.stderr].concat())
    }

    /// What ClickHouse answers, as it is.
    pub(super) fn ask(&self, sql: &str) -> Result<Vec<u8>> {
        let answer = http::post(self.clickhouse, "/", sql.as_bytes(), PATIENCE)?;
        if answer.status != 200 {
            bail!("the engine refuses `{sql:.500}`: {:.2000}", answer.text());
        }
        Ok(answer.body)
    }

    pub(super) fn number(&self, sql: &str) -> Result<u64> {
        let text = String::from_utf8(self.ask(sql)?)?;
        text.trim().parse().with_context(|| format!("`{sql}` yields {text:?}, not a number"))
    }

    /// Waits until something is so.
    pub(super) fn wait(&self, what: &str, so: impl Fn(&Self) -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while !so(self)? {
            ensure!(
                Instant::now() < until,
                "waited in vain until {what}\n{}",
                self.up.last_words()
            );
            ensure!(self.up.is_running(), "it ended before {what}\n{}", self.up.last_words());
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stamps a campaign and reads the mail as its recipients do.
    pub(super) fn stamp(&self, campaign: &str) -> Result<Vec<Letter>> {
        let out = self.folder.path().join("mail").join(campaign);
        fs::create_dir_all(&out)?;
        let folder = out.to_str().context("the folder's name is not text")?;
        let said = self.command(&["stamp", campaign, "--out", folder])?;
        fs::write(self.said().join(format!("stamp-{campaign}")), said)?;
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&out)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        paths.sort();
        paths.iter().map(|path| self.letter(&fs::read(path)?)).collect()
    }

    fn letter(&self, message: &[u8]) -> Result<Letter> {
        let message = MessageParser::default().parse(message).context("is no mail")?;
        let html = message.body_html(0).context("has no HTML")?.into_owned();
        let base = format!("\"http://{}", self.edge);
        let targets = html.split(&base).skip(1).filter_map(|rest| rest.split('"').next());
        let mut targets: Letter = targets.map(str::to_owned).collect();
        ensure!(targets.len() >= 3, "a letter has a pixel and links: {html}");
        targets.sort_by_key(|target| !target.starts_with("/o/"));
        Ok(targets)
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

impl Drop for Scene {
    /// Ctrl-C: what it started ends with it.
    fn drop(&mut self) {
        self.up.terminate(Duration::from_secs(90)).ok();
        if std::env::var_os("HUSHMARK_KEEP").is_some() {
            self.folder.disable_cleanup(true);
            crate::figure::progress(&format!("kept {}", self.folder.path().display()));
        }
    }
}

fn write_manifests(folder: &Path, edge: SocketAddr, people: &[Person]) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut text = REGION.replace("BASE", &format!("http://{edge}"));
    for (name, mode) in CAMPAIGNS {
        let letter = if mode == "overall" { "to-all.html" } else { "own.html" };
        let campaign = CAMPAIGN.replace("NAME", name).replace("MODE", mode);
        text += &campaign.replace("LETTER", letter);
    }
    fs::write(folder.join("all.yaml"), text)?;
    fs::write(folder.join("to-all.html"), LETTER.replace("OWN", ""))?;
    fs::write(folder.join("own.html"), LETTER.replace("OWN", OWN))?;
    let rows: String = people.iter().map(|it| format!("{},{}\n", it.address, it.word)).collect();
    fs::write(folder.join("recipients.csv"), format!("address,first_name\n{rows}"))?;
    Ok(())
}
