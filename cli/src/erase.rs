//! `hushmark erase`: asks for it, waits until the writer did it and `up` signed for it, and prints
//! the receipt. Asked again, it prints the same receipt.

mod hold;
mod log;
mod out;
mod wait;
mod whose;

use std::path::Path;

use anyhow::{Context, Result, bail};
use hushmark_event::audit::{Action, Reason};
use hushmark_event::refusal::Refuses;
use serde_json::json;

use crate::args::Erase;
use crate::cluster::ask::confirm;
use crate::data::DataFolder;
use crate::receipts::say;
use crate::report::print;
use crate::{asks, contacts};

pub(crate) use log::Log;

pub(crate) async fn run(data: &Path, options: &Erase) -> Result<()> {
    let folder = DataFolder::new(data);
    let state = folder.state()?;
    // No stamping draws an id between the look at whose they are and the refusal of all of them.
    let tenant = whose::tenant_of(&state, options)?;
    let turn = contacts::turn(&folder, tenant).await?;
    let whose = whose::whose(&folder, &state, options).await?;
    let out = options.out.as_ref().map(|it| out::Out::ready(it, whose.len())).transpose()?;
    let due: Vec<_> = whose.iter().filter(|one| !one.is_asked_for).collect();
    let action = |one: &whose::Whose| Action::Erase(one.target.clone());
    if let Some(why) = hold::keeps(&state, tenant, &due).await? {
        let actions = due.into_iter().map(action).collect();
        asks::decline(&folder, actions, Reason::LegalHold).await;
        bail!(why);
    }
    if options.people.is_none() && !options.yes && !due.is_empty() {
        confirm(&match (&options.campaign, &options.tenant) {
            (Some(campaign), _) => format!("The campaign {campaign} and all figures about it go."),
            (None, tenant) => {
                let tenant = tenant.as_deref().unwrap_or_default();
                format!("All data of tenant {tenant} and its key go.")
            }
        })?;
    }
    let ask = |one: &whose::Whose| (Some(Refuses::Erase(one.erased.clone())), action(one));
    asks::ask_for(&folder, due.into_iter().map(ask).collect()).await?;
    drop(turn);
    let receipts = wait::receipts(&folder, &state, &whose).await?;
    if let Some(out) = &out {
        out.save(&receipts)?;
    }
    if options.json {
        let all: Vec<_> =
            receipts.iter().map(|it| say::receipt_json(&it.name, &it.verified)).collect();
        let text = serde_json::to_string_pretty(&json!({ "receipts": all }));
        return print(&(text.context("cannot write JSON")? + "\n"));
    }
    receipts.iter().try_for_each(|it| print(&say::receipt(&it.name, &it.verified)))
}
