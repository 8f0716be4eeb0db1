//! Following both logs, and telling the Region's status where they stand.

use std::sync::Arc;
use std::time::Duration;

use hushmark_crds::{LogStatus, Region, RegionStatus};
use kube::api::{Api, Patch, PatchParams};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::BothKnown;
use crate::context::{ActiveRegion, now_ms};
use crate::{Context, Error};

/// How often Redis is looked at: a takedown holds within a second.
const EVERY: Duration = Duration::from_millis(200);

/// How long one look may take: a whole log of 100,000 entries is read in two seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The fields of the Region's status that are written here have their own manager.
const MANAGER: &str = "hushmark-operator-refusals";

/// Follows both logs until it is told to stop.
///
/// # Errors
/// Never: what fails is told, and tried again.
pub async fn run(ctx: Arc<Context>, shutdown: CancellationToken) -> Result<(), Error> {
    let mut said = String::new();
    let mut follower = Follower::default();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        let done = tokio::time::timeout(PATIENCE, follower.step(&ctx)).await;
        match done.unwrap_or(Err(Error::Late(PATIENCE))) {
            Ok(()) => said.clear(),
            Err(error) => {
                if matches!(error, Error::Redis { .. } | Error::Late(_)) {
                    ctx.redis.failed().await;
                }
                let text = error.to_string();
                if text != said {
                    tracing::warn!(%error, "the logs are not followed");
                    said = text;
                }
            }
        }
    }
}

#[derive(Default)]
struct Follower {
    /// The uid of the Region whose log is held.
    region: Option<String>,
    /// The heads that this process wrote into the status.
    written: Option<Heads>,
}

/// What the Region's status says of the logs.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Heads {
    refusal_log: Option<LogStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_log: Option<LogStatus>,
    log_key: Option<String>,
}

impl From<&RegionStatus> for Heads {
    fn from(status: &RegionStatus) -> Self {
        let RegionStatus { refusal_log, audit_log, log_key, .. } = status.clone();
        Self { refusal_log, audit_log, log_key }
    }
}

impl Follower {
    async fn step(&mut self, ctx: &Context) -> Result<(), Error> {
        let Some(active) = ctx.active() else {
            if self.region.take().is_some() {
                ctx.refusals.forget().await;
            }
            return Ok(());
        };
        if self.region.as_ref() != Some(&active.uid) {
            ctx.refusals.forget().await;
            *self = Self { region: Some(active.uid.clone()), written: None };
        }
        let mut redis = match ctx.redis.connection().await {
            Ok(redis) => redis,
            Err(Error::RedisUnknown) => return Ok(()),
            Err(error) => return Err(error),
        };
        let known = BothKnown::from(active.region.as_ref());
        let followed = ctx.refusals.round(&mut redis, &active.signing_key, &known, now_ms()).await;
        // Where one log cannot be followed, the other one's head is told all the same.
        self.write_heads(ctx, &active).await?;
        followed
    }

    /// The Region's status names the heads, so that a log that got shorter is known for what it is,
    /// and the key that they are signed by.
    async fn write_heads(&mut self, ctx: &Context, active: &ActiveRegion) -> Result<(), Error> {
        let shown = ctx.refusals.shown();
        let Some(log) = shown.log else { return Ok(()) };
        let status = active.region.status.as_ref();
        let length = i64::try_from(log.length()).unwrap_or(i64::MAX);
        let refusal_log = Some(LogStatus { length, hash: log.hash() });
        // Of a log that is not known now the last head stays.
        let audit_log = shown.audit.map(|head| LogStatus {
            length: i64::try_from(head.length).unwrap_or(i64::MAX),
            hash: head.hash,
        });
        let audit_log = audit_log.or_else(|| status?.audit_log.clone());
        let log_key = Some(hex::encode(active.signing_key.verifying_key().to_bytes()));
        let heads = Heads { refusal_log, audit_log, log_key };
        let seen = status.map(Heads::from);
        if self.written.as_ref() == Some(&heads) || seen.as_ref() == Some(&heads) {
            return Ok(());
        }
        let patch = serde_json::json!({
            "apiVersion": format!("{}/{}", hushmark_crds::GROUP, hushmark_crds::VERSION),
            "kind": "Region",
            "status": heads,
        });
        let api: Api<Region> = Api::all(ctx.client.clone());
        let name = active.region.metadata.name.as_deref().unwrap_or_default();
        let params = PatchParams::apply(MANAGER).force();
        api.patch_status(name, &params, &Patch::Apply(&patch))
            .await
            .map_err(Error::api("write the logs' heads into the Region's status"))?;
        self.written = Some(heads);
        Ok(())
    }
}
