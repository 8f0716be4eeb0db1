//! A real node: containerd, kubelet and kube-proxy in a machine within this one, with the images
//! of `cargo xtask image`, names, volumes, and an enforcer of NetworkPolicies. Root alone can have
//! it, one at a time. Tests on this machine reach Services and pods by their addresses.

mod enforcer;
mod machine;
mod rules;

pub(super) use machine::{HERE, SERVICES, THERE};

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Cluster;
use super::identity::Identities;
use crate::process::{Process, Recipe};
use crate::tools::Tools;
use enforcer::Enforcer;
use machine::{Machine, PODS};

/// What the node is called.
pub(super) const NODE: &str = "node-1";

/// The label of the region that it is in.
pub const NODE_REGION: &str = "local";

/// The address of names in the cluster.
const DNS: &str = "10.96.0.10";

/// The release of our images, which is that of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Names of Services, with as few rights as that takes.
const COREDNS: &str = include_str!("node/coredns.yaml");

/// The node's parts. Dropped, they are gone with everything that ran in pods.
pub(super) struct Node {
    /// Before the machine: it asks for rules in it.
    enforcer: Option<Enforcer>,
    containerd: Process,
    kubelet: Process,
    proxy: Process,
    machine: Machine,
}

impl Node {
    /// Makes the machine, so that its address is there, and prepares what runs in it.
    pub(super) fn prepare(tools: &Tools, folder: &Path, logs: &Path) -> Result<Self> {
        let own = folder.join("node");
        fs::create_dir_all(own.join("cni"))?;
        let machine = Machine::start(tools, &own, logs)?;
        fs::write(own.join("cni/10-pods.conflist"), network())?;
        fs::write(own.join("containerd.toml"), containerd(&own))?;
        fs::write(own.join("kubelet.yaml"), kubelet(&folder.join("identities")))?;
        let text = |path: &Path| path.display().to_string();
        let process = |name: &str, program: &Path, args: Vec<String>| {
            let recipe =
                Recipe { name: name.into(), program: program.into(), args, env: BTreeMap::new() };
            machine.door.process(recipe, logs)
        };
        let containerd = {
            let args = vec!["--config".into(), text(&own.join("containerd.toml"))];
            process("containerd", Path::new("containerd"), args)
        };
        let kubelet = {
            let args = [
                ("--config", text(&own.join("kubelet.yaml"))),
                ("--kubeconfig", text(&folder.join("kubelet.kubeconfig"))),
                ("--hostname-override", NODE.into()),
                ("--node-ip", THERE.to_string()),
                ("--node-labels", format!("topology.kubernetes.io/region={NODE_REGION}")),
            ];
            process("kubelet", &tools.cluster_program("kubelet")?, flags(args))
        };
        let proxy = {
            let args = [
                ("--kubeconfig", text(&folder.join("kube-proxy.kubeconfig"))),
                ("--proxy-mode", "nftables".into()),
                ("--hostname-override", NODE.into()),
                ("--cluster-cidr", PODS.into()),
                // Settings of the whole machine, which stay as they are.
                ("--conntrack-max-per-core", "0".into()),
                ("--conntrack-tcp-timeout-established", "0".into()),
                ("--conntrack-tcp-timeout-close-wait", "0".into()),
            ];
            process("kube-proxy", &tools.cluster_program("kube-proxy")?, flags(args))
        };
        Ok(Self { enforcer: None, containerd, kubelet, proxy, machine })
    }

    /// Starts all of it on a control plane that is ready, and waits until pods can run.
    pub(super) fn bring_up(&mut self, cluster: &Cluster, volumes: usize) -> Result<()> {
        self.containerd.start()?;
        cluster.wait("containerd answers", || Ok(self.containers(&["version"]).is_ok()))?;
        // Without it no pod starts; the others come while the kubelet does.
        self.import(&cluster.tools.images()?.join("pause"))?;
        self.kubelet.start()?;
        self.proxy.start()?;
        for image in images(&cluster.tools)? {
            self.import(&image)?;
        }
        cluster.apply(&COREDNS.replace("VERSION", VERSION).replace("CLUSTER_IP", DNS))?;
        cluster.apply(&self.volumes(cluster, volumes)?)?;
        self.enforcer = Some(Enforcer::start(cluster, self.machine.door)?);
        let ready = ["wait", "--for=condition=Ready", "node", NODE, "--timeout=1s"];
        cluster.wait("the node is Ready", || Ok(cluster.kubectl(&ready).is_ok()))?;
        let names = ["rollout", "status", "deployment/coredns", "-n", "kube-system"];
        cluster.kubectl(&[&names[..], &["--timeout=60s"]].concat()).map(drop)
    }

    pub(super) const fn parts(&self) -> [&Process; 3] {
        [&self.containerd, &self.kubelet, &self.proxy]
    }

    /// Gives every image of ours a second tag: another release to upgrade to, of the same bytes.
    pub(super) fn tag(&self, tag: &str) -> Result<()> {
        for name in ["operator", "edge", "writer", "redis", "clickhouse"] {
            let image = format!("docker.io/library/hushmark-{name}");
            let (from, to) = (format!("{image}:{VERSION}"), format!("{image}:{tag}"));
            self.containers(&["images", "tag", "--force", &from, &to])?;
        }
        Ok(())
    }

    fn containers(&self, words: &[&str]) -> Result<String> {
        self.machine.door.run(&[&["ctr", "--namespace", "k8s.io"], words].concat(), Stdio::null())
    }

    /// Hands an image's layout over as the archive that containerd takes.
    fn import(&self, layout: &Path) -> Result<()> {
        let mut tar = Command::new("tar");
        tar.arg("--directory").arg(layout).args(["--create", "."]).stdout(Stdio::piped());
        let mut tar = tar.spawn().context("cannot start tar")?;
        let archive = tar.stdout.take().context("tar writes into a pipe")?;
        let words = ["ctr", "--namespace", "k8s.io", "images", "import", "-"];
        let imported = self.machine.door.run(&words, Stdio::from(archive));
        let packed = tar.wait()?.success();
        imported.with_context(|| format!("importing {}", layout.display()))?;
        if !packed {
            bail!("tar could not read {}", layout.display());
        }
        Ok(())
    }

    /// A default class of volumes, each a folder of the node's that outlives pods and claims.
    fn volumes(&self, cluster: &Cluster, count: usize) -> Result<String> {
        let mut yaml = String::from(
            "apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: local
  annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
",
        );
        for number in 1..=count {
            let path = cluster.folder().join(format!("node/volumes/{number}"));
            fs::create_dir_all(&path)?;
            write!(
                yaml,
                "---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: local-{number}}}
spec:
  capacity: {{storage: 1Ti}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: local
  local: {{path: {}}}
  nodeAffinity:
    required:
      nodeSelectorTerms:
      - matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{NODE}]}}]
",
                path.display()
            )?;
        }
        Ok(yaml)
    }
}

/// The layouts that are imported, but for the one that came first.
fn images(tools: &Tools) -> Result<Vec<std::path::PathBuf>> {
    let folder = tools.images()?;
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let mut layouts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.join("index.json").is_file() && !path.ends_with("pause") {
            layouts.push(path);
        }
    }
    layouts.sort();
    Ok(layouts)
}

fn flags<const N: usize>(flags: [(&str, String); N]) -> Vec<String> {
    flags.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect()
}

/// Every pod has a link of its own to the node and none to another pod, so that all of them pass
/// where policies are enforced.
fn network() -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "pods", "plugins": [{{"type": "ptp", "ipMasq": false,
 "ipam": {{"type": "host-local", "ranges": [[{{"subnet": "{PODS}"}}]],
  "routes": [{{"dst": "0.0.0.0/0"}}]}}}}]}}
"#
    )
}

fn containerd(own: &Path) -> String {
    format!(
        r#"version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/hushmark-pause:{VERSION}"
  # Without CAP_SYS_RESOURCE a lower score is refused, and runc dies of it.
  restrict_oom_score_adj = true
  # Names are served at port 53 by a user without rights.
  enable_unprivileged_ports = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{}/cni"
"#,
        own.display()
    )
}

fn kubelet(identities: &Path) -> String {
    let Identities { ca, kubelet, kubelet_key, .. } = Identities::within(identities);
    let (ca, certificate, key) = (ca.display(), kubelet.display(), kubelet_key.display());
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {THERE}
authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {ca}}}}}
authorization: {{mode: Webhook}}
tlsCertFile: {certificate}
tlsPrivateKeyFile: {key}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
# It would make a folder under /usr.
volumePluginDir: /var/lib/kubelet/volumeplugins
clusterDomain: cluster.local
clusterDNS: [{DNS}]
resolvConf: \"\"
# Images were imported: one that is thrown away does not come again.
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_of_pods_is_json_and_the_kubelets_settings_are_yaml() {
        serde_json::from_str::<serde_json::Value>(&network()).unwrap();
        let settings = kubelet(Path::new("/somewhere"));
        let read: serde_json::Value = serde_saphyr::from_str(&settings).unwrap();
        assert_eq!(read["address"], THERE.to_string());
    }
}
