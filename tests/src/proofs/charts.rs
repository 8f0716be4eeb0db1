//! Proof `charts`: what a user installs. Linted, held against the schemas of four releases of
//! Kubernetes, installed twice side by side on a real API server, upgraded, rolled back and
//! uninstalled, with everything kept that holds data.

mod render;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::Run;
use crate::cluster::{CHARTS, Cluster, Deployed, Release};
use crate::figure::Figures;

/// What has to outlive the release that made it.
const KEPT: &[&str] = &["secrets", "persistentvolumeclaims"];

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let cluster = Cluster::start(&run.tools)?;
    render::lint(&mut figures, &cluster)?;
    Release::install_crds(&cluster)?;
    figures.tell("CRDs installed", crds(&cluster)?.len(), "CRDs");
    render::conform(&mut figures, &run.tools, &cluster)?;

    let east = Release::install(&cluster, "eu", "eu-central")?;
    let west = Release::install(&cluster, "west", "eu-west")?;
    cluster.apply(&east.region())?;
    cluster.apply(&west.region())?;
    life(&mut figures, &cluster, &east)?;
    let program = run.tools.program("hushmark-operator")?;
    let operator = east.operator(&cluster, &program, "operator")?;
    data(&cluster, &east, &operator)?;
    uninstall(&mut figures, &cluster, &east, &operator)?;
    let neighbour = replicas(&cluster, &west)?;
    figures.must("the other region's operator", neighbour, "still one replica", neighbour == 1);
    Ok(figures)
}

/// Upgrade and rollback of a running release.
fn life(figures: &mut Figures, cluster: &Cluster, release: &Release) -> Result<()> {
    let Release { name, namespace, .. } = release;
    let chart = format!("{CHARTS}/hushmark");
    let wait = ["--namespace", namespace, "--wait", "--timeout=120s"];
    let upgrade = ["upgrade", name, &chart, "--set", "operator.replicas=2"];
    cluster.helm(&[&upgrade[..], &wait].concat())?;
    let upgraded = replicas(cluster, release)?;
    figures.must("operators after the upgrade", upgraded, "2", upgraded == 2);
    cluster.helm(&[&["rollback", name, "1"][..], &wait].concat())?;
    let back = replicas(cluster, release)?;
    figures.must("operators after the rollback", back, "1", back == 1);
    Ok(())
}

fn replicas(cluster: &Cluster, release: &Release) -> Result<u64> {
    let deployment = format!("{}-operator", release.name);
    let object = cluster.get(&["deployment", &deployment, "-n", &release.namespace])?;
    Ok(object["status"]["availableReplicas"].as_u64().unwrap_or_default())
}

/// Lets the operator make the region's Secrets and volumes.
fn data(cluster: &Cluster, release: &Release, operator: &Deployed) -> Result<()> {
    operator.process.start()?;
    cluster.wait("the region has keys and volumes", || {
        if !operator.process.is_running() {
            bail!("the operator ended:\n{}", operator.process.last_words());
        }
        Ok(names(cluster, "persistentvolumeclaims", &release.namespace)?.len() >= 2
            && names(cluster, "secrets", &release.namespace)?
                .iter()
                .any(|secret| secret.ends_with("-region-keys")))
    })
}

fn uninstall(
    figures: &mut Figures,
    cluster: &Cluster,
    release: &Release,
    operator: &Deployed,
) -> Result<()> {
    let Release { name, namespace, .. } = release;
    let before: Vec<Vec<String>> =
        KEPT.iter().map(|kind| names(cluster, kind, namespace)).collect::<Result<_>>()?;
    // Its pod goes with its Deployment.
    operator.process.kill9()?;
    cluster.helm(&["uninstall", name, "--namespace", namespace, "--wait"])?;
    cluster.helm(&["uninstall", "hushmark-crds", "--namespace", "hushmark-crds", "--wait"])?;
    let gone = names(cluster, "deployments", namespace)?;
    let operators = gone.iter().filter(|name| name.ends_with("-operator")).count();
    figures.exactly("operators after uninstalling", operators as u64, 0, "Deployments");
    for (kind, before) in KEPT.iter().zip(before) {
        let after = names(cluster, kind, namespace)?;
        // Helm's own record of the release goes with it.
        let is_data = |name: &&String| !name.starts_with("sh.helm.release");
        let lost: Vec<&String> =
            before.iter().filter(is_data).filter(|name| !after.contains(name)).collect();
        let kept = before.iter().filter(is_data).count() - lost.len();
        let holds = lost.is_empty() && kept > 0;
        figures.must(format!("{kind} kept"), json!({"kept": kept, "lost": lost}), "all", holds);
    }
    let crds = crds(cluster)?;
    figures.must("CRDs kept", crds.len(), "all five", crds.len() == 5);
    let regions = names(cluster, "regions", "")?;
    figures.must("Regions kept", json!(regions), "both", regions.len() == 2);
    Ok(())
}

fn crds(cluster: &Cluster) -> Result<Vec<String>> {
    let all = names(cluster, "customresourcedefinitions", "")?;
    Ok(all.into_iter().filter(|name| name.ends_with(".hushmark.io")).collect())
}

/// The names of all objects of a kind, in a namespace or, for what has none, in the cluster.
fn names(cluster: &Cluster, kind: &str, namespace: &str) -> Result<Vec<String>> {
    let place = if namespace.is_empty() { vec![] } else { vec!["-n", namespace] };
    let list = cluster.get(&[&[kind][..], &place].concat())?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    Ok(items.iter().map(name).collect())
}
