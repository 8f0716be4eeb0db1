//! A Job that brings the lane logs of a removed edge to Redis. It has no key: what is in a log is
//! sealed, and goes as it is.

use k8s_openapi::api::batch::v1::Job;
use serde_json::json;

use super::edge::{self, LANES, RedisAccess};
use super::pod::{Arguments, Pod, mount};
use super::{labels, metadata};
use crate::region::edges::{REPLAY, job_prefix, volume_prefix};
use crate::region::validate::ValidatedRegion;

/// Tries of one Job, each at least ten seconds after the one before and twice as long: some five
/// minutes. Then the operator makes another one, so that pods of failed tries do not add up.
const TRIES: u8 = 5;

/// A try that takes longer hangs; a lane log of a gigabyte takes some seconds.
const AT_MOST_SECONDS: u16 = 3_600;

/// The Job for the volume of an ordinal.
///
/// # Panics
/// Never: a test makes one of each Region there.
pub(in crate::region) fn replay_job(region: &ValidatedRegion, ordinal: u32) -> Job {
    let RedisAccess { arguments, mut mounts, mut volumes } = edge::redis_access(region);
    let mut all = Arguments::default();
    arguments.into_iter().for_each(|(name, value)| all.flag(name, value));
    all.flag("--lane-log", LANES.1);
    // Its word in Redis is about the edge whose volume this is.
    all.flag("--name", format!("{}-{ordinal}", region.named("edge")));
    let mut args = all.into_value();
    if let Some(args) = args.as_array_mut() {
        args.push("--replay".into());
    }
    mounts.push(mount("lanes", LANES.0));
    let claim = format!("{}{ordinal}", volume_prefix(region));
    volumes.push(json!({"name": "lanes", "persistentVolumeClaim": {"claimName": claim}}));
    let container = json!({
        "args": args,
        "image": region.config.image_edge,
        "imagePullPolicy": region.config.image_pull_policy.as_str(),
        "name": REPLAY,
        "resources": {
            "limits": {"memory": "256Mi"},
            "requests": {"cpu": "50m", "memory": "32Mi"},
        },
        "volumeMounts": mounts,
    });
    let pod = Pod {
        component: REPLAY,
        user: edge::USER,
        grace: 5,
        container,
        volumes,
        figures: None,
        versions: &[],
    };
    let mut template = pod.template(region);
    template["spec"]["restartPolicy"] = "Never".into();
    // It is the edge's work, and an edge may do no more than any pod.
    template["spec"]["serviceAccountName"] = region.named("edge").into();
    // Where it runs, its volume says.
    template["spec"].as_object_mut().map(|spec| spec.remove("topologySpreadConstraints"));
    let mut metadata = metadata(region, REPLAY);
    metadata["labels"] = json!(labels(&region.config, REPLAY));
    metadata["name"] = format!("{}{ordinal}", job_prefix(region)).into();
    metadata["namespace"] = region.config.namespace.clone().into();
    let job = json!({
        "metadata": metadata,
        "spec": {
            "activeDeadlineSeconds": AT_MOST_SECONDS,
            "backoffLimit": TRIES,
            "template": template,
        },
    });
    serde_json::from_value(job).expect("a test makes one of each Region there")
}
