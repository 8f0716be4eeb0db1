//! What removed edges left: a Job a volume that no edge uses brings its lane logs to Redis.
//!
//! Every such volume gets one, also where the edge said that it left nothing: its last word may be
//! older than its log. A Job that came to its end stays as the mark that the volume is empty; one
//! that gave up is made anew; one whose ordinal has a pod again is deleted, because that edge
//! replays the volume itself. No volume is deleted here.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use super::build::replay_job;
use super::edges::{Edges, MADE_FOR, Replay, job_prefix, volume_prefix};
use super::validate::ValidatedRegion;
use crate::conditions::{Status, Wanted};
use crate::{Context, Error, FIELD_MANAGER};

/// Whether nothing waits on volumes that no edge uses.
pub(super) const LANE_LOGS_REPLAYED: &str = "LaneLogsReplayed";

/// How soon to look again while a Job runs: nothing tells that it ended.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Jobs that are made at once at most; the others follow at the next look.
const AT_ONCE: usize = 10;

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Plan {
    make: BTreeSet<u32>,
    remove: BTreeSet<u32>,
}

impl Edges {
    /// Volumes that no edge uses or is about to use.
    fn unused(&self) -> BTreeSet<u32> {
        let Some(desired) = self.desired else { return BTreeSet::new() };
        let is_unused = |ordinal: &&u32| **ordinal >= desired && !self.pods.contains(*ordinal);
        self.volumes.iter().filter(is_unused).copied().collect()
    }

    fn plan(&self) -> Plan {
        if self.desired.is_none() {
            return Plan::default();
        }
        let unused = self.unused();
        let is_over = |(ordinal, job): &(&u32, &Replay)| {
            let is_of_use = !matches!(job, Replay::Failed | Replay::Outdated);
            let is_wanted = unused.contains(ordinal) && is_of_use;
            **job != Replay::Ending && !is_wanted
        };
        Plan {
            make: unused.iter().filter(|it| !self.jobs.contains_key(it)).copied().collect(),
            remove: self.jobs.iter().filter(is_over).map(|(ordinal, _)| *ordinal).collect(),
        }
    }

    /// Volumes of which it is not known that Redis has everything.
    fn waiting(&self) -> BTreeSet<u32> {
        let done = |ordinal: &u32| self.jobs.get(ordinal) == Some(&Replay::Done);
        self.unused().into_iter().filter(|ordinal| !done(ordinal)).collect()
    }

    /// Whether something is under way that nothing tells of.
    pub(super) fn replays(&self) -> bool {
        !self.waiting().is_empty() || self.jobs.values().any(|job| *job == Replay::Ending)
    }
}

/// Makes and deletes Jobs. Nothing is written where nothing differs.
pub(super) async fn replay(
    ctx: &Context,
    region: &ValidatedRegion,
    edges: &Edges,
) -> Result<(), Error> {
    let Plan { make, remove } = edges.plan();
    let api: Api<Job> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    for ordinal in remove {
        let name = format!("{}{ordinal}", job_prefix(region));
        match api.delete(&name, &DeleteParams::background()).await {
            Ok(_) => tracing::info!(job = name, "not wanted any more, deleted"),
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(Error::api(format!("delete the Job {name}"))(error)),
        }
    }
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    for ordinal in make.into_iter().take(AT_ONCE) {
        let mut job = replay_job(region, ordinal);
        let made_for = (MADE_FOR.to_owned(), edges.generation.to_string());
        job.metadata.annotations.get_or_insert_default().extend([made_for]);
        let name = job.metadata.name.clone().unwrap_or_default();
        match api.create(&params, &job).await {
            Ok(_) => tracing::info!(job = name, "replays what a removed edge left"),
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => return Err(Error::api(format!("make the Job {name}"))(error)),
        }
    }
    Ok(())
}

/// What people are told.
pub(super) fn judge(region: &ValidatedRegion, edges: &Edges) -> Wanted {
    let of = |status, reason, text: String| Wanted::new(LANE_LOGS_REPLAYED, status, reason, text);
    let (waiting, unused) = (edges.waiting(), edges.unused());
    let prefix = volume_prefix(region);
    if let Some(ordinal) = waiting.first() {
        let text = format!(
            "no edge uses these volumes any more, and hits that were answered may wait on them: {}. \
             A Job brings each of them to redis, and tries again while that is away: kubectl logs \
             job/{}{ordinal}",
            named(&prefix, &waiting),
            job_prefix(region),
        );
        return of(Status::False, "Replaying", text);
    }
    if unused.is_empty() {
        return of(Status::True, "NothingLeft", String::new());
    }
    let text = format!(
        "no edge uses these volumes any more, and they are empty: {}. They stay for edges to come; \
         to be rid of them, delete the PersistentVolumeClaims",
        named(&prefix, &unused)
    );
    of(Status::True, "Replayed", text)
}

/// Names, as many as a person reads.
fn named(prefix: &str, ordinals: &BTreeSet<u32>) -> String {
    const NAMED: usize = 8;
    let mut each: Vec<String> =
        ordinals.iter().take(NAMED).map(|ordinal| format!("{prefix}{ordinal}")).collect();
    let more = ordinals.len().saturating_sub(NAMED);
    if more > 0 {
        each.push(format!("{more} more"));
    }
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edges(desired: u32, pods: &[u32], volumes: &[u32], jobs: &[(u32, Replay)]) -> Edges {
        Edges {
            pod_prefix: "eu-edge-".into(),
            desired: Some(desired),
            pods: pods.iter().copied().collect(),
            volumes: volumes.iter().copied().collect(),
            jobs: jobs.iter().copied().collect(),
            generation: 1,
        }
    }

    fn plan(edges: &Edges) -> (Vec<u32>, Vec<u32>) {
        let Plan { make, remove } = edges.plan();
        (make.into_iter().collect(), remove.into_iter().collect())
    }

    #[test]
    fn a_volume_gets_a_job_once_its_pod_is_gone() {
        let volumes = &[0, 1, 2, 3];
        assert_eq!(plan(&edges(4, &[0, 1, 2, 3], volumes, &[])), (vec![], vec![]));
        assert_eq!(plan(&edges(2, &[0, 1, 2], volumes, &[])), (vec![3], vec![]), "2 is ending");
        assert_eq!(plan(&edges(2, &[0, 1], volumes, &[])), (vec![2, 3], vec![]));
    }

    #[test]
    fn one_that_is_done_stays_and_one_that_gave_up_is_made_anew() {
        let of = |job| edges(1, &[0], &[0, 1], &[(1, job)]);
        assert_eq!(plan(&of(Replay::Running)), (vec![], vec![]));
        assert_eq!(plan(&of(Replay::Done)), (vec![], vec![]));
        assert_eq!(plan(&of(Replay::Failed)), (vec![], vec![1]));
        assert_eq!(plan(&of(Replay::Outdated)), (vec![], vec![1]));
        assert!(of(Replay::Outdated).replays());
        assert_eq!(plan(&of(Replay::Ending)), (vec![], vec![]), "until its pod is gone");
        assert!(!of(Replay::Done).replays() && of(Replay::Running).replays());
    }

    #[test]
    fn a_pod_that_returns_replays_itself() {
        let returns = edges(2, &[0], &[0, 1], &[(1, Replay::Running)]);
        assert_eq!(plan(&returns), (vec![], vec![1]), "before its pod is there");
        let nobody_knows = Edges { desired: None, ..edges(0, &[], &[0, 1], &[(1, Replay::Done)]) };
        assert_eq!(plan(&nobody_knows), (vec![], vec![]), "while the StatefulSet is away");
    }

    proptest! {
        /// No Job ever runs beside an edge of its volume, each unused volume is looked after, and a
        /// second look at what a plan came to finds nothing more to do.
        #[test]
        fn a_plan_is_safe_complete_and_done_once(
            desired in 0u32..5,
            pods in proptest::collection::btree_set(0u32..6, 0..6),
            volumes in proptest::collection::btree_set(0u32..6, 0..6),
            jobs in proptest::collection::btree_map(0u32..6, 0u8..5, 0..6),
        ) {
            let all =
                [Replay::Running, Replay::Done, Replay::Outdated, Replay::Failed, Replay::Ending];
            let how = |n| all[usize::from(n)];
            let jobs = jobs.into_iter().map(|(ordinal, n)| (ordinal, how(n))).collect();
            let mut edges = Edges { pod_prefix: String::new(), desired: Some(desired), pods, volumes, jobs, generation: 1 };
            let Plan { make, remove } = edges.plan();
            for ordinal in &make {
                prop_assert!(*ordinal >= desired && !edges.pods.contains(ordinal));
            }
            edges.jobs.retain(|ordinal, job| !remove.contains(ordinal) && *job != Replay::Ending);
            edges.jobs.extend(make.iter().map(|ordinal| (*ordinal, Replay::Running)));
            let again = edges.plan();
            edges.jobs.extend(again.make.iter().map(|ordinal| (*ordinal, Replay::Running)));
            prop_assert!(again.remove.is_empty());
            prop_assert_eq!(edges.plan(), Plan::default());
            let running: BTreeSet<u32> = edges.jobs.keys().copied().collect();
            prop_assert_eq!(running, edges.unused());
        }
    }
}
