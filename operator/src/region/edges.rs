//! Which edges there are by their ordinals: pods, volumes, and Jobs that replay what a removed edge
//! left. Read as a whole, so that what is concluded from it is pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::build::selector;
use super::validate::ValidatedRegion;
use crate::{Context, Error};

/// Everything that has an edge's ordinal in its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edges {
    /// What the names of its pods begin with: `eu-edge-`.
    pub(super) pod_prefix: String,
    /// How many are wanted; nothing while there is no StatefulSet.
    pub(super) desired: Option<u32>,
    /// Pods, those that are ending included.
    pub(super) pods: BTreeSet<u32>,
    /// Volumes with lane logs that nobody is deleting.
    pub(super) volumes: BTreeSet<u32>,
    /// Jobs that replay.
    pub(super) jobs: BTreeMap<u32, Replay>,
    /// The StatefulSet's generation, which rises with every change of how many are wanted, whoever
    /// makes it.
    pub(super) generation: i64,
}

/// Which generation of the edges' StatefulSet a Job was made for.
pub(super) const MADE_FOR: &str = "hushmark.io/edges-generation";

/// How a Job that replays is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replay {
    /// It has not ended.
    Running,
    /// The volume is empty.
    Done,
    /// The volume was empty when there was another number of edges, and may have been used since.
    Outdated,
    /// It gave up.
    Failed,
    /// Somebody deletes it.
    Ending,
}

/// The component of a Job's pods: no Service leads to them.
pub(super) const REPLAY: &str = "replay";

/// What the names of volumes begin with: the claim's template, and the StatefulSet.
pub(super) fn volume_prefix(region: &ValidatedRegion) -> String {
    format!("lanes-{}-", region.named("edge"))
}

/// What the names of Jobs begin with.
pub(super) fn job_prefix(region: &ValidatedRegion) -> String {
    format!("{}-", region.named(REPLAY))
}

impl Edges {
    /// Asks the cluster. `desired` and `generation` are what the StatefulSet says.
    pub(super) async fn look(
        ctx: &Context,
        region: &ValidatedRegion,
        desired: Option<i32>,
        generation: i64,
    ) -> Result<Self, Error> {
        let pod_prefix = format!("{}-", region.named("edge"));
        let (volume_prefix, job_prefix) = (volume_prefix(region), job_prefix(region));
        let (pods, volumes, jobs) = tokio::try_join!(
            list::<Pod>(ctx, region, "edge"),
            list::<PersistentVolumeClaim>(ctx, region, "edge"),
            list::<Job>(ctx, region, REPLAY),
        )?;
        let volumes = volumes.iter().filter(|it| it.metadata.deletion_timestamp.is_none());
        let jobs = jobs
            .iter()
            .filter_map(|job| Some((ordinal(&job_prefix, job)?, how_it_is(job, generation))));
        Ok(Self {
            desired: desired.and_then(|desired| u32::try_from(desired).ok()),
            pods: pods.iter().filter_map(|pod| ordinal(&pod_prefix, pod)).collect(),
            volumes: volumes.filter_map(|volume| ordinal(&volume_prefix, volume)).collect(),
            jobs: jobs.collect(),
            pod_prefix,
            generation,
        })
    }

    /// The names of all pods that serve, or will: those that are wanted and those that are there.
    /// Nothing while it is not known how many are wanted.
    pub(super) fn expected(&self) -> Option<BTreeSet<String>> {
        let wanted = (0..self.desired?).chain(self.pods.iter().copied());
        Some(wanted.map(|ordinal| format!("{}{ordinal}", self.pod_prefix)).collect())
    }
}

async fn list<K>(ctx: &Context, region: &ValidatedRegion, component: &str) -> Result<Vec<K>, Error>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let labels = selector(&region.config, component);
    let labels: Vec<String> = labels.iter().map(|(name, is)| format!("{name}={is}")).collect();
    let found = api.list(&ListParams::default().labels(&labels.join(","))).await;
    let what = K::plural(&());
    Ok(found.map_err(Error::api(format!("list the {component}'s {what}")))?.items)
}

fn ordinal(prefix: &str, object: &impl kube::ResourceExt) -> Option<u32> {
    let name = object.name_any();
    let ordinal = name.strip_prefix(prefix)?;
    // One ordinal has one name.
    ordinal.parse().ok().filter(|n: &u32| n.to_string() == ordinal)
}

fn how_it_is(job: &Job, generation: i64) -> Replay {
    if job.metadata.deletion_timestamp.is_some() {
        return Replay::Ending;
    }
    let conditions = job.status.iter().flat_map(|JobStatus { conditions, .. }| conditions);
    let is = |type_: &str| {
        conditions.clone().flatten().any(|it| it.type_ == type_ && it.status == "True")
    };
    let mut annotations = job.metadata.annotations.iter().flatten();
    let is_newest = annotations.any(|(name, is)| name == MADE_FOR && *is == generation.to_string());
    match (is("Complete"), is("Failed")) {
        (true, _) if is_newest => Replay::Done,
        (true, _) => Replay::Outdated,
        (_, true) => Replay::Failed,
        _ => Replay::Running,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_ordinal_is_read_from_a_name_and_from_no_other() {
        let pod = |name: &str| Pod {
            metadata: kube::api::ObjectMeta { name: Some(name.into()), ..Default::default() },
            ..Pod::default()
        };
        assert_eq!(ordinal("eu-edge-", &pod("eu-edge-12")), Some(12));
        for other in ["eu-edge-", "eu-edge-x", "eu-edge-01", "eu-writer-1", "x-eu-edge-1"] {
            assert_eq!(ordinal("eu-edge-", &pod(other)), None, "{other}");
        }
    }

    #[test]
    fn a_job_is_as_its_conditions_say() {
        let job = |conditions: serde_json::Value| -> Job {
            let metadata = json!({"annotations": {MADE_FOR: "7"}});
            let job = json!({"metadata": metadata, "status": {"conditions": conditions}});
            serde_json::from_value(job).unwrap()
        };
        assert_eq!(how_it_is(&Job::default(), 7), Replay::Running);
        let complete = json!([{"type": "Complete", "status": "True"}]);
        assert_eq!(how_it_is(&job(complete), 8), Replay::Outdated);
        for (type_, expected) in [
            ("Complete", Replay::Done),
            ("Failed", Replay::Failed),
            ("FailureTarget", Replay::Running),
        ] {
            let conditions = json!([{"type": type_, "status": "True"}]);
            assert_eq!(how_it_is(&job(conditions), 7), expected, "{type_}");
        }
    }

    #[test]
    fn whoever_is_wanted_or_there_is_expected() {
        let edges = Edges {
            pod_prefix: "eu-edge-".into(),
            desired: Some(1),
            pods: [0, 3].into(),
            ..Edges::default()
        };
        let names: Vec<String> = edges.expected().unwrap().into_iter().collect();
        assert_eq!(names, ["eu-edge-0", "eu-edge-3"]);
        assert_eq!(Edges { desired: None, ..edges }.expected(), None);
    }
}
