//! The control plane that other tests stand on: it is a real one, it counts, it can be broken, and
//! it leaves nothing behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use hushmark_tests::cluster::{Cluster, account};
use hushmark_tests::tools::Tools;
use serde_json::Value;

/// A ServiceAccount that may patch ConfigMaps of its namespace and nothing else.
const ACCOUNT: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: demo}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: worker, namespace: demo}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: worker, namespace: demo}
rules:
- {apiGroups: [\"\"], resources: [configmaps], verbs: [get, patch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: worker, namespace: demo}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: worker}
subjects:
- {kind: ServiceAccount, name: worker, namespace: demo}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: notes, namespace: demo}
";

/// A Deployment, and a StatefulSet whose pods each claim a volume.
const WORKLOADS: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 3
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      nodeSelector: {topology.kubernetes.io/region: eu-west}
      containers: [{name: web, image: nothing}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  replicas: 2
  serviceName: store
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      containers: [{name: store, image: nothing}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      resources: {requests: {storage: 1Gi}}
";

fn start() -> Result<Cluster> {
    Cluster::start(&Tools::from_env()?)
}

#[test]
fn a_role_allows_what_it_names_and_every_write_is_counted() -> Result<()> {
    let cluster = start()?;
    cluster.apply(ACCOUNT)?;
    let worker = cluster.kubeconfig_of("demo", "worker")?;
    let user = account("demo", "worker");
    let patch = ["patch", "configmap", "notes", "-n", "demo", "-p", r#"{"data":{"a":"1"}}"#];

    let mark = cluster.mark()?;
    cluster.kubectl_as(&worker, &["get", "configmap", "notes", "-n", "demo"])?;
    cluster.kubectl_as(&worker, &[&patch[..], &["--dry-run=server"]].concat())?;
    ensure!(cluster.writes_since(&mark, &user)?.is_empty(), "a question counted as a write");
    cluster.kubectl_as(&worker, &patch)?;
    let refused = cluster.kubectl_as(&worker, &["delete", "configmap", "notes", "-n", "demo"]);
    let refused = refused.err().context("a ServiceAccount did what its role does not name")?;
    ensure!(format!("{refused:#}").contains("forbidden"), "{refused:#}");

    let writes = cluster.writes_since(&mark, &user)?;
    let seen: Vec<_> = writes.iter().map(|write| (&*write.verb, write.code)).collect();
    ensure!(seen == [("patch", 200), ("delete", 403)], "{seen:?}");
    Ok(())
}

#[test]
fn pods_are_ready_on_the_nodes_of_the_region_that_they_name() -> Result<()> {
    let cluster = start()?;
    cluster.apply(WORKLOADS)?;
    cluster.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"])?;
    cluster.kubectl(&["rollout", "status", "statefulset/store", "--timeout=60s"])?;
    let pods = cluster.get(&["pods", "-l", "app=web"])?;
    let pods = pods["items"].as_array().context("no list")?;
    let nodes = pods.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default());
    ensure!(nodes.clone().count() == 3 && nodes.clone().all(|node| node.starts_with("eu-west-")));

    // A node that does not renew its Lease counts as dead after 50 s, and its pods as not ready.
    cluster.wait("every node has a Lease", || Ok(renewals(&cluster)?.len() == 4))?;
    let first = renewals(&cluster)?;
    cluster.wait("every node renews its Lease", || {
        let now = renewals(&cluster)?;
        Ok(first.iter().all(|(node, renewed)| now.get(node).is_some_and(|now| now > renewed)))
    })
}

/// When each node's Lease was renewed last; one clock writes them all, in a form that sorts.
fn renewals(cluster: &Cluster) -> Result<BTreeMap<String, String>> {
    let list = cluster.get(&["leases", "-n", "kube-node-lease"])?;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let leases = list["items"].as_array().context("no list")?.iter();
    Ok(leases
        .map(|lease| (word(&lease["metadata"]["name"]), word(&lease["spec"]["renewTime"])))
        .collect())
}

#[test]
fn an_api_server_that_was_stopped_or_killed_comes_back_with_what_it_knew() -> Result<()> {
    let cluster = start()?;
    cluster.kubectl(&["create", "namespace", "kept"])?;
    cluster.stop_api()?;
    let hangs = cluster.kubectl(&["get", "namespace", "kept", "--request-timeout=1s"]);
    cluster.continue_api()?;
    ensure!(hangs.is_err(), "a stopped API server answered");
    let mark = cluster.mark()?;
    cluster.kill_api()?;
    ensure!(cluster.kubectl(&["get", "namespace", "kept"]).is_err(), "a dead one answered");
    cluster.restart_api()?;
    cluster.kubectl(&["get", "namespace", "kept"])?;
    cluster.kubectl(&["create", "namespace", "more"])?;
    let writes = cluster.writes_since(&mark, "admin")?;
    ensure!(writes.len() == 1, "the audit log was not continued: {writes:?}");
    Ok(())
}

#[test]
fn two_stand_side_by_side_and_nothing_is_left_of_one_that_is_dropped() -> Result<()> {
    let (one, other) = (start()?, start()?);
    one.kubectl(&["create", "namespace", "mine"])?;
    ensure!(other.kubectl(&["get", "namespace", "mine"]).is_err(), "two have one store");
    let folder = one.folder().to_owned();
    let parts = [&one.etcd, &one.api, &one.controllers, &one.scheduler, &one.kwok];
    let processes = parts.map(|part| part.pid().map(|pid| pid.as_raw_nonzero().get()));
    let processes: Vec<i32> = processes.into_iter().collect::<Result<_>>()?;
    drop(one);
    for process in processes {
        ensure!(!fs::exists(format!("/proc/{process}"))?, "{process} lives on");
    }
    ensure!(!folder.exists(), "{} is left", folder.display());
    other.kubectl(&["get", "nodes"])?;
    Ok(())
}

#[test]
fn a_program_that_was_not_built_is_named_with_the_command_that_builds_it() {
    let nowhere = Some(PathBuf::from("/nowhere"));
    for folder in [None, nowhere] {
        let tools = Tools::new(PathBuf::new(), PathBuf::new()).with_cluster(folder);
        let error = Cluster::start(&tools).err().map(|error| format!("{error:#}"));
        let error = error.unwrap_or_default();
        assert!(error.contains("kube-scheduler"), "{error}");
        assert!(error.contains("cargo xtask cluster build"), "{error}");
    }
}
