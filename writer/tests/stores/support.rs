//! A Redis, an engine and writers of a test's own.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use hushmark_event::redis_keys::{BATCH_FIELD, WRITER_LEASE, lane_stream};
use hushmark_event::tables::Target;
use hushmark_event::{
    BatchBuilder, Client, Context, DayKey, Device, Hit, Lane, LaneSealer, Objection, System,
    Verdict,
};
use hushmark_policy::{CampaignId, Day, Generation, Kind, MailType, Mark, Mode, TenantId};
use tempfile::TempDir;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(240);

/// A child that dies with -9 when it is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Either may be too late; both are meant.
        let _killed = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Everything but the writers.
pub(crate) struct Stack {
    pub(crate) folder: TempDir,
    redis: Process,
    engine: Option<Process>,
    pub(crate) clickhouse: SocketAddr,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

pub(crate) const BATCH_KEY: [u8; 32] = [3; 32];
pub(crate) const SALT_KEY: [u8; 32] = [5; 32];

/// The key that signs the refusal log's head.
pub(crate) const SIGNING: [u8; 32] = [9; 32];

/// One hit of tenant 1, now.
pub(crate) fn hit(mode: Mode, kind: Kind, campaign: u64, mark: u64) -> Hit {
    let now = now_ms();
    Hit {
        context: Context {
            tenant: TenantId(1),
            campaign: CampaignId(campaign + 1),
            generation: Generation(1),
            mode,
            mail_type: MailType::Campaign,
            last_day: Day::of_unix_ms(now).plus(2),
        },
        kind,
        link: if kind == Kind::Click { 1 } else { 0 },
        honeypot: false,
        mark: mode.has_mark().then(|| Mark::new(mark)),
        at_ms: now,
        verdict: Verdict::Human,
        device: Device::Phone,
        client: Client::Gmail,
        system: System::Android,
        country: None,
    }
}

impl Stack {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        for sub in ["redis", "ring", "salts"] {
            std::fs::create_dir(path.join(sub)).unwrap();
        }
        let today = Day::of_unix_ms(now_ms());
        for ahead in 0..4 {
            let day = today.plus(ahead).to_string();
            std::fs::write(path.join("ring").join(&day), BATCH_KEY).unwrap();
            std::fs::write(path.join("salts").join(&day), SALT_KEY).unwrap();
        }
        let public = SigningKey::from_bytes(&SIGNING).verifying_key().to_bytes();
        std::fs::write(path.join("refusal.pub"), public).unwrap();
        let redis = start_redis(path);
        let clickhouse = free_port();
        let mut stack = Self { folder, redis, engine: None, clickhouse };
        stack.start_engine();
        stack
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn start_engine(&mut self) {
        self.engine = None;
        let child = Command::new(program("hushmark-embedded"))
            .arg("--lib")
            .arg(engine_lib())
            .arg("--data")
            .arg(self.path().join("clickhouse"))
            .args(["--listen", &self.clickhouse.to_string()])
            .stderr(log(self.path(), "engine"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.engine = Some(Process(child));
        wait("the engine", || self.try_query("SELECT 1").is_ok_and(|text| text == "1"));
    }

    pub(crate) fn kill_engine(&mut self) {
        self.engine = None;
    }

    pub(crate) fn kill_redis(&mut self) {
        self.stop_redis();
        self.redis = start_redis(self.folder.path());
    }

    /// It is away until [`Self::kill_redis`] starts it again.
    pub(crate) fn stop_redis(&mut self) {
        drop(self.redis.0.kill());
        drop(self.redis.0.wait());
    }

    pub(crate) fn redis_url(&self) -> String {
        format!("unix://{}/redis/redis.sock", self.path().display())
    }

    /// A connection that waits out a Redis that starts.
    pub(crate) fn redis(&self) -> redis::Connection {
        let client = redis::Client::open(self.redis_url()).unwrap();
        let until = Instant::now() + PATIENCE;
        loop {
            if let Ok(mut connection) = client.get_connection()
                && redis::cmd("PING").query::<String>(&mut connection).is_ok()
            {
                return connection;
            }
            assert!(Instant::now() < until, "redis does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn writer(&self, env: &[(&str, &str)]) -> Process {
        self.writer_with(&["--window-seconds", "0"], env)
    }

    pub(crate) fn writer_with(&self, args: &[&str], env: &[(&str, &str)]) -> Process {
        self.writer_by(self.clickhouse, args, env)
    }

    /// A writer that reaches the engine by another address.
    pub(crate) fn writer_by(
        &self,
        clickhouse: SocketAddr,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Process {
        // Of its own, as in every pod: one that stands by lives beside the one that works.
        let state =
            (0..).map(|n| format!("state-{n}")).find(|name| !self.path().join(name).exists());
        self.writer_in(&state.unwrap(), clickhouse, args, env)
    }

    /// A writer that finds what an earlier one left in that folder.
    pub(crate) fn writer_in(
        &self,
        state: &str,
        clickhouse: SocketAddr,
        args: &[&str],
        env: &[(&str, &str)],
    ) -> Process {
        let path = self.path();
        let admin = free_port();
        std::fs::write(path.join("admin"), admin.to_string()).unwrap();
        let state = path.join(state);
        std::fs::create_dir_all(&state).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_hushmark-writer"))
            .args(["--redis", &self.redis_url()])
            .args(["--clickhouse", &format!("http://{clickhouse}")])
            .arg("--ring")
            .arg(path.join("ring"))
            .arg("--salts")
            .arg(path.join("salts"))
            .arg("--state")
            .arg(state)
            .arg("--refusal-key")
            .arg(path.join("refusal.pub"))
            .args(["--admin", &admin.to_string(), "--metrics-step", "1"])
            .args(args)
            .envs(env.iter().copied())
            .stderr(log(path, "writer"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Process(child)
    }

    /// What the last started writer serves.
    pub(crate) fn metrics(&self) -> String {
        let admin = std::fs::read_to_string(self.path().join("admin")).unwrap();
        http(admin.parse().unwrap(), "GET", "/metrics", "").unwrap_or_default()
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.metrics();
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0.0)
    }

    pub(crate) fn seal(&self, lane: Lane, number: u64, hits: &[Hit]) -> Vec<u8> {
        let mut builder = BatchBuilder::new(1);
        hits.iter().for_each(|hit| builder.push_hit(hit));
        let now = hits.first().map_or_else(now_ms, |hit| hit.at_ms);
        seal(lane, number, builder, now)
    }

    /// Appends a batch of nothing but objections.
    pub(crate) fn append_objections(&self, lane: Lane, number: u64, all: &[Objection]) {
        let mut builder = BatchBuilder::new(1);
        all.iter().for_each(|objection| builder.push_objection(objection, now_ms()));
        self.append_bytes(lane, number, &seal(lane, number, builder, now_ms()));
    }

    /// Appends as an edge does.
    pub(crate) fn append(&self, lane: Lane, number: u64, hits: &[Hit]) {
        self.append_bytes(lane, number, &self.seal(lane, number, hits));
    }

    pub(crate) fn append_bytes(&self, lane: Lane, number: u64, blob: &[u8]) {
        let mut add = redis::cmd("XADD");
        add.arg(lane_stream(lane)).arg(format!("{number}-0")).arg(BATCH_FIELD).arg(blob);
        add.query::<String>(&mut self.redis()).unwrap();
    }

    /// What five seconds would do.
    pub(crate) fn expire_lease(&self) {
        redis::cmd("DEL").arg(WRITER_LEASE).query::<i64>(&mut self.redis()).unwrap();
    }

    pub(crate) fn try_query(&self, sql: &str) -> Result<String, String> {
        http(self.clickhouse, "POST", "/", sql).map(|text| text.trim_end().to_owned())
    }

    pub(crate) fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap()
    }

    /// Up to where a target holds a lane.
    pub(crate) fn stored(&self, target: Target, lane: Lane) -> u64 {
        let text = self.try_query(&target.ledger_query()).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{lane}\t")));
        line.map_or(0, |last| last.parse().unwrap())
    }

    pub(crate) fn wait_stored(&self, lane: Lane, number: u64) {
        wait_or(
            "everything to be stored",
            || self.logs(),
            || Target::ALL.iter().all(|target| self.stored(*target, lane) >= number),
        );
    }

    pub(crate) fn logs(&self) -> String {
        ["engine", "writer", "redis"]
            .map(|name| {
                let text = std::fs::read_to_string(self.path().join(format!("{name}.log")));
                let text = text.unwrap_or_default();
                let from = text.len().saturating_sub(6_000);
                format!("--- {name}\n{}", text.get(from..).unwrap_or_default())
            })
            .join("\n")
    }
}

fn seal(lane: Lane, number: u64, mut builder: BatchBuilder, now_ms: u64) -> Vec<u8> {
    let (mut packed, mut blob) = (Vec::new(), Vec::new());
    let records = builder.take(&mut packed);
    let sealer = LaneSealer::new(&DayKey::new(BATCH_KEY), Day::of_unix_ms(now_ms), lane);
    sealer.seal(number, records, &packed, &mut blob);
    blob
}

/// A way to the engine that loses, each time it is told to, the answer to one insert: the engine
/// has the rows, and the writer does not know.
pub(crate) struct LosesAnswers {
    pub(crate) address: SocketAddr,
    next: Arc<AtomicBool>,
}

impl LosesAnswers {
    pub(crate) fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let next = Arc::new(AtomicBool::new(false));
        let armed = Arc::clone(&next);
        std::thread::spawn(move || {
            for writer in listener.incoming().flatten() {
                let engine = TcpStream::connect(to).unwrap();
                let sent = Arc::new(AtomicBool::new(false));
                let (up, down) = (Arc::clone(&sent), sent);
                let (armed, ends) = (Arc::clone(&armed), (writer.try_clone(), engine.try_clone()));
                let (writer_too, engine_too) = (ends.0.unwrap(), ends.1.unwrap());
                std::thread::spawn(move || {
                    pass_on(&writer, &engine, |bytes| {
                        let insert = b"insert_deduplication_token";
                        if bytes.windows(insert.len()).any(|part| part == insert)
                            && armed.swap(false, Ordering::SeqCst)
                        {
                            up.store(true, Ordering::SeqCst);
                        }
                        true
                    });
                });
                std::thread::spawn(move || {
                    pass_on(&engine_too, &writer_too, |_| !down.load(Ordering::SeqCst));
                });
            }
        });
        Self { address, next }
    }

    pub(crate) fn lose_next(&self) {
        self.next.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.next.load(Ordering::SeqCst)
    }
}

/// Copies bytes until an end, or until `goes_on` says no; then both sides are closed.
fn pass_on(mut from: &TcpStream, mut to: &TcpStream, mut goes_on: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !goes_on(&buffer[..length]) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    drop(from.shutdown(Shutdown::Both));
    drop(to.shutdown(Shutdown::Both));
}

fn start_redis(path: &Path) -> Process {
    let child = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        .arg("--unixsocket")
        .arg(path.join("redis/redis.sock"))
        .arg("--dir")
        .arg(path.join("redis"))
        .stdout(log(path, "redis"))
        .spawn()
        .expect("these tests need redis-server: `cargo xtask up` installs it");
    Process(child)
}

/// Sends a signal by its name.
pub(crate) fn signal(process: &Process, name: &str) {
    let pid = process.0.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

pub(crate) fn wait(what: &str, done: impl FnMut() -> bool) {
    wait_or(what, String::new, done);
}

pub(crate) fn wait_or(what: &str, logs: impl Fn() -> String, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "waited too long for {what}\n{}", logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn log(path: &Path, name: &str) -> Stdio {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path.join(format!("{name}.log")))
        .unwrap();
    file.into()
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn program(name: &str) -> PathBuf {
    let folder = std::env::var_os("HUSHMARK_BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        Path::new(env!("CARGO_BIN_EXE_hushmark-writer")).parent().unwrap().to_owned()
    });
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: build it with `cargo build -p {name}`, or set HUSHMARK_BIN_DIR",
        path.display()
    );
    path
}

fn engine_lib() -> PathBuf {
    let path = std::env::var_os("HUSHMARK_ENGINE_LIB").map(PathBuf::from).expect(
        "HUSHMARK_ENGINE_LIB is not set: `cargo xtask test` fetches the engine and sets it",
    );
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// One request on a connection of its own.
fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> Result<String, String> {
    let say = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(to).map_err(say)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(say)?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .map_err(say)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(say)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunk(body)
    } else {
        body.to_owned()
    };
    if head.starts_with("HTTP/1.1 200") { Ok(body) } else { Err(body) }
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        let Some(chunk) = after.get(..size) else { break };
        body.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    body
}
