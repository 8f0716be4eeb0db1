//! Whether a resource fits its region and its namespace: what no rule of a single resource can
//! know. `hushmark up` and the operator ask here, so that both refuse the same with the same words.

use std::fmt;

use hushmark_policy::resolve::{Asked, Effective, effective as resolve};
use hushmark_policy::{Kind, MailType, Place, Tracking};

use crate::campaign::DeletionPolicy;
use crate::policies::{Action, Keep};
use crate::{AnonymizationPolicySpec, CampaignSpec, RegionSpec, RetentionPolicySpec, TenantSpec};

pub use crate::load::quoted;

/// What is wrong with a resource beside others, and with which of its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// The field, like `spec.tracking.opens`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Misfit {
    fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

/// The most that a region allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most that opens and clicks may tell.
    pub tracking: Tracking,
    /// The finest place that may be kept.
    pub place: Place,
    /// For how many days after sending a hit may count at the longest.
    pub longest_tracking_days: u16,
    /// The longest that anything may be kept, where the region says so.
    pub keep: Option<Keep>,
}

impl From<&RegionSpec> for Limits {
    fn from(spec: &RegionSpec) -> Self {
        Self {
            tracking: Tracking { opens: spec.ceilings.opens, clicks: spec.ceilings.clicks },
            place: spec.ceilings.place,
            longest_tracking_days: spec.longest_tracking_days,
            keep: spec.ceilings.keep,
        }
    }
}

impl TenantSpec {
    /// The tenant's default for a type of mail.
    #[must_use]
    pub fn default_for(&self, mail_type: MailType) -> Option<Tracking> {
        match mail_type {
            MailType::Campaign => self.defaults.campaign.map(Tracking::from),
            MailType::Transactional => self.defaults.transactional.map(Tracking::from),
        }
    }
}

/// Whether a tenant's defaults stay below the ceilings.
#[must_use]
pub fn tenant(spec: &TenantSpec, limits: &Limits) -> Vec<Misfit> {
    let mut wrong = Vec::new();
    for mail_type in [MailType::Campaign, MailType::Transactional] {
        let tenant = spec.default_for(mail_type);
        let asked =
            Asked { mail_type, ceiling: limits.tracking, tenant, campaign: None, killed: false };
        for kind in Kind::ALL {
            if let Err(above) = resolve(&asked, kind) {
                let field = format!("spec.defaults.{}.{}s", mail_type.name(), kind.name());
                wrong.push(Misfit::new(field, above.to_string()));
            }
        }
    }
    wrong
}

/// A second tenant in a namespace that has `first` already.
#[must_use]
pub fn second_tenant(first: &str) -> Misfit {
    Misfit::new(
        "metadata.namespace",
        format!(
            "the namespace has the Tenant {} already, and a namespace has one: put this one into \
             a namespace of its own",
            quoted(first)
        ),
    )
}

/// A tenant of a region that is not there, beside the names of those that are.
#[must_use]
pub fn no_region(region: &str, known: &[&str]) -> Misfit {
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Misfit::new(
        "spec.region",
        format!(
            "there is no Region {} in this cluster; there: {known}. Apply that Region, or make the \
             Tenant anew with another: its region cannot change",
            quoted(region)
        ),
    )
}

/// A campaign in a namespace without a tenant.
#[must_use]
pub fn no_tenant(namespace: &str) -> Misfit {
    Misfit::new(
        "metadata.namespace",
        format!(
            "the namespace {} has no Tenant, so nobody says what may be tracked: add a manifest \
             with kind: Tenant in this namespace",
            quoted(namespace)
        ),
    )
}

/// Whether a campaign asks for no more than its region allows. A tenant's own misfits are told
/// where the tenant is.
#[must_use]
pub fn campaign(spec: &CampaignSpec, limits: &Limits) -> Vec<Misfit> {
    let mut wrong = Vec::new();
    wrong.extend(place(spec.place, limits.place));
    wrong.extend(days(spec.track_for_days, limits.longest_tracking_days));
    wrong.extend(kept_for_ever(spec, limits.keep));
    let campaign = spec.tracking.map(Tracking::from);
    let alone = Asked {
        mail_type: spec.mail_type,
        ceiling: limits.tracking,
        tenant: None,
        campaign,
        killed: false,
    };
    for kind in Kind::ALL {
        if let Err(above) = resolve(&alone, kind) {
            let field = format!("spec.tracking.{}s", kind.name());
            wrong.push(Misfit::new(field, above.to_string()));
        }
    }
    wrong
}

/// What holds for one kind of a campaign's hits, and who decided it; `None` where tenant or
/// campaign ask for more than the region allows.
#[must_use]
pub fn effective(
    spec: &CampaignSpec,
    (default, killed): (Option<Tracking>, bool),
    limits: &Limits,
    kind: Kind,
) -> Option<Effective> {
    let asked = Asked {
        mail_type: spec.mail_type,
        ceiling: limits.tracking,
        tenant: default,
        campaign: spec.tracking.map(Tracking::from),
        killed,
    };
    resolve(&asked, kind).ok()
}

/// What a cluster cannot do yet. On one machine no resource is ever deleted.
#[must_use]
pub fn erasure(policy: DeletionPolicy) -> Option<Misfit> {
    (policy == DeletionPolicy::Delete).then(|| {
        Misfit::new(
            "spec.deletionPolicy",
            "deleting it erases nothing: write Retain, so that nobody relies on an erasure that \
             does not happen, and ask for one by `kubectl hushmark erase`",
        )
    })
}

fn place(asked: Place, ceiling: Place) -> Option<Misfit> {
    let name = |place: Place| if place == Place::None { "none" } else { "country" };
    (asked > ceiling).then(|| {
        let (asked, ceiling) = (name(asked), name(ceiling));
        let message = format!(
            "the campaign asks for the place {asked}, and the region allows at most {ceiling}: \
             ask for {ceiling}, or raise the region's ceiling"
        );
        Misfit::new("spec.place", message)
    })
}

fn days(asked: Option<u16>, longest: u16) -> Option<Misfit> {
    let asked = asked.filter(|asked| *asked > longest)?;
    let message = format!(
        "the campaign asks for {asked} days, and the region tracks for at most {longest}: ask for \
         {longest} or less, or raise the region's longestTrackingDays"
    );
    Some(Misfit::new("spec.trackForDays", message))
}

/// A campaign that nobody's policy ends, in a region that keeps nothing for ever.
fn kept_for_ever(spec: &CampaignSpec, keep: Option<Keep>) -> Option<Misfit> {
    let is_off = spec.tracking.map(Tracking::from) == Some(Tracking::OFF);
    if keep.is_none() || is_off || spec.retention_policy.is_some() {
        return None;
    }
    let message = "the region limits for how long anything is kept (spec.ceilings.keep), so a \
                   campaign names the RetentionPolicy that holds for it";
    Some(Misfit::new("spec.retentionPolicy", message))
}

/// Whether a policy keeps nothing longer than its region allows.
#[must_use]
pub fn retention(spec: &RetentionPolicySpec, limits: &Limits) -> Vec<Misfit> {
    let Some(keep) = limits.keep else { return Vec::new() };
    let longer = |field: &str, asked: Option<u16>, longest: Option<u16>| {
        let longest = longest.filter(|longest| asked.is_none_or(|asked| asked > *longest))?;
        let asked = asked.map_or("for ever".to_owned(), |asked| format!("for {asked} days"));
        let message = format!(
            "the policy keeps them {asked}, and the region allows at most {longest} days: write \
             {longest} or less, or raise the region's ceilings.keep.{field}"
        );
        Some(Misfit::new(format!("spec.keep.{field}"), message))
    };
    // Rows are at most as old as the counters made of them.
    let rows = keep.rows_days.or(keep.counters_days);
    let rows = longer("rowsDays", spec.keep.rows_days.or(spec.keep.counters_days), rows);
    let counters = longer("countersDays", spec.keep.counters_days, keep.counters_days);
    rows.into_iter().chain(counters).collect()
}

/// What a policy would make coarser that the other one has removed by then.
#[must_use]
pub fn ages(
    retention: Option<&RetentionPolicySpec>,
    anonymization: Option<&AnonymizationPolicySpec>,
) -> Vec<Misfit> {
    let (Some(kept), Some(faded)) = (retention, anonymization) else { return Vec::new() };
    let too_late = |(action, after): (Action, u16)| {
        let (what, days) = match action {
            Action::DropRows => ("rows", kept.keep.rows_days.or(kept.keep.counters_days)?),
            _ => ("counters", kept.keep.counters_days?),
        };
        let message = format!(
            "the policy's {} comes after {after} days, and the RetentionPolicy removes {what} after \
             {days}: nothing is left for it to change; make it earlier, or leave it out",
            action.name()
        );
        (after >= days).then(|| Misfit::new("spec.anonymizationPolicy", message))
    };
    faded.steps.iter().map(|step| (step.action, step.after_days)).filter_map(too_late).collect()
}

/// Whether the policies that a campaign names are in its namespace. The known names come in the
/// order in which a message lists them.
#[must_use]
pub fn policies(
    spec: &CampaignSpec,
    namespace: &str,
    retention: &[&str],
    anonymization: &[&str],
) -> Vec<Misfit> {
    let missing = |field: &str, kind: &str, name: &Option<String>, known: &[&str]| {
        let name = name.as_deref().filter(|name| !known.contains(name))?;
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        let message = format!(
            "the namespace {} has no {kind} {}; there: {known}",
            quoted(namespace),
            quoted(name)
        );
        Some(Misfit::new(field, message))
    };
    let (kept, faded) = (&spec.retention_policy, &spec.anonymization_policy);
    let retention = missing("spec.retentionPolicy", "RetentionPolicy", kept, retention);
    let anonymization =
        missing("spec.anonymizationPolicy", "AnonymizationPolicy", faded, anonymization);
    retention.into_iter().chain(anonymization).collect()
}
