//! Another region key, and what a removed edge left: the operator on a real control plane, with a
//! real Redis, and edges that run as processes with the arguments and files that it gives them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hushmark_policy::{CampaignId, Generation, MailType, Mode, Place, TenantId};
use hushmark_tests::cluster::{Cluster, Deployed, Played, Release, condition};
use hushmark_tests::figure::progress;
use hushmark_tests::http;
use hushmark_tests::keys::Keys;
use hushmark_tests::tools::Tools;
use hushmark_token::{Claims, Kid, RegionKey, Route, Sealer};
use rustix::process::Signal;
use serde_json::Value;

/// A reader follows a link so often.
const EVERY: Duration = Duration::from_millis(10);

/// And waits so long for an answer: an edge hangs for some ten seconds in between.
const PATIENCE: Duration = Duration::from_secs(60);

/// A region of some edges, of which kwok plays the pods and this machine runs the programs.
struct Stage {
    cluster: Cluster,
    release: Release,
    operator: Deployed,
    tools: Tools,
    volumes: PathBuf,
}

impl Stage {
    fn set(edges: u16) -> Result<Self> {
        let tools = Tools::from_env()?;
        let cluster = Cluster::start(&tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install(&cluster, "eu", "eu-central")?;
        let edge = format!("edge: {{replicas: {edges}, threads: 1}}");
        cluster.apply(&release.region().replace("edge: {replicas: 2}", &edge))?;
        let operator =
            release.operator(&cluster, &tools.program("hushmark-operator")?, "operator-0")?;
        operator.process.start()?;
        let volumes = cluster.folder().join("volumes");
        let stage = Self { cluster, release, operator, tools, volumes };
        stage.until("the Region is Ready", || Ok(stage.says("Ready")?.starts_with("True")))?;
        // An edge is ready once there is a signed log.
        stage.cluster.apply(&stage.release.tenant("acme", 1))?;
        stage.until("the tenant is in the log", || {
            let region = stage.region()?;
            Ok(region["status"]["refusalLog"]["length"].is_u64())
        })?;
        Ok(stage)
    }

    fn until(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let waited = self.cluster.wait(what, done);
        waited.with_context(|| {
            let status = self.region().unwrap_or_default()["status"].clone();
            format!("{status:#}\n{}", self.operator.process.last_words())
        })
    }

    fn region(&self) -> Result<Value> {
        self.cluster.get(&["region", &self.release.name])
    }

    /// Status, reason and message of the Region's condition.
    fn says(&self, name: &str) -> Result<String> {
        let region = &self.region()?;
        Ok(condition(region, name).unwrap_or_default())
    }

    fn keys(&self) -> Result<Value> {
        Ok(self.region()?["status"]["keys"].clone())
    }

    fn get(&self, what: &[&str]) -> Result<Value> {
        self.cluster.get(&[what, &["-n", &self.release.namespace]].concat())
    }

    /// The edge of an ordinal, ready.
    fn edge(&self, ordinal: u16) -> Result<Played> {
        let set = self.get(&["statefulset", "eu-edge"])?;
        let pod = format!("eu-edge-{ordinal}");
        let program = self.tools.program("hushmark-edge")?;
        let edge = Played::new(
            &self.cluster,
            &program,
            (&self.release.namespace, &pod),
            &set["spec"]["template"],
            &self.volumes,
            &["--name", &pod],
        )?;
        edge.process.start()?;
        self.until("the edge is ready", || {
            ensure!(edge.process.is_running(), "{}", edge.process.last_words());
            Ok(edge.is_ready())
        })?;
        Ok(edge)
    }

    /// What seals under a region key, as a sender reads it from the Secret.
    fn sealer(&self, kid: u16) -> Result<Sealer> {
        let secret = self.get(&["secret", "eu-region-keys"])?;
        let key = secret["data"][format!("{kid}.key")].as_str().context("there is no such key")?;
        let key: [u8; 32] =
            STANDARD.decode(key)?.try_into().map_err(|_| anyhow!("a key has 32 bytes"))?;
        Ok(Sealer::new(Kid(kid), &RegionKey::new(key), campaign()))
    }

    fn ask_for_a_key(&self, why: &str) -> Result<()> {
        let annotation = format!("hushmark.io/rotate-keys={why}");
        let annotate = ["annotate", "region", "eu", "--overwrite", &annotation];
        self.cluster.kubectl(&annotate).map(drop)
    }

    fn scale(&self, edges: u16) -> Result<()> {
        let patch = format!(r#"{{"spec":{{"edge":{{"replicas":{edges}}}}}}}"#);
        self.cluster.kubectl(&["patch", "region", "eu", "--type=merge", "-p", &patch]).map(drop)
    }

    fn redis(&self) -> Result<redis::Connection> {
        let secret = self.get(&["secret", "redis-outside"])?;
        let of = |key: &str| -> Result<String> {
            Ok(String::from_utf8(STANDARD.decode(secret["data"][key].as_str().context("text")?)?)?)
        };
        let address = of("url")?.replace("redis://", "");
        let client = redis::Client::open(format!("redis://:{}@{address}", of("password")?))?;
        Ok(client.get_connection_with_timeout(Duration::from_secs(5))?)
    }
}

fn campaign() -> CampaignId {
    CampaignId::derive("eu", "acme", "letter-1")
}

/// A link to follow.
fn link(sealer: &Sealer, number: u16) -> Result<String> {
    let claims = Claims {
        tenant: TenantId::derive("eu", "acme"),
        campaign: campaign(),
        generation: Generation(0),
        mode: Mode::Overall,
        mail_type: MailType::Campaign,
        place: Place::None,
        honeypot: false,
        mark: None,
        link: number,
        last_day: Keys::last_day(),
        destination: Some("https://news.example.org/".to_owned()),
        apart: None,
    };
    let token = sealer.seal(Route::Click, &claims).context("a link cannot be sealed")?;
    Ok(format!("/c/{token}"))
}

/// Somebody who follows links that are sealed under one key, at every edge in turn.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(u32, u32)>>,
}

impl Reader {
    fn start(stage: &Stage, edges: &[&Played], kid: u16) -> Result<Self> {
        let sealer = stage.sealer(kid)?;
        let edges: Vec<_> = edges.iter().map(|edge| edge.listen).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut followed, mut refused) = (0, 0);
            for number in (1..u16::MAX).cycle() {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                let edge = edges[usize::from(number) % edges.len()];
                let answer = http::get(edge, &link(&sealer, number)?, PATIENCE)?;
                followed += 1;
                refused += u32::from(answer.status != 302);
                sleep(EVERY);
            }
            Ok((followed, refused))
        });
        Ok(Self { stop, thread })
    }

    /// Fails if a single link led nowhere.
    fn stop(self) -> Result<u32> {
        self.stop.store(true, Ordering::Relaxed);
        let (followed, refused) =
            self.thread.join().map_err(|_| anyhow!("a reader panicked"))??;
        ensure!(refused == 0, "{refused} of {followed} links led nowhere");
        Ok(followed)
    }
}

#[test]
fn a_new_key_seals_once_every_edge_has_it_and_old_links_go_on() -> Result<()> {
    let stage = Stage::set(2)?;
    let (first, second) = (stage.edge(0)?, stage.edge(1)?);
    let keys = stage.keys()?;
    ensure!(keys["kids"] == serde_json::json!([1]) && keys["sealing"] == 1, "{keys}");
    let old = Reader::start(&stage, &[&first, &second], 1)?;

    let began = Instant::now();
    stage.ask_for_a_key("because I want one")?;
    stage.until("both edges are waited for", || {
        let told = stage.says("KeysRotating")?;
        Ok(told.contains("eu-edge-0 (has 1), eu-edge-1 (has 1)"))
    })?;
    let keys = stage.keys()?;
    ensure!(keys["kids"] == serde_json::json!([1, 2]) && keys["sealing"] == 1, "{keys}");
    progress(&format!("asked to distributed and told: {:?}", began.elapsed()));

    // A crash between the steps: whoever comes after goes on, and makes no third key.
    stage.operator.process.kill9()?;
    stage.operator.process.start()?;
    first.mount(&stage.cluster)?;
    let names_the_second = "waits for eu-edge-1 (has 1). ";
    stage.until("the edge that lacks the key is named", || {
        Ok(stage.says("KeysRotating")?.contains(names_the_second))
    })?;
    sleep(Duration::from_secs(7));
    let keys = stage.keys()?;
    ensure!(keys["kids"] == serde_json::json!([1, 2]) && keys["sealing"] == 1, "{keys}");

    // One that hangs, and one whose Redis nobody can reach, hold it back, too: nobody knows what
    // they have.
    second.process.signal(Signal::STOP)?;
    stage.until("the silent one is named", || {
        Ok(stage.says("KeysRotating")?.contains("eu-edge-1 (no heartbeat)"))
    })?;
    second.process.signal(Signal::CONT)?;
    second.mount(&stage.cluster)?;
    let mounted = Instant::now();
    stage.until("the new key seals", || Ok(stage.keys()?["sealing"] == 2))?;
    progress(&format!("the last edge's files to sealing: {:?}", mounted.elapsed()));
    ensure!(stage.says("KeysRotating")?.starts_with("False"), "{}", stage.says("KeysRotating")?);
    let new = Reader::start(&stage, &[&first, &second], 2)?;
    sleep(Duration::from_secs(3));
    let followed = (old.stop()?, new.stop()?);
    progress(&format!("links followed under the old and the new key: {followed:?}"));

    // At rest nothing is written, and a restart repeats nothing.
    sleep(Duration::from_secs(2));
    let mark = stage.cluster.mark()?;
    stage.operator.process.kill9()?;
    stage.operator.process.start()?;
    sleep(Duration::from_secs(12));
    let writes = stage.cluster.writes_since(&mark, &stage.operator.user)?;
    let writes: Vec<_> = writes.into_iter().filter(|call| !call.is_lease()).collect();
    ensure!(writes.is_empty(), "{writes:?}");
    let events = stage.cluster.kubectl(&["get", "events", "-n", "default"])?;
    ensure!(events.contains("KeyMade") && events.contains("KeySeals"), "{events}");

    // A key that is gone is not made again.
    let secret = ["patch", "secret", "eu-region-keys", "-n", &stage.release.namespace];
    let without = ["--type=merge", "-p", r#"{"data":{"1.key":null}}"#];
    stage.cluster.kubectl(&[&secret[..], &without].concat())?;
    stage.until("the lost key is named", || Ok(stage.says("Stalled")?.contains("has no 1.key")))
}

#[test]
fn what_a_removed_edge_left_is_replayed_by_a_job() -> Result<()> {
    let stage = Stage::set(2)?;
    let edge = stage.edge(1)?;
    let sealer = stage.sealer(1)?;
    let mut redis = stage.redis()?;

    // Hits are answered while Redis is away, and the edge is killed before it is back.
    stage.release.redis.kill9()?;
    for number in 1..=50 {
        let answer = http::get(edge.listen, &link(&sealer, number)?, Duration::from_secs(5))?;
        ensure!(answer.status == 302, "{}", answer.status);
    }
    edge.process.kill9()?;
    stage.scale(1)?;
    let job = "eu-replay-1";
    stage.until("there is a Job for the volume", || Ok(stage.get(&["job", job]).is_ok()))?;
    // Redis comes back without a person's doing, and so does what waits for it.
    stage.until("the Region waits for Redis", || {
        Ok(stage.says("Reconciling")?.starts_with("True RedisIsAway"))
    })?;
    ensure!(stage.says("Stalled")?.starts_with("False"), "{}", stage.says("Stalled")?);

    // What its container does, while Redis is away and after. In a pod that kwok plays it does
    // nothing.
    let template = stage.get(&["job", job])?["spec"]["template"].clone();
    let program = stage.tools.program("hushmark-edge")?;
    let place = (stage.release.namespace.as_str(), job);
    let run = || -> Result<Played> {
        let played = Played::new(&stage.cluster, &program, place, &template, &stage.volumes, &[])?;
        played.process.start()?;
        ensure!(played.process.wait_for_end(Duration::from_secs(20))?, "it does not end");
        Ok(played)
    };
    let began = Instant::now();
    let gave_up = run()?;
    ensure!(began.elapsed() < Duration::from_secs(10), "it gives up at once");
    ensure!(gave_up.process.last_words().contains("try again later"));
    stage.release.redis.start()?;
    stage.until("Redis is back", || Ok(stage.redis().is_ok()))?;
    let replayed = run()?;
    let words = replayed.process.last_words();
    ensure!(words.contains("replayed"), "{words}");
    redis = if redis::cmd("PING").exec(&mut redis).is_ok() { redis } else { stage.redis()? };
    let lanes: Vec<String> = redis::cmd("KEYS").arg("ev:*").query(&mut redis)?;
    ensure!(lanes.len() == 1, "{lanes:?}");
    let batches: u64 = redis::cmd("XLEN").arg(&lanes[0]).query(&mut redis)?;
    ensure!(batches > 0, "the lane holds nothing");
    progress(&format!("50 hits in {batches} batches, replayed by the Job's container"));
    let left = std::fs::read_dir(stage.volumes.join("lanes-eu-edge-1/lanes"))?;
    let logs =
        left.filter_map(Result::ok).filter(|it| it.file_name().to_string_lossy().ends_with("log"));
    ensure!(logs.count() == 0, "a log is left");
    let beats: Vec<String> = redis::cmd("KEYS").arg("edge:*").query(&mut redis)?;
    let mut told = false;
    for beat in beats {
        let text: Option<String> = redis::cmd("GET").arg(&beat).query(&mut redis)?;
        let word: Value = serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default();
        let is_last = word["log_empty"] == true && word["draining"] == true;
        told |= word["pod"] == "eu-edge-1" && is_last;
    }
    ensure!(told, "nobody says that the folder of eu-edge-1 is empty");

    // Done, it stays as the mark of an empty volume, and nothing is written about it any more.
    stage.until("the Region is Ready", || Ok(stage.says("Ready")?.starts_with("True")))?;
    stage.until("the volume is known to be empty", || {
        Ok(stage.says("LaneLogsReplayed")?.contains("they are empty: lanes-eu-edge-1"))
    })?;
    let mark = stage.cluster.mark()?;
    stage.operator.process.kill9()?;
    stage.operator.process.start()?;
    sleep(Duration::from_secs(10));
    let writes = stage.cluster.writes_since(&mark, &stage.operator.user)?;
    let writes: Vec<_> = writes.into_iter().filter(|call| !call.is_lease()).collect();
    ensure!(writes.is_empty(), "{writes:?}");

    // The ordinal returns: the edge replays itself, and the Job goes, its pods with it.
    stage.scale(2)?;
    stage.until("the Job is gone", || Ok(stage.get(&["job", job]).is_err()))?;
    stage.until("its pods are gone", || {
        let pods = stage.get(&["pods", "-l", "app.kubernetes.io/component=replay"])?;
        Ok(pods["items"].as_array().is_some_and(Vec::is_empty))
    })?;
    let claims = stage.get(&["persistentvolumeclaims"])?["items"].as_array().map(Vec::len);
    if claims.is_none_or(|claims| claims < 2) {
        bail!("a volume went: {claims:?}");
    }
    Ok(())
}
