//! A region in a temporary folder: keys, a redis-server, an edge, and a client that speaks HTTP as
//! bytes.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use hushmark_event::redis_keys::{LANE_PREFIX, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD};
use hushmark_event::refusal::{Entry, RefusalLog, Refuses};
use hushmark_event::{BatchReader, DayKey, Hit, Lane, LaneSealer, Objection, Record, Sealed};
use hushmark_policy::{CampaignId, Day, Generation, MailType, Mark, Mode, Place, TenantId};
use hushmark_token::{Claims, Kid, RegionKey, Route, Sealer};

/// How long anything may take before a test calls it broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

const REGION_KEY: [u8; 32] = [7; 32];
const BATCH_KEY: [u8; 32] = [9; 32];

/// Waits for something that has to come true.
pub(crate) fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn today() -> Day {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Day::of_unix_ms(since.as_millis() as u64)
}

pub(crate) struct Region {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) redis: Redis,
    signer: SigningKey,
    refusals: RefusalLog,
}

impl Region {
    /// Keys for today and the days around it, a running Redis, and an empty refusal log.
    pub(crate) fn new() -> Self {
        let mut region = Self::without_refusal_log();
        region.publish_head();
        region
    }

    pub(crate) fn without_refusal_log() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        for name in ["keys", "ring", "lane-log"] {
            std::fs::create_dir(path.join(name)).unwrap();
        }
        std::fs::write(path.join("keys/1.key"), REGION_KEY).unwrap();
        for n in 0..4 {
            let day = Day(today().0 - 1 + n);
            std::fs::write(path.join(format!("ring/{day}")), BATCH_KEY).unwrap();
        }
        let signer = SigningKey::from_bytes(&[3; 32]);
        std::fs::write(path.join("refusal.pub"), signer.verifying_key().to_bytes()).unwrap();
        let redis = Redis::start(path);
        Self { folder, redis, signer, refusals: RefusalLog::default() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The arguments of an edge of this region.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let path = |name| self.path(name).display().to_string();
        [
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--admin", "127.0.0.1:0".to_owned()),
            ("--keys", path("keys")),
            ("--ring", path("ring")),
            ("--refusal-key", path("refusal.pub")),
            ("--redis", format!("unix://{}", path("redis.sock"))),
            ("--lane-log", path("lane-log")),
            ("--metrics-step", "1".to_owned()),
            ("--threads", "1".to_owned()),
        ]
        .into_iter()
        .flat_map(|(flag, value)| [flag.to_owned(), value])
        .collect()
    }

    /// Starts an edge; what is in `more` overrides.
    pub(crate) fn edge(&self, more: &[&str]) -> Edge {
        let mut arguments = self.arguments();
        for pair in more.chunks(2) {
            match arguments.iter().position(|known| known == pair[0]) {
                Some(at) => arguments[at + 1] = pair[1].to_owned(),
                None => arguments.extend(pair.iter().map(|text| (*text).to_owned())),
            }
        }
        Edge::start(&arguments)
    }

    pub(crate) fn ready_edge(&self, more: &[&str]) -> Edge {
        let edge = self.edge(more);
        until("the edge is ready", || (edge.admin("/readyz").status == 200).then_some(()));
        edge
    }

    /// Appends to the refusal log, as the operator does.
    pub(crate) fn refuse(&mut self, refuses: Refuses) {
        self.refuse_all([refuses]);
    }

    /// Appends much under one head.
    pub(crate) fn refuse_all(&mut self, all: impl IntoIterator<Item = Refuses>) {
        let mut pipe = redis::pipe();
        for refuses in all {
            let entry = Entry { n: self.refusals.length() + 1, at_ms: 1, refuses };
            let bytes = entry.to_bytes();
            self.refusals.append(&bytes).unwrap();
            let id = format!("{}-0", entry.n);
            pipe.cmd("XADD").arg(REFUSALS).arg(id).arg(REFUSAL_FIELD).arg(bytes).ignore();
        }
        pipe.exec(&mut self.redis.connect()).unwrap();
        self.publish_head();
    }

    fn publish_head(&mut self) {
        let head = serde_json::to_string(&self.refusals.sign_head(&self.signer)).unwrap();
        redis::cmd("SET").arg(REFUSALS_HEAD).arg(head).exec(&mut self.redis.connect()).unwrap();
    }

    /// What every lane in Redis holds, opened; each lane's numbers must be without a gap.
    pub(crate) fn stored(&self) -> Vec<Record> {
        let mut connection = self.redis.connect();
        let mut lanes: Vec<String> =
            redis::cmd("KEYS").arg(format!("{LANE_PREFIX}*")).query(&mut connection).unwrap();
        lanes.sort();
        let mut records = Vec::new();
        for stream in lanes {
            let lane: Lane = stream.strip_prefix(LANE_PREFIX).unwrap().parse().unwrap();
            let entries: Vec<(String, BTreeMap<String, Vec<u8>>)> =
                redis::cmd("XRANGE").arg(&stream).arg("-").arg("+").query(&mut connection).unwrap();
            for (n, (id, fields)) in entries.into_iter().enumerate() {
                assert_eq!(id, format!("{}-0", n + 1), "a lane has no gaps");
                records.extend(open(lane, n as u64 + 1, fields["b"].clone()));
            }
        }
        records
    }

    pub(crate) fn stored_objections(&self) -> Vec<Objection> {
        let objections = self.stored().into_iter().filter_map(|record| match record {
            Record::Objection(objection) => Some(objection),
            Record::Void | Record::Hit(_) => None,
        });
        objections.collect()
    }

    pub(crate) fn stored_hits(&self) -> Vec<Hit> {
        let hits = self.stored().into_iter().filter_map(|record| match record {
            Record::Hit(hit) => Some(hit),
            Record::Void | Record::Objection(_) => None,
        });
        hits.collect()
    }
}

/// Opens a sealed batch as the writer does.
fn open(lane: Lane, number: u64, mut blob: Vec<u8>) -> Vec<Record> {
    let day = Sealed::header(&blob).unwrap().day;
    let sealer = LaneSealer::new(&DayKey::new(BATCH_KEY), day, lane);
    let (sealed, packed) = sealer.open(number, &mut blob).unwrap();
    let records: Vec<Record> = BatchReader::new(packed).unwrap().map(Result::unwrap).collect();
    assert_eq!(records.len(), usize::from(sealed.records));
    records
}

/// A redis-server with the shipped durability.
pub(crate) struct Redis {
    child: Option<Child>,
    folder: PathBuf,
}

impl Redis {
    fn start(folder: &Path) -> Self {
        let mut redis = Self { child: None, folder: folder.to_owned() };
        redis.again(&[]);
        redis
    }

    /// Starts it, with its data from before.
    pub(crate) fn again(&mut self, more: &[&str]) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
            .args(["--unixsocket".as_ref(), self.folder.join("redis.sock").as_os_str()])
            .args(["--dir".as_ref(), self.folder.as_os_str()])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed: apt-get install redis-server");
        self.child = Some(child);
        until("redis answers", || {
            redis::cmd("PING").exec(&mut self.client().get_connection().ok()?).ok()
        });
    }

    fn client(&self) -> redis::Client {
        let socket = self.folder.join("redis.sock");
        redis::Client::open(format!("unix://{}", socket.display())).unwrap()
    }

    pub(crate) fn connect(&self) -> redis::Connection {
        self.client().get_connection().unwrap()
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        send(self.child.as_ref().unwrap(), signal);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

fn send(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, signal).unwrap();
}

/// A running edge.
pub(crate) struct Edge {
    child: Child,
    pub(crate) addr: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Edge {
    fn start(arguments: &[String]) -> Self {
        #[expect(clippy::zombie_processes, reason = "a test that panics here ends its process")]
        let mut child = Command::new(env!("CARGO_BIN_EXE_hushmark-edge"))
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (say, hear) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                eprintln!("edge: {line}");
                drop(say.send(line));
            }
        });
        let began = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let line = hear.recv_timeout(left).expect("the edge says where it listens");
            let field =
                |name| line.split(' ').find_map(|word| word.strip_prefix(name)?.parse().ok());
            if let (Some(addr), Some(admin)) = (field("addr="), field("admin=")) {
                return Self { child, addr, admin };
            }
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.addr)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// What the page's button does.
    pub(crate) fn post(&self, path: &str, headers: &str) -> Answer {
        self.ask("POST", path, &format!("content-length: 0\r\n{headers}"))
    }

    /// One request on a connection of its own; `headers` end with CRLF each.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut stream = self.connect();
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: t\r\n{headers}connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Answer::read(&mut stream, method == "HEAD")
    }

    pub(crate) fn admin(&self, path: &str) -> Answer {
        let mut stream = connect(self.admin);
        write!(stream, "GET {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n").unwrap();
        Answer::read(&mut stream, false)
    }

    /// A metric's value; `name` holds its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let answer = self.admin("/metrics");
        let text = String::from_utf8(answer.body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no metric {name}")).parse().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and its exit status.
    pub(crate) fn stop(mut self) -> i32 {
        send(&self.child, rustix::process::Signal::TERM);
        self.child.wait().unwrap().code().unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        send(&self.child, signal);
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// What came back, with the date left out: all else has to be the same when the date is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Reads one answer; a connection that was closed without one has status 0.
    pub(crate) fn read(stream: &mut impl Read, head_only: bool) -> Self {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read(&mut byte) {
                Ok(1) => head.push(byte[0]),
                _ => return Self { status: 0, headers: Vec::new(), body: Vec::new() },
            }
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .filter(|(name, _)| name != "date")
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, n)| n.parse().unwrap());
        let mut body = vec![0; if head_only { 0 } else { length }];
        stream.read_exact(&mut body).unwrap();
        Self { status, headers, body }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A mail, from which tokens are made.
#[derive(Clone)]
pub(crate) struct Mail {
    pub(crate) claims: Claims,
    pub(crate) kid: u16,
}

pub(crate) const DESTINATION: &str = "https://example.org/a/b?c=d%20e&f=%C3%A4#g";

impl Mail {
    pub(crate) fn new(mode: Mode) -> Self {
        let claims = Claims {
            tenant: TenantId(0x11),
            campaign: CampaignId(0x22),
            generation: Generation(1),
            mode,
            mail_type: MailType::Campaign,
            place: Place::Country,
            honeypot: false,
            mark: mode.has_mark().then(|| Mark::new(0x33)),
            link: 0,
            last_day: today().plus(2),
            destination: None,
            apart: None,
        };
        Self { claims, kid: 1 }
    }

    pub(crate) fn marked(n: u64) -> Self {
        let mut mail = Self::new(Mode::Anonymous);
        mail.claims.mark = Some(Mark::new(n));
        mail
    }

    fn path(&self, route: Route) -> String {
        let mut claims = self.claims.clone();
        if route == Route::Click {
            claims.link = 1;
            claims.destination.get_or_insert_with(|| DESTINATION.to_owned());
        }
        let sealer = Sealer::new(Kid(self.kid), &RegionKey::new(REGION_KEY), claims.campaign);
        format!("/{}/{}", route.segment(), sealer.seal(route, &claims).unwrap())
    }

    pub(crate) fn pixel(&self) -> String {
        self.path(Route::Open)
    }

    pub(crate) fn link(&self) -> String {
        self.path(Route::Click)
    }

    pub(crate) fn page(&self) -> String {
        self.path(Route::Page)
    }
}
