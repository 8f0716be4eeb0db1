//! A region, its operator, a tenant with two campaigns, and a person with a plugin on their PATH.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use hushmark_tests::cluster::{Cluster, Deployed, Release};
use hushmark_tests::tools::Tools;
use serde_json::Value;

/// Who looks after a region: reads what is ours, sees the stack, and may reach its pods. `guest`
/// may read, and no more.
const PEOPLE: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: person, namespace: default}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: guest, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: hushmark-reader}
rules:
- {apiGroups: [hushmark.io], resources: ['*'], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: hushmark-writer}
rules:
- {apiGroups: [hushmark.io], resources: [regions, tenants, campaigns], verbs: [create, patch]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: hushmark-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: hushmark-reader}
subjects:
- {kind: ServiceAccount, name: person, namespace: default}
- {kind: ServiceAccount, name: guest, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: hushmark-writer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: hushmark-writer}
subjects:
- {kind: ServiceAccount, name: person, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: stack, namespace: hush-eu}
rules:
- {apiGroups: ['', apps, batch, autoscaling, policy, networking.k8s.io, coordination.k8s.io],
   resources: ['*'], verbs: [get, list]}
- {apiGroups: [events.k8s.io], resources: [events], verbs: [list]}
- {apiGroups: [''], resources: [pods/portforward], verbs: [create, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: stack, namespace: hush-eu}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: stack}
subjects:
- {kind: ServiceAccount, name: person, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: sees-who-works, namespace: hush-eu}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: sees-who-works, namespace: hush-eu}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sees-who-works}
subjects:
- {kind: ServiceAccount, name: guest, namespace: default}
";

pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) release: Release,
    pub(crate) operator: Deployed,
    /// The name of the pod whose process it is.
    pub(crate) pod: String,
    pub(crate) person: PathBuf,
    pub(crate) guest: PathBuf,
    kubectl: PathBuf,
    plugins: PathBuf,
}

/// What a command came to.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Stage {
    pub(crate) fn set() -> Result<Self> {
        let tools = Tools::from_env()?;
        let program = tools.program("hushmark")?;
        let cluster = Cluster::start(&tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install(&cluster, "eu", "eu-central")?;
        cluster.apply(&release.region())?;
        cluster.apply(PEOPLE)?;
        let pods = cluster.get(&["pods", "-n", "hush-eu"])?;
        let pod = pods["items"][0]["metadata"]["name"].as_str().context("no operator's pod")?;
        let operator = release.operator(&cluster, &tools.program("hushmark-operator")?, pod)?;
        operator.process.start()?;
        let pod = pod.to_owned();
        let plugins = cluster.folder().join("plugins");
        std::fs::create_dir(&plugins)?;
        for name in ["kubectl-hushmark", "kubectl_complete-hushmark"] {
            std::os::unix::fs::symlink(&program, plugins.join(name))?;
        }
        let person = cluster.kubeconfig_of("default", "person")?;
        let guest = cluster.kubeconfig_of("default", "guest")?;
        let kubectl = tools.cluster_program("kubectl")?;
        let stage = Self { cluster, release, operator, pod, person, guest, kubectl, plugins };
        let log = stage.node_log();
        std::fs::write(&log, "")?;
        let forwards = [(9083, stage.operator.asks), (9082, stage.operator.admin)];
        stage.cluster.play_kubelet(&forwards, ("operator", &log))?;
        stage.cluster.apply(&stage.release.tenant("acme", 2))?;
        stage.until("everything is Ready", || {
            let campaigns = ["letter-1", "letter-2"];
            let ready = |kind: &str, namespace: &[&str], name: &str| -> Result<bool> {
                let object = stage.cluster.get(&[&[kind, name][..], namespace].concat())?;
                let conditions = object["status"]["conditions"].clone();
                let mut all = conditions.as_array().into_iter().flatten();
                Ok(all.any(|c| c["type"] == "Ready" && c["status"] == "True"))
            };
            let acme = ["-n", "acme"];
            let all = campaigns.iter().map(|name| ready("campaign", &acme, name));
            let all: Result<Vec<bool>> = all.collect();
            Ok(ready("region", &[], "eu")? && all?.into_iter().all(|is| is))
        })?;
        // Volumes are named by the order in which they were made, which no golden can hold.
        let here = "topology.kubernetes.io/region=eu-central";
        stage.cluster.kubectl(&["label", "pv", "--all", here])?;
        // Nothing tells the operator, which would look in five minutes.
        stage.cluster.kubectl(&["annotate", "region", "eu", "example.org/look=again"])?;
        stage.until("the volumes say where they are", || {
            let region = stage.cluster.get(&["region", "eu"])?;
            Ok(!region["status"]["conditions"].to_string().contains("VolumesUnlabelled"))
        })?;
        Ok(stage)
    }

    /// The operator's log as a node keeps it.
    pub(crate) fn node_log(&self) -> PathBuf {
        self.cluster.folder().join("node.log")
    }

    pub(crate) fn until(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        let look = || {
            if !self.operator.process.is_running() {
                bail!("the operator ended:\n{}", self.operator.process.last_words());
            }
            done()
        };
        self.cluster.wait(what, look).with_context(|| self.operator.process.last_words())
    }

    /// `kubectl hushmark …` as the person.
    pub(crate) fn person(&self, arguments: &[&str]) -> Result<Said> {
        self.kubectl(&self.person, &[&["hushmark"], arguments].concat())
    }

    /// `kubectl hushmark …` as the guest.
    pub(crate) fn guest(&self, arguments: &[&str]) -> Result<Said> {
        self.kubectl(&self.guest, &[&["hushmark"], arguments].concat())
    }

    pub(crate) fn kubectl(&self, who: &Path, arguments: &[&str]) -> Result<Said> {
        let mut command = Command::new("timeout");
        command.arg("60").arg(&self.kubectl).args(arguments).env("KUBECONFIG", who);
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.plugins.display()));
        command.env("HOME", self.cluster.folder().join("home"));
        command.current_dir(self.cluster.folder());
        command.stdin(std::process::Stdio::null());
        let Output { status, stdout, stderr } = command.output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let code = status.code().context("kubectl was killed")?;
        Ok(Said { code, out: text(stdout), err: text(stderr) })
    }

    /// A file beside the cluster.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.cluster.folder().join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_str().context("the folder's name is not text")?.to_owned())
    }

    /// A text without what differs from run to run: hashes, ages, days, names of pods, ports.
    pub(crate) fn settled(&self, text: &str) -> String {
        let mut settled = text.replace(&self.pod, "POD");
        settled = settled.replace(&self.cluster.folder().display().to_string(), "FOLDER");
        let mut out = Vec::new();
        for line in settled.lines() {
            let words = line.split(' ').map(|word| {
                let bare = word.trim_end_matches(['…', ',', '\n']);
                let rest = &word[bare.len()..];
                let is_hash = bare.len() >= 12 && bare.bytes().all(|b| b.is_ascii_hexdigit());
                let is_age = bare.len() >= 2
                    && bare.ends_with(['s', 'm', 'h'])
                    && bare[..bare.len() - 1].bytes().all(|b| b.is_ascii_digit());
                let is_day = bare.len() == 10 && bare.as_bytes()[4] == b'-';
                let said = match (is_hash, is_age, is_day) {
                    (true, ..) => "HASH",
                    (_, true, _) => "AGE",
                    (.., true) => "DAY",
                    _ => bare,
                };
                format!("{said}{rest}")
            });
            out.push(words.collect::<Vec<_>>().join(" "));
        }
        out.join("\n")
    }

    /// Entries of the refusal log, as the Region's status says.
    pub(crate) fn log_length(&self) -> Result<u64> {
        let region = self.cluster.get(&["region", "eu"])?;
        region["status"]["refusalLog"]["length"].as_u64().context("no head in the status")
    }

    pub(crate) fn campaign(&self, name: &str) -> Result<Value> {
        self.cluster.get(&["campaign", name, "-n", "acme"])
    }
}

impl Said {
    /// What was printed, where it ended as it should.
    pub(crate) fn ended(self, code: i32) -> Result<String> {
        let Self { code: found, out, err } = self;
        ensure!(found == code, "it ended with {found}, not {code}:\n{out}\n{err}");
        Ok(if err.is_empty() || code == 0 { out } else { format!("{out}{err}") })
    }
}
