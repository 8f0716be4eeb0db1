//! Where a volume is, as far as it tells: by a label, or by the nodes that can reach it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PersistentVolume};

use super::REGION_OF_NODE;

/// Nodes and their labels.
pub(super) type Nodes = BTreeMap<String, BTreeMap<String, String>>;

/// The regions that a volume may be in; `None` where it does not say.
pub(super) fn regions(volume: &PersistentVolume, nodes: &Nodes) -> Option<BTreeSet<String>> {
    if let Some(region) = volume.metadata.labels.as_ref().and_then(|it| it.get(REGION_OF_NODE)) {
        return Some(BTreeSet::from([region.clone()]));
    }
    let affinity = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let mut all = BTreeSet::new();
    // Each term is one more place where it may be, so each has to say where.
    for term in &affinity.node_selector_terms {
        all.append(&mut of_term(term, nodes)?);
    }
    (!all.is_empty()).then_some(all)
}

/// What a term names itself, or else where the nodes are that it selects. Only nodes of the stack
/// are known; a zone or a host that has one of them is in that one's region.
fn of_term(term: &NodeSelectorTerm, nodes: &Nodes) -> Option<BTreeSet<String>> {
    let asked = term.match_expressions.as_deref().unwrap_or_default();
    let named = asked.iter().find(|one| one.key == REGION_OF_NODE && one.operator == "In");
    if let Some(named) = named {
        return Some(named.values.iter().flatten().cloned().collect());
    }
    if asked.is_empty() || term.match_fields.is_some() {
        return None;
    }
    let selected = nodes.values().filter(|labels| asked.iter().all(|one| holds(one, labels)));
    let regions: Option<BTreeSet<String>> =
        selected.map(|labels| labels.get(REGION_OF_NODE).cloned()).collect();
    regions.filter(|regions| !regions.is_empty())
}

/// Whether a node is one that is asked for. What is not understood here selects none.
fn holds(asked: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let values = asked.values.as_deref().unwrap_or_default();
    let label = labels.get(&asked.key);
    asked.operator == "In" && label.is_some_and(|label| values.contains(label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn nodes() -> Nodes {
        let node = |region: &str, zone: &str, host: &str| {
            let labels = [
                (REGION_OF_NODE, region),
                ("topology.kubernetes.io/zone", zone),
                ("kubernetes.io/hostname", host),
            ];
            labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        };
        Nodes::from([
            ("a".into(), node("eu-central", "eu-central-a", "a")),
            ("b".into(), node("eu-central", "eu-central-b", "b")),
        ])
    }

    fn found(labels: &Value, terms: &Value) -> Option<Vec<String>> {
        let volume = json!({
            "metadata": {"name": "v", "labels": labels},
            "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
        });
        let volume: PersistentVolume = serde_json::from_value(volume).unwrap();
        regions(&volume, &nodes()).map(|all| all.into_iter().collect())
    }

    fn term(key: &str, values: &[&str]) -> Value {
        json!({"matchExpressions": [{"key": key, "operator": "In", "values": values}]})
    }

    #[test]
    fn a_label_or_an_affinity_says_where_a_volume_is() {
        let (none, zone) = (json!({}), "topology.kubernetes.io/zone");
        let central = Some(vec!["eu-central".to_owned()]);
        assert_eq!(found(&json!({REGION_OF_NODE: "eu-central"}), &json!([])), central);
        assert_eq!(found(&none, &json!([term(REGION_OF_NODE, &["eu-central"])])), central);
        assert_eq!(found(&none, &json!([term(zone, &["eu-central-a"])])), central);
        assert_eq!(found(&none, &json!([term("kubernetes.io/hostname", &["b"])])), central);
        assert_eq!(
            found(&none, &json!([term(zone, &["eu-central-a"]), term(REGION_OF_NODE, &["us"])])),
            Some(vec!["eu-central".to_owned(), "us".to_owned()]),
            "it may be at either"
        );
    }

    #[test]
    fn what_says_nothing_is_not_guessed() {
        let none = json!({});
        assert_eq!(found(&none, &json!([])), None);
        assert_eq!(found(&none, &json!([term("topology.kubernetes.io/zone", &["us-a"])])), None);
        let vague = json!({"matchExpressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "Exists"},
        ]});
        assert_eq!(found(&none, &json!([vague])), None);
        let one_vague = json!([term(REGION_OF_NODE, &["eu-central"]), {"matchExpressions": []}]);
        assert_eq!(found(&none, &one_vague), None);
    }
}
