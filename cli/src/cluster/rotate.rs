//! `keys rotate`: asks the operator for a new key, and waits until new mail is sealed with it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hushmark_crds::Region;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value as Json, json};

use super::args;
use super::connect::{Connected, said};
use super::world::one_region;
use crate::report::print;

/// The annotation that asks; any new value does.
const ROTATE: &str = "hushmark.io/rotate-keys";

/// The condition that says what a rotation waits for.
const ROTATING: &str = "KeysRotating";

/// How often it is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What a Region's status says of its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Keys {
    sealing: Option<i64>,
    asked: Option<String>,
    /// What it waits for, in the operator's words.
    waits: Option<String>,
}

impl Keys {
    fn of(region: &DynamicObject) -> Self {
        let status = &region.data["status"];
        let keys = &status["keys"];
        let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rotating = conditions.iter().find(|c| c["type"] == ROTATING && c["status"] == "True");
        let text = |value: &Json| value.as_str().map(str::to_owned);
        Self {
            sealing: keys["sealing"].as_i64(),
            asked: text(&keys["asked"]),
            waits: rotating.and_then(|condition| text(&condition["message"])),
        }
    }

    /// Whether what was asked is done: it was obeyed, and another key seals.
    fn is_done(&self, asked: &str, before: &Self) -> bool {
        self.asked.as_deref() == Some(asked)
            && self.sealing.is_some()
            && self.sealing != before.sealing
            && self.waits.is_none()
    }
}

pub(crate) async fn run(options: &args::Rotate) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let region = one_region(&at.client, options.region.as_deref()).await?;
    let name = region.name_any();
    let before = look(&at, &name).await?;
    let asked = Timestamp::now().to_string();
    let patch = json!({ "metadata": { "annotations": { ROTATE: asked } } });
    let api: Api<Region> = Api::all(at.client.clone());
    let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map_err(|error| said(format!("ask Region {name} for a new key"), error))?;
    if options.no_wait {
        return tell(options, &name, &asked, None);
    }
    let until = Instant::now() + Duration::from_secs(options.timeout);
    let mut told = String::new();
    loop {
        let now = look(&at, &name).await?;
        if now.is_done(&asked, &before) {
            return tell(options, &name, &asked, now.sealing);
        }
        let waits = now.waits.clone().unwrap_or_else(|| "the operator has not begun".to_owned());
        if Instant::now() > until {
            bail!(
                "not done within {} s: {waits}. It goes on by itself; `kubectl hushmark status \
                 {name}` shows how far it is",
                options.timeout
            );
        }
        if waits != told && !options.json {
            eprintln!("waiting: {waits}");
            told = waits;
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn look(at: &Connected, name: &str) -> Result<Keys> {
    let kind = kube::api::ApiResource::erase::<Region>(&());
    let api: Api<DynamicObject> = Api::all_with(at.client.clone(), &kind);
    let region = api.get(name).await;
    let region = region.map_err(|e| said(format!("read {} {name}", Region::kind(&())), e))?;
    Ok(Keys::of(&region))
}

fn tell(
    options: &args::Rotate,
    region: &str,
    asked: &str,
    sealing: Option<i64>,
) -> Result<ExitCode> {
    let text = if options.json {
        let said = json!({ "region": region, "asked": asked, "sealing": sealing });
        serde_json::to_string_pretty(&said).context("cannot write JSON")?
    } else if let Some(kid) = sealing {
        format!(
            "new mail of Region {region} is sealed under key {kid}; links under older keys go on \
             working"
        )
    } else {
        format!(
            "asked Region {region} for a new key; `kubectl hushmark status` shows how far it is"
        )
    };
    print(&(text + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(status: Json) -> Keys {
        let kind = kube::api::ApiResource::erase::<Region>(&());
        let mut region = DynamicObject::new("eu", &kind);
        region.data = json!({ "status": status });
        Keys::of(&region)
    }

    #[test]
    fn it_is_done_when_another_key_seals_for_this_very_request() {
        let before = keys(json!({"keys": {"kids": [1], "sealing": 1}}));
        let rotating =
            json!([{"type": "KeysRotating", "status": "True", "message": "edge-1 lacks it"}]);
        for (status, done) in [
            (json!({"keys": {"kids": [1, 2], "sealing": 1}}), false),
            (json!({"keys": {"sealing": 1, "asked": "now"}, "conditions": rotating}), false),
            (json!({"keys": {"sealing": 2, "asked": "earlier"}}), false),
            (json!({"keys": {"sealing": 2, "asked": "now"}, "conditions": []}), true),
            (json!({}), false),
        ] {
            assert_eq!(keys(status.clone()).is_done("now", &before), done, "{status}");
        }
        let waits = keys(json!({"conditions": rotating})).waits;
        assert_eq!(waits.as_deref(), Some("edge-1 lacks it"));
    }
}
