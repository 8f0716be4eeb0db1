//! One Region on a real control plane: what the operator makes of it, puts right, and leaves alone.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hushmark_tests::cluster::{Call, Cluster, Deployed, Mark, REDIS_SECRET, Release};
use hushmark_tests::tools::Tools;
use serde_json::Value;

/// How long the operator may take to end.
const DRAIN: Duration = Duration::from_secs(40);

/// A release whose operator runs, and whose Region is Ready.
struct Scene {
    cluster: Cluster,
    release: Release,
    operator: Deployed,
    program: PathBuf,
}

impl Scene {
    fn start() -> Result<Self> {
        let tools = Tools::from_env()?;
        let program = tools.program("hushmark-operator")?;
        let cluster = Cluster::start(&tools)?;
        Release::install_crds(&cluster)?;
        let release = Release::install(&cluster, "eu", "eu-central")?;
        cluster.apply(&release.region())?;
        let operator = release.operator(&cluster, &program, "operator-first")?;
        operator.process.start()?;
        let scene = Self { cluster, release, operator, program };
        scene.wait_condition("Ready", "True")?;
        Ok(scene)
    }

    fn wait(&self, what: &str, done: impl Fn() -> Result<bool>) -> Result<()> {
        self.cluster.wait(what, || {
            if !self.operator.process.is_running() {
                bail!("the operator ended:\n{}", self.operator.process.last_words());
            }
            done()
        })
    }

    fn wait_condition(&self, name: &str, status: &str) -> Result<()> {
        let has = || {
            let conditions = self.release.conditions(&self.cluster)?;
            Ok(conditions.get(name).is_some_and(|found| found == status))
        };
        let waited = self.wait(&format!("{name} is {status}"), has);
        waited.with_context(|| format!("{:#}", self.region().unwrap_or_default()["status"]))
    }

    fn region(&self) -> Result<Value> {
        self.cluster.get(&["region", &self.release.name])
    }

    /// The Region's condition: reason and message.
    fn says(&self, name: &str) -> Result<String> {
        let region = self.region()?;
        let all = region["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = all.iter().find(|condition| condition["type"] == name);
        let found = found.with_context(|| format!("no condition {name}"))?;
        Ok(format!("{}: {}", found["reason"], found["message"]))
    }

    fn get(&self, what: &[&str]) -> Result<Value> {
        self.cluster.get(&[what, &["-n", &self.release.namespace]].concat())
    }

    fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[arguments, &["-n", &self.release.namespace]].concat())
    }

    /// Waits until nothing but Leases was written for a while.
    fn settle(&self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        while Instant::now() < until {
            let mark = self.cluster.mark()?;
            sleep(Duration::from_secs(2));
            if self.writes(&mark)?.is_empty() {
                return Ok(());
            }
        }
        bail!("it goes on writing:\n{}", self.operator.process.last_words())
    }

    fn writes(&self, mark: &Mark) -> Result<Vec<Call>> {
        let writes = self.cluster.writes_since(mark, &self.operator.user)?;
        Ok(writes.into_iter().filter(|call| !call.is_lease()).collect())
    }

    fn names(&self, kind: &str) -> Result<BTreeSet<String>> {
        let list = self.get(&[kind, "-l", "app.kubernetes.io/managed-by=hushmark-operator"])?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
        Ok(items.iter().filter_map(name).collect())
    }
}

#[test]
fn a_region_becomes_a_stack_and_its_secrets_are_made_once() -> Result<()> {
    let scene = Scene::start()?;
    for (kind, expected) in [
        ("statefulset", &["clickhouse", "edge"][..]),
        ("deployment", &["writer"]),
        ("service", &["clickhouse", "edge", "edge-pods"]),
        ("poddisruptionbudget", &["edge", "writer"]),
        ("networkpolicy", &["clickhouse", "default-deny", "edge", "probe", "replay", "writer"]),
        ("serviceaccount", &["clickhouse", "edge", "writer"]),
    ] {
        let expected = expected.iter().map(|part| release_name(&scene, part));
        assert_eq!(scene.names(kind)?, expected.collect::<BTreeSet<_>>(), "{kind}");
    }
    let status = &scene.region()?["status"];
    assert_eq!(status["owner"]["namespace"], scene.release.namespace.as_str());
    assert_eq!(status["edge"], serde_json::json!({"desired": 2, "ready": 2}));
    assert_eq!(status["keys"]["kids"], serde_json::json!([1]));
    assert_eq!(status["keys"]["sealing"], 1, "the first key needs nobody's word");
    let ring = scene.get(&["secret", &release_name(&scene, "batch-keys")])?;
    let days = ring["data"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(days, 408, "today, the longest tracking life, and seven days");
    assert!(ring["metadata"]["ownerReferences"].is_null());
    // Volumes of this cluster do not say where they are; tests/residency.rs goes on from there.
    assert!(scene.says("ResidencyProven")?.contains("VolumesUnlabelled"));

    // What cannot be made again is not made again.
    let keys = release_name(&scene, "region-keys");
    let before = scene.get(&["secret", &keys])?;
    scene.kubectl(&["delete", "secret", &keys])?;
    scene.wait_condition("Stalled", "True")?;
    let told = scene.says("Stalled")?;
    assert!(told.contains(&format!("the Secret {keys} is gone")), "{told}");
    assert!(scene.get(&["secret", &keys]).is_err(), "no other key took its place");
    let mut restored = before;
    let metadata = restored["metadata"].as_object_mut().context("no metadata")?;
    metadata.retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
    scene.cluster.apply(&restored.to_string())?;
    scene.wait_condition("Ready", "True")
}

#[test]
fn certificates_are_made_kept_and_renewed_and_a_store_that_refuses_says_what_to_do() -> Result<()> {
    let scene = Scene::start()?;
    // Redis is outside, so that only the writer's way to ClickHouse has ends.
    let bytes = |part: &str, entry: &str| -> Result<String> {
        let secret = scene.get(&["secret", &release_name(&scene, part)])?;
        Ok(secret["data"][entry].as_str().unwrap_or_default().to_owned())
    };
    let served = || -> Result<String> {
        let set = scene.get(&["statefulset", &release_name(&scene, "clickhouse")])?;
        let annotations = &set["spec"]["template"]["metadata"]["annotations"];
        Ok(annotations["hushmark.io/certificate"].to_string())
    };
    for (part, entry) in [("ca", "1.key"), ("clickhouse-tls", "tls.key"), ("writer-tls", "tls.crt")]
    {
        ensure!(!bytes(part, entry)?.is_empty(), "{part} has no {entry}");
    }
    ensure!(scene.get(&["secret", &release_name(&scene, "edge-tls")]).is_err());
    assert_eq!(bytes("writer-tls", "ca.crt")?, bytes("ca", "1.crt")?);
    ensure!(scene.says("EncryptedAtRest")?.contains("NotTold"));

    // What is lost is made again, and who reads it at the start alone is replaced.
    let (certificate, before) = (bytes("clickhouse-tls", "tls.crt")?, served()?);
    scene.kubectl(&["delete", "secret", &release_name(&scene, "clickhouse-tls")])?;
    scene.wait("another certificate is served", || {
        Ok(served()? != before
            && bytes("clickhouse-tls", "tls.crt").is_ok_and(|it| it != certificate))
    })?;
    scene.wait_condition("Ready", "True")?;

    // Redis by TLS: without a certificate it refuses, with one it answers.
    let ours = scene
        .release
        .authority
        .issue(&scene.cluster.folder().join("shown"), &[&scene.release.authority])?;
    let encoded = |path: &std::path::Path| -> Result<String> { Ok(std::fs::read_to_string(path)?) };
    let (certificate, key) = ours.own.as_ref().context("it has one")?;
    let url = format!("rediss://{}", scene.release.redis_by_tls);
    let tell = |entries: Value, epoch: &str| -> Result<()> {
        let patch = serde_json::json!({"stringData": entries}).to_string();
        scene.kubectl(&["patch", "secret", REDIS_SECRET, "--type=merge", "-p", &patch])?;
        // What others make is not watched: a change of the Region has it looked at at once.
        let spec = format!(r#"{{"spec":{{"epoch":"{epoch}"}}}}"#);
        scene.kubectl(&["patch", "region", &scene.release.name, "--type=merge", "-p", &spec])?;
        Ok(())
    };
    tell(serde_json::json!({"url": url}), "2h")?;
    scene.wait_condition("SpecValid", "False")?;
    let told = scene.says("SpecValid")?;
    ensure!(told.contains("no ca.crt: add the authorities"), "{told}");
    tell(serde_json::json!({"ca.crt": encoded(&ours.ca)?}), "3h")?;
    scene.wait_condition("StoresAnswer", "False")?;
    let told = scene.says("StoresAnswer")?;
    ensure!(told.contains("RedisRefuses") && told.contains("tls.crt"), "{told}");
    let own = serde_json::json!({"tls.crt": encoded(certificate)?, "tls.key": encoded(key)?});
    tell(own, "4h")?;
    scene.wait_condition("StoresAnswer", "True")?;
    scene.wait_condition("Ready", "True")
}

#[test]
fn drift_is_put_right_and_a_claim_is_told_and_not_fought() -> Result<()> {
    let scene = Scene::start()?;
    let (edge, writer) = (release_name(&scene, "edge"), release_name(&scene, "writer"));
    let deny = release_name(&scene, "default-deny");
    for (kind, name) in [
        ("statefulset", &edge),
        ("deployment", &writer),
        ("service", &edge),
        ("networkpolicy", &deny),
        ("poddisruptionbudget", &edge),
        ("serviceaccount", &writer),
    ] {
        let uid = |object: Value| object["metadata"]["uid"].clone();
        let old = uid(scene.get(&[kind, name])?);
        scene.kubectl(&["delete", kind, name, "--wait=false"])?;
        scene.wait(&format!("{kind} {name} is there again"), || {
            Ok(scene.get(&[kind, name]).is_ok_and(|object| uid(object) != old))
        })?;
    }
    scene.wait_condition("Ready", "True")?;

    let image =
        |writer: &Value| writer["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    let wanted = image(&scene.get(&["deployment", &writer])?);
    scene.kubectl(&["set", "image", "deployment", &writer, "writer=evil.example/x"])?;
    scene.wait("the image is put right", || {
        Ok(image(&scene.get(&["deployment", &writer])?) == wanted)
    })?;
    let open = r#"{"spec":{"egress":[{}]}}"#;
    scene.kubectl(&["patch", "networkpolicy", &deny, "--type=merge", "-p", open])?;
    scene.wait("the policy allows nothing again", || {
        Ok(scene.get(&["networkpolicy", &deny])?["spec"]["egress"].is_null())
    })?;

    // Another applier claims a field: it keeps it, and people are told.
    scene.settle()?;
    let claim = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {edge}, namespace: {}}}\nspec:\n  ports:\n  \
         - {{name: http, port: 80, protocol: TCP, targetPort: 9}}\n",
        scene.release.namespace
    );
    let file = scene.cluster.folder().join("claim.yaml");
    std::fs::write(&file, claim)?;
    let file = file.to_str().context("the folder's name is not text")?;
    let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=argocd", "-f"];
    scene.cluster.kubectl(&[&apply[..], &[file]].concat())?;
    scene.wait_condition("FieldsOwned", "False")?;
    let told = scene.says("FieldsOwned")?;
    assert!(told.contains("argocd holds"), "{told}");
    let mark = scene.cluster.mark()?;
    sleep(Duration::from_secs(5));
    let port = scene.get(&["service", &edge])?["spec"]["ports"][0]["targetPort"].clone();
    assert_eq!(port, 9, "it was not taken from its holder");
    let writes = scene.writes(&mark)?;
    assert!(writes.len() <= 1, "no fight: {writes:?}");
    Ok(())
}

#[test]
fn nothing_is_written_at_rest_nor_after_a_restart_and_a_second_process_takes_over() -> Result<()> {
    let scene = Scene::start()?;
    scene.settle()?;
    let mark = scene.cluster.mark()?;
    sleep(Duration::from_secs(5));
    assert!(scene.writes(&mark)?.is_empty(), "{:?}", scene.writes(&mark)?);

    let mark = scene.cluster.mark()?;
    scene.operator.process.terminate(DRAIN)?;
    scene.operator.process.start()?;
    scene.wait("it is ready", || Ok(scene.operator.is_ready()))?;
    sleep(Duration::from_secs(5));
    assert!(scene.writes(&mark)?.is_empty(), "{:?}", scene.writes(&mark)?);

    let second = scene.release.operator(&scene.cluster, &scene.program, "operator-second")?;
    second.process.start()?;
    scene.wait("the second stands by", || Ok(second.is_ready()))?;
    let began = Instant::now();
    scene.operator.process.kill9()?;
    scene.cluster.wait("the second leads", || {
        let lease = scene.get(&["lease", "hushmark-region-eu"])?;
        Ok(lease["spec"]["holderIdentity"] == "operator-second")
    })?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(20), "taken over after {took:?}");
    second.process.terminate(DRAIN)?;
    Ok(())
}

#[test]
fn a_permission_that_is_taken_away_is_named_and_a_second_release_keeps_its_hands_off() -> Result<()>
{
    let scene = Scene::start()?;
    let role = release_name(&scene, "operator");
    let rules = scene.get(&["role", &role])?["rules"].clone();
    let at = rules.as_array().and_then(|rules| {
        rules.iter().position(|rule| rule["resources"].to_string().contains("networkpolicies"))
    });
    let without = format!(r#"[{{"op":"remove","path":"/rules/{}"}}]"#, at.context("no rule")?);
    scene.kubectl(&["patch", "role", &role, "--type=json", "-p", &without])?;
    scene.wait("the permission is named", || {
        Ok(scene.says("ReconcileSucceeded")?.contains("may not watch networkpolicies"))
    })?;
    let back = format!(r#"{{"rules":{rules}}}"#);
    scene.kubectl(&["patch", "role", &role, "--type=merge", "-p", &back])?;
    scene.wait_condition("Ready", "True")?;

    // A release by another name for the same Region.
    let same = ["region.name=eu"];
    let other = Release::install_with(&scene.cluster, "other", "eu-central", &same)?;
    let deployment = format!("{}-operator", other.name);
    let place = (other.namespace.as_str(), deployment.as_str());
    let second = Deployed::new(&scene.cluster, &scene.program, place, "operator-other", "--admin")?;
    second.process.start()?;
    scene.wait_condition("Contested", "True")?;
    assert!(
        scene.says("Contested")?.contains("hush-eu/eu owns it"),
        "{}",
        scene.says("Contested")?
    );
    assert_eq!(scene.region()?["status"]["owner"]["namespace"], "hush-eu");
    let made = scene.cluster.get(&["statefulset", "-n", &other.namespace])?;
    assert_eq!(made["items"].as_array().map(Vec::len), Some(0));
    second.process.terminate(DRAIN)?;
    scene.wait("the objection is taken back", || Ok(scene.says("Contested").is_err()))
}

/// A name of the release's stack.
fn release_name(scene: &Scene, part: &str) -> String {
    format!("{}-{part}", scene.release.name)
}
