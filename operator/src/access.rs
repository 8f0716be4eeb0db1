//! The permissions that are needed, and whether they are there: at the start, and while running.
//!
//! A watch that may not watch fails almost silently, so that what is missing is asked for by name.
//! While running, one review of all rules is cheap; only what it does not show is asked again
//! alone, because such a review may be incomplete.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, OptionalApi};
use crate::{Context, Error};

/// How often permissions are looked at while running: one that was removed is named within twice
/// this.
const EVERY: Duration = Duration::from_secs(4);

/// Reviews that are asked for at once.
const AT_ONCE: usize = 16;

/// Whether a permission is for the cluster or for the release's namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The cluster: a ClusterRole.
    Cluster,
    /// The release's namespace: a Role.
    Namespace,
}

/// One resource and what is done with it.
#[derive(Clone, Copy, Debug)]
pub struct Need {
    /// Where.
    pub reach: Reach,
    /// The API group; empty for the core.
    pub group: &'static str,
    /// The resource, with its subresource after a slash.
    pub resource: &'static str,
    /// What is done.
    pub verbs: &'static [&'static str],
    /// Whether it is done to the release's own Region alone.
    pub own_region: bool,
}

const fn cluster(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Need {
    Need { reach: Reach::Cluster, group, resource, verbs, own_region: false }
}

const fn of_own_region(resource: &'static str, verbs: &'static [&'static str]) -> Need {
    Need { reach: Reach::Cluster, group: "hushmark.io", resource, verbs, own_region: true }
}

const fn inside(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Need {
    Need { reach: Reach::Namespace, group, resource, verbs, own_region: false }
}

const READ: &[&str] = &["list", "watch"];
const OWN: &[&str] = &["create", "get", "list", "patch", "watch"];
const OWN_AND_DELETE: &[&str] = &["create", "delete", "get", "list", "patch", "watch"];
const PATCH: &[&str] = &["patch"];

/// Everything that is needed, and nothing else: the chart's roles are these.
pub const NEEDED: &[Need] = &[
    cluster("hushmark.io", "regions", READ),
    of_own_region("regions/status", PATCH),
    cluster("hushmark.io", "tenants", READ),
    cluster("hushmark.io", "tenants/status", PATCH),
    cluster("hushmark.io", "campaigns", READ),
    cluster("hushmark.io", "campaigns/status", PATCH),
    cluster("hushmark.io", "retentionpolicies", READ),
    cluster("hushmark.io", "retentionpolicies/status", PATCH),
    cluster("hushmark.io", "anonymizationpolicies", READ),
    cluster("hushmark.io", "anonymizationpolicies/status", PATCH),
    cluster("events.k8s.io", "events", &["create", "patch"]),
    cluster("", "nodes", &["get"]),
    cluster("storage.k8s.io", "storageclasses", &["get"]),
    cluster("", "persistentvolumes", &["get"]),
    inside("", "persistentvolumeclaims", &["list"]),
    inside("", "pods", &["create", "delete", "list"]),
    inside("", "secrets", OWN),
    inside("", "services", OWN),
    inside("", "serviceaccounts", OWN),
    inside("apps", "deployments", OWN),
    inside("apps", "statefulsets", OWN),
    inside("autoscaling", "horizontalpodautoscalers", OWN_AND_DELETE),
    inside("networking.k8s.io", "ingresses", OWN_AND_DELETE),
    inside("networking.k8s.io", "networkpolicies", OWN),
    inside("policy", "poddisruptionbudgets", OWN),
    inside("batch", "jobs", &["create", "delete", "list"]),
    inside("coordination.k8s.io", "leases", &["create", "get", "update"]),
];

const HTTP_ROUTES: &[Need] = &[inside("gateway.networking.k8s.io", "httproutes", OWN_AND_DELETE)];
const CERTIFICATES: &[Need] = &[inside("cert-manager.io", "certificates", OWN_AND_DELETE)];
const CLICKHOUSE: &[Need] = &[
    inside("clickhouse.com", "clickhouseclusters", OWN),
    inside("clickhouse.com", "keeperclusters", OWN),
];

/// What is needed beside that for an API of others, where the chart's values ask for it. What holds
/// data is never deleted.
#[must_use]
pub const fn needed_for(api: OptionalApi) -> &'static [Need] {
    match api {
        OptionalApi::Gateway => HTTP_ROUTES,
        OptionalApi::CertManager => CERTIFICATES,
        OptionalApi::Clickhouse => CLICKHOUSE,
    }
}

/// One verb on one resource.
#[derive(Clone, Copy)]
struct Ask {
    need: &'static Need,
    verb: &'static str,
}

impl Ask {
    fn all(config: &Config) -> impl Iterator<Item = Self> {
        let of = |need: &'static Need| need.verbs.iter().map(move |&verb| Self { need, verb });
        let optional = config.optional_api.iter().flat_map(|&api| needed_for(api));
        NEEDED.iter().chain(optional).flat_map(of)
    }

    /// In a person's words, with what to do.
    fn text(self, config: &Config) -> String {
        let Need { reach, group, resource, .. } = self.need;
        let group = if group.is_empty() { "the core group" } else { group };
        let (place, role) = match reach {
            Reach::Cluster => ("the cluster".to_owned(), "ClusterRole"),
            Reach::Namespace => (format!("namespace {}", config.namespace), "Role"),
        };
        format!(
            "may not {} {resource} ({group}) in {place}: put it back into the release's {role}",
            self.verb
        )
    }

    /// Whether a rule of a review allows it. Of rules for single names those of our Region count.
    fn is_in(self, rules: &[ResourceRule], region: &str) -> bool {
        let has = |list: &Option<Vec<String>>, wanted: &str| {
            list.iter().flatten().any(|entry| entry == "*" || entry == wanted)
        };
        rules.iter().any(|rule| {
            let names = rule.resource_names.as_deref().unwrap_or_default();
            let is_ours = self.need.own_region && names.iter().any(|name| name == region);
            (names.is_empty() || is_ours)
                && has(&rule.api_groups, self.need.group)
                && has(&rule.resources, self.need.resource)
                && rule.verbs.iter().any(|verb| verb == "*" || verb == self.verb)
        })
    }

    fn attributes(self, config: &Config) -> ResourceAttributes {
        let (resource, subresource) = match self.need.resource.split_once('/') {
            Some((resource, sub)) => (resource, Some(sub.to_owned())),
            None => (self.need.resource, None),
        };
        let namespace = (self.need.reach == Reach::Namespace).then(|| config.namespace.clone());
        ResourceAttributes {
            group: Some(self.need.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource,
            namespace,
            name: self.need.own_region.then(|| config.region.clone()),
            verb: Some(self.verb.to_owned()),
            ..ResourceAttributes::default()
        }
    }
}

/// What is missing of some permissions, each asked for by itself.
async fn asked_one_by_one(
    client: &Client,
    config: &Config,
    asks: Vec<Ask>,
) -> Result<Vec<String>, Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answers = stream::iter(asks).map(|ask| {
        let api = api.clone();
        async move {
            let spec = SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ask.attributes(config)),
                non_resource_attributes: None,
            };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            let answer = api
                .create(&PostParams::default(), &review)
                .await
                .map_err(Error::api("ask for a permission"))?;
            let allowed = answer.status.is_some_and(|status| status.allowed);
            Ok::<_, Error>((!allowed).then(|| ask.text(config)))
        }
    });
    let answers: Vec<Option<String>> = answers.buffered(AT_ONCE).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

/// What is missing of everything that is needed, each asked for by itself.
///
/// # Errors
/// [`Error::Api`] when the API server does not answer.
pub async fn missing(client: &Client, config: &Config) -> Result<Vec<String>, Error> {
    asked_one_by_one(client, config, Ask::all(config).collect()).await
}

/// As [`missing`], by one review of all rules where that shows everything.
async fn missing_by_rules(client: &Client, config: &Config) -> Result<Vec<String>, Error> {
    let api: Api<SelfSubjectRulesReview> = Api::all(client.clone());
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec { namespace: Some(config.namespace.clone()) },
        ..SelfSubjectRulesReview::default()
    };
    let answer = api
        .create(&PostParams::default(), &review)
        .await
        .map_err(Error::api("ask for all permissions"))?;
    let rules = answer.status.map(|status| status.resource_rules).unwrap_or_default();
    // A Role of the namespace shows in the review, too, and does not reach the cluster; whoever
    // writes rules for cluster-wide resources into a Role is told at the next start.
    let unseen: Vec<Ask> =
        Ask::all(config).filter(|ask| !ask.is_in(&rules, &config.region)).collect();
    if unseen.is_empty() { Ok(Vec::new()) } else { asked_one_by_one(client, config, unseen).await }
}

/// Looks again and again, and tells what is missing: in the log, in a figure, and to the Region.
///
/// # Errors
/// None: it ends with `shutdown`.
pub async fn run(ctx: Arc<Context>, shutdown: CancellationToken) -> Result<(), Error> {
    let mut told = false;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
        let looked = missing_by_rules(&ctx.client, &ctx.config);
        match tokio::time::timeout(EVERY, looked).await.unwrap_or(Err(Error::Late(EVERY))) {
            Ok(missing) => {
                told = false;
                tell(&ctx, missing);
            }
            Err(error) if !std::mem::replace(&mut told, true) => {
                tracing::warn!(%error, "permissions are not checked");
            }
            Err(_) => {}
        }
    }
}

fn tell(ctx: &Context, missing: Vec<String>) {
    ctx.metrics.permissions_missing(missing.len());
    ctx.tell.missing.send_if_modified(|known| {
        if **known == missing {
            return false;
        }
        for one in missing.iter().filter(|one| !known.contains(one)) {
            tracing::error!(permission = one, "a permission is missing");
        }
        if missing.is_empty() {
            tracing::info!("all permissions are there again");
        }
        *known = Arc::new(missing);
        true
    });
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::config::tests::config;

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> ResourceRule {
        let all = |list: &[&str]| -> Vec<String> { list.iter().map(|&e| e.to_owned()).collect() };
        ResourceRule {
            api_groups: Some(all(groups)),
            resources: Some(all(resources)),
            resource_names: None,
            verbs: all(verbs),
        }
    }

    #[test]
    fn a_permission_is_seen_in_the_rule_that_grants_it_and_in_no_other() {
        let patch_status = Ask {
            need: NEEDED.iter().find(|need| need.resource == "regions/status").unwrap(),
            verb: "patch",
        };
        for (rules, expected) in [
            (rule(&["hushmark.io"], &["regions/status"], &["patch"]), true),
            (rule(&["*"], &["*"], &["*"]), true),
            (rule(&["hushmark.io"], &["regions"], &["patch"]), false),
            (rule(&["hushmark.io"], &["regions/status"], &["get"]), false),
            (rule(&["apps"], &["regions/status"], &["patch"]), false),
        ] {
            let rules = [rules];
            assert_eq!(patch_status.is_in(&rules, "one"), expected, "{rules:?}");
        }
        let mut named = rule(&["hushmark.io"], &["regions/status"], &["patch"]);
        named.resource_names = Some(vec!["one".into()]);
        assert!(patch_status.is_in(std::slice::from_ref(&named), "one"));
        assert!(!patch_status.is_in(std::slice::from_ref(&named), "another"));
        named.resources = Some(vec!["secrets".into()]);
        named.api_groups = Some(vec![String::new()]);
        let secrets = NEEDED.iter().find(|need| need.resource == "secrets").unwrap();
        named.verbs = vec!["patch".into()];
        assert!(!Ask { need: secrets, verb: "patch" }.is_in(&[named], "one"));
    }

    #[test]
    fn what_is_missing_is_named_by_verb_resource_and_place() {
        let config = config();
        let texts: Vec<String> = Ask::all(&config).map(|ask| ask.text(&config)).collect();
        assert!(
            texts.contains(
                &"may not watch secrets (the core group) in namespace hush: put it back into the \
              release's Role"
                    .to_owned()
            )
        );
        assert!(
            texts.contains(
                &"may not patch regions/status (hushmark.io) in the cluster: put it back into the \
              release's ClusterRole"
                    .to_owned()
            )
        );
    }

    #[test]
    fn nothing_is_needed_that_a_role_should_not_grant() {
        let optional = OptionalApi::value_variants().iter().flat_map(|&api| needed_for(api));
        for need in NEEDED.iter().chain(optional) {
            assert!(!need.verbs.contains(&"*") && need.resource != "*" && need.group != "*");
            let secrets_everywhere = need.reach == Reach::Cluster && need.resource == "secrets";
            assert!(!secrets_everywhere, "no cluster-wide secrets");
            let data =
                ["secrets", "persistentvolumeclaims", "clickhouseclusters", "keeperclusters"];
            let keeps_data = data.contains(&need.resource);
            assert!(!keeps_data || !need.verbs.contains(&"delete"), "keys are never deleted");
        }
    }
}
