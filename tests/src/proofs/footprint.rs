//! Proof `footprint`: how little the edge takes, and how soon a stack on one machine answers.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hushmark_token::{Kid, RegionKey};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Run;
use crate::figure::Figures;
use crate::http;
use crate::keys::today;
use crate::plan::{Minter, Plan};
use crate::ports;
use crate::process::{Process, Recipe};
use crate::stack::{Shape, Stack};

/// The manifests that the quickstart starts.
const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");

/// How long a start may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests that are under way at once while connections are opened.
const AT_ONCE: usize = 200;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let binary = fs::metadata(run.tools.program("hushmark-edge")?)?.len();
    run.limit(&mut figures, "the edge's binary", binary as f64 / 1e6, 10.0, "MB");
    memory(run, &mut figures)?;
    starts(run, &mut figures)?;
    Ok(figures)
}

fn memory(run: &Run, figures: &mut Figures) -> Result<()> {
    let wanted = run.size(10_000, 300);
    allow_files(wanted as u64 + 1_000)?;
    let stack = Stack::start(&run.tools, &Shape { writers: 1, threads: 2, ..Shape::default() }, 1)?;
    let edge = &stack.edges[0];
    // Whatever starting needed has had time to be given back.
    sleep(Duration::from_secs(run.size(3, 0)));
    let idle = edge.process.usage()?.resident;
    run.limit(figures, "the edge's memory, idle", idle as f64 / 1e6, 20.0, "MB");
    let target = edge.listen.context("an edge listens")?;
    let open = connect(target, &mut stack.minter(), wanted)?;
    let there = edge.metric("hushmark_edge_connections")?.unwrap_or_default() as u64;
    figures.at_least("connections that the edge holds open", there, wanted as u64, "connections");
    let full = edge.process.usage()?.resident;
    let figure = format!("the edge's memory with {wanted} open connections");
    run.limit(figures, &figure, full as f64 / 1e6, 60.0, "MB");
    drop(open);
    Ok(())
}

/// Raises what this program and its children may open, as far as it is let.
fn allow_files(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)
        .with_context(|| format!("cannot open {wanted} files: raise `ulimit -Hn` to that"))
}

/// Opens connections that stay open, each after one answered hit.
fn connect(target: SocketAddr, minter: &mut Minter, count: usize) -> Result<Vec<TcpStream>> {
    let plan = Plan::Newsletters { seed: 1, campaigns: 12 };
    let mut open = Vec::with_capacity(count);
    for n in 0..count {
        let mut stream = TcpStream::connect(target)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = Vec::new();
        minter.request(&plan.hit(n as u64), &mut request)?;
        stream.write_all(&request)?;
        open.push(stream);
        if open.len().is_multiple_of(AT_ONCE) || open.len() == count {
            let from = (open.len() - 1) / AT_ONCE * AT_ONCE;
            for stream in &mut open[from..] {
                read_answer(stream)?;
            }
        }
    }
    Ok(open)
}

/// Reads one answer, which is a pixel or a redirect.
fn read_answer(stream: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; 2_048];
    let n = stream.read(&mut buffer)?;
    let text = String::from_utf8_lossy(&buffer[..n]);
    if !text.starts_with("HTTP/1.1 200") && !text.starts_with("HTTP/1.1 302") {
        bail!("a hit was answered {:?}", text.lines().next());
    }
    Ok(())
}

/// Starts the quickstart on a data folder of its own: the first time with nothing there, then
/// again over what the first time left.
fn starts(run: &Run, figures: &mut Figures) -> Result<()> {
    let times = run.size(5, 1);
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..times {
        let folder = tempfile::Builder::new().prefix("hushmark-").tempdir()?;
        first.push(start(run, folder.path(), "first")?);
        again.push(start(run, folder.path(), "again")?);
    }
    let name = "`hushmark up` to the first answered hit";
    run.limit(figures, name, median(first), 3.0, "s");
    run.limit(figures, &format!("{name}, on a folder with data"), median(again), 3.0, "s");
    Ok(())
}

/// Seconds from the start of `hushmark up` until a hit was answered and counted.
fn start(run: &Run, folder: &Path, name: &str) -> Result<f64> {
    let data = folder.join("data");
    let listen = ports::free()?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path is text");
    let program = run.tools.program("hushmark")?;
    let beside = program.parent().context("a program lies in a folder")?;
    let recipe = Recipe {
        name: name.into(),
        args: ["--data", &text(&data)?, "up", QUICKSTART, "--listen", &listen.to_string()]
            .map(String::from)
            .into(),
        env: [
            ("HUSHMARK_BIN_DIR".to_owned(), text(beside)?),
            ("HUSHMARK_ENGINE_LIB".to_owned(), text(run.tools.engine_lib()?)?),
        ]
        .into(),
        program,
    };
    let up = Process::new(recipe, folder);
    let began = Instant::now();
    up.start()?;
    let answered = first_hit(&up, &data, listen);
    let took = began.elapsed().as_secs_f64();
    // It drains once it is in front; before that it would leave its children behind.
    let ended = in_front(&up).and_then(|()| up.terminate(PATIENCE));
    answered.with_context(|| up.last_words())?;
    ended?;
    Ok(took)
}

/// Asks for a pixel until it is answered and counted.
fn first_hit(up: &Process, data: &Path, listen: SocketAddr) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let mut request = None;
    while Instant::now() < until && up.is_running() {
        if request.is_none() {
            request = region_key(data).map(|key| pixel(&key)).transpose()?;
        }
        let answered = request.as_deref().is_some_and(|request| ask(listen, request).is_ok());
        // An edge that does not know the refusal log yet answers and counts nothing.
        if answered && edge_admin(data).is_some_and(counts_hits) {
            return Ok(());
        }
        sleep(Duration::from_millis(5));
    }
    bail!("no hit was answered within {PATIENCE:?}")
}

/// The region's key, once `up` has made it.
fn region_key(data: &Path) -> Option<RegionKey> {
    let bytes = fs::read(data.join("keys/1.key")).ok()?;
    Some(RegionKey::new(bytes.try_into().ok()?))
}

/// A request for a valid pixel.
fn pixel(key: &RegionKey) -> Result<Vec<u8>> {
    let mut minter = Minter::new(Kid(1), key, today().plus(1));
    let plan = Plan::EachItsOwn { seed: 1 };
    // Every fortieth hit of that plan is an open.
    let mut request = Vec::new();
    minter.request(&plan.hit(19), &mut request)?;
    Ok(request)
}

fn ask(listen: SocketAddr, request: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(listen)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    read_answer(&mut stream)
}

/// Whether an edge has counted a hit.
fn counts_hits(admin: SocketAddr) -> bool {
    let Ok(answer) = http::get(admin, "/metrics", Duration::from_secs(2)) else { return false };
    answer.text().lines().any(|line| {
        line.strip_prefix("hushmark_edge_hits_total").is_some_and(|rest| !rest.ends_with(" 0"))
    })
}

/// Waits until `up` says that it is in front.
fn in_front(up: &Process) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !up.last_words().contains("press Ctrl-C to stop") {
        if Instant::now() > until || !up.is_running() {
            bail!("`hushmark up` did not become ready:\n{}", up.last_words());
        }
        sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Where the edge's figures are, once `up` has chosen a port.
fn edge_admin(data: &Path) -> Option<SocketAddr> {
    let state = fs::read(data.join("state.json")).ok()?;
    let state: serde_json::Value = serde_json::from_slice(&state).ok()?;
    state["edge_admin"].as_str()?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
