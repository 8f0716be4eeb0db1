//! Bad input on a real control plane: each has a condition that says what to do next, nothing
//! crashes, and nothing is half-applied.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hushmark_tests::cluster::{Cluster, Release, Scene, condition};
use hushmark_tests::ports;
use hushmark_tests::process::{Process, Recipe};
use hushmark_tests::stack::{Shape, Stack, wait_ready};
use hushmark_tests::tools::Tools;
use serde_json::{Value, json};

/// How long a writer that knows no better takes to end.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// How long everything has to stay still to count as still.
const STILL: Duration = Duration::from_secs(3);

/// How many objects of each kind the operator made in a namespace.
fn made(cluster: &Cluster, namespace: &str) -> Result<BTreeMap<String, usize>> {
    const KINDS: &str =
        "serviceaccounts,networkpolicies,services,statefulsets,deployments,pdb,secrets";
    let ours = "app.kubernetes.io/managed-by=hushmark-operator";
    let list = cluster.get(&[KINDS, "-l", ours, "-n", namespace])?;
    let mut counts = BTreeMap::new();
    for item in list["items"].as_array().into_iter().flatten() {
        *counts.entry(item["kind"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// A Secret's entry taken out or put back, by name and value in base64.
fn entry(scene: &Scene, secret: &str, name: &str, value: &Value) -> Result<()> {
    let patch = json!({"data": {name: value}}).to_string();
    scene.kubectl(&["patch", "secret", secret, "--type=merge", "-p", &patch]).map(drop)
}

#[test]
fn what_is_wrong_is_told_and_nothing_is_half_applied() -> Result<()> {
    let scene = Scene::prepare(&Tools::from_env()?)?;
    a_secret_misses_a_field(&scene)?;
    two_regions_share_a_host(&scene)?;
    a_tenant_names_no_region(&scene)?;
    a_namespace_goes(&scene)?;
    ensure!(scene.operator.process.is_running(), "{}", scene.operator.process.last_words());
    Ok(())
}

/// Before anything runs nothing is made; afterwards what runs is left as it is.
fn a_secret_misses_a_field(scene: &Scene) -> Result<()> {
    let url = scene.get(&["secret", "redis-outside"])?["data"]["url"].clone();
    entry(scene, "redis-outside", "url", &Value::Null)?;
    scene.cluster.apply(&scene.release.region())?;
    scene.operator.process.start()?;
    let says = "the Secret redis-outside has no url: add one like rediss://host:port";
    scene.wait_says("SpecValid", says)?;
    ensure!(scene.says("Stalled")?.contains(says), "{}", scene.says("Stalled")?);
    let half = made(&scene.cluster, &scene.release.namespace)?;
    ensure!(half.is_empty(), "half-applied: {half:?}");
    entry(scene, "redis-outside", "url", &url)?;
    scene.wait_condition("Ready", "True")?;

    let before = made(&scene.cluster, &scene.release.namespace)?;
    entry(scene, "redis-outside", "url", &Value::Null)?;
    // What no watch shows is seen when the Region is looked at.
    scene.cluster.kubectl(&["annotate", "region", "eu", "look=1"])?;
    scene.wait_says("SpecValid", "What runs was left as it is")?;
    ensure!(made(&scene.cluster, &scene.release.namespace)? == before, "something went");
    entry(scene, "redis-outside", "url", &url)?;
    scene.wait_condition("Ready", "True")?;

    // One of our own: a key that is not in its Secret any more is not made anew.
    let keys = scene.named("region-keys");
    let key = scene.get(&["secret", &keys])?["data"]["1.key"].clone();
    entry(scene, &keys, "1.key", &Value::Null)?;
    scene.wait_says("Stalled", "it has no entry like 1.key with 32 bytes any more")?;
    ensure!(
        scene.get(&["secret", &keys])?["data"]["1.key"].is_null(),
        "another key took its place"
    );
    entry(scene, &keys, "1.key", &key)?;
    scene.wait_condition("Ready", "True")
}

/// The older one keeps the host; of the newer one nothing is made until it has another.
fn two_regions_share_a_host(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    let other = Release::install(cluster, "other", "eu-west")?;
    let url = |host: &str| other.region().replace("other.track.example", host);
    cluster.apply(&url("eu.track.example"))?;
    let operator = other.operator(cluster, &scene.program, "other-operator-0")?;
    operator.process.start()?;
    let said = |name: &str| -> Result<String> {
        Ok(condition(&cluster.get(&["region", "other"])?, name).unwrap_or_default())
    };
    let says = "the tracking host eu.track.example is Region eu's, which is older";
    cluster.wait(says, || Ok(said("SpecValid")?.contains(says)))?;
    ensure!(said("Ready")?.starts_with("False HostTaken"), "{}", said("Ready")?);
    let half = made(cluster, &other.namespace)?;
    ensure!(half.is_empty(), "half-applied: {half:?}");
    scene.settle(STILL)?;
    ensure!(scene.says("Ready")?.starts_with("True"), "{}", scene.says("Ready")?);
    cluster.apply(&url("other.track.example"))?;
    let ready = || Ok(said("Ready")?.starts_with("True"));
    cluster.wait("the other Region is Ready", ready).with_context(|| operator.process.last_words())
}

fn a_tenant_names_no_region(scene: &Scene) -> Result<()> {
    let lost = scene.release.tenant("lost", 1).replace("region: eu", "region: mars");
    scene.cluster.apply(&lost)?;
    for (kind, name) in [("tenant", "lost"), ("campaign", "letter-1")] {
        let says = "there is no Region \"mars\" in this cluster; there: eu, other";
        scene.wait(says, || {
            let object = scene.cluster.get(&[kind, name, "-n", "lost"])?;
            Ok(condition(&object, "Ready").is_some_and(|said| said.contains(says)))
        })?;
    }
    Ok(())
}

/// Somebody's finalizer holds a campaign of a namespace that is being deleted: nothing is written
/// into it, and once the finalizer is gone the namespace is, too.
fn a_namespace_goes(scene: &Scene) -> Result<()> {
    let cluster = &scene.cluster;
    cluster.apply(&scene.release.tenant("leaving", 3))?;
    scene.wait("its campaigns are looked at", || {
        let campaign = cluster.get(&["campaign", "letter-3", "-n", "leaving"])?;
        Ok(condition(&campaign, "Ready").is_some_and(|said| said.starts_with("True")))
    })?;
    let hold = r#"{"metadata":{"finalizers":["example.org/hold"]}}"#;
    let patch = |what: &str| {
        let patch = ["patch", "campaign", "letter-1", "-n", "leaving", "--type=merge", "-p", what];
        cluster.kubectl(&patch)
    };
    patch(hold)?;
    cluster.kubectl(&["delete", "namespace", "leaving", "--wait=false"])?;
    scene.wait("the other campaigns are gone", || {
        Ok(cluster.get(&["campaign", "letter-3", "-n", "leaving"]).is_err())
    })?;
    let mark = cluster.mark()?;
    cluster.kubectl(&["label", "campaign", "letter-1", "-n", "leaving", "touched=yes"])?;
    scene.settle(STILL)?;
    let written = scene.writes(&mark)?;
    let inside = written.iter().filter(|call| call.namespace == "leaving").count();
    ensure!(inside == 0, "written into a namespace that goes: {written:?}");
    patch(r#"{"metadata":{"finalizers":null}}"#)?;
    scene.wait("the namespace is gone", || Ok(cluster.get(&["namespace", "leaving"]).is_err()))?;
    scene.wait_condition("Ready", "True")
}

/// A ClickHouse that refuses, and one whose schema is newer than the writer: the operator has no
/// client of it, and says what the writer says.
#[test]
fn what_clickhouse_says_to_the_writer_is_in_the_regions_conditions() -> Result<()> {
    let tools = Tools::from_env()?;
    let stack = Stack::prepare(&tools, &Shape { edges: 0, writers: 0, ..Shape::default() }, 6)?;
    let scene = Scene::prepare(&tools)?;
    let address = stack.clickhouse.address;
    scene.kubectl(&[
        "create",
        "secret",
        "generic",
        "clickhouse-outside",
        &format!("--from-literal=url=http://{address}"),
    ])?;
    let more = "  clickhouse: {external: {secret: clickhouse-outside}}\n";
    scene.cluster.apply(&format!("{}{more}", scene.release.region()))?;
    scene.operator.process.start()?;
    scene.wait_condition("Ready", "True")?;
    ensure!(scene.says("SchemaInSync")?.starts_with("Unknown NotTold"), "nobody has said it");

    let writer = writer(&tools, &scene, &stack)?;
    writer.start()?;
    scene.wait_says("Healthy", "False ClickHouseRefuses")?;
    let told = scene.says("Healthy")?;
    ensure!(told.contains("did not answer") && told.contains(&address.to_string()), "{told}");
    ensure!(told.contains("the Secret of spec.clickhouse.external"), "{told}");
    scene.wait_condition("Ready", "False")?;

    stack.clickhouse.process.start()?;
    let ready = || stack.clickhouse.is_ready();
    wait_ready("the engine", &stack.clickhouse.process, ready)?;
    scene.wait_condition("SchemaInSync", "True")?;
    scene.wait_condition("Ready", "True")?;

    // It ends, as a pod's would; its last words stay until the kubelet starts it again.
    writer.terminate(ENDS_WITHIN)?;
    let newer = "INSERT INTO schema_steps (number, name) VALUES (999, 'future')";
    stack.clickhouse.query(newer)?;
    writer.start()?;
    ensure!(writer.wait_for_end(ENDS_WITHIN)?, "it works on:\n{}", writer.last_words());
    scene.wait_condition("SchemaInSync", "False")?;
    let told = scene.says("SchemaInSync")?;
    ensure!(told.contains("clickhouse has schema step 999"), "{told}");
    ensure!(told.contains("Upgrade the release"), "{told}");
    scene.wait_condition("Stalled", "True")?;
    scene.settle(STILL)?;

    stack.clickhouse.query("ALTER TABLE schema_steps DELETE WHERE number = 999")?;
    writer.start()?;
    scene.wait_condition("SchemaInSync", "True")?;
    scene.wait_condition("Ready", "True")
}

/// The writer of the release, as a process of this machine, with keys of its own.
fn writer(tools: &Tools, scene: &Scene, stack: &Stack) -> Result<Process> {
    let folder = stack.folder().join("writer");
    fs::create_dir_all(&folder)?;
    let of = |key: &str| {
        let template = format!("go-template={{{{.data.{key} | base64decode}}}}");
        scene.kubectl(&["get", "secret", "redis-outside", "-o", &template])
    };
    let password = folder.join("redis.password");
    fs::write(&password, of("password")?)?;
    let text = |path: &std::path::Path| path.display().to_string();
    let args = [
        ("--redis", of("url")?.trim().to_owned()),
        ("--redis-password-file", text(&password)),
        ("--clickhouse", format!("http://{}", stack.clickhouse.address)),
        ("--ring", text(&stack.keys.batch_folder())),
        ("--salts", text(&stack.keys.salt_folder())),
        ("--refusal-key", text(&stack.keys.refusal_key())),
        ("--state", text(&folder.join("state"))),
        ("--admin", ports::free()?.to_string()),
    ];
    let recipe = Recipe {
        name: "writer".into(),
        program: tools.program("hushmark-writer")?,
        args: args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect(),
        env: BTreeMap::new(),
    };
    Ok(Process::new(recipe, &stack.folder().join("logs")))
}
