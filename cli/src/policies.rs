//! Policies as manifests say them: the one that a person names, and what they come to for each
//! campaign, written down for whoever reads the tables.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use clickhouse::Row;
use hushmark_crds::field::PolicyMode;
use hushmark_crds::policies::LegalHold;
use hushmark_crds::{CampaignPlan, Manifests};
use hushmark_event::plans::{Held, Policy, PolicyKind, Reached};
use hushmark_policy::retention::{Limit, Step};
use hushmark_policy::{CampaignId, TenantId};
use hushmark_report::ClickHouse;
use serde::Serialize;

use crate::data::State;

/// The policy that a person means by NAME or NAMESPACE/NAME.
pub(crate) fn policy(
    manifests: &Manifests,
    asked: &str,
    kind: Option<PolicyKind>,
) -> Result<Policy> {
    let is_it = |namespace: &str, name: &str| {
        name == asked || asked.split_once('/') == Some((namespace, name))
    };
    let of = |wanted: PolicyKind| kind.is_none_or(|kind| kind == wanted);
    let mut found = Vec::new();
    for policy in manifests.retention.iter().filter(|_| of(PolicyKind::Retention)) {
        if is_it(&policy.namespace, &policy.name) {
            let spec = &policy.spec;
            let said = (serde_json::to_value(spec), spec.mode, spec.guard, spec.limits());
            found.push((PolicyKind::Retention, &policy.namespace, &policy.name, said));
        }
    }
    for policy in manifests.anonymization.iter().filter(|_| of(PolicyKind::Anonymization)) {
        if is_it(&policy.namespace, &policy.name) {
            let spec = &policy.spec;
            let said = (serde_json::to_value(spec), spec.mode, spec.guard, spec.limits());
            found.push((PolicyKind::Anonymization, &policy.namespace, &policy.name, said));
        }
    }
    let names = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>().join(", ");
    if found.len() > 1 {
        let found = found
            .iter()
            .map(|(kind, namespace, name, _)| format!("{} {namespace}/{name}", kind.name()));
        bail!(
            "several policies are named {asked}: {}; say NAMESPACE/NAME, and --kind where that is \
             not enough",
            names(&mut found.into_iter())
        );
    }
    let Some((kind, namespace, name, (spec, mode, guard, limits))) = found.pop() else {
        let kept = manifests.retention.iter().map(|one| format!("{}/{}", one.namespace, one.name));
        let faded =
            manifests.anonymization.iter().map(|one| format!("{}/{}", one.namespace, one.name));
        let known = names(&mut kept.chain(faded));
        bail!("no policy {asked}; there are: {known}");
    };
    let spec = spec.context("cannot write the policy as JSON")?.to_string();
    let (mut campaigns, mut held) = (Vec::new(), Vec::new());
    for campaign in manifests.campaigns.iter().filter(|one| one.namespace == *namespace) {
        let named = match kind {
            PolicyKind::Retention => &campaign.retention_policy,
            PolicyKind::Anonymization => &campaign.anonymization_policy,
        };
        if named.as_ref() != Some(name) {
            continue;
        }
        match hold(manifests, campaign) {
            Some(hold) => {
                held.push(Held { name: campaign.full_name(), reason: hold.reason.clone() });
            }
            None => campaigns.push(Reached { name: campaign.full_name(), id: campaign.id }),
        }
    }
    Ok(Policy {
        region: manifests.region.name.clone(),
        kind,
        namespace: namespace.clone(),
        name: name.clone(),
        spec,
        enforces: mode == PolicyMode::Enforce,
        limits,
        drift_percent: guard.drift_percent,
        campaigns,
        held,
    })
}

/// The manifests as they are now, of the region that runs here.
pub(crate) fn manifests(state: &State) -> Result<Manifests> {
    let manifests = hushmark_crds::directory(&state.manifests).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(
            "the manifests cannot be used, so nothing was changed:\n{}",
            lines.join("\n")
        )
    })?;
    ensure!(
        manifests.region.name == state.region,
        "the manifests are of region {}, and what runs here is {}: stop `hushmark up` and start it \
         with these manifests",
        manifests.region.name,
        state.region
    );
    Ok(manifests)
}

/// Campaigns of a tenant that a legal hold keeps, each with what says so. One that no manifest names
/// any more is kept as it was when one did: a hold is lifted, and does not get lost.
pub(crate) async fn on_hold(
    state: &State,
    tenant: TenantId,
) -> Result<BTreeMap<CampaignId, String>> {
    let manifests = manifests(state)?;
    let mut held = held_by(&manifests, tenant);
    let is_named = |id: u64| manifests.campaigns.iter().any(|campaign| campaign.id.0 == id);
    let last = state
        .clickhouse()?
        .client()
        .query("SELECT campaign FROM policies FINAL WHERE tenant = ? AND held")
        .bind(tenant.0)
        .fetch_all::<u64>()
        .await
        .context("cannot read from ClickHouse what was on hold; is `hushmark up` running?")?;
    let unnamed: Vec<u64> = last.into_iter().filter(|id| !is_named(*id)).collect();
    if !unnamed.is_empty() {
        let known = hushmark_report::people::campaigns(&state.clickhouse()?, tenant).await?;
        for id in unnamed.into_iter().map(CampaignId) {
            let name = known.get(&id).map_or_else(|| id.to_string(), |known| known.name.clone());
            let said = format!(
                "campaign {name} was on hold when a manifest last named it: name it again, without \
                 the hold"
            );
            held.insert(id, said);
        }
    }
    Ok(held)
}

fn held_by(manifests: &Manifests, tenant: TenantId) -> BTreeMap<CampaignId, String> {
    let its = manifests.campaigns.iter().filter(|campaign| campaign.tenant == tenant);
    let held = its.filter_map(|campaign| {
        let LegalHold { reason } = hold(manifests, campaign)?;
        let policy = campaign.retention_policy.as_ref()?;
        let (namespace, name) = (&campaign.namespace, campaign.full_name());
        let said = format!("RetentionPolicy {namespace}/{policy} holds {name} ({reason})");
        Some((campaign.id, said))
    });
    held.collect()
}

/// What forbids every removal from a campaign: a hold of its retention policy wins over every other
/// policy of it.
pub(crate) fn hold<'a>(manifests: &'a Manifests, campaign: &CampaignPlan) -> Option<&'a LegalHold> {
    let name = campaign.retention_policy.as_ref()?;
    let is_its = |namespace: &str, policy: &str| namespace == campaign.namespace && policy == name;
    let policy = manifests.retention.iter().find(|one| is_its(&one.namespace, &one.name))?;
    policy.spec.legal_hold.as_ref()
}

#[derive(Row, Serialize)]
struct PolicyRow {
    tenant: u64,
    campaign: u64,
    rows_days: u16,
    place_days: u16,
    hour_days: u16,
    client_days: u16,
    counters_days: u16,
    held: bool,
    at: i64,
}

/// Records what policies come to for every campaign. A row replaces the one before it.
pub(crate) async fn record(
    clickhouse: &ClickHouse,
    manifests: &Manifests,
    now_ms: u64,
) -> Result<()> {
    let client = clickhouse.client().with_setting("async_insert", "0");
    let write = async {
        let mut insert = client.insert::<PolicyRow>("policies").await?;
        for campaign in &manifests.campaigns {
            let limits = limits(manifests, campaign);
            let days = |step: Step| {
                let of = limits.iter().filter(|limit| limit.step == step);
                of.map(|limit| limit.days).min().unwrap_or(0)
            };
            insert
                .write(&PolicyRow {
                    tenant: campaign.tenant.0,
                    campaign: campaign.id.0,
                    rows_days: days(Step::Rows),
                    place_days: days(Step::Place),
                    hour_days: days(Step::Hour),
                    client_days: days(Step::Client),
                    counters_days: days(Step::Counters),
                    held: hold(manifests, campaign).is_some(),
                    at: i64::try_from(now_ms).unwrap_or(i64::MAX),
                })
                .await?;
        }
        insert.end().await
    };
    write.await.context("cannot record the policies in ClickHouse")
}

/// Every limit that a campaign's policies set, of either kind.
fn limits(manifests: &Manifests, campaign: &CampaignPlan) -> Vec<Limit> {
    let kept = manifests.retention.iter().filter(|policy| {
        policy.namespace == campaign.namespace
            && campaign.retention_policy.as_ref() == Some(&policy.name)
    });
    let faded = manifests.anonymization.iter().filter(|policy| {
        policy.namespace == campaign.namespace
            && campaign.anonymization_policy.as_ref() == Some(&policy.name)
    });
    let kept = kept.flat_map(|policy| policy.spec.limits());
    kept.chain(faded.flat_map(|policy| policy.spec.limits())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn quickstart() -> Manifests {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
        hushmark_crds::directory(&folder).unwrap()
    }

    #[test]
    fn a_policy_is_found_by_its_name_and_reaches_the_campaigns_that_name_it() {
        let policy = policy(&quickstart(), "fade", None).unwrap();
        assert_eq!(
            (policy.kind, policy.full_name().as_str()),
            (PolicyKind::Anonymization, "acme/fade")
        );
        let names: Vec<&str> = policy.campaigns.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["acme/spring-individual"]);
        assert_eq!(policy.limits.len(), 3);
    }

    #[test]
    fn a_name_that_none_or_several_have_is_told_with_those_that_there_are() {
        let mut manifests = quickstart();
        let unknown = policy(&manifests, "ten-years", None).err().unwrap().to_string();
        assert_eq!(unknown, "no policy ten-years; there are: acme/two-years, acme/fade");
        let mut same = manifests.retention[0].clone();
        same.name = "fade".into();
        manifests.retention.push(same);
        let several = policy(&manifests, "acme/fade", None).err().unwrap().to_string();
        assert!(several.contains("RetentionPolicy acme/fade, AnonymizationPolicy acme/fade"));
        let kind = Some(PolicyKind::Retention);
        assert_eq!(policy(&manifests, "fade", kind).unwrap().kind, PolicyKind::Retention);
    }

    #[test]
    fn a_hold_of_the_retention_policy_keeps_what_the_other_policy_reaches() {
        let mut manifests = quickstart();
        let reason = "a court asked for it".to_owned();
        manifests.retention[0].spec.legal_hold = Some(LegalHold { reason: reason.clone() });
        for asked in ["two-years", "fade"] {
            let policy = policy(&manifests, asked, None).unwrap();
            assert!(policy.campaigns.is_empty(), "{asked}");
            let name = "acme/spring-individual".to_owned();
            assert_eq!(policy.held, [Held { name, reason: reason.clone() }]);
        }
        let tenant = TenantId::derive("local", "acme");
        let held: Vec<String> = held_by(&manifests, tenant).into_values().collect();
        let said =
            "RetentionPolicy acme/two-years holds acme/spring-individual (a court asked for it)";
        assert_eq!(held, [said]);
        assert!(held_by(&manifests, TenantId(1)).is_empty());
    }
}
