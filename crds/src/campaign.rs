//! `Campaign`: one mailing, or one kind of transactional mail.

#![expect(unreachable_pub, reason = "KubeSchema copies each struct into a function")]

use hushmark_policy::{MailType, Place};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::field::{self, Modes};
use crate::status::CampaignStatus;

/// A campaign. Its id follows from region, namespace and name, so a name used again continues
/// its data.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "hushmark.io",
    version = "v1alpha1",
    kind = "Campaign",
    namespaced,
    derive = "PartialEq",
    doc = "One mailing, or one kind of transactional mail.",
    category = "hushmark",
    shortname = "camp",
    status = "CampaignStatus",
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Opens", type_ = "string", json_path = ".status.effective.opens.mode"),
    printcolumn(name = "Clicks", type_ = "string", json_path = ".status.effective.clicks.mode"),
    printcolumn(name = "Opened", type_ = "string", json_path = ".status.counts.opens.shown"),
    printcolumn(name = "Clicked", type_ = "string", json_path = ".status.counts.clicks.shown"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    selectable = ".spec.type",
    selectable = ".status.phase",
    cel
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.type != 'campaign' || has(self.list)")
        .message("a campaign goes to a list: name one with list.path, or set type to transactional")
        .field_path(".list"),
)]
pub struct CampaignSpec {
    /// `campaign` goes to a list for the sender's sake; `transactional` is what one person's
    /// action caused. Tenants have defaults for each.
    #[serde(rename = "type")]
    #[schemars(schema_with = "mail_type")]
    #[x_kube(validation = Rule::new("self == oldSelf")
        .message("cannot change: mail of the old type was sent under this name; use another name"))]
    pub mail_type: MailType,

    /// The subject line.
    #[x_kube(validation = Rule::new("self.matches('^[^\\\\x00-\\\\x1f\\\\x7f]*$')")
        .message("must be one line of text: no line break and no control character"))]
    #[schemars(length(min = 1, max = 900))]
    pub subject: String,

    /// Who it is from: an address, or a name with the address in angle brackets.
    #[x_kube(validation = Rule::new(
        "self.matches('^([^<>\\\\x00-\\\\x1f\\\\x7f]*<[^<>@\\\\s]+@[^<>@\\\\s]+>|\
         [^<>@\\\\s]+@[^<>@\\\\s]+)$')"
    ).message("must be one address, like news@example.com or Example News <news@example.com>"))]
    #[schemars(length(max = 600))]
    pub from: String,

    /// Who it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<ListRef>,

    /// What it says.
    pub content: ContentRef,

    /// What opens and clicks may tell. The tenant's default holds as well, and the stricter of the
    /// two wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking: Option<Modes>,

    /// How many people are behind the list's addresses, where the mail goes to an address that a
    /// mail system expands. Left out: as many as addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i64", range(min = 1, max = 1_000_000_000))]
    pub recipients: Option<u64>,

    /// The finest place that may be kept of a hit: none or country.
    #[serde(default = "field::no_place")]
    #[schemars(schema_with = "field::place")]
    pub place: Place,

    /// For how many days after sending a hit counts. Left out: as long as the Region allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "i32", range(min = 1, max = 1096))]
    pub track_for_days: Option<u16>,

    /// When it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,

    /// The RetentionPolicy of the same namespace that holds for what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub retention_policy: Option<String>,

    /// The AnonymizationPolicy of the same namespace that holds for what is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub anonymization_policy: Option<String>,

    /// Whether deleting this resource deletes what was counted. `Retain` keeps it.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Where the recipients are.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListRef {
    /// A CSV file beside the manifest, with a column `address`.
    #[x_kube(validation = field::path_in_folder())]
    #[schemars(length(max = 1024))]
    pub path: String,
}

/// Where the HTML is. A resource holds no body: etcd's history, Git and audit logs would keep it.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    /// An HTML file beside the manifest.
    #[x_kube(validation = field::path_in_folder())]
    #[schemars(length(max = 1024))]
    pub path: String,
    /// What the file must hash to, so that what was approved is what is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self.matches('^sha256:[0-9a-f]{64}$')")
        .message("must be sha256: and the 64 lower-case hexadecimal digits that sha256sum prints"))]
    #[schemars(length(max = 200))]
    pub digest: Option<String>,
}

/// When a campaign is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Schedule {
    /// Not before this moment, as RFC 3339: 2026-12-01T08:00:00Z.
    #[schemars(schema_with = "field::date_time")]
    pub at: Time,
}

/// What happens to data when its resource is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "deletion policy")]
pub enum DeletionPolicy {
    /// It stays, as long as its RetentionPolicy says.
    #[default]
    Retain,
    /// It is erased.
    Delete,
}

fn mail_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "title": "mail type",
        "enum": [MailType::Campaign, MailType::Transactional],
    })
}
