//! `ResidencyProven` on a real control plane. Nodes are played, and so pods that probe the network
//! run nothing: what they would have found is written into their status here. The program that they
//! would have run is tried on real sockets.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hushmark_tests::cluster::{Call, Cluster, Deployed, Release, condition};
use hushmark_tests::tools::Tools;
use serde_json::{Value, json};

/// An address of a network that documentation alone may use.
const TARGET: &str = "192.0.2.1:443";

const PLACE: &str = "eu-central";

struct Scene {
    cluster: Cluster,
    release: Release,
    operator: Deployed,
    /// Pods that were ended here.
    answered: RefCell<BTreeSet<String>>,
}

impl Scene {
    fn start() -> Result<Self> {
        let tools = Tools::from_env()?;
        let cluster = Cluster::start(&tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install(&cluster, "eu", PLACE)?;
        let program = tools.program("hushmark-operator")?;
        cluster.apply(&release.region())?;
        let operator = release.operator(&cluster, &program, "operator-first")?;
        operator.process.start()?;
        Ok(Self { cluster, release, operator, answered: RefCell::default() })
    }

    /// The condition as `STATUS REASON: MESSAGE`.
    fn says(&self, name: &str) -> Result<String> {
        let region = &self.cluster.get(&["region", &self.release.name])?;
        Ok(condition(region, name).unwrap_or_default())
    }

    fn wait_until(&self, name: &str, begins: &str) -> Result<()> {
        let waited = self.cluster.wait(&format!("{name} says {begins}"), || {
            if !self.operator.process.is_running() {
                bail!("the operator ended:\n{}", self.operator.process.last_words());
            }
            Ok(self.says(name)?.starts_with(begins))
        });
        waited.with_context(|| self.says(name).unwrap_or_default())
    }

    fn patch(&self, patch: &Value) -> Result<()> {
        let patch = patch.to_string();
        let region = ["patch", "region", &self.release.name, "--type=merge", "-p", &patch];
        self.cluster.kubectl(&region).map(drop)
    }

    /// A person wants to know anew.
    fn ask_again(&self, how: &str) -> Result<()> {
        self.patch(&json!({"metadata": {"annotations": {"hushmark.io/probe-egress": how}}}))
    }

    /// Pods that probe: name and role.
    fn probes(&self) -> Result<Vec<(String, String)>> {
        let namespace = ["-n", &self.release.namespace];
        let list =
            self.cluster.get(&[&["pods", "-l", "hushmark.io/probe"][..], &namespace].concat())?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let pair = |pod: &Value| {
            let at = &pod["metadata"];
            (word(&at["name"]), word(&at["labels"]["hushmark.io/probe"]))
        };
        Ok(items.iter().map(pair).collect())
    }

    /// Ends every pod that probes, as its program would have: the restricted one and the control.
    fn answer(&self, restricted: &str, control: &str) -> Result<()> {
        // Those of the question before may still be there: their names are others.
        let asked = || -> Result<Vec<(String, String)>> {
            let mut pods = self.probes()?;
            pods.retain(|(pod, _)| !self.answered.borrow().contains(pod));
            Ok(pods)
        };
        self.cluster.wait("two pods run on each of two nodes", || Ok(asked()?.len() == 4))?;
        for (pod, role) in asked()? {
            self.answered.borrow_mut().insert(pod.clone());
            let found = if role == "restricted" { restricted } else { control };
            let ended = json!({
                "exitCode": i32::from(found != "Reached"),
                "message": format!("{found} {TARGET}"),
                "reason": if found == "Reached" { "Completed" } else { "Error" },
            });
            let phase = if found == "Reached" { "Succeeded" } else { "Failed" };
            let status = json!({"status": {"phase": phase, "containerStatuses": [{
                "name": "probe", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
                "state": {"terminated": ended},
            }]}});
            let patch = status.to_string();
            let pod = ["patch", "pod", &pod, "--subresource=status", "--type=merge", "-p", &patch];
            self.cluster.kubectl(&[&pod[..], &["-n", &self.release.namespace]].concat())?;
        }
        Ok(())
    }

    fn writes_within(&self, time: Duration) -> Result<Vec<Call>> {
        let mark = self.cluster.mark()?;
        sleep(time);
        let writes = self.cluster.writes_since(&mark, &self.operator.user)?;
        Ok(writes.into_iter().filter(|call| !call.is_lease()).collect())
    }

    /// Waits until nothing but Leases was written for a while.
    fn settle(&self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            if self.writes_within(Duration::from_secs(2))?.is_empty() {
                return Ok(());
            }
        }
        bail!("it goes on writing:\n{}", self.operator.process.last_words())
    }
}

#[test]
fn residency_is_proven_by_labels_policies_and_a_probe_with_a_control_and_not_without() -> Result<()>
{
    const PROVEN: &str = "ResidencyProven";
    let scene = Scene::start()?;
    scene.wait_until("Ready", "True")?;
    scene.wait_until(PROVEN, "Unknown VolumesUnlabelled")?;
    let label = format!("topology.kubernetes.io/region={PLACE}");
    scene.cluster.kubectl(&["label", "pv", "--all", &label])?;
    // No volume is watched: whatever changes in the Region has it look again.
    scene.ask_again("volumes are labelled")?;
    scene.wait_until(PROVEN, "Unknown EgressNotProbed")?;
    ensure!(scene.says(PROVEN)?.contains("set spec.egressProbe.target"));
    ensure!(scene.probes()?.is_empty(), "nobody asked for it");

    scene.patch(&json!({"spec": {"egressProbe": {"target": TARGET}}}))?;
    scene.wait_until(PROVEN, "Unknown Probing")?;
    scene.answer("TimedOut", "Reached")?;
    scene.wait_until(PROVEN, "True Proven")?;
    scene.cluster.wait("the pods are gone", || Ok(scene.probes()?.is_empty()))?;

    // The answer is in the status: neither rest nor a restart asks anew.
    scene.settle()?;
    let writes = scene.writes_within(Duration::from_secs(10))?;
    ensure!(writes.is_empty(), "{writes:?}");
    let mark = scene.cluster.mark()?;
    scene.operator.process.terminate(Duration::from_secs(40))?;
    scene.operator.process.start()?;
    scene.cluster.wait("it is ready", || Ok(scene.operator.is_ready()))?;
    sleep(Duration::from_secs(8));
    let writes = scene.cluster.writes_since(&mark, &scene.operator.user)?;
    let writes: Vec<&Call> = writes.iter().filter(|call| !call.is_lease()).collect();
    ensure!(writes.is_empty(), "{writes:?}");
    ensure!(scene.says(PROVEN)?.starts_with("True"));

    // Without the positive control nothing is proven.
    scene.ask_again("the network is down")?;
    scene.answer("TimedOut", "TimedOut")?;
    scene.wait_until(PROVEN, "Unknown ControlFailed")?;
    scene.wait_until("Ready", "True")?;

    // Who gets through shows that nothing is enforced, and that is no state to run in.
    scene.ask_again("a network without policies")?;
    scene.answer("Reached", "Reached")?;
    scene.wait_until(PROVEN, "False EgressOpen")?;
    scene.wait_until("Ready", "False EgressOpen")?;

    scene.patch(&json!({"spec": {"egressProbe": null}}))?;
    scene.wait_until(PROVEN, "Unknown EgressNotProbed")?;
    let region = scene.cluster.get(&["region", &scene.release.name])?;
    ensure!(region["status"]["egressProbes"].is_null(), "{}", region["status"]);
    scene.cluster.wait("no pod is left", || Ok(scene.probes()?.is_empty()))
}

/// Runs the program that the pods would have run; what it reports, and its exit code.
fn probe(target: SocketAddr) -> Result<(String, Option<i32>)> {
    let program: PathBuf = Tools::from_env()?.program("hushmark-operator")?;
    let folder = tempfile::tempdir()?;
    let report = folder.path().join("termination-log");
    let mut command = Command::new(program);
    command.env_clear().args(["probe", "--after=0", "--patience=1", "--report"]).arg(&report);
    let status = command.arg(target.to_string()).output()?.status;
    Ok((std::fs::read_to_string(report)?, status.code()))
}

#[test]
fn the_program_says_whether_a_connection_came_about() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let target = listener.local_addr()?;
    ensure!(probe(target)? == (format!("Reached {target}"), Some(0)));
    drop(listener);
    ensure!(probe(target)? == (format!("Refused {target}"), Some(1)));
    Ok(())
}
