//! What is in the cluster, trimmed to what verdicts need: 10,000 campaigns are some 20 MiB.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use hushmark_crds::{
    AnonymizationPolicy, Campaign, PolicyStatus, RegionSpec, RetentionPolicy, Tenant,
};
use hushmark_event::refusal::RefusalLog;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Resource;

use super::seen::{Object, Seen};
use super::{PAUSED, is_paused};
use crate::counts::Counts;
use crate::plans::Plans;

/// The kinds, in the order of their urgency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Tenant,
    Retention,
    Anonymization,
    Campaign,
}

impl Kind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] =
        [Self::Tenant, Self::Retention, Self::Anonymization, Self::Campaign];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tenant => "Tenant",
            Self::Retention => "RetentionPolicy",
            Self::Anonymization => "AnonymizationPolicy",
            Self::Campaign => "Campaign",
        }
    }
}

/// An object's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.name(), self.namespace, self.name)
    }
}

/// What a verdict has to know beside the objects.
pub(crate) struct Around<'a> {
    /// The Region of this release.
    pub(crate) ours: &'a str,
    /// Its spec, and why it is not valid, while this release runs it.
    pub(crate) region: Option<(&'a RegionSpec, Option<&'a str>)>,
    /// The names of all Regions.
    pub(crate) regions: &'a BTreeSet<String>,
    /// Whether a Region that is not seen is not there.
    pub(crate) is_settled: bool,
    /// The refusal log, once it is known.
    pub(crate) log: Option<&'a RefusalLog>,
    /// Why it cannot be appended to.
    pub(crate) problem: Option<&'a str>,
    /// What epochs published of campaigns.
    pub(crate) counts: &'a Counts,
    /// What the writer tells of policies, once it was read.
    pub(crate) plans: Option<&'a Plans>,
    /// The time.
    pub(crate) now: Timestamp,
}

impl Around<'_> {
    /// Whether the Region's spec cannot be obeyed: what loosens by it has to wait.
    pub(crate) fn is_region_invalid(&self) -> bool {
        self.region.is_some_and(|(_, invalid)| invalid.is_some())
    }

    /// Whether a Region is known not to be there.
    pub(crate) fn is_missing(&self, region: &str) -> bool {
        (self.is_settled || !self.regions.is_empty()) && !self.regions.contains(region)
    }

    /// In the words of a condition.
    pub(crate) fn no_such_region(&self, region: &str) -> String {
        let known: Vec<&str> = self.regions.iter().map(String::as_str).collect();
        hushmark_crds::fits::no_region(region, &known).message
    }

    /// Why the log is waited for.
    pub(crate) fn log_problem(&self) -> String {
        let problem = self.problem.unwrap_or("it is not read yet");
        format!("what this changes has to be in the refusal log first: {problem}")
    }
}

/// Objects of one kind, by namespace and name.
pub(crate) struct Kept<K> {
    kind: Kind,
    all: BTreeMap<String, BTreeMap<String, Arc<K>>>,
    /// What a list names while it is read, and whether one was read to its end.
    listed: Option<BTreeSet<(String, String)>>,
    is_complete: bool,
}

impl<K> Kept<K> {
    fn new(kind: Kind) -> Self {
        Self { kind, all: BTreeMap::new(), listed: None, is_complete: false }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Arc<K>> {
        self.all.get(&key.namespace)?.get(&key.name)
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<K>> {
        self.all.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// Their names, in their order.
    pub(crate) fn names<'a>(&'a self, namespace: &str) -> Vec<&'a str> {
        self.all.get(namespace).into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let kind = self.kind;
        self.all.iter().flat_map(move |(namespace, all)| {
            all.keys().map(move |name| key(kind, namespace, name))
        })
    }

    fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let all = self.all.get_mut(namespace)?;
        let removed = all.remove(name);
        if all.is_empty() {
            self.all.remove(namespace);
        }
        removed
    }
}

impl<K: Resource> Kept<K> {
    /// Puts an object in its place, and returns what was there; `Err` if it is older news.
    fn put(&mut self, object: K) -> Result<Option<Arc<K>>, ()> {
        let (namespace, name) = names(object.meta());
        if let Some(listed) = &mut self.listed {
            listed.insert((namespace.clone(), name.clone()));
        }
        let all = self.all.entry(namespace).or_default();
        if all.get(&name).is_some_and(|old| is_older(object.meta(), old.meta())) {
            return Err(());
        }
        Ok(all.insert(name, Arc::new(object)))
    }

    fn begin(&mut self) {
        self.listed = Some(BTreeSet::new());
    }

    /// The list is read: what it did not name is gone.
    fn end(&mut self) -> Vec<Arc<K>> {
        self.is_complete = true;
        let Some(listed) = self.listed.take() else { return Vec::new() };
        let gone: Vec<Key> = self
            .keys()
            .filter(|key| !listed.contains(&(key.namespace.clone(), key.name.clone())))
            .collect();
        gone.iter().filter_map(|key| self.remove(&key.namespace, &key.name)).collect()
    }
}

/// Whether an event came after something newer of the same object: a watch tells of a write only
/// after the write was answered. Resource versions are numbers that grow.
fn is_older(new: &ObjectMeta, old: &ObjectMeta) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.as_ref()?.parse::<u64>().ok();
    new.uid == old.uid && version(new).zip(version(old)).is_some_and(|(new, old)| new < old)
}

fn names(meta: &ObjectMeta) -> (String, String) {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn key(kind: Kind, namespace: &str, name: &str) -> Key {
    Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
}

/// A tenant's key.
pub(crate) fn key_of(tenant: &Tenant) -> Key {
    let (namespace, name) = names(&tenant.metadata);
    Key { kind: Kind::Tenant, namespace, name }
}

/// Everything that is watched.
pub(crate) struct World {
    pub(crate) tenants: Kept<Tenant>,
    pub(crate) campaigns: Kept<Campaign>,
    pub(crate) retention: Kept<RetentionPolicy>,
    pub(crate) anonymization: Kept<AnonymizationPolicy>,
}

impl Default for World {
    fn default() -> Self {
        Self {
            tenants: Kept::new(Kind::Tenant),
            campaigns: Kept::new(Kind::Campaign),
            retention: Kept::new(Kind::Retention),
            anonymization: Kept::new(Kind::Anonymization),
        }
    }
}

impl World {
    /// Whether every kind was listed once: before that, what is missing may only be unread.
    pub(crate) fn is_complete(&self) -> bool {
        self.tenants.is_complete
            && self.campaigns.is_complete
            && self.retention.is_complete
            && self.anonymization.is_complete
    }

    /// Every object's key.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.tenants
            .keys()
            .chain(self.retention.keys())
            .chain(self.anonymization.keys())
            .chain(self.campaigns.keys())
    }

    /// The campaigns of these ids, as far as their status names one.
    pub(crate) fn campaigns_by_id(&self, ids: &BTreeSet<&str>) -> impl Iterator<Item = Key> {
        let has_it = |campaign: &&Arc<Campaign>| {
            let id = campaign.status.as_ref().and_then(|status| status.id.as_deref());
            id.is_some_and(|id| ids.contains(id))
        };
        let all = self.campaigns.all.values().flat_map(BTreeMap::values);
        all.filter(has_it).map(|campaign| {
            let (namespace, name) = names(&campaign.metadata);
            key(Kind::Campaign, &namespace, &name)
        })
    }

    /// The one tenant that a namespace has.
    pub(crate) fn tenant_of(&self, namespace: &str) -> Option<&Tenant> {
        Tenant::that_counts(self.tenants.in_namespace(namespace).map(Arc::as_ref))
    }

    /// The status of a policy of either kind.
    pub(crate) fn policy_status(&self, key: &Key) -> Option<&PolicyStatus> {
        match key.kind {
            Kind::Retention => self.retention.get(key)?.status.as_ref(),
            Kind::Anonymization => self.anonymization.get(key)?.status.as_ref(),
            Kind::Tenant | Kind::Campaign => None,
        }
    }

    /// Takes what was seen, and returns whom it concerns.
    pub(crate) fn take(&mut self, what: Seen) -> Vec<Key> {
        match what {
            Seen::Now(object) => self.now(object),
            Seen::Gone(object) => {
                let (kind, namespace, name) = object.names();
                self.remove(kind, &namespace, &name);
                self.gone(kind, &namespace)
            }
            Seen::ListBegins(kind) => {
                match kind {
                    Kind::Tenant => self.tenants.begin(),
                    Kind::Campaign => self.campaigns.begin(),
                    Kind::Retention => self.retention.begin(),
                    Kind::Anonymization => self.anonymization.begin(),
                }
                Vec::new()
            }
            Seen::ListEnds(kind) => {
                let namespaces: BTreeSet<String> = match kind {
                    Kind::Tenant => namespaces(&self.tenants.end()),
                    Kind::Campaign => namespaces(&self.campaigns.end()),
                    Kind::Retention => namespaces(&self.retention.end()),
                    Kind::Anonymization => namespaces(&self.anonymization.end()),
                };
                namespaces.iter().flat_map(|namespace| self.gone(kind, namespace)).collect()
            }
        }
    }

    fn remove(&mut self, kind: Kind, namespace: &str, name: &str) {
        match kind {
            Kind::Tenant => drop(self.tenants.remove(namespace, name)),
            Kind::Campaign => drop(self.campaigns.remove(namespace, name)),
            Kind::Retention => drop(self.retention.remove(namespace, name)),
            Kind::Anonymization => drop(self.anonymization.remove(namespace, name)),
        }
    }

    /// Whom it concerns that something of a namespace went.
    fn gone(&self, kind: Kind, namespace: &str) -> Vec<Key> {
        match kind {
            Kind::Campaign => Vec::new(),
            Kind::Tenant => self.everything_in(namespace),
            Kind::Retention | Kind::Anonymization => self.campaigns_in(namespace),
        }
    }

    fn now(&mut self, object: Object) -> Vec<Key> {
        let (kind, namespace, name) = object.names();
        let mut concerned = vec![key(kind, &namespace, &name)];
        match object {
            Object::Tenant(new) => {
                let meaning = meaning(&new);
                match self.tenants.put(*new) {
                    Err(()) => return Vec::new(),
                    Ok(Some(old)) if self::meaning(&old) == meaning => {}
                    Ok(_) => concerned.extend(self.everything_in(&namespace)),
                }
            }
            Object::Campaign(new) => {
                if self.campaigns.put(*new).is_err() {
                    return Vec::new();
                }
            }
            Object::Retention(new) => match self.retention.put(*new) {
                Err(()) => return Vec::new(),
                Ok(Some(old))
                    if self
                        .retention
                        .get(&concerned[0])
                        .is_some_and(|new| new.spec == old.spec) => {}
                Ok(_) => concerned.extend(self.campaigns_in(&namespace)),
            },
            Object::Anonymization(new) => match self.anonymization.put(*new) {
                Err(()) => return Vec::new(),
                Ok(Some(_)) => {}
                Ok(None) => concerned.extend(self.campaigns_in(&namespace)),
            },
        }
        concerned
    }

    fn campaigns_in(&self, namespace: &str) -> Vec<Key> {
        let names = self.campaigns.names(namespace);
        names.into_iter().map(|name| key(Kind::Campaign, namespace, name)).collect()
    }

    fn everything_in(&self, namespace: &str) -> Vec<Key> {
        let of = |kind, names: Vec<&str>| -> Vec<Key> {
            names.into_iter().map(|name| key(kind, namespace, name)).collect()
        };
        [
            of(Kind::Tenant, self.tenants.names(namespace)),
            of(Kind::Retention, self.retention.names(namespace)),
            of(Kind::Anonymization, self.anonymization.names(namespace)),
            of(Kind::Campaign, self.campaigns.names(namespace)),
        ]
        .concat()
    }
}

fn namespaces<K: Resource>(gone: &[Arc<K>]) -> BTreeSet<String> {
    gone.iter().filter_map(|object| object.meta().namespace.clone()).collect()
}

/// What of a tenant its campaigns depend on. Its conditions change without it.
fn meaning(tenant: &Tenant) -> impl PartialEq + use<> {
    let status = tenant.status.as_ref();
    (
        tenant.spec.clone(),
        tenant.metadata.uid.clone(),
        tenant.metadata.deletion_timestamp.is_some(),
        is_paused(&tenant.metadata),
        status.and_then(|status| status.campaign),
        status.and_then(|status| status.transactional),
    )
}

/// Drops what no verdict looks at.
pub(crate) fn trim(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    meta.labels = None;
    meta.owner_references = None;
    meta.generate_name = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|name, _| name == PAUSED);
    }
}
