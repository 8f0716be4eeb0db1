//! The control plane of the tests, for a person: in the background until it is stopped, with a real
//! node where that is asked for.
//!
//! `hushmark-cluster` of the room `tests` holds it. It runs as long as the file `running` is in its
//! folder, and holds the lock there as long as it runs.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::setup::{self, Need};
use crate::tree::Tree;
use crate::{check, image};

/// How long a start may take on a busy machine, and a stop.
const PATIENCE: Duration = Duration::from_secs(120);

const PROGRAM: &str = "hushmark-cluster";

#[derive(Args)]
pub(crate) struct Options {
    /// Nodes that kwok plays in a region, as REGION=COUNT; may be repeated
    #[arg(long, value_name = "REGION=COUNT", default_value = "eu-central=3")]
    nodes: Vec<String>,
    /// One real node instead, whose pods run our images; needs root
    #[arg(long, conflicts_with = "nodes")]
    node: bool,
}

pub(super) fn up(tree: &Tree, options: &Options) -> Result<()> {
    let need = if options.node { Need::Node } else { Need::Tests };
    let ready = setup::run(tree, need)?;
    if options.node {
        image::build_for_a_node(tree, &ready)?;
    }
    println!("   building {PROGRAM}");
    check::build_binaries(tree, &[PROGRAM])?;
    let folder = folder(tree);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    if runs(&folder)? {
        bail!(
            "a control plane runs already: its kubeconfig is {}; `cargo xtask cluster down` stops it",
            kubeconfig(&folder).display()
        );
    }
    // What lies here is from one that was killed.
    fs::remove_dir_all(&folder)?;
    fs::create_dir_all(&folder)?;
    let said = folder.join("up.log");
    let output = File::create(&said)?;
    File::create(folder.join("running"))?;
    // In a session of its own: a closed terminal or Ctrl-C must not take it along.
    let mut command = Command::new("setsid");
    command.arg(tree.binaries().join(PROGRAM)).arg("--folder").arg(&folder);
    command.arg("--tools").arg(ready.cluster()?);
    if options.node {
        command.arg("--images").arg(tree.images());
    } else {
        command.args(options.nodes.iter().flat_map(|nodes| ["--nodes", nodes]));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .context("cannot start setsid (util-linux)")?;
    wait(&mut child, &folder)?;
    print!("{}", fs::read_to_string(&said)?);
    println!("export KUBECONFIG={}", kubeconfig(&folder).display());
    Ok(())
}

pub(super) fn down(tree: &Tree) -> Result<()> {
    let folder = folder(tree);
    if !folder.is_dir() || !runs(&folder)? {
        println!("no control plane runs");
        return Ok(());
    }
    fs::remove_file(folder.join("running")).context("asking the control plane to stop")?;
    let until = Instant::now() + PATIENCE;
    while runs(&folder)? {
        if Instant::now() > until {
            bail!("the control plane in {} does not stop", folder.display());
        }
        thread::sleep(Duration::from_millis(50));
    }
    fs::remove_dir_all(&folder)?;
    println!("stopped");
    Ok(())
}

/// One a clone.
fn folder(tree: &Tree) -> PathBuf {
    tree.target.join("cluster")
}

fn kubeconfig(folder: &Path) -> PathBuf {
    folder.join("state/admin.kubeconfig")
}

fn runs(folder: &Path) -> Result<bool> {
    let file = folder.join("lock");
    let lock = File::create(&file).with_context(|| format!("cannot write {}", file.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error).context("asking who holds the lock"),
    }
}

fn wait(child: &mut Child, folder: &Path) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !folder.join("ready").is_file() {
        if child.try_wait()?.is_some() || Instant::now() > until {
            let said = fs::read_to_string(folder.join("up.log")).unwrap_or_default();
            // It sees that by itself, if it still runs.
            fs::remove_file(folder.join("running")).ok();
            bail!("the control plane did not start:\n{}", said.trim());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
