//! Fields that several resources share.
//!
//! The types have no `deny_unknown_fields`: the loader refuses unknown fields by the schema, as
//! `kubectl` does, and an operator that is older than the CRDs must still be able to read.

use hushmark_policy::{Kind, Mode, Place, Tracking};
use kube::core::Rule;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What opens and clicks may tell. In YAML, "off" needs its quotes: a bare `off` is a boolean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Modes {
    /// What an open may tell: "off", overall, anonymous or individual; or lastOpenDay, which counts
    /// nothing and keeps the day of each contact's last open, for a sender who stops writing to
    /// whoever no longer reads.
    #[schemars(schema_with = "mode")]
    pub opens: Mode,
    /// What a click may tell: "off", overall, anonymous or individual.
    #[schemars(schema_with = "mode_of_clicks")]
    pub clicks: Mode,
}

impl From<Modes> for Tracking {
    fn from(modes: Modes) -> Self {
        Self { opens: modes.opens, clicks: modes.clicks }
    }
}

/// Whether a policy only says what it would remove, or removes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(title = "policy mode")]
pub enum PolicyMode {
    /// Say what would be removed; remove nothing.
    #[default]
    Plan,
    /// Remove what an approved plan announced.
    Enforce,
}

/// The schema of a tracking mode. `title` is the word that an error uses for it.
pub(crate) fn mode(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = Mode::ALL.iter().map(|mode| mode.name()).collect();
    json_schema!({ "type": "string", "title": "mode", "enum": names })
}

/// The schema of a mode of clicks, of which no day is kept alone.
pub(crate) fn mode_of_clicks(_: &mut SchemaGenerator) -> Schema {
    counting("mode of clicks")
}

/// The schema of a ceiling, which says how much may be told and not what for: none allows the day of a
/// last open alone.
pub(crate) fn ceiling(_: &mut SchemaGenerator) -> Schema {
    counting("ceiling")
}

fn counting(title: &str) -> Schema {
    let names: Vec<&str> = Mode::of(Kind::Click).map(Mode::name).collect();
    json_schema!({ "type": "string", "title": title, "enum": names })
}

/// The schema of the lowest mode that needs consent: mail that is not tracked needs none, and the day
/// of the last open neither.
pub(crate) fn consent(_: &mut SchemaGenerator) -> Schema {
    let tracked = Mode::ALL.iter().filter(|mode| mode.counts());
    let names: Vec<&str> = tracked.map(|mode| mode.name()).collect();
    json_schema!({ "type": "string", "title": "mode", "enum": names })
}

/// The schema of a place. Finer ones than a country are known to tokens and not offered yet.
pub(crate) fn place(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "title": "place", "enum": [Place::None, Place::Country] })
}

/// The schema of a moment, as RFC 3339.
pub(crate) fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// The default of every place: none.
pub(crate) const fn no_place() -> Place {
    Place::None
}

/// The rule for a path beside the manifest. A path that leaves the folder would name a file
/// that the next machine does not have.
pub(crate) fn path_in_folder() -> Rule {
    Rule::new("self != '' && !self.startsWith('/') && !self.matches('(^|/)[.][.](/|$)')").message(
        "must be a path inside the manifest's own folder, like newsletter.html: not empty, no \
             / at the start and no ..",
    )
}
