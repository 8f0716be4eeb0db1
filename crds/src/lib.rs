//! What a platform engineer writes: the custom resources of `hushmark.io`, and manifests read
//! from a folder into plans that nobody has to check again.
//!
//! Path of a manifest: YAML → tree with line numbers → checked against the CRD's own schema →
//! CEL rules → typed resource → cross-checks → plan. The schema and the rules are those that an
//! API server enforces, so that `hushmark up` and Kubernetes refuse the same things.
//!
//! In reading order:
//!
//! 1. [`region`], [`tenant`], [`campaign`], [`policies`]: the resources and their rules.
//! 2. [`field`]: what several of them share.
//! 3. [`status`]: what is reported back of them.
//! 4. [`fits`]: whether one fits its region and its namespace, in the words of both machines.
//! 5. [`effective`]: what a Campaign's mail may tell, and who decided it; [`change`]: what a change
//!    of a Region does to what runs.
//! 6. [`mod@generate`]: the CRDs as YAML, as they are checked in under `crds/generated/`.
//! 7. [`load`]: a folder of manifests, read and checked, every fault with its file and line.
//! 8. [`plan`]: what comes out, in plain types.
//!
//! Architecture invariant: there is no client of Kubernetes here, and nothing is started.

#![expect(clippy::duplicated_attributes, reason = "it takes each printcolumn for the same one")]

pub mod campaign;
pub mod change;
pub mod effective;
pub mod field;
pub mod fits;
pub mod generate;
pub mod load;
pub mod plan;
pub mod policies;
pub mod region;
pub mod status;
pub mod tenant;

pub use campaign::{Campaign, CampaignSpec};
pub use generate::{crds, generate};
pub use load::{ManifestError, directory};
pub use plan::{CampaignPlan, Manifests, RegionPlan, TenantPlan};
pub use policies::{
    AnonymizationPolicy, AnonymizationPolicySpec, RetentionPolicy, RetentionPolicySpec,
};
pub use region::{Region, RegionSpec};
pub use status::{
    CampaignStatus, CountsStatus, Decided, DecidedBy, EffectivePolicy, EgressProbe, KeysStatus,
    LogStatus, Phase, PlanStatus, PolicyStatus, ProbeResult, PublishedStatus, RegionOwner,
    RegionStatus, Replicas, StepStatus, TenantStatus, TypeStatus,
};
pub use tenant::{Controller, Tenant, TenantSpec};

/// The API group of every resource.
pub const GROUP: &str = "hushmark.io";

/// The one version that is served.
pub const VERSION: &str = "v1alpha1";
