//! `audit`: the log of who asked for what, read through the operator, and verified before it is
//! shown: against the key and the head that the Region's status names.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use hushmark_crds::Region;
use hushmark_event::ask::look::{AUDIT_PATH, AuditPage, AuditQuestion};
use hushmark_event::audit::verify::Published;
use hushmark_event::audit::verify::log_file::{self, VerifiedLog};
use kube::ResourceExt as _;
use serde_json::json;

use super::args;
use super::connect::Connected;
use super::operator::{To, log_key};
use super::world::one_region;
use crate::receipts::say;
use crate::report::print;

pub(crate) async fn run(options: &args::Audit) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let region = one_region(&at.client, options.region.as_deref()).await?;
    let (name, key) = (region.name_any(), log_key(&region)?);
    let to = To::find(&at, &region, options.operator).await?;
    let text = fetch(&at, &to, &name).await?;
    let log = log_file::verify(text.as_bytes(), &key)
        .with_context(|| format!("the audit log of Region {name} does not verify"))?;
    // What was published before the log was read has to be in it.
    if let Some(published) = published(&region)? {
        log.compare(&published, &key)?;
    }
    if let Some(out) = &options.output {
        let file = out.display().to_string();
        std::fs::write(out, &text).with_context(|| format!("cannot write {file}"))?;
        print(&say::log(&file, &log, say::Head::Agrees))?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&if options.json { as_json(&name, &log)? } else { as_text(&name, &log) })?;
    Ok(ExitCode::SUCCESS)
}

/// The head that the Region's status names.
fn published(region: &Region) -> Result<Option<Published>> {
    let status = region.status.as_ref().and_then(|status| status.audit_log.as_ref());
    let Some(head) = status else { return Ok(None) };
    let head = format!("{}:{}", head.length, head.hash);
    Ok(Some(head.parse().context("status.auditLog of the Region is no head")?))
}

/// The whole log as a file. It may grow meanwhile: the head is the last page's.
async fn fetch(at: &Connected, to: &To, region: &str) -> Result<String> {
    let mut entries = Vec::new();
    loop {
        let question = AuditQuestion { region: region.to_owned(), after: entries.len() as u64 };
        let page: AuditPage = to.post(at, AUDIT_PATH, &question).await?;
        let is_end = page.entries.is_empty();
        entries.extend(page.entries);
        let there = entries.len() as u64;
        if there == page.head.length {
            return Ok(log_file::to_text(entries.iter().map(String::as_str), &page.head));
        }
        ensure!(there < page.head.length, "the operator sent more entries than its log has");
        if is_end {
            bail!("the operator sent {there} of {} entries: ask again", page.head.length);
        }
    }
}

fn as_text(region: &str, log: &VerifiedLog) -> String {
    let mut text: String = log.entries.iter().map(say::entry).collect();
    if text.is_empty() {
        text = "nobody has asked for anything yet\n".to_owned();
    }
    let (length, hash) = (log.head.length, &log.head.hash);
    text + &format!("verified against what Region {region} publishes; head at {length}: {hash}\n")
}

fn as_json(region: &str, log: &VerifiedLog) -> Result<String> {
    let said = json!({
        "region": region,
        "length": log.head.length,
        "hash": log.head.hash,
        "entries": log.entries,
    });
    Ok(serde_json::to_string_pretty(&said).context("cannot write JSON")? + "\n")
}
