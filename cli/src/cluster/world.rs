//! What a cluster has of ours, as far as this person may see it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use hushmark_crds::load::{self, Found, Resources};
use hushmark_crds::plan::NoSuchCampaign;
use hushmark_crds::{AnonymizationPolicy, Campaign, Region, RetentionPolicy, Tenant};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::args::Connection;
use super::connect::{Connected, is_forbidden, is_missing, said};

/// As many names as a message lists of what there is.
const NAMED: usize = 20;

/// Objects of one answer: 10,000 campaigns come in twenty.
const PAGE: u32 = 500;

/// An object's namespace, empty for one of the cluster, and name.
pub(crate) type Key = (String, String);

/// Everything of ours.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) regions: BTreeMap<String, Region>,
    pub(crate) tenants: BTreeMap<Key, Tenant>,
    pub(crate) campaigns: BTreeMap<Key, Campaign>,
    pub(crate) retention: BTreeMap<Key, RetentionPolicy>,
    pub(crate) anonymization: BTreeMap<Key, AnonymizationPolicy>,
    /// What this person may not see.
    pub(crate) unseen: Vec<String>,
    /// The namespace of names without one; none where this is what manifests say.
    pub(crate) here: Option<String>,
}

/// A condition's parts, and where it comes from.
pub(crate) fn ready(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == "Ready")
}

pub(crate) fn key(meta: &impl Resource) -> Key {
    let meta = meta.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

impl World {
    /// What manifests say, as if they had been applied and nobody had looked at them yet; or what a
    /// cluster has.
    pub(crate) async fn look(manifests: Option<&Path>, connection: &Connection) -> Result<Self> {
        match manifests {
            Some(path) => Ok(manifests_at(path)?.into()),
            None => {
                let at = connection.connect().await;
                let at =
                    at.context("there is no cluster to ask; -f PATH reads manifests instead")?;
                Self::fetch(&at).await
            }
        }
    }

    /// Everything, or what one namespace has where this person may not see all of them.
    pub(crate) async fn fetch(at: &Connected) -> Result<Self> {
        let mut unseen = Vec::new();
        let regions = regions(&at.client, &mut unseen).await?;
        let tenants = everywhere::<Tenant>(at, "tenants", &mut unseen).await?;
        let campaigns = everywhere::<Campaign>(at, "campaigns", &mut unseen).await?;
        let retention = everywhere::<RetentionPolicy>(at, "retentionpolicies", &mut unseen).await?;
        let anonymization =
            everywhere::<AnonymizationPolicy>(at, "anonymizationpolicies", &mut unseen).await?;
        let here = Some(at.namespace.clone());
        Ok(Self { regions, tenants, campaigns, retention, anonymization, unseen, here })
    }

    /// The campaign that a person means by NAME or NAMESPACE/NAME.
    pub(crate) fn campaign_meant(&self, typed: &str) -> Result<&Campaign> {
        let full = |(namespace, name): &Key| format!("{namespace}/{name}");
        let Some(here) = &self.here else {
            let is_meant = |key: &&Key| key.1 == typed || full(key) == typed;
            let found: Vec<&Key> = self.campaigns.keys().filter(is_meant).collect();
            let asked = typed.to_owned();
            return match found[..] {
                [one] => Ok(&self.campaigns[one]),
                [] => {
                    let known = self.campaigns.keys().map(full).collect();
                    Err(NoSuchCampaign::Unknown { asked, known }.into())
                }
                _ => {
                    let known = found.into_iter().map(full).collect();
                    Err(NoSuchCampaign::Ambiguous { asked, known }.into())
                }
            };
        };
        let (namespace, name) = typed.split_once('/').unwrap_or((here, typed));
        if let Some(found) = self.campaigns.get(&(namespace.to_owned(), name.to_owned())) {
            return Ok(found);
        }
        let there = self.campaigns.keys().filter(|(there, _)| there == namespace);
        let there: Vec<String> = there.map(|(_, name)| name.clone()).take(NAMED).collect();
        let there = named_or_none(&there);
        bail!("there is no campaign {namespace}/{name}; in that namespace: {there}")
    }

    /// The tenant that a person means by its namespace, or by NAMESPACE/NAME.
    pub(crate) fn tenant_meant(&self, typed: &str) -> Result<&Tenant> {
        let named = |namespace: &str, name: &str| {
            self.tenants.get(&(namespace.to_owned(), name.to_owned()))
        };
        let found = match typed.split_once('/') {
            Some((namespace, name)) => named(namespace, name),
            // A namespace has one, so that its name says which; and where the context names the
            // namespace, the tenant's own name does.
            None => self
                .tenant_of(typed)
                .or_else(|| self.here.as_deref().and_then(|here| named(here, typed))),
        };
        let there = self.tenants.keys().map(|(namespace, name)| format!("{namespace}/{name}"));
        found.ok_or_else(|| {
            let there: Vec<String> = there.take(NAMED).collect();
            anyhow!("there is no tenant {typed}; there: {}", named_or_none(&there))
        })
    }

    /// The one tenant that a namespace has.
    pub(crate) fn tenant_of(&self, namespace: &str) -> Option<&Tenant> {
        let here = |tenant: &&Tenant| tenant.metadata.namespace.as_deref() == Some(namespace);
        Tenant::that_counts(self.tenants.values().filter(here))
    }

    /// One Region and what is in it.
    pub(crate) fn keep(&mut self, region: &str) {
        self.tenants.retain(|_, tenant| tenant.spec.region == region);
        let ours: BTreeSet<String> =
            self.tenants.keys().map(|(namespace, _)| namespace.clone()).collect();
        self.regions.retain(|name, _| name == region);
        self.campaigns.retain(|(namespace, _), _| ours.contains(namespace));
        self.retention.retain(|(namespace, _), _| ours.contains(namespace));
        self.anonymization.retain(|(namespace, _), _| ours.contains(namespace));
    }

    /// The Region of a namespace's tenant, if both are there.
    pub(crate) fn region_of(&self, namespace: &str) -> Option<&Region> {
        self.regions.get(&self.tenant_of(namespace)?.spec.region)
    }
}

async fn regions(client: &Client, unseen: &mut Vec<String>) -> Result<BTreeMap<String, Region>> {
    let listed = list::<Region>(&Api::all(client.clone())).await;
    match listed {
        Ok(all) => Ok(all.into_iter().map(|region| (region.name_any(), region)).collect()),
        Err(error) if is_missing(&error) => bail!(
            "this cluster does not know Hushmark's resources: install the chart hushmark-crds, as \
             docs/install.md says, or give another --context"
        ),
        Err(error) if is_forbidden(&error) => {
            unseen
                .push("you may not list regions: what they allow is not taken into account".into());
            Ok(BTreeMap::new())
        }
        Err(error) => Err(said("list regions", error)),
    }
}

async fn everywhere<K>(
    at: &Connected,
    what: &str,
    unseen: &mut Vec<String>,
) -> Result<BTreeMap<Key, K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let all = match list(&Api::<K>::all(at.client.clone())).await {
        Err(error) if is_forbidden(&error) => {
            let here = list(&Api::<K>::namespaced(at.client.clone(), &at.namespace)).await;
            match here {
                Err(error) if is_forbidden(&error) => {
                    unseen.push(format!("you may not list {what}"));
                    Ok(Vec::new())
                }
                here => {
                    let namespace = &at.namespace;
                    unseen.push(format!("you may list {what} of namespace {namespace} alone"));
                    here
                }
            }
        }
        all => all,
    };
    let all = all.map_err(|error| said(format!("list {what}"), error))?;
    Ok(all.into_iter().map(|object| (key(&object), object)).collect())
}

/// Every object of a kind, a page at a time.
pub(crate) async fn list<K>(api: &Api<K>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    list_by(api, ListParams::default()).await
}

/// Every object of a kind that a selector names.
pub(crate) async fn list_by<K>(api: &Api<K>, by: ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Clone + std::fmt::Debug + DeserializeOwned,
{
    let mut all = Vec::new();
    let mut by = by.limit(PAGE);
    loop {
        let page = api.list(&by).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => by = by.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// One Region: the one that was named, or the only one.
pub(crate) async fn one_region(client: &Client, named: Option<&str>) -> Result<Region> {
    let api: Api<Region> = Api::all(client.clone());
    if let Some(name) = named {
        return match api.get(name).await {
            Ok(region) => Ok(region),
            Err(error) if is_missing(&error) => {
                let known = list(&api).await.unwrap_or_default();
                let known: Vec<String> = known.iter().map(kube::ResourceExt::name_any).collect();
                bail!("there is no Region {name}; there: {}", named_or_none(&known))
            }
            Err(error) => Err(said(format!("read the Region {name}"), error)),
        };
    }
    let mut all = list(&api).await.map_err(|error| said("list regions", error))?;
    match all.len() {
        1 => Ok(all.remove(0)),
        0 => bail!("there is no Region in this cluster"),
        _ => {
            let names: Vec<String> = all.iter().map(kube::ResourceExt::name_any).collect();
            bail!("say which Region is meant: {}", names.join(", "))
        }
    }
}

/// A list for people.
pub(crate) fn named_or_none(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// One object of a namespace.
pub(crate) async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Option<K>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let kind = K::kind(&());
    api.get_opt(name).await.map_err(|error| said(format!("read {kind} {namespace}/{name}"), error))
}

impl From<Resources> for World {
    fn from(found: Resources) -> Self {
        fn by_key<K>(all: Vec<Found<K>>) -> impl Iterator<Item = (Key, K)> {
            all.into_iter().map(|found| ((found.namespace, found.name), found.object))
        }
        Self {
            regions: by_key(found.regions).map(|((_, name), region)| (name, region)).collect(),
            tenants: by_key(found.tenants).collect(),
            campaigns: by_key(found.campaigns).collect(),
            retention: by_key(found.retention).collect(),
            anonymization: by_key(found.anonymization).collect(),
            ..Self::default()
        }
    }
}

/// Manifests of a folder, a file, or standard input, each checked by itself.
pub(crate) fn manifests_at(path: &Path) -> Result<Resources> {
    let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    let found = load::resources(path).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow!("the manifests cannot be used:\n{}", lines.join("\n"))
    })?;
    let is_empty = found.regions.is_empty()
        && found.tenants.is_empty()
        && found.campaigns.is_empty()
        && found.retention.is_empty()
        && found.anonymization.is_empty();
    // A wrong path must not pass for nothing to do.
    if is_empty {
        let others = found.others.unwrap_or_default();
        let mut kinds: Vec<String> = others.into_iter().map(|other| other.kind).collect();
        kinds.sort();
        kinds.dedup();
        bail!(
            "{} has no resource of Hushmark; kinds of others there: {}",
            path.display(),
            named_or_none(&kinds)
        );
    }
    Ok(found)
}
