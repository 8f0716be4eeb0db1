//! What the chart renders, whole, and what must hold of it whatever the values.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use clap::ValueEnum as _;
use hushmark_operator::access::{NEEDED, Need, Reach, needed_for};
use hushmark_operator::config::OptionalApi;
use serde_json::{Value, json};

use crate::helm::{self, DEFAULT, HA, MINIMAL, Release, SECOND, find, objects, template};

const CHART: &str = "charts/hushmark";

/// The rendered text without the bodies of alerts and dashboards, which have tests of their own.
fn golden(release: &Release<'_>) -> Result<String> {
    let text = template(CHART, release)?;
    let mut kept = String::new();
    for document in text.split_inclusive("---\n") {
        let source = document.lines().find_map(|line| line.strip_prefix("# Source: "));
        let body = match source.unwrap_or_default() {
            "hushmark/templates/dashboards.yaml" => document.split_once(".json: |"),
            "hushmark/templates/alerts.yaml" => {
                document.split_once(".rules.yaml: |").or_else(|| document.split_once("\nspec:"))
            }
            _ => None,
        };
        match body {
            Some((head, _)) => kept += &format!("{head} (cut here)\n---\n"),
            None => kept += document,
        }
    }
    Ok(kept)
}

#[test]
fn minimal() -> Result<()> {
    insta::assert_snapshot!(golden(&MINIMAL)?);
    Ok(())
}

#[test]
fn default() -> Result<()> {
    insta::assert_snapshot!(golden(&DEFAULT)?);
    Ok(())
}

#[test]
fn high_availability() -> Result<()> {
    insta::assert_snapshot!(golden(&HA)?);
    Ok(())
}

#[test]
fn a_second_region_in_the_same_cluster() -> Result<()> {
    insta::assert_snapshot!(golden(&SECOND)?);
    Ok(())
}

#[test]
fn two_regions_of_a_cluster_share_no_name_and_no_dashboard() -> Result<()> {
    let (first, second) = (objects(CHART, &DEFAULT)?, objects(CHART, &SECOND)?);
    let names = |objects: &[Value]| -> BTreeSet<String> {
        objects
            .iter()
            .map(|object| {
                let at = &object["metadata"];
                format!("{} {} {}", object["kind"], at["namespace"], at["name"])
            })
            .collect()
    };
    let both: Vec<String> = names(&first).intersection(&names(&second)).cloned().collect();
    assert_eq!(both, Vec::<String>::new());
    let uids = |objects: &[Value]| -> Result<BTreeSet<String>> {
        let boards = objects.iter().filter_map(|object| object["data"].as_object());
        let files = boards.flatten().filter(|(file, _)| file.ends_with(".json"));
        files
            .map(|(file, text)| {
                let board: Value = serde_json::from_str(text.as_str().context("no text")?)?;
                Ok(board["uid"].as_str().with_context(|| file.clone())?.to_owned())
            })
            .collect()
    };
    let (first, second) = (uids(&first)?, uids(&second)?);
    assert_eq!(first.len(), 4);
    assert!(first.is_disjoint(&second), "{first:?} {second:?}");
    Ok(())
}

#[test]
fn every_permission_is_one_that_the_operator_needs_and_none_is_missing() -> Result<()> {
    // The values of one ask for every API of others, those of the other for none.
    let optional = OptionalApi::value_variants().iter().flat_map(|&api| needed_for(api));
    holds_of(&HA, &NEEDED.iter().chain(optional).copied().collect::<Vec<_>>())?;
    holds_of(&DEFAULT, NEEDED)
}

fn holds_of(release: &Release<'_>, needs: &[Need]) -> Result<()> {
    type Rules = BTreeMap<(String, String), BTreeSet<String>>;
    let rendered = objects(CHART, release)?;
    let pod = &find(&rendered, "Deployment")?["spec"]["template"]["spec"];
    let arguments = pod["containers"][0]["args"].as_array().into_iter().flatten();
    let mut arguments = arguments.filter_map(Value::as_str);
    let region = arguments.find_map(|argument| argument.strip_prefix("--region="));
    let of = |kind: &str| -> Result<Rules> {
        let mut all = Rules::new();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for rule in list(&find(&rendered, kind)?["rules"]) {
            assert!(rule.get("nonResourceURLs").is_none());
            // The one Region whose status is written is the release's own.
            let named = list(&rule["resourceNames"]);
            let own = list(&rule["resources"]) == ["regions/status"];
            assert_eq!(named, if own { vec![json!(region)] } else { vec![] });
            for (group, resource) in list(&rule["apiGroups"]).iter().flat_map(|group| {
                list(&rule["resources"]).into_iter().map(move |r| (group.clone(), r))
            }) {
                let verbs = all.entry((text(&group), text(&resource))).or_default();
                verbs.extend(list(&rule["verbs"]).iter().map(text));
            }
        }
        Ok(all)
    };
    let needed = |reach: Reach| -> Rules {
        let needs = needs.iter().filter(|need| need.reach == reach);
        needs
            .map(|need| {
                let verbs = need.verbs.iter().map(|verb| (*verb).to_owned()).collect();
                ((need.group.to_owned(), need.resource.to_owned()), verbs)
            })
            .collect()
    };
    assert_eq!(of("ClusterRole")?, needed(Reach::Cluster));
    assert_eq!(of("Role")?, needed(Reach::Namespace));
    let secret = ("".to_owned(), "secrets".to_owned());
    assert!(!of("ClusterRole")?.contains_key(&secret), "no cluster-wide Secrets");
    Ok(())
}

#[test]
fn the_operators_pod_is_as_restricted_as_pod_security_asks() -> Result<()> {
    for release in [MINIMAL, DEFAULT, HA] {
        let rendered = objects(CHART, &release)?;
        let pod = &find(&rendered, "Deployment")?["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let containers = pod["containers"].as_array().context("no containers")?;
        assert_eq!(containers.len(), 1);
        let context = &containers[0]["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false);
        assert_eq!(context["readOnlyRootFilesystem"], true);
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert!(containers[0][probe].is_object(), "{probe}");
        }
        assert!(containers[0]["resources"]["limits"]["memory"].is_string());
        assert!(pod.get("volumes").is_none() && pod.get("hostNetwork").is_none());
    }
    Ok(())
}

#[test]
fn the_operators_arguments_are_ones_that_it_takes() -> Result<()> {
    use clap::Parser as _;
    for release in [DEFAULT, HA] {
        let rendered = objects(CHART, &release)?;
        let pod = &find(&rendered, "Deployment")?["spec"]["template"]["spec"];
        let arguments = pod["containers"][0]["args"].as_array().context("no arguments")?;
        let arguments = arguments.iter().filter_map(Value::as_str);
        let program = std::iter::once("hushmark-operator");
        hushmark_operator::config::Config::try_parse_from(program.chain(arguments))?;
    }
    Ok(())
}

#[test]
fn definitions_outlive_their_release() -> Result<()> {
    let release = Release { name: "hushmark-crds", namespace: "default", values: "{}", kinds: &[] };
    let rendered = objects("charts/hushmark-crds", &release)?;
    let kinds: BTreeSet<_> =
        rendered.iter().filter_map(|crd| crd["spec"]["names"]["kind"].as_str()).collect();
    let expected = ["AnonymizationPolicy", "Campaign", "Region", "RetentionPolicy", "Tenant"];
    assert_eq!(kinds, BTreeSet::from(expected));
    for crd in &rendered {
        assert_eq!(crd["kind"], "CustomResourceDefinition");
        assert_eq!(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
    }
    Ok(())
}

/// YAML takes a bare `no` for false, and Norway is a region.
#[test]
fn a_name_that_yaml_would_misread_stays_a_name() -> Result<()> {
    let release = Release { name: "no", namespace: "123", values: "{}", kinds: helm::MONITORING };
    for object in objects(CHART, &release)? {
        let at = &object["metadata"];
        assert_eq!(at["labels"]["app.kubernetes.io/instance"], "no", "{object}");
        assert_eq!(at["labels"]["hushmark.io/region"], "no", "{object}");
        assert!(at["namespace"].is_null() || at["namespace"] == "123", "{object}");
    }
    Ok(())
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() -> Result<()> {
    let refused = |name: &str, values: &str| -> String {
        let release = Release { name, namespace: "n", values, kinds: &[] };
        template(CHART, &release).expect_err("must be refused").to_string()
    };
    let long = "a".repeat(41);
    for (name, values, says) in [
        ("eu", "operator: {replica: 2}", "replica"),
        ("eu", "region: {name: EU}", "name"),
        ("eu", "monitoring: {interval: often}", "interval"),
        ("eu", "region: {create: true}", "region.spec is empty"),
        ("eu", "region: {spec: {jurisdiction: EU}}", "region.create is off"),
        (&long, "{}", "too long"),
        ("e.u", "{}", "a letter first"),
    ] {
        let said = refused(name, values);
        assert!(said.contains(says), "{values}: {said}");
    }
    Ok(())
}
