//! Whether an object in the cluster lacks something that is wanted. Pure.
//!
//! The cluster adds defaults, status and other people's fields: only what is wanted is looked for.
//! Lists follow the rules of server-side apply: some are maps by a key, where others may add their
//! own entries; all others belong to one applier, and must be equal.

use serde_json::{Map, Value};

use super::Kind;

/// What identifies an entry, for the lists that are maps. `None`: the list is one's own.
fn keys(kind: Kind, field: &str) -> Option<&'static [&'static str]> {
    let keys: &[&str] = match (kind, field) {
        (_, "ownerReferences") => &["uid"],
        (Kind::Service, "ports") => &["port", "protocol"],
        (Kind::StatefulSet | Kind::Deployment, field) => match field {
            "containers" | "initContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
            "volumeMounts" => &["mountPath"],
            "ports" => &["containerPort", "protocol"],
            "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
            _ => return None,
        },
        _ => return None,
    };
    Some(keys)
}

/// Objects that belong to one applier as a whole: a label more in a selector selects other pods.
const WHOLE: [&str; 8] = [
    "selector",
    "labelSelector",
    "podSelector",
    "namespaceSelector",
    "matchLabels",
    "nodeSelector",
    "ipBlock",
    "scaleTargetRef",
];

/// Whether `live` lacks anything of `wanted`.
#[must_use]
pub fn differs(kind: Kind, wanted: &Value, live: &Value) -> bool {
    !holds(kind, "", wanted, live)
}

fn holds(kind: Kind, field: &str, wanted: &Value, live: &Value) -> bool {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            object(kind, wanted, live) && (!WHOLE.contains(&field) || wanted.len() == live.len())
        }
        (Value::Array(wanted), Value::Array(live)) => list(kind, field, wanted, live),
        (Value::String(wanted), Value::String(live)) => {
            wanted == live || same_quantity(field, wanted, live)
        }
        _ => wanted == live,
    }
}

fn object(kind: Kind, wanted: &Map<String, Value>, live: &Map<String, Value>) -> bool {
    wanted.iter().all(|(name, wanted)| match live.get(name) {
        Some(live) => holds(kind, name, wanted, live),
        // The cluster keeps no empty lists.
        None => wanted.as_array().is_some_and(Vec::is_empty),
    })
}

fn list(kind: Kind, field: &str, wanted: &[Value], live: &[Value]) -> bool {
    let Some(keys) = keys(kind, field) else {
        return wanted.len() == live.len()
            && wanted.iter().zip(live).all(|(wanted, live)| holds(kind, field, wanted, live));
    };
    // A protocol that is not said is TCP.
    let key = |entry: &Value, key: &str| match (&entry[key], key) {
        (Value::Null, "protocol") => "TCP".into(),
        (value, _) => value.clone(),
    };
    wanted.iter().all(|wanted| {
        let same = |live: &&Value| keys.iter().all(|k| key(wanted, k) == key(live, k));
        live.iter().find(same).is_some_and(|live| holds(kind, field, wanted, live))
    })
}

/// The API server writes quantities in a form of its own: `1024Mi` comes back as `1Gi`.
fn same_quantity(field: &str, wanted: &str, live: &str) -> bool {
    let is_one = matches!(field, "storage" | "cpu" | "memory" | "ephemeral-storage" | "sizeLimit");
    is_one && quantity(wanted).is_some() && quantity(wanted) == quantity(live)
}

/// A Kubernetes quantity in thousandths: `1Gi`, `500m`, `0.5`, `2e3`.
#[must_use]
pub fn quantity(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let factor: u128 = match suffix {
        "m" => 1,
        "" => 1_000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "P" => 1_000_000_000_000_000_000,
        "Ki" => 1_000 << 10,
        "Mi" => 1_000 << 20,
        "Gi" => 1_000 << 30,
        "Ti" => 1_000 << 40,
        "Pi" => 1_000 << 50,
        _ => {
            let power: u32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_u128.checked_pow(power)?.checked_mul(1_000)?
        }
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(digits.checked_mul(factor)? / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(spec: Value) -> Value {
        json!({"spec": {"template": {"spec": spec}}})
    }

    fn stateful(wanted: Value, live: Value) -> bool {
        differs(Kind::StatefulSet, &set(wanted), &set(live))
    }

    #[test]
    fn what_the_cluster_added_is_no_difference() {
        let wanted = json!({"containers": [{"name": "edge", "ports": [{"containerPort": 8080}]}]});
        let live = json!({
            "dnsPolicy": "ClusterFirst",
            "containers": [
                {"name": "mesh"},
                {"name": "edge", "terminationMessagePath": "/dev/x",
                 "ports": [{"containerPort": 8080, "protocol": "TCP"}]},
            ],
        });
        assert!(!stateful(wanted, live));
    }

    #[test]
    fn what_was_changed_or_taken_away_is_one() {
        let wanted = json!({"containers": [{"name": "edge", "image": "a"}], "replicas": 2});
        let with = |containers: Value, replicas: u8| json!({"containers": containers, "replicas": replicas});
        assert!(!stateful(wanted.clone(), with(json!([{"name": "edge", "image": "a"}]), 2)));
        for live in [
            with(json!([{"name": "edge", "image": "b"}]), 2),
            with(json!([{"name": "edge", "image": "a"}]), 3),
            with(json!([{"name": "other", "image": "a"}]), 2),
            with(json!([]), 2),
            json!({"replicas": 2}),
        ] {
            assert!(stateful(wanted.clone(), live.clone()), "{live}");
        }
    }

    #[test]
    fn a_list_of_ones_own_must_be_equal() {
        let rules = |ports: Value| json!({"spec": {"ingress": [{"ports": ports}]}});
        let wanted = rules(json!([{"port": 8080}]));
        let policy = |live: &Value| differs(Kind::NetworkPolicy, &wanted, live);
        assert!(!policy(&rules(json!([{"port": 8080, "protocol": "TCP"}]))));
        assert!(policy(&rules(json!([{"port": 8080}, {"port": 22}]))), "a door was opened");
        assert!(stateful(json!({"args": ["a"]}), json!({"args": ["a", "b"]})));
        let none = json!({"spec": {"egress": []}});
        let policy = |live: Value| differs(Kind::NetworkPolicy, &none, &live);
        assert!(!policy(json!({"spec": {}})) && !policy(json!({"spec": {"egress": []}})));
        assert!(policy(json!({"spec": {"egress": [{}]}})));
    }

    #[test]
    fn a_selector_is_held_whole_and_labels_are_not() {
        let wanted = json!({"metadata": {"labels": {"a": "1"}},
                            "spec": {"podSelector": {"matchLabels": {"a": "1"}}}});
        let mut live = wanted.clone();
        live["metadata"]["labels"]["b"] = "2".into();
        assert!(!differs(Kind::NetworkPolicy, &wanted, &live));
        live["spec"]["podSelector"]["matchLabels"]["b"] = "2".into();
        assert!(differs(Kind::NetworkPolicy, &wanted, &live));
    }

    #[test]
    fn quantities_are_compared_by_what_they_mean() {
        for (a, b) in [("1024Mi", "1Gi"), ("0.5", "500m"), ("1000m", "1"), ("1e3", "1k")] {
            assert_eq!(quantity(a), quantity(b), "{a} {b}");
            assert!(quantity(a).is_some());
        }
        for text in ["", "Gi", "1x", ".", "1.2.3", "-1"] {
            assert_eq!(quantity(text), None, "{text}");
        }
        let with = |size: &str| json!({"resources": {"requests": {"storage": size}}});
        assert!(!stateful(with("1024Mi"), with("1Gi")));
        assert!(stateful(with("1Gi"), with("2Gi")));
        assert!(stateful(json!({"image": "1024Mi"}), json!({"image": "1Gi"})));
    }
}
