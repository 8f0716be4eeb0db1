//! Verdicts over a small cluster, and what comes of carrying them out again and again.

use std::collections::BTreeSet;

use hushmark_crds::fits::quoted;
use hushmark_crds::{Campaign, Phase, Region, RetentionPolicy, Tenant};
use hushmark_event::refusal::{Entry, RefusalLog};
use hushmark_policy::{Kind as Hit, Mode, Place};
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::seen::{Object, Seen};
use super::world::{Key, Kind, World};
use super::{Around, Plan};
use crate::{campaign, conditions, policies, tenant};

fn object<T: DeserializeOwned>(kind: &str, namespace: &str, name: &str, spec: Json) -> T {
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

fn region(opens: Mode, clicks: Mode) -> Region {
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

fn acme(spec: Json) -> Tenant {
    object("Tenant", "acme", "acme", spec)
}

fn modes(opens: Mode, clicks: Mode) -> Json {
    json!({ "opens": opens, "clicks": clicks })
}

fn spring(more: Json) -> Campaign {
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
struct Cluster {
    world: World,
    region: Option<Region>,
    regions: BTreeSet<String>,
    log: Option<RefusalLog>,
    invalid: Option<String>,
    writes: usize,
    version: u64,
}

impl Cluster {
    fn new() -> Self {
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
            invalid: None,
            writes: 0,
            version: 0,
        }
    }

    fn with(mut self, object: impl Into<Object>) -> Self {
        self.apply(object);
        self
    }

    fn apply(&mut self, object: impl Into<Object>) -> Vec<Key> {
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
            now: "2026-11-22T00:00:00Z".parse::<Timestamp>().unwrap(),
        }
    }

    /// Carries out what a plan asks for, as far as it can be without a cluster.
    fn carry_out<S: Clone + PartialEq + serde::Serialize>(
        &mut self,
        plan: Plan<S>,
        old: Option<S>,
    ) -> Option<S> {
        for refuses in plan.append {
            let log = self.log.as_mut().unwrap();
            let entry = Entry { n: log.length() + 1, at_ms: 0, refuses };
            log.append(&entry.to_bytes()).unwrap();
        }
        conditions::patch(old.as_ref(), &plan.status)?;
        self.writes += 1;
        Some(plan.status)
    }

    /// Reconciles everything until nothing changes, and returns how often something was written.
    fn settle(&mut self) -> usize {
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

    fn length(&self) -> u64 {
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

    fn tenant(&self) -> &Tenant {
        self.world.tenant_of("acme").unwrap()
    }

    fn campaign(&self) -> &Campaign {
        self.world.campaigns.in_namespace("acme").next().unwrap()
    }

    /// Changes the tenant's spec, as `kubectl apply` does.
    fn edit_tenant(&mut self, change: impl FnOnce(&mut Tenant)) {
        let mut tenant = self.tenant().clone();
        change(&mut tenant);
        tenant.metadata.generation = tenant.metadata.generation.map(|n| n + 1);
        self.apply(tenant);
    }

    fn edit_campaign(&mut self, change: impl FnOnce(&mut Campaign)) {
        let mut campaign = self.campaign().clone();
        change(&mut campaign);
        campaign.metadata.generation = campaign.metadata.generation.map(|n| n + 1);
        self.apply(campaign);
    }

    /// What the refusal log makes of mail of the campaign, sealed as it says it may be.
    fn hit(&self, hit: Hit, generation: u32, claims: (Mode, Place)) -> (Mode, Place) {
        let mail = campaign::mail(self.campaign(), "eu");
        let generation = hushmark_policy::Generation(generation);
        let tenant = (mail.tenant, mail.mail_type);
        let caps = self.log.as_ref().unwrap().caps();
        caps.apply(tenant, mail.campaign.unwrap(), generation, hit, claims)
    }

    fn ready(&self) -> [String; 2] {
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

fn plain() -> Cluster {
    let tenant = acme(json!({
        "region": "eu",
        "defaults": { "campaign": modes(Mode::Anonymous, Mode::Overall) },
    }));
    Cluster::new().with(tenant).with(spring(json!({})))
}

#[test]
fn a_campaign_is_written_once_and_then_never_again() {
    let mut cluster = plain();
    assert_eq!(cluster.settle(), 2, "the tenant once, the campaign once");
    assert_eq!(cluster.settle(), 0);
    assert_eq!(cluster.length(), 2, "one a type of mail; campaigns need no cap of their own");
    let status = cluster.campaign().status.as_ref().unwrap();
    assert_eq!(status.phase, Some(Phase::Draft));
    insta::assert_snapshot!(cluster.ready().join("\n"), @r"
    True Resolved: what its mail may tell is in the refusal log
    True Resolved: opens are anonymous, because the tenant's default says so; clicks are overall, because the tenant's default says so
    ");
}

#[test]
fn the_kill_switch_is_one_cap_a_type_and_lifting_it_frees_only_new_mail() {
    let mut cluster = plain();
    cluster.settle();
    let sealed = (Mode::Anonymous, Place::None);
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = true);
    cluster.settle();
    assert_eq!(cluster.length(), 4, "one for campaigns, one for transactional mail, none each");
    assert_eq!(cluster.hit(Hit::Open, 0, sealed).0, Mode::Off);
    assert!(cluster.ready()[0].starts_with("True Killed"));

    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = false);
    cluster.settle();
    let generation = cluster.tenant().status.as_ref().unwrap().campaign.unwrap().generation;
    assert_eq!(generation, 1);
    assert_eq!(cluster.hit(Hit::Open, 0, sealed).0, Mode::Off, "old mail stays as it was");
    assert_eq!(cluster.hit(Hit::Open, 1, sealed).0, Mode::Anonymous);
    assert_eq!(cluster.settle(), 0);
}

#[test]
fn a_campaign_that_is_loosened_again_waits_for_the_tenants_generation() {
    let mut cluster = plain();
    cluster.settle();
    let own = |modes| move |c: &mut Campaign| c.spec.tracking = modes;
    let less = serde_json::from_value(modes(Mode::Overall, Mode::Off)).unwrap();
    cluster.edit_campaign(own(Some(less)));
    cluster.settle();
    assert_eq!(cluster.length(), 3);
    cluster.edit_campaign(own(None));
    cluster.settle();
    let status = cluster.tenant().status.as_ref().unwrap();
    assert_eq!(status.campaign.unwrap().generation, 1);
    assert_eq!(status.transactional.unwrap().generation, 0);
    assert!(cluster.ready()[1].starts_with("True Resolved: opens are anonymous"));
    assert_eq!(cluster.hit(Hit::Open, 0, (Mode::Anonymous, Place::None)).0, Mode::Overall);
}

#[test]
fn a_tenant_made_anew_finds_its_generation_in_the_log() {
    let mut cluster = plain();
    cluster.settle();
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = true);
    cluster.settle();
    let mut anew = cluster.tenant().clone();
    anew.status = None;
    anew.spec.kill_switch = false;
    anew.metadata.uid = Some("another".into());
    cluster.apply(anew);
    cluster.settle();
    let generation = cluster.tenant().status.as_ref().unwrap().campaign.unwrap().generation;
    assert_eq!(generation, 1);
}

#[test]
fn what_asks_for_more_than_the_ceiling_is_refused_in_the_words_of_one_machine() {
    let mut cluster = plain();
    cluster.region = Some(region(Mode::Overall, Mode::Overall));
    cluster.edit_campaign(|c| {
        c.spec.tracking =
            Some(serde_json::from_value(modes(Mode::Individual, Mode::Overall)).unwrap());
    });
    cluster.settle();
    insta::assert_snapshot!(cluster.ready().join("\n"), @r"
    False AboveCeiling: spec.defaults.campaign.opens: the tenant's default for campaign mail asks for anonymous opens, and the region allows at most overall: ask for overall or less, or raise the region's ceiling
    False Refused: spec.tracking.opens: the campaign asks for individual opens, and the region allows at most overall: ask for overall or less, or raise the region's ceiling
    ");
    let status = cluster.campaign().status.as_ref().unwrap();
    assert_eq!(status.effective, None, "nobody can seal by it");
}

#[test]
fn a_lowered_ceiling_reaches_mail_that_was_sent() {
    let mut cluster = plain();
    cluster.settle();
    cluster.region = Some(region(Mode::Overall, Mode::Overall));
    cluster.settle();
    assert!(cluster.ready()[0].starts_with("False AboveCeiling"));
    assert!(cluster.ready()[1].starts_with("False TenantRefused"));
    assert_eq!(cluster.hit(Hit::Open, 0, (Mode::Anonymous, Place::None)).0, Mode::Overall);
    let effective = cluster.campaign().status.as_ref().unwrap().effective.clone().unwrap();
    assert_eq!(effective.opens.decided_by, hushmark_crds::DecidedBy::RegionCeiling);
}

#[test]
fn a_second_tenant_is_told_who_was_first_and_changes_nothing() {
    let mut cluster = plain();
    let mut second: Tenant = object("Tenant", "acme", "aaa", json!({ "region": "eu" }));
    second.metadata.creation_timestamp =
        Some(serde_json::from_value(json!("2026-11-02T00:00:00Z")).unwrap());
    second.spec.kill_switch = true;
    cluster.apply(second);
    cluster.settle();
    assert_eq!(cluster.length(), 2, "what the first one says");
    let tenants: Vec<String> = cluster
        .world
        .tenants
        .in_namespace("acme")
        .map(|t| t.status.as_ref().unwrap().conditions[1].message.clone())
        .collect();
    assert_eq!(
        tenants[0],
        format!(
            "metadata.namespace: the namespace has the Tenant {} already, and a namespace has one: \
             put this one into a namespace of its own",
            quoted("acme")
        )
    );
    assert!(cluster.ready()[0].starts_with("True"));
}

#[test]
fn a_region_that_is_not_there_and_one_of_somebody_else() {
    let mut cluster = plain();
    cluster.edit_tenant(|tenant| tenant.spec.region = "mars".into());
    cluster.settle();
    insta::assert_snapshot!(cluster.ready().join("\n"), @r#"
    False NoSuchRegion: there is no Region "mars" in this cluster; there: eu
    False NoSuchRegion: there is no Region "mars" in this cluster; there: eu
    "#);
    let mut theirs = plain();
    theirs.regions.insert("us".into());
    theirs.edit_tenant(|tenant| tenant.spec.region = "us".into());
    assert_eq!(theirs.settle(), 0, "another release says what there is to say");
}

#[test]
fn a_campaign_without_a_tenant_is_refused_in_the_words_of_one_machine() {
    let mut cluster = Cluster::new().with(spring(json!({})));
    cluster.settle();
    let conditions = &cluster.campaign().status.as_ref().unwrap().conditions;
    insta::assert_snapshot!(
        conditions[0].message,
        @r#"metadata.namespace: the namespace "acme" has no Tenant, so nobody says what may be tracked: add a manifest with kind: Tenant in this namespace"#
    );
}

#[test]
fn erasing_is_refused_before_anybody_relies_on_it() {
    let mut cluster = plain();
    cluster.edit_campaign(|c| {
        c.spec.deletion_policy = hushmark_crds::campaign::DeletionPolicy::Delete
    });
    cluster.settle();
    assert!(cluster.ready()[1].contains("this version erases nothing"), "{:?}", cluster.ready());
}

#[test]
fn a_pause_holds_back_what_loosens_and_nothing_else() {
    let mut cluster = plain();
    cluster.settle();
    let pause = |meta: &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
        meta.annotations = Some([(super::PAUSED.to_owned(), "true".to_owned())].into());
    };
    cluster.edit_tenant(|tenant| {
        pause(&mut tenant.metadata);
        tenant.spec.defaults.campaign =
            serde_json::from_value(modes(Mode::Individual, Mode::Off)).unwrap();
    });
    cluster.settle();
    let says = cluster.tenant().status.as_ref().unwrap().campaign.unwrap();
    assert_eq!((says.opens, says.clicks), (Mode::Anonymous, Mode::Off));
    assert_eq!(cluster.hit(Hit::Click, 0, (Mode::Overall, Place::None)).0, Mode::Off);
}

#[test]
fn while_the_log_is_away_what_is_settled_stays_and_what_changes_waits() {
    let mut cluster = plain();
    cluster.settle();
    let log = cluster.log.take();
    assert_eq!(cluster.settle(), 0);
    cluster.edit_tenant(|tenant| tenant.spec.kill_switch = true);
    cluster.settle();
    assert!(cluster.ready()[0].starts_with("False RefusalLog"), "{:?}", cluster.ready());
    cluster.log = log;
    cluster.settle();
    assert!(cluster.ready()[0].starts_with("True Killed"));
}

#[test]
fn a_policy_that_is_not_there_is_named_and_found_once_it_is() {
    let mut cluster = plain();
    cluster.edit_campaign(|c| c.spec.retention_policy = Some("two-years".into()));
    cluster.settle();
    assert!(cluster.ready()[1].contains("has no RetentionPolicy"), "{:?}", cluster.ready());
    let keep = json!({ "mode": "plan", "keep": { "countersDays": 730 } });
    let policy: RetentionPolicy = object("RetentionPolicy", "acme", "two-years", keep);
    let concerned = cluster.apply(policy);
    assert!(concerned.iter().any(|key| key.kind == Kind::Campaign), "{concerned:?}");
    cluster.settle();
    assert!(cluster.ready()[1].starts_with("True"));
}

#[test]
fn older_news_and_what_a_list_does_not_name() {
    let mut cluster = plain();
    let mut new = cluster.tenant().clone();
    new.metadata.resource_version = Some("10".into());
    new.spec.kill_switch = true;
    cluster.apply(new.clone());
    new.metadata.resource_version = Some("9".into());
    new.spec.kill_switch = false;
    assert!(cluster.apply(new).is_empty());
    assert!(cluster.tenant().spec.kill_switch, "a watch tells of a write after its answer");

    cluster.world.take(Seen::ListBegins(Kind::Tenant));
    let concerned = cluster.world.take(Seen::ListEnds(Kind::Tenant));
    assert!(cluster.world.tenant_of("acme").is_none());
    assert!(concerned.iter().any(|key| key.kind == Kind::Campaign), "{concerned:?}");
}

fn mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(&Mode::ALL[..])
}

/// What a person does to tenant, campaign and region.
#[derive(Clone, Debug)]
enum Deed {
    Default(Mode, Mode),
    Own(Option<(Mode, Mode)>),
    Kill(bool),
    Ceiling(Mode, Mode),
    Forget,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (mode(), mode()).prop_map(|(o, c)| Deed::Default(o, c)),
        prop::option::of((mode(), mode())).prop_map(Deed::Own),
        any::<bool>().prop_map(Deed::Kill),
        (mode(), mode()).prop_map(|(o, c)| Deed::Ceiling(o, c)),
        Just(Deed::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever people do, one thing after the other: it comes to rest; mail sealed as the status
    /// says tells just that; old mail never tells more than it did, nor than anybody allows since.
    #[test]
    fn loosening_never_loosens_old_mail(deeds in prop::collection::vec(deed(), 1..16)) {
        let mut cluster = plain();
        let mut sealed: Vec<(Hit, u32, Mode, Mode)> = Vec::new();
        let mut has_forgotten = false;
        for deed in deeds {
            // Who deletes both and makes them anew loses what they said, not what they capped.
            has_forgotten |= matches!(deed, Deed::Forget);
            match deed {
                Deed::Default(o, c) => cluster.edit_tenant(|t| {
                    t.spec.defaults.campaign = serde_json::from_value(modes(o, c)).unwrap();
                }),
                Deed::Own(own) => cluster.edit_campaign(|campaign| {
                    campaign.spec.tracking =
                        own.map(|(o, c)| serde_json::from_value(modes(o, c)).unwrap());
                }),
                Deed::Kill(on) => cluster.edit_tenant(|t| t.spec.kill_switch = on),
                Deed::Ceiling(o, c) => cluster.region = Some(region(o, c)),
                Deed::Forget => {
                    cluster.edit_tenant(|t| t.status = None);
                    cluster.edit_campaign(|campaign| campaign.status = None);
                }
            }
            cluster.settle();
            let is_ready = cluster.ready().iter().all(|says| says.starts_with("True"));
            let tenant = cluster.tenant().status.clone().unwrap().campaign.unwrap();
            let effective = cluster.campaign().status.clone().unwrap().effective;
            for one in &mut sealed {
                let (hit, generation, claims, told) = *one;
                let (tells, _) = cluster.hit(hit, generation, (claims, Place::None));
                prop_assert!(tells <= told, "old mail got freer");
                if let Some(effective) = effective.as_ref().filter(|_| !has_forgotten) {
                    let now = match hit {
                        Hit::Open => effective.opens,
                        Hit::Click => effective.clicks,
                    };
                    prop_assert!(tells <= now.mode, "old mail tells what is forbidden");
                }
                one.3 = tells;
            }
            if let Some(effective) = effective.filter(|_| is_ready) {
                for (hit, decided) in [(Hit::Open, effective.opens), (Hit::Click, effective.clicks)] {
                    let (tells, _) =
                        cluster.hit(hit, tenant.generation, (decided.mode, Place::None));
                    prop_assert_eq!(tells, decided.mode, "new mail is free");
                    sealed.push((hit, tenant.generation, decided.mode, tells));
                }
            }
        }
    }
}
