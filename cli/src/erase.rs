//! `hushmark erase`: asks for it, waits until the writer did it and `up` signed for it, and prints
//! the receipt. Asked again, it prints the same receipt.

mod hold;
mod log;
mod wait;
mod whose;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use hushmark_event::audit::{Action, Reason};
use hushmark_event::refusal::Refuses;
use serde_json::json;

use crate::args::Erase;
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
    let due: Vec<_> = whose.iter().filter(|one| !one.is_asked_for).collect();
    let action = |one: &whose::Whose| Action::Erase(one.target.clone());
    if let Some(why) = hold::keeps(&state, tenant, &due).await? {
        let actions = due.into_iter().map(action).collect();
        asks::decline(&folder, actions, Reason::LegalHold).await;
        bail!(why);
    }
    let ask = |one: &whose::Whose| (Some(Refuses::Erase(one.erased.clone())), action(one));
    asks::ask_for(&folder, due.into_iter().map(ask).collect()).await?;
    drop(turn);
    let receipts = wait::receipts(&folder, &state, &whose).await?;
    if let Some(out) = &options.out {
        save(out, &receipts)?;
    }
    if options.json {
        let all: Vec<_> =
            receipts.iter().map(|it| say::receipt_json(&it.name, &it.verified)).collect();
        let text = serde_json::to_string_pretty(&json!({ "receipts": all }));
        return print(&(text.context("cannot write JSON")? + "\n"));
    }
    receipts.iter().try_for_each(|it| print(&say::receipt(&it.name, &it.verified)))
}

/// One receipt is the file itself; several are files of a folder.
fn save(out: &Path, receipts: &[wait::Received]) -> Result<()> {
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    if let ([only], false) = (receipts, out.is_dir()) {
        return write(out, &only.bytes);
    }
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    receipts.iter().try_for_each(|it| {
        write(&out.join(format!("receipt-{}.json", it.verified.pin.n)), &it.bytes)
    })
}
