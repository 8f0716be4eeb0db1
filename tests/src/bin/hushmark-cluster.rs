//! `hushmark-cluster`: the control plane of the tests for a person, as `cargo xtask cluster up`
//! starts it. It runs until the file `running` is taken out of its folder.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use hushmark_tests::cluster::{Cluster, Shape};
use hushmark_tests::figure::progress;
use hushmark_tests::tools::Tools;

/// A Kubernetes control plane with nodes that kwok plays, or a real one, until `FOLDER/running` is removed.
#[derive(Parser)]
struct Arguments {
    /// Where its state is; `state/admin.kubeconfig` is the administrator's
    #[arg(long)]
    folder: PathBuf,
    /// The folder that `cargo xtask cluster build` fills
    #[arg(long)]
    tools: PathBuf,
    /// The folder of images that `cargo xtask cluster images` writes: with it there is one real node
    /// instead of those that kwok plays
    #[arg(long, conflicts_with = "nodes")]
    images: Option<PathBuf>,
    /// Nodes in a region, as REGION=COUNT; may be repeated
    #[arg(long, value_parser = nodes)]
    nodes: Vec<(String, usize)>,
}

fn nodes(text: &str) -> Result<(String, usize)> {
    let (region, count) = text.split_once('=').context("must be REGION=COUNT")?;
    Ok((region.to_owned(), count.parse().context("COUNT must be a number")?))
}

fn main() -> Result<()> {
    let Arguments { folder, tools: tools_folder, images, nodes } = Arguments::parse();
    // Whoever holds it is the one that runs here; the kernel lets go of it, however this ends.
    let lock = File::create(folder.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!("a control plane runs in {} already", folder.display());
    }
    let shape = match images {
        Some(_) => Shape::real(),
        None => Shape { nodes, ..Shape::default() },
    };
    let tools = Tools::new(PathBuf::new(), PathBuf::new());
    let tools = tools.with_cluster(Some(tools_folder)).with_images(images);
    let cluster = Cluster::start_at(&tools, &shape, &folder.join("state"))?;
    progress(&format!(
        "a control plane is up after {:.1} s; `cargo xtask cluster down` stops it",
        cluster.started_in.as_secs_f64()
    ));
    File::create(folder.join("ready"))?;
    while fs::exists(folder.join("running")).unwrap_or(true) {
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}
