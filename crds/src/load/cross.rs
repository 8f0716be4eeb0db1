//! What no single resource can know: one region, one tenant a namespace, names that are there,
//! ceilings that hold. What passes becomes the plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use hushmark_policy::resolve::Effective;
use hushmark_policy::{CampaignId, Kind, TenantId, Tracking};

use super::ManifestError;
use super::resource::{Found, Resources};
use super::schema::quoted;
use crate::fits::{self, Limits};
use crate::plan::{
    BaseUrl, CampaignPlan, Content, Mailbox, Manifests, PolicyPlan, RegionPlan, TenantPlan,
};
use crate::region::KeysSpec;
use crate::{Campaign, Region, Tenant};

/// Checks the resources against each other. `incomplete` says that some could not be read: then
/// what is missing may only be unread, and is not reported.
pub(super) fn check(
    folder: &Path,
    found: &Resources,
    incomplete: bool,
    faults: &mut Vec<ManifestError>,
) -> Option<Manifests> {
    each_once(found, faults);
    let region = one_region(folder, found, incomplete, faults)?;
    let plan = region_plan(region, faults)?;
    let mut checker = Checker { found, region: &plan, incomplete, faults };
    let tenants = checker.tenants();
    let campaigns = checker.campaigns(&tenants);
    checker.retention();
    Some(Manifests {
        tenants: tenants.into_values().collect(),
        campaigns,
        retention: policies(&found.retention, |policy| policy.spec.clone()),
        anonymization: policies(&found.anonymization, |policy| policy.spec.clone()),
        region: plan,
    })
}

/// Faults of names that are there twice.
pub(super) fn each_once(found: &Resources, faults: &mut Vec<ManifestError>) {
    unique(&found.regions, "Region", faults);
    unique(&found.tenants, "Tenant", faults);
    unique(&found.campaigns, "Campaign", faults);
    unique(&found.retention, "RetentionPolicy", faults);
    unique(&found.anonymization, "AnonymizationPolicy", faults);
}

fn unique<T>(all: &[Found<T>], kind: &str, faults: &mut Vec<ManifestError>) {
    for (i, this) in all.iter().enumerate() {
        let same = |o: &&Found<T>| o.name == this.name && o.namespace == this.namespace;
        if let Some(first) = all[..i].iter().find(same) {
            let message = format!(
                "the {kind} {} is there twice, first at {}: keep one of the two",
                quoted(&this.name),
                first.place()
            );
            faults.push(this.fault("metadata.name", message));
        }
    }
}

fn one_region<'a>(
    folder: &Path,
    found: &'a Resources,
    incomplete: bool,
    faults: &mut Vec<ManifestError>,
) -> Option<&'a Found<Region>> {
    let Some((first, more)) = found.regions.split_first() else {
        if !incomplete {
            let message = "no Region in the *.yaml files here, and everything needs one: add a \
                           manifest with kind: Region, as in examples/quickstart/region.yaml";
            faults.push(ManifestError::of_file(folder, message));
        }
        return None;
    };
    for region in more.iter().filter(|region| region.name != first.name) {
        let message = format!(
            "a folder describes one Region, and {} at {} is one already: give this one a folder \
             of its own",
            quoted(&first.name),
            first.place()
        );
        faults.push(region.fault("metadata.name", message));
    }
    Some(first)
}

fn region_plan(region: &Found<Region>, faults: &mut Vec<ManifestError>) -> Option<RegionPlan> {
    let spec = &region.object.spec;
    let mut must = |field: &str, text: &str| {
        let url = BaseUrl::new(text);
        if url.is_none() {
            faults.push(region.fault(field, format!("cannot read {}", quoted(text))));
        }
        url
    };
    let base_url = must("spec.baseUrl", &spec.base_url);
    let former: Option<Vec<BaseUrl>> =
        spec.former_base_urls.iter().map(|url| must("spec.formerBaseUrls", url)).collect();
    if let (Some(new), Some(former)) = (&base_url, &former) {
        unique_hosts(region, new, former, faults);
    }
    let epoch = epoch(&spec.epoch);
    if epoch.is_none() {
        faults.push(region.fault("spec.epoch", format!("cannot read {}", quoted(&spec.epoch))));
    }
    Some(RegionPlan {
        name: region.name.clone(),
        jurisdiction: spec.jurisdiction.clone(),
        base_url: base_url?,
        former_base_urls: former?,
        edge_threads: spec.edge.as_ref().and_then(|edge| edge.threads),
        acknowledgement: spec.acknowledgement,
        trusted_proxies: spec.trusted_proxies.clone(),
        place_database: spec.place_database.as_ref().map(|path| beside(&region.file).join(path)),
        ceiling: Tracking { opens: spec.ceilings.opens, clicks: spec.ceilings.clicks },
        place_ceiling: spec.ceilings.place,
        minimum_group: spec.minimum_group.into(),
        epoch: epoch?,
        longest_tracking_days: spec.longest_tracking_days,
        keep: spec.ceilings.keep,
        rotate_keys_every: spec.keys.as_ref().and_then(KeysSpec::rotate_every_days),
        privacy_signals: spec.privacy_signals,
        egress: spec.egress.clone(),
    })
}

/// The resource's rules compare text; a port that is written out and the same one that the scheme
/// implies are one host all the same.
fn unique_hosts(
    region: &Found<Region>,
    new: &BaseUrl,
    former: &[BaseUrl],
    faults: &mut Vec<ManifestError>,
) {
    let all: Vec<&BaseUrl> = std::iter::once(new).chain(former).collect();
    for (i, url) in all.iter().enumerate() {
        let same = |o: &&&BaseUrl| (o.host(), o.port()) == (url.host(), url.port());
        if let Some(first) = all[..i].iter().find(same) {
            let message = format!("{url} and {first} are one host: keep one of the two");
            faults.push(region.fault(&format!("spec.formerBaseUrls[{}]", i - 1), message));
        }
    }
}

/// A duration that passed the Region's rule.
fn epoch(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()?.checked_mul(seconds)?))
}

fn policies<T, S>(all: &[Found<T>], spec: impl Fn(&T) -> S) -> Vec<PolicyPlan<S>> {
    let mut plans: Vec<PolicyPlan<S>> = all
        .iter()
        .map(|policy| PolicyPlan {
            namespace: policy.namespace.clone(),
            name: policy.name.clone(),
            spec: spec(&policy.object),
        })
        .collect();
    plans.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    plans
}

struct Checker<'a> {
    found: &'a Resources,
    region: &'a RegionPlan,
    incomplete: bool,
    faults: &'a mut Vec<ManifestError>,
}

impl Checker<'_> {
    fn tenants(&mut self) -> BTreeMap<String, TenantPlan> {
        let mut tenants: BTreeMap<String, TenantPlan> = BTreeMap::new();
        for tenant in &self.found.tenants {
            if let Some(first) = tenants.get(&tenant.namespace) {
                // The same name twice is reported as such.
                if first.name != tenant.name {
                    let wrong = fits::second_tenant(&first.name);
                    self.faults.push(tenant.fault(&wrong.field, wrong.message));
                }
                continue;
            }
            tenants.insert(tenant.namespace.clone(), self.tenant(tenant));
        }
        tenants
    }

    fn tenant(&mut self, tenant: &Found<Tenant>) -> TenantPlan {
        let spec = &tenant.object.spec;
        if spec.region != self.region.name && !self.incomplete {
            let message = format!(
                "there is no Region {} in this folder; the one here is {}",
                quoted(&spec.region),
                quoted(&self.region.name)
            );
            self.faults.push(tenant.fault("spec.region", message));
        }
        let plan = TenantPlan {
            id: TenantId::derive(&self.region.name, &tenant.namespace),
            namespace: tenant.namespace.clone(),
            name: tenant.name.clone(),
            campaign: spec.defaults.campaign.map(Tracking::from),
            transactional: spec.defaults.transactional.map(Tracking::from),
            killed: spec.kill_switch,
            consent_from: spec.consent_from,
        };
        for wrong in fits::tenant(spec, &self.limits()) {
            self.faults.push(tenant.fault(&wrong.field, wrong.message));
        }
        plan
    }

    fn limits(&self) -> Limits {
        Limits {
            tracking: self.region.ceiling,
            place: self.region.place_ceiling,
            longest_tracking_days: self.region.longest_tracking_days,
            keep: self.region.keep,
        }
    }

    fn retention(&mut self) {
        for policy in &self.found.retention {
            for wrong in fits::retention(&policy.object.spec, &self.limits()) {
                self.faults.push(policy.fault(&wrong.field, wrong.message));
            }
        }
    }

    fn campaigns(&mut self, tenants: &BTreeMap<String, TenantPlan>) -> Vec<CampaignPlan> {
        let mut plans = Vec::new();
        for campaign in &self.found.campaigns {
            match tenants.get(&campaign.namespace) {
                Some(tenant) => plans.extend(self.campaign(campaign, tenant)),
                None if self.incomplete => {}
                None => {
                    let wrong = fits::no_tenant(&campaign.namespace);
                    self.faults.push(campaign.fault(&wrong.field, wrong.message));
                }
            }
        }
        plans.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        plans
    }

    fn campaign(
        &mut self,
        campaign: &Found<Campaign>,
        tenant: &TenantPlan,
    ) -> Option<CampaignPlan> {
        let spec = &campaign.object.spec;
        for wrong in fits::campaign(spec, &self.limits()) {
            self.faults.push(campaign.fault(&wrong.field, wrong.message));
        }
        self.check_policies(campaign);
        let longest = self.region.longest_tracking_days;
        let track_for_days = spec.track_for_days.unwrap_or(longest);
        let opens = self.effective(campaign, tenant, Kind::Open);
        let clicks = self.effective(campaign, tenant, Kind::Click);
        Some(CampaignPlan {
            id: CampaignId::derive(&self.region.name, &campaign.namespace, &campaign.name),
            tenant: tenant.id,
            namespace: campaign.namespace.clone(),
            name: campaign.name.clone(),
            mail_type: spec.mail_type,
            opens: opens?,
            clicks: clicks?,
            place: spec.place,
            track_for_days,
            declared_recipients: spec.recipients,
            subject: spec.subject.clone(),
            from: Mailbox::new(&spec.from),
            content: self.content(campaign)?,
            list: spec.list.as_ref().map(|list| beside(&campaign.file).join(&list.path)),
            send_at: spec.schedule.as_ref().map(|schedule| schedule.at.0),
            retention_policy: spec.retention_policy.clone(),
            anonymization_policy: spec.anonymization_policy.clone(),
        })
    }

    fn content(&mut self, campaign: &Found<Campaign>) -> Option<Content> {
        let content = &campaign.object.spec.content;
        let path = beside(&campaign.file).join(&content.path);
        let Some(text) = &content.digest else { return Some(Content { path, sha256: None }) };
        let digest = sha256(text);
        if digest.is_none() {
            // The rule has seen it; yet a digest that is not understood must never pass for none.
            let message = format!("cannot read {}", quoted(text));
            self.faults.push(campaign.fault("spec.content.digest", message));
        }
        Some(Content { path, sha256: Some(digest?) })
    }

    fn effective(
        &self,
        campaign: &Found<Campaign>,
        tenant: &TenantPlan,
        kind: Kind,
    ) -> Option<Effective> {
        let spec = &campaign.object.spec;
        let tenant = (tenant.default_for(spec.mail_type), tenant.killed);
        fits::effective(spec, tenant, &self.limits(), kind)
    }

    fn check_policies(&mut self, campaign: &Found<Campaign>) {
        if self.incomplete {
            return;
        }
        let here = campaign.namespace.as_str();
        let retention = names_in(&self.found.retention, here);
        let anonymization = names_in(&self.found.anonymization, here);
        let spec = &campaign.object.spec;
        for wrong in fits::policies(spec, here, &retention, &anonymization) {
            self.faults.push(campaign.fault(&wrong.field, wrong.message));
        }
        let kept = named(&self.found.retention, here, spec.retention_policy.as_deref());
        let faded = named(&self.found.anonymization, here, spec.anonymization_policy.as_deref());
        for wrong in fits::ages(kept.map(|kept| &kept.spec), faded.map(|faded| &faded.spec)) {
            self.faults.push(campaign.fault(&wrong.field, wrong.message));
        }
    }
}

fn named<'a, T>(all: &'a [Found<T>], namespace: &str, name: Option<&str>) -> Option<&'a T> {
    let name = name?;
    all.iter().find(|one| one.namespace == namespace && one.name == name).map(|one| &one.object)
}

/// The folder that a manifest's paths start from.
fn beside(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn names_in<'a, T>(all: &'a [Found<T>], namespace: &str) -> Vec<&'a str> {
    all.iter().filter(|one| one.namespace == namespace).map(|one| one.name.as_str()).collect()
}

/// A digest that passed the Campaign's rule.
fn sha256(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text.strip_prefix("sha256:")?, &mut digest).ok()?;
    Some(digest)
}
