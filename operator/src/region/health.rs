//! How the stack's workloads are, read from what was applied. Pure.

use hushmark_crds::Replicas;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::apply::{Applied, Id, Kind};

/// One workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    /// Its component.
    pub(super) name: &'static str,
    /// How many are wanted, and how many serve.
    pub(super) replicas: Replicas,
    /// All of them serve, and all are of the newest template.
    pub(super) settled: bool,
    /// Rises with every change of its spec.
    pub(super) generation: i64,
}

/// What can be said of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Health {
    pub(super) workloads: Vec<Workload>,
}

impl Health {
    /// Looks at every workload that was applied.
    pub(super) fn of(applied: &Applied, release: &str) -> Self {
        let workloads = [
            ("edge", Kind::StatefulSet),
            ("writer", Kind::Deployment),
            ("redis", Kind::StatefulSet),
            ("clickhouse", Kind::StatefulSet),
        ];
        let look = |(name, kind): (&'static str, Kind)| {
            let id = Id { kind, name: format!("{release}-{name}") };
            applied.live.get(&id).map(|live| workload(name, kind, live))
        };
        // What ClickHouse's own operator runs says the same of itself under the same names.
        let kind = Kind::ClickHouseCluster;
        let cluster = applied.live.get(&Id { kind, name: release.to_owned() });
        let cluster = cluster.map(|live| workload("clickhouse", kind, live));
        Self { workloads: workloads.into_iter().filter_map(look).chain(cluster).collect() }
    }

    /// The replicas of a component.
    pub(super) fn replicas(&self, name: &str) -> Option<Replicas> {
        self.workloads.iter().find(|workload| workload.name == name).map(|it| it.replicas)
    }

    /// The generation of a component's workload.
    pub(super) fn generation(&self, name: &str) -> i64 {
        self.workloads.iter().find(|workload| workload.name == name).map_or(0, |it| it.generation)
    }

    /// What is not as it should be, in words; empty when all is well.
    pub(super) fn troubles(&self) -> Vec<String> {
        let unsettled = self.workloads.iter().filter(|workload| !workload.settled);
        unsettled
            .map(|Workload { name, replicas, .. }| {
                let Replicas { desired, ready } = replicas;
                if ready < desired {
                    format!("{name}: {ready} of {desired} ready")
                } else {
                    format!("{name}: being replaced")
                }
            })
            .collect()
    }
}

fn workload(name: &'static str, kind: Kind, live: &DynamicObject) -> Workload {
    let status = &live.data["status"];
    let number = |value: &Value| value.as_i64().and_then(|n| i32::try_from(n).ok());
    let count = |field: &str| number(&status[field]).unwrap_or(0);
    let desired = number(&live.data["spec"]["replicas"]).unwrap_or(1);
    let generation = live.metadata.generation.unwrap_or(0);
    let seen = status["observedGeneration"].as_i64().unwrap_or(0) >= generation;
    let (ready, replaced) = match kind {
        Kind::Deployment => (count("availableReplicas"), count("updatedReplicas") >= desired),
        _ => {
            // `updatedReplicas` is left out where nothing is being replaced.
            let one_revision = status["currentRevision"] == status["updateRevision"];
            (count("readyReplicas"), one_revision || count("updatedReplicas") >= desired)
        }
    };
    let settled = seen && replaced && ready >= desired;
    Workload { name, replicas: Replicas { desired, ready }, settled, generation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn live(kind: Kind, name: &str, status: Value) -> (Id, DynamicObject) {
        let mut object = DynamicObject::new(name, &kind.resource());
        object.metadata.generation = Some(3);
        object.data = json!({"spec": {"replicas": 2}, "status": status});
        (Id { kind, name: name.into() }, object)
    }

    fn health(edge: Value, writer: Value) -> Health {
        let live = [
            live(Kind::StatefulSet, "demo-edge", edge),
            live(Kind::Deployment, "demo-writer", writer),
        ];
        Health::of(&Applied { live: live.into(), ..Applied::default() }, "demo")
    }

    #[test]
    fn ready_and_of_the_newest_template_is_well() {
        let edge = json!({"observedGeneration": 3, "readyReplicas": 2,
                          "currentRevision": "a", "updateRevision": "a"});
        let writer = json!({"observedGeneration": 3, "availableReplicas": 2, "updatedReplicas": 2});
        let health = health(edge, writer);
        assert_eq!(health.troubles(), Vec::<String>::new());
        assert_eq!(health.replicas("edge"), Some(Replicas { desired: 2, ready: 2 }));
        assert_eq!(health.replicas("redis"), None);
    }

    #[test]
    fn what_waits_is_named_with_its_numbers() {
        let edge = json!({"observedGeneration": 3, "readyReplicas": 2, "updatedReplicas": 1,
                          "currentRevision": "a", "updateRevision": "b"});
        let writer = json!({"observedGeneration": 2, "availableReplicas": 1});
        let health = health(edge, writer);
        assert_eq!(health.troubles(), ["edge: being replaced", "writer: 1 of 2 ready"]);
    }
}
