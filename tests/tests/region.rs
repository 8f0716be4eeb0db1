//! One Region on a real control plane: what the operator makes of it, puts right, and leaves alone.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hushmark_tests::cluster::{Deployed, REDIS_SECRET, Release, Scene, condition};
use hushmark_tests::tools::Tools;
use serde_json::Value;

/// How long the operator may take to end.
const DRAIN: Duration = Duration::from_secs(40);

/// An operator that wrote nothing but Leases for so long has come to rest.
const QUIET: Duration = Duration::from_secs(2);

/// A release whose operator runs, and whose Region is Ready.
fn start() -> Result<Scene> {
    Scene::start(&Tools::from_env()?, "")
}

/// Objects of a kind that the operator made.
fn names(scene: &Scene, kind: &str) -> Result<BTreeSet<String>> {
    let list = scene.get(&[kind, "-l", "app.kubernetes.io/managed-by=hushmark-operator"])?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let name = |item: &Value| item["metadata"]["name"].as_str().map(str::to_owned);
    Ok(items.iter().filter_map(name).collect())
}

#[test]
fn a_region_becomes_a_stack_and_its_secrets_are_made_once() -> Result<()> {
    let scene = start()?;
    for (kind, expected) in [
        ("statefulset", &["clickhouse", "edge"][..]),
        ("deployment", &["writer"]),
        ("service", &["clickhouse", "edge", "edge-pods"]),
        ("poddisruptionbudget", &["edge", "writer"]),
        ("networkpolicy", &["clickhouse", "default-deny", "edge", "probe", "replay", "writer"]),
        ("serviceaccount", &["clickhouse", "edge", "writer"]),
    ] {
        let expected = expected.iter().map(|part| scene.named(part));
        assert_eq!(names(&scene, kind)?, expected.collect::<BTreeSet<_>>(), "{kind}");
    }
    let status = &scene.region()?["status"];
    assert_eq!(status["owner"]["namespace"], scene.release.namespace.as_str());
    assert_eq!(status["edge"], serde_json::json!({"desired": 2, "ready": 2}));
    assert_eq!(status["keys"]["kids"], serde_json::json!([1]));
    assert_eq!(status["keys"]["sealing"], 1, "the first key needs nobody's word");
    let ring = scene.get(&["secret", &scene.named("batch-keys")])?;
    let days = ring["data"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(days, 408, "today, the longest tracking life, and seven days");
    assert!(ring["metadata"]["ownerReferences"].is_null());
    // Volumes of this cluster do not say where they are; tests/residency.rs goes on from there.
    assert!(scene.says("ResidencyProven")?.contains("VolumesUnlabelled"));

    // What cannot be made again is not made again.
    let keys = scene.named("region-keys");
    let before = scene.get(&["secret", &keys])?;
    scene.kubectl(&["delete", "secret", &keys])?;
    scene.wait_condition("Stalled", "True")?;
    let told = scene.says("Stalled")?;
    assert!(told.contains(&format!("the Secret {keys} is gone")), "{told}");
    assert!(scene.get(&["secret", &keys]).is_err(), "no other key took its place");
    scene.cluster.apply(&restored(before)?)?;
    scene.wait_condition("Ready", "True")
}

#[test]
fn certificates_are_made_kept_and_renewed_and_a_store_that_refuses_says_what_to_do() -> Result<()> {
    let scene = start()?;
    // Redis is outside, so that only the writer's way to ClickHouse has ends.
    let bytes = |part: &str, entry: &str| -> Result<String> {
        let secret = scene.get(&["secret", &scene.named(part)])?;
        Ok(secret["data"][entry].as_str().unwrap_or_default().to_owned())
    };
    let served = || -> Result<String> {
        let set = scene.get(&["statefulset", &scene.named("clickhouse")])?;
        let annotations = &set["spec"]["template"]["metadata"]["annotations"];
        Ok(annotations["hushmark.io/certificate"].to_string())
    };
    for (part, entry) in [("ca", "1.key"), ("clickhouse-tls", "tls.key"), ("writer-tls", "tls.crt")]
    {
        ensure!(!bytes(part, entry)?.is_empty(), "{part} has no {entry}");
    }
    ensure!(scene.get(&["secret", &scene.named("edge-tls")]).is_err());
    assert_eq!(bytes("writer-tls", "ca.crt")?, bytes("ca", "1.crt")?);
    ensure!(scene.says("EncryptedAtRest")?.contains("NotTold"));

    // What is lost is made again, and who reads it at the start alone is replaced.
    let (certificate, before) = (bytes("clickhouse-tls", "tls.crt")?, served()?);
    scene.kubectl(&["delete", "secret", &scene.named("clickhouse-tls")])?;
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
    let scene = start()?;
    let (edge, writer) = (scene.named("edge"), scene.named("writer"));
    let deny = scene.named("default-deny");
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
    scene.settle(QUIET)?;
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
    let scene = start()?;
    scene.settle(QUIET)?;
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
    let scene = start()?;
    let role = scene.named("operator");
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

/// A kill switch must not wait for a person who mends something else.
#[test]
fn a_region_that_cannot_be_made_obeys_kill_switches_after_a_restart() -> Result<()> {
    let scene = start()?;
    for tenant in ["acme", "other"] {
        scene.cluster.apply(&scene.release.tenant(tenant, 1))?;
    }
    let length = || -> Result<Option<u64>> {
        Ok(scene.region()?["status"]["refusalLog"]["length"].as_u64())
    };
    let kill = |tenant: &str| -> Result<()> {
        let before = length()?;
        let on = r#"{"spec":{"killSwitch":true}}"#;
        scene.cluster.kubectl(&[
            "patch",
            "tenant",
            tenant,
            "-n",
            tenant,
            "--type=merge",
            "-p",
            on,
        ])?;
        scene.wait(&format!("{tenant} is in the refusal log"), || Ok(length()? > before))
    };
    let restart = || -> Result<()> {
        scene.operator.process.terminate(DRAIN)?;
        scene.operator.process.start()?;
        scene.wait("it is ready", || Ok(scene.operator.is_ready()))
    };
    let place = |database: &str| -> Result<()> {
        let spec = format!(r#"{{"spec":{{"placeDatabase":{database}}}}}"#);
        scene.kubectl(&["patch", "region", &scene.release.name, "--type=merge", "-p", &spec])?;
        Ok(())
    };
    scene.settle(QUIET)?;

    place(r#""beside/the/manifest.mmdb""#)?;
    scene.wait_condition("SpecValid", "False")?;
    restart()?;
    kill("acme")?;
    scene.wait("the tenant says why nothing else changes", || {
        let tenant = scene.cluster.get(&["tenant", "acme", "-n", "acme"])?;
        Ok(condition(&tenant, "Ready").is_some_and(|said| said.contains("RegionNotValid")))
    })?;
    place("null")?;
    scene.wait_condition("Ready", "True")?;

    let keys = scene.get(&["secret", &scene.named("region-keys")])?;
    scene.kubectl(&["delete", "secret", &scene.named("region-keys")])?;
    scene.wait_condition("Stalled", "True")?;
    restart()?;
    kill("other")?;
    scene.cluster.apply(&restored(keys)?)?;
    scene.wait_condition("Ready", "True")
}

/// An object as a backup has it.
fn restored(mut object: Value) -> Result<String> {
    let metadata = object["metadata"].as_object_mut().context("no metadata")?;
    metadata.retain(|field, _| ["name", "namespace", "labels"].contains(&field.as_str()));
    Ok(object.to_string())
}
