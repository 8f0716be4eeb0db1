//! From pods, namespaces and NetworkPolicies to rules of nftables. Pure.
//!
//! What is understood is what Kubernetes says of version 1: selectors of pods and namespaces,
//! blocks of addresses with exceptions, ports by number, range and name. A pod's chain returns
//! where a policy allows and drops at its end; a pod that no policy selects has none.

use std::collections::BTreeSet;

use serde_json::Value;

/// A direction: as a policy and as nftables call it, and which address of a packet is the pod's
/// and which the peer's.
struct Direction {
    key: &'static str,
    type_: &'static str,
    peers: &'static str,
    pod: &'static str,
    peer: &'static str,
}

const DIRECTIONS: [Direction; 2] = [
    Direction { key: "egress", type_: "Egress", peers: "to", pod: "saddr", peer: "daddr" },
    Direction { key: "ingress", type_: "Ingress", peers: "from", pod: "daddr", peer: "saddr" },
];

/// Everything that the rules are made of.
struct World<'a> {
    pods: Vec<&'a Value>,
    namespaces: &'a [Value],
}

/// One table that replaces the one before.
pub(super) fn render(pods: &[Value], namespaces: &[Value], policies: &[Value]) -> String {
    let world = World { pods: pods.iter().filter(|pod| has_a_network(pod)).collect(), namespaces };
    let (mut chains, mut maps) = (BTreeSet::new(), String::new());
    for direction in &DIRECTIONS {
        let mut jumps = BTreeSet::new();
        for pod in &world.pods {
            let own: Vec<&Value> =
                policies.iter().filter(|policy| selects(policy, pod, direction)).collect();
            if own.is_empty() {
                continue;
            }
            let address = text(&pod["status"]["podIP"]);
            let chain = format!("{}-{}", direction.key, address.replace('.', "-"));
            jumps.insert(format!("{address} : jump {chain}"));
            let mut allowed = BTreeSet::new();
            for policy in own {
                world.allow(policy, pod, direction, &mut allowed);
            }
            let allowed = allowed.into_iter().map(|what| match what.as_str() {
                "" => "return".to_owned(),
                what => format!("{what} return"),
            });
            let body: Vec<String> = allowed.chain(["drop".to_owned()]).collect();
            let body = body.join("; ");
            chains.insert(format!(" chain {chain} {{ {body}; }}\n"));
        }
        if !jumps.is_empty() {
            let jumps: Vec<String> = jumps.into_iter().collect();
            maps += &format!("  ip {} vmap {{ {} }}\n", direction.pod, jumps.join(", "));
        }
    }
    let chains: String = chains.into_iter().collect();
    format!(
        "table inet policies\ndelete table inet policies\ntable inet policies {{\n{chains} chain \
         forward {{ type filter hook forward priority -10; policy accept;\n  ct state \
         established,related accept\n{maps} }}\n}}\n"
    )
}

impl World<'_> {
    /// What a policy allows to a pod, each as one match.
    fn allow(&self, policy: &Value, pod: &Value, on: &Direction, into: &mut BTreeSet<String>) {
        for rule in list(&policy["spec"][on.key]) {
            for peer in self.peers(&rule[on.peers], policy, on) {
                for port in self.ports(&rule["ports"], pod, on) {
                    into.insert(format!("{peer} {port}").trim().to_owned());
                }
            }
        }
    }

    /// The other ends of a rule; one without any means everybody.
    fn peers(&self, named: &Value, policy: &Value, on: &Direction) -> Vec<String> {
        if list(named).is_empty() {
            return vec![String::new()];
        }
        let (mut blocks, mut addresses) = (Vec::new(), BTreeSet::new());
        for peer in list(named) {
            let block = &peer["ipBlock"];
            if let Some(cidr) = block["cidr"].as_str() {
                // The node has no addresses of version 6.
                if !cidr.contains(':') {
                    blocks.push(format!("ip {} {cidr}{}", on.peer, exceptions(block, on)));
                }
                continue;
            }
            let home = text(&policy["metadata"]["namespace"]);
            for pod in &self.pods {
                let namespace = text(&pod["metadata"]["namespace"]);
                let here = match &peer["namespaceSelector"] {
                    Value::Null => namespace == home,
                    selector => matches(selector, self.labels_of(&namespace)),
                };
                if here && matches(&peer["podSelector"], &pod["metadata"]["labels"]) {
                    addresses.insert(text(&pod["status"]["podIP"]));
                }
            }
        }
        if !addresses.is_empty() {
            let addresses: Vec<String> = addresses.into_iter().collect();
            blocks.push(format!("ip {} {{ {} }}", on.peer, addresses.join(", ")));
        }
        blocks
    }

    /// The ports of a rule, at the end that is asked; a rule without any means all of them.
    fn ports(&self, named: &Value, pod: &Value, on: &Direction) -> Vec<String> {
        if list(named).is_empty() {
            return vec![String::new()];
        }
        let targets = if on.key == "ingress" { vec![pod] } else { self.pods.clone() };
        let mut ports = Vec::new();
        for port in list(named) {
            let protocol = port["protocol"].as_str().unwrap_or("TCP").to_lowercase();
            match &port["port"] {
                Value::Null => ports.push(format!("meta l4proto {protocol}")),
                Value::Number(first) => {
                    let last = port["endPort"].as_u64().map(|last| format!("-{last}"));
                    ports.push(format!("{protocol} dport {first}{}", last.unwrap_or_default()));
                }
                name => ports.extend(
                    targets
                        .iter()
                        .flat_map(|pod| list(&pod["spec"]["containers"]))
                        .flat_map(|container| list(&container["ports"]))
                        .filter(|port| port["name"] == *name)
                        .map(|port| format!("{protocol} dport {}", port["containerPort"])),
                ),
            }
        }
        ports
    }

    fn labels_of(&self, namespace: &str) -> &Value {
        let found = self.namespaces.iter().find(|it| it["metadata"]["name"] == *namespace);
        found.map_or(&Value::Null, |found| &found["metadata"]["labels"])
    }
}

fn exceptions(block: &Value, on: &Direction) -> String {
    let except: Vec<&str> = list(&block["except"]).iter().filter_map(Value::as_str).collect();
    if except.is_empty() {
        return String::new();
    }
    format!(" ip {} != {{ {} }}", on.peer, except.join(", "))
}

/// Whether a pod has an address of its own now.
fn has_a_network(pod: &Value) -> bool {
    pod["status"]["podIP"].is_string()
        && pod["spec"]["hostNetwork"] != true
        && matches!(pod["status"]["phase"].as_str(), Some("Pending" | "Running"))
}

/// Whether a policy says what a pod may do in a direction.
fn selects(policy: &Value, pod: &Value, on: &Direction) -> bool {
    let spec = &policy["spec"];
    let about = match spec["policyTypes"].as_array() {
        Some(types) => types.iter().any(|named| named == on.type_),
        None => on.key == "ingress",
    };
    about
        && policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
        && matches(&spec["podSelector"], &pod["metadata"]["labels"])
}

/// Whether a label selector takes labels; an empty one takes all.
fn matches(selector: &Value, labels: &Value) -> bool {
    let mut equal = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = list(&selector["matchExpressions"]);
    equal.all(|(key, value)| labels[key] == *value)
        && expressions.iter().all(|expression| {
            let label = &labels[text(&expression["key"])];
            let listed = list(&expression["values"]).contains(label);
            match expression["operator"].as_str() {
                Some("In") => listed,
                Some("NotIn") => !listed,
                Some("Exists") => !label.is_null(),
                _ => label.is_null(),
            }
        })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(namespace: &str, app: &str, address: &str) -> Value {
        json!({
            "metadata": {"namespace": namespace, "labels": {"app": app}},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
            "status": {"podIP": address, "phase": "Running"},
        })
    }

    fn policy(spec: Value) -> Value {
        json!({"metadata": {"namespace": "a"}, "spec": spec})
    }

    fn rendered(policies: &[Value]) -> String {
        let pods = [
            pod("a", "edge", "10.0.0.1"),
            pod("a", "redis", "10.0.0.2"),
            pod("b", "x", "10.0.0.3"),
        ];
        let names = json!({"metadata": {"name": "b", "labels": {"team": "b"}}});
        render(&pods, &[names], policies)
    }

    #[test]
    fn a_pod_that_no_policy_selects_may_do_everything() {
        let rules = rendered(&[]);
        assert!(!rules.contains("vmap"), "{rules}");
        let of_another = json!({"metadata": {"namespace": "c"}, "spec": {"podSelector": {}}});
        assert_eq!(rendered(&[of_another]), rules);
    }

    #[test]
    fn policies_of_a_pod_add_up_and_what_none_allows_is_dropped() {
        let deny = policy(json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}));
        let redis = policy(json!({
            "podSelector": {"matchLabels": {"app": "redis"}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"app": "edge"}}}],
                "ports": [{"port": 6379}],
            }],
        }));
        let rules = rendered(&[deny, redis]);
        let wanted =
            " chain ingress-10-0-0-2 { ip saddr { 10.0.0.1 } tcp dport 6379 return; drop; }";
        assert!(rules.contains(wanted), "{rules}");
        assert!(rules.contains(" chain egress-10-0-0-2 { drop; }"), "{rules}");
        assert!(!rules.contains("10-0-0-3"), "{rules}");
    }

    #[test]
    fn ports_by_name_blocks_with_exceptions_and_whole_namespaces_are_understood() {
        let open = policy(json!({
            "podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["edge"]}]},
            "ingress": [
                {"ports": [{"port": "http"}]},
                {"from": [{"namespaceSelector": {"matchLabels": {"team": "b"}}}]},
                {"from": [{"ipBlock": {"cidr": "10.9.0.0/16", "except": ["10.9.1.0/24"]}}],
                 "ports": [{"port": 100, "endPort": 200, "protocol": "UDP"}]},
            ],
        }));
        let rules = rendered(&[open]);
        for wanted in [
            "; tcp dport 8080 return",
            "ip saddr { 10.0.0.3 } return",
            "ip saddr 10.9.0.0/16 ip saddr != { 10.9.1.0/24 } udp dport 100-200 return",
        ] {
            assert!(rules.contains(wanted), "{wanted} is not in\n{rules}");
        }
        assert!(!rules.contains("ip saddr vmap"), "no policy speaks of egress:\n{rules}");
    }
}
