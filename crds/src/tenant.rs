//! `Tenant`: who sends, and what is tracked where a campaign does not say.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function")]

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hushmark_policy::Mode;

use crate::field::{self, Modes};
use crate::status::TenantStatus;

/// A tenant. Its namespace is its identity; a namespace has one.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "hushmark.io",
    version = "v1alpha1",
    kind = "Tenant",
    namespaced,
    derive = "PartialEq",
    doc = "Who sends, and what is tracked where a campaign does not say. One a namespace.",
    category = "hushmark",
    shortname = "ten",
    status = "TenantStatus",
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.region"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Killed", type_ = "boolean", json_path = ".spec.killSwitch"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.region",
    cel
)]
#[serde(rename_all = "camelCase")]
pub struct TenantSpec {
    /// The name of the Region that holds the tenant's data.
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("cannot change: the tenant's data lives there; make another in a new namespace"))]
    #[schemars(length(min = 1, max = 253))]
    pub region: String,

    /// What is tracked at most, for each type of mail. Where it says nothing and the campaign says
    /// nothing either, nothing is tracked.
    #[serde(default, skip_serializing_if = "Defaults::is_empty")]
    pub defaults: Defaults,

    /// The lowest mode that needs a person's own consent. Where a campaign tracks that much or more,
    /// whoever has not consented (`hushmark consent`) gets the same mail without any tracking. The day
    /// of the last open (opens: lastOpenDay) needs no consent and is kept all the same.
    /// Without it nobody is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "field::consent")]
    pub consent_from: Option<Mode>,

    /// `true` stops all tracking of this tenant, mail that was already sent included. Links go on
    /// working.
    #[serde(default)]
    pub kill_switch: bool,

    /// Who is responsible for the tenant's mail, for its register of processing activities: the
    /// controller of Article 4 (7) of the GDPR.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<Controller>,
}

/// Who is responsible, and how it is reached: Article 30(1) (a) of the GDPR.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Controller {
    /// The name of the company, authority or person.
    #[schemars(length(min = 1, max = 200))]
    pub name: String,
    /// How it is reached: by post, and electronically.
    #[schemars(length(min = 1, max = 500))]
    pub contact: String,
    /// Its representative in the Union and how that one is reached, where it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub representative: Option<String>,
    /// Its data protection officer and how that person is reached, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 500))]
    pub data_protection_officer: Option<String>,
}

impl Tenant {
    /// Of the Tenants of one namespace the one that counts: the oldest, for it was there first, and
    /// none that is being deleted. The others are refused. One that is not applied yet is younger
    /// than any other.
    pub fn that_counts<'a>(tenants: impl IntoIterator<Item = &'a Self>) -> Option<&'a Self> {
        let stay = tenants.into_iter().filter(|it| it.metadata.deletion_timestamp.is_none());
        stay.min_by_key(|tenant| {
            let created = tenant.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created.is_none(), created, tenant.metadata.name.clone())
        })
    }
}

/// Defaults for each type of mail. A campaign can ask for less and never gets more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Defaults {
    /// For newsletters and announcements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Modes>,
    /// For mail that one person's action caused: receipts, password resets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transactional: Option<Modes>,
}

impl Defaults {
    fn is_empty(&self) -> bool {
        self.campaign.is_none() && self.transactional.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str, created: Option<&str>, deleted: Option<&str>) -> Tenant {
        let metadata = serde_json::json!({
            "name": name, "creationTimestamp": created, "deletionTimestamp": deleted,
        });
        let spec = serde_json::json!({"region": "eu"});
        let whole = serde_json::json!({
            "apiVersion": "hushmark.io/v1alpha1", "kind": "Tenant", "metadata": metadata, "spec": spec,
        });
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn of_several_tenants_the_oldest_that_stays_counts() {
        let first = tenant("z", Some("2026-11-01T00:00:00Z"), None);
        let second = tenant("a", Some("2026-11-02T00:00:00Z"), None);
        let twin = tenant("b", Some("2026-11-02T00:00:00Z"), None);
        let planned = tenant("0", None, None);
        let goes = tenant("g", Some("2026-10-01T00:00:00Z"), Some("2026-11-03T00:00:00Z"));
        let all = [&planned, &twin, &second, &goes, &first];
        assert_eq!(Tenant::that_counts(all), Some(&first));
        assert_eq!(Tenant::that_counts([&twin, &second]), Some(&second), "of twins by the name");
        assert_eq!(Tenant::that_counts([&planned, &goes]), Some(&planned));
        assert_eq!(Tenant::that_counts([&goes]), None);
    }
}
