//! A server to test: started, asked, killed.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; a healthy one needs a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn engine_library() -> PathBuf {
    let path = std::env::var_os("HUSHMARK_ENGINE_LIB").map(PathBuf::from).expect(
        "these tests need the engine: set HUSHMARK_ENGINE_LIB to libchdb.so, or run \
         `cargo xtask test`, which fetches it and does so",
    );
    assert!(path.is_file(), "HUSHMARK_ENGINE_LIB names {}, which is no file", path.display());
    path
}

pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: String,
    ready: PathBuf,
}

impl Server {
    /// A server on a data folder; the folder is the caller's, so that it can be started again.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// A server with more options.
    pub(crate) fn start_with(data: &Path, options: &[&str]) -> Self {
        let ready = data.with_extension("ready");
        // A killed server leaves its file.
        std::fs::remove_file(&ready).unwrap_or_default();
        let mut command = command(data);
        let mut child = command.args(options).arg("--ready-file").arg(&ready).spawn().unwrap();
        let address = wait_for("the server to be ready", || {
            assert!(child.try_wait().unwrap().is_none(), "the server ended at once");
            std::fs::read_to_string(&ready).ok()
        });
        Self { child, address: address.trim().to_owned(), ready }
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn ask_to_stop(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    pub(crate) fn stop(mut self) -> ExitStatus {
        self.ask_to_stop();
        self.child.wait().unwrap()
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.ready.exists()
    }

    /// `POST /?{address}` with a body.
    pub(crate) fn post(&self, address: &str, body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", address, "", body.as_ref())
    }

    pub(crate) fn get(&self, address: &str) -> Reply {
        self.send("GET", address, "", b"")
    }

    pub(crate) fn send(&self, method: &str, query: &str, headers: &str, body: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{method} /?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        Reply::read(stream)
    }

    /// Runs a statement that must succeed and returns its answer.
    pub(crate) fn ask(&self, sql: &str) -> String {
        let reply = self.post("", sql);
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.text().trim_end().to_owned()
    }

    pub(crate) fn client(&self) -> clickhouse::Client {
        clickhouse::Client::default().with_url(format!("http://{}", self.address))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail where the test ended the server itself.
        self.child.kill().unwrap_or_default();
        let _ended = self.child.wait();
    }
}

pub(crate) fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hushmark-embedded"));
    command.arg("--lib").arg(engine_library()).arg("--data").arg(data);
    command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).env("HUSHMARK_LOG", "warn");
    command
}

/// Runs a server that must refuse to start, and returns what it said.
pub(crate) fn refusal(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap().to_ascii_lowercase();
        let status = head[9..12].parse().unwrap();
        Self { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A data folder's path in a folder of its own, which goes when the test ends.
pub(crate) fn folder() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    (parent, data)
}

pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// For an address: everything but letters and digits as %XX.
pub(crate) fn escape(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").unwrap();
        }
        out
    })
}
