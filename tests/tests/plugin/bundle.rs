//! A support bundle of a cluster that has a canary in every place where a person or a secret can be.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;

use super::stage::Stage;

/// What must be nowhere: plain, and as what base64 makes of it at any place of a longer text.
const CANARY: &str = "canary";
const SECRET: &str = "canaryInASecret4711";

const CANARIES: &str = "
apiVersion: v1
kind: Secret
metadata: {name: external, namespace: hush-eu, annotations: {note: canary-annotation}}
stringData: {password: canaryInASecret4711, url: 'redis://canary-user:canary-pass@canary.example'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: lists, namespace: hush-eu}
data: {recipients.csv: 'address\\ncanary@acme.example'}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: beside, namespace: hush-eu, labels: {l: canary-label}, annotations: {a: canary-annotation}}
spec:
  selector: {matchLabels: {app: beside}}
  template:
    metadata: {labels: {app: beside}, annotations: {a: canary-annotation}}
    spec:
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: beside
        image: registry.example/beside:1
        command: [canary-command]
        args: [--password=canary-argument, canary-argument]
        env: [{name: PASSWORD, value: canary-environment}]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: hushmark.io/v1alpha1
kind: Campaign
metadata: {name: letter-1, namespace: acme, annotations: {a: canary-annotation}, labels: {l: canary-label}}
spec:
  type: campaign
  subject: canary subject
  from: Canary <canary@acme.example>
  content: {path: canary.html}
  list: {path: canary.csv}
  tracking: {opens: overall, clicks: overall}
---
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: told, namespace: hush-eu}
eventTime: '2026-11-22T08:00:00.000000Z'
reportingController: somebody
reportingInstance: somebody-0
action: Tell
reason: Told
type: Warning
note: 'mail to canary@acme.example failed at https://canary.example/c/canary with canaryInASecret4711'
regarding: {kind: Pod, name: x, namespace: hush-eu}
";

pub(crate) fn nothing_leaks(stage: &Stage) -> Result<()> {
    // What kubectl applies, it also writes down as the last that was applied.
    stage.cluster.apply(CANARIES)?;
    let applied = stage.campaign("letter-1")?["metadata"]["annotations"].to_string();
    ensure!(applied.contains("last-applied") && applied.contains("canary subject"), "{applied}");
    let token = "Canary1-".repeat(12);
    let mut log =
        fs::read_to_string(stage.cluster.folder().join(format!("logs/{}.log", stage.pod)))?;
    writeln!(
        log,
        r#"{{"timestamp":"2026-11-22T08:00:00Z","level":"ERROR","message":"to canary@acme.example","subject":"canary","error":"GET /o/{token}.gif with {SECRET}"}}"#
    )?;
    writeln!(log, "panicked at canary@acme.example from https://canary")?;
    // As a container runtime writes it: time, stream, and that the line is whole.
    let lines = log.lines().map(|line| format!("2026-11-22T08:00:00.000000000Z stderr F {line}\n"));
    fs::write(stage.node_log(), lines.collect::<String>())?;

    let archive = stage.cluster.folder().join("bundle.tar.gz");
    let out = archive.to_str().context("the folder's name is not text")?;
    let said = stage.person(&["support-bundle", "eu", "-o", out])?.ended(0)?;
    ensure!(said.contains("Look at it before you send it"), "{said}");
    let again = stage.person(&["support-bundle", "eu", "-o", out])?.ended(1)?;
    ensure!(again.contains("File exists"), "nothing is written over: {again}");

    let folder = stage.cluster.folder().join("bundle");
    fs::create_dir(&folder)?;
    let status = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&folder).status()?;
    ensure!(status.success());
    let mut files = Vec::new();
    walk(&folder, &mut files)?;
    let secrets = real_secrets(stage)?;
    for path in &files {
        let text = fs::read_to_string(path)?;
        let low = text.to_lowercase();
        for form in forms() {
            ensure!(
                !low.contains(&form.to_lowercase()),
                "{form} is in {}:\n{text}",
                path.display()
            );
        }
        for secret in &secrets {
            ensure!(!text.contains(secret), "a real secret is in {}", path.display());
        }
    }
    what_is_wanted_is_there(stage, &folder, &files)
}

/// The canary as it is, and as base64 shows it in the middle of something longer.
fn forms() -> Vec<String> {
    let mut forms = vec![CANARY.to_owned()];
    for offset in 0..3 {
        let text = format!("{}{CANARY}InASecret", "x".repeat(offset));
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        // The first and the last characters depend on what is around.
        forms.push(encoded[4..16].to_owned());
    }
    forms
}

/// Every value of every Secret of the release that is long enough to be told from words.
fn real_secrets(stage: &Stage) -> Result<Vec<String>> {
    let all = stage.cluster.get(&["secrets", "-n", "hush-eu"])?;
    let items = all["items"].as_array().context("no secrets")?;
    let values = items.iter().flat_map(|secret| secret["data"].as_object().into_iter().flatten());
    let values = values.filter_map(|(_, value)| value.as_str().map(str::to_owned));
    let found: Vec<String> = values.filter(|value| value.len() >= 24).collect();
    ensure!(found.len() > 400, "the day keys are looked for, too: {}", found.len());
    Ok(found)
}

fn what_is_wanted_is_there(stage: &Stage, folder: &Path, files: &[PathBuf]) -> Result<()> {
    let find = |name: &str| -> Result<String> {
        let path = files.iter().find(|path| path.ends_with(name));
        let path = path.with_context(|| format!("there is no {name} in {}", folder.display()))?;
        Ok(fs::read_to_string(path)?)
    };
    let campaigns = find("resources/campaigns.json")?;
    ensure!(campaigns.contains("\"letter-1\"") && campaigns.contains("Withdrawal"), "{campaigns}");
    let region = find("resources/regions.json")?;
    ensure!(region.contains("\"longestTrackingDays\": 400"), "{region}");
    let secrets = find("objects/hush-eu/secrets.json")?;
    ensure!(
        secrets.contains("eu-region-keys") && secrets.contains("\"password\": 19"),
        "{secrets}"
    );
    let deployments = find("objects/hush-eu/deployments.json")?;
    ensure!(deployments.contains("\"--minimum-group\""), "{deployments}");
    ensure!(deployments.contains("\"PASSWORD\""), "names of variables are kept: {deployments}");
    let log = find(&format!("logs/hush-eu/{}.log", stage.pod))?;
    ensure!(log.contains("appended to the refusal log"), "{log}");
    ensure!(log.contains("\"left_out\":[\"subject\"]"), "{log}");
    let metrics = find(&format!("metrics/hush-eu/{}.txt", stage.pod))?;
    ensure!(metrics.contains("hushmark_operator_"), "{metrics}");
    let notes = find("notes.txt")?;
    ensure!(find("versions.json")?.contains("\"kubernetes\""));
    let events = find("events/hush-eu.json")?;
    ensure!(events.contains("mail to [address] failed at https://[url]"), "{events}");
    ensure!(!notes.contains("of hush-eu could not be had"), "{notes}");
    Ok(())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            walk(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
