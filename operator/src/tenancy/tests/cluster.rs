//! A small cluster without a client: objects, a refusal log, and the operator's hands.

use std::collections::BTreeSet;

use hushmark_crds::{Campaign, Region, RetentionPolicy, Tenant};
use hushmark_event::refusal::{Entry, RefusalLog, Refuses};
use hushmark_policy::{Kind as Hit, Mode, Place};
use k8s_openapi::jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use crate::counts::Counts;
use crate::plans::Plans;
use crate::tenancy::seen::{Object, Seen};
use crate::tenancy::world::{Key, Kind, World};
use crate::tenancy::{Around, Plan};
use crate::{campaign, conditions, policies, tenant};

pub(super) fn object<T: DeserializeOwned>(
    kind: &str,
    namespace: &str,
    name: &str,
    spec: Json,
) -> T {
    serde_json::from_value(json!({
        "apiVersion": "hushmark.io/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": format!("{kind}-{namespace}-{name}"),
            "generation": 1,
            "creationTimestamp": "2026-11-01T00:00:00Z",
        },
        "spec": spec,
    }))
    .unwrap()
}

pub(super) fn region(opens: Mode, clicks: Mode) -> Region {
    object(
        "Region",
        "",
        "eu",
        json!({
            "jurisdiction": "EU",
            "baseUrl": "https://t.example.com",
            "ceilings": { "opens": opens, "clicks": clicks },
        }),
    )
}

pub(super) fn acme(spec: Json) -> Tenant {
    object("Tenant", "acme", "acme", spec)
}

pub(super) fn modes(opens: Mode, clicks: Mode) -> Json {
    json!({ "opens": opens, "clicks": clicks })
}

pub(super) fn spring(more: Json) -> Campaign {
    let mut spec = json!({
        "type": "campaign",
        "subject": "What spring brings",
        "from": "news@acme.example",
        "content": { "path": "newsletter.html" },
        "list": { "path": "recipients.csv" },
    });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    object("Campaign", "acme", "spring", spec)
}

/// A cluster, and the operator's hands without a client.
pub(super) struct Cluster {
    pub(super) world: World,
    pub(super) region: Option<Region>,
    pub(super) regions: BTreeSet<String>,
    pub(super) log: Option<RefusalLog>,
    pub(super) counts: Counts,
    pub(super) plans: Option<Plans>,
    pub(super) invalid: Option<String>,
    writes: usize,
    version: u64,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let mut world = World::default();
        for kind in Kind::ALL {
            world.take(Seen::ListBegins(kind));
            world.take(Seen::ListEnds(kind));
        }
        Self {
            world,
            region: Some(region(Mode::Individual, Mode::Individual)),
            regions: BTreeSet::from(["eu".to_owned()]),
            log: Some(RefusalLog::default()),
            counts: Counts::new(),
            plans: None,
            invalid: None,
            writes: 0,
            version: 0,
        }
    }

    pub(super) fn with(mut self, object: impl Into<Object>) -> Self {
        self.apply(object);
        self
    }

    pub(super) fn apply(&mut self, object: impl Into<Object>) -> Vec<Key> {
        self.world.take(Seen::Now(object.into()))
    }

    fn around(&self) -> Around<'_> {
        Around {
            ours: "eu",
            region: self.region.as_ref().map(|region| (&region.spec, self.invalid.as_deref())),
            regions: &self.regions,
            is_settled: true,
            log: self.log.as_ref(),
            problem: None,
            counts: &self.counts,
            plans: self.plans.as_ref(),
            now: "2026-11-22T00:00:00Z".parse::<Timestamp>().unwrap(),
        }
    }

    /// Carries out what a plan asks for, as far as it can be without a cluster.
    fn carry_out<S: Clone + PartialEq + serde::Serialize>(
        &mut self,
        plan: Plan<S>,
        old: Option<S>,
    ) -> Option<S> {
        plan.append.into_iter().for_each(|refuses| self.append(refuses));
        conditions::patch(old.as_ref(), &plan.status)?;
        self.writes += 1;
        Some(plan.status)
    }

    /// Appends to the log, as the operator does for itself and for people.
    pub(super) fn append(&mut self, refuses: Refuses) {
        let log = self.log.as_mut().unwrap();
        let entry = Entry { n: log.length() + 1, at_ms: 0, refuses };
        log.append(&entry.to_bytes()).unwrap();
    }

    /// Reconciles everything until nothing changes, and returns how often something was written.
    pub(super) fn settle(&mut self) -> usize {
        let before = self.writes;
        for _ in 0..10 {
            let (writes, length) = (self.writes, self.length());
            self.round();
            if self.writes == writes && self.length() == length {
                return self.writes - before;
            }
        }
        panic!("it never comes to rest");
    }

    pub(super) fn length(&self) -> u64 {
        self.log.as_ref().map_or(0, RefusalLog::length)
    }

    fn round(&mut self) {
        let keys: Vec<Key> = self.world.keys().collect();
        for key in keys {
            self.version += 1;
            let version = Some(self.version.to_string());
            match key.kind {
                Kind::Tenant => {
                    let Some(plan) = tenant::verdict(&key, &self.world, &self.around()) else {
                        continue;
                    };
                    let mut new = Tenant::clone(self.world.tenants.get(&key).unwrap());
                    if let Some(status) = self.carry_out(plan, new.status.clone()) {
                        (new.status, new.metadata.resource_version) = (Some(status), version);
                        self.apply(new);
                    }
                }
                Kind::Campaign => {
                    let Some(plan) = campaign::verdict(&key, &self.world, &self.around()) else {
                        continue;
                    };
                    let mut new = Campaign::clone(self.world.campaigns.get(&key).unwrap());
                    if let Some(status) = self.carry_out(plan, new.status.clone()) {
                        (new.status, new.metadata.resource_version) = (Some(status), version);
                        self.apply(new);
                    }
                }
                Kind::Retention => {
                    let Some(plan) = policies::verdict(&key, &self.world, &self.around()) else {
                        continue;
                    };
                    let mut new = RetentionPolicy::clone(self.world.retention.get(&key).unwrap());
                    if let Some(status) = self.carry_out(plan, new.status.clone()) {
                        (new.status, new.metadata.resource_version) = (Some(status), version);
                        self.apply(new);
                    }
                }
                Kind::Anonymization => unreachable!("none is made here"),
            }
        }
    }

    pub(super) fn tenant(&self) -> &Tenant {
        self.world.tenant_of("acme").unwrap()
    }

    pub(super) fn campaign(&self) -> &Campaign {
        self.world.campaigns.in_namespace("acme").next().unwrap()
    }

    /// Changes the tenant's spec, as `kubectl apply` does.
    pub(super) fn edit_tenant(&mut self, change: impl FnOnce(&mut Tenant)) {
        let mut tenant = self.tenant().clone();
        change(&mut tenant);
        tenant.metadata.generation = tenant.metadata.generation.map(|n| n + 1);
        self.apply(tenant);
    }

    pub(super) fn edit_campaign(&mut self, change: impl FnOnce(&mut Campaign)) {
        let mut campaign = self.campaign().clone();
        change(&mut campaign);
        campaign.metadata.generation = campaign.metadata.generation.map(|n| n + 1);
        self.apply(campaign);
    }

    /// What the refusal log makes of mail of the campaign, sealed as it says it may be.
    pub(super) fn hit(&self, hit: Hit, generation: u32, claims: (Mode, Place)) -> (Mode, Place) {
        let mail = campaign::mail(self.campaign(), "eu");
        let generation = hushmark_policy::Generation(generation);
        let tenant = (mail.tenant, mail.mail_type);
        let caps = self.log.as_ref().unwrap().caps();
        caps.apply(tenant, mail.campaign.unwrap(), generation, hit, claims)
    }

    pub(super) fn ready(&self) -> [String; 2] {
        let says = |all: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]| {
            let one = all.iter().find(|c| c.type_ == conditions::READY).unwrap();
            format!("{} {}: {}", one.status, one.reason, one.message)
        };
        [
            says(&self.tenant().status.as_ref().unwrap().conditions),
            says(&self.campaign().status.as_ref().unwrap().conditions),
        ]
    }
}

pub(super) fn plain() -> Cluster {
    let tenant = acme(json!({
        "region": "eu",
        "defaults": { "campaign": modes(Mode::Anonymous, Mode::Overall) },
    }));
    Cluster::new().with(tenant).with(spring(json!({})))
}
