//! What was verified, for people and for programs.

use std::fmt::Write as _;

use hushmark_event::audit::verify::VerifiedReceipt;
use hushmark_event::audit::verify::log_file::VerifiedLog;
use hushmark_event::audit::{Says, Store, Target};
use hushmark_policy::Day;
use serde_json::{Value as Json, json};

use super::Head;

/// A receipt in the reader's words.
pub(crate) fn receipt(file: &str, verified: &VerifiedReceipt) -> String {
    let VerifiedReceipt { pin, receipt: it, .. } = verified;
    let mut text = format!("{file}: verified\n");
    let mut line = |name: &str, what: String| {
        writeln!(text, "  {name:<12} {what}").expect("a text takes whatever is written to it");
    };
    line("receipt", format!("entry {} of the audit log, hash {}", pin.n, pin.hash));
    line("erased", target(&it.erased));
    line("asked for", format!("{}, by entry {}", Moment(it.asked_ms), it.request));
    line("ended", Moment(it.ended_ms).to_string());
    line("from then on", format!("refused by entry {} of the refusal log", it.position));
    line("ledger", format!("every target at position {}", it.ledger));
    for at in &it.reached {
        let (store, name) = (store(at.store), at.name.as_str());
        let counts = [count(at.rows, "row"), count(at.bytes, "byte"), count(at.parts, "part")];
        line("reached", format!("{store}, {name}: {}", counts.join(", ")));
    }
    for at in &it.unreached {
        let until = at.until.map_or("until when is not known".into(), |day| format!("until {day}"));
        line("NOT reached", format!("{}, {}: {until}", store(at.store), at.name.as_str()));
    }
    line(
        "before it",
        it.previous.map_or("no receipt".into(), |it| format!("the receipt of entry {}", it.n)),
    );
    text
}

/// What was found of all receipts together.
pub(super) fn together(count: usize, head: Head) -> String {
    let all = match count {
        1 => "1 receipt verified".to_owned(),
        _ => format!("{count} receipts verified, none is missing between them"),
    };
    let head = match head {
        Head::NotGiven => "",
        Head::NotCompared => {
            "; the published head is NOT compared: it is of a length at which receipts prove \
             nothing, and `hushmark audit verify` of the log with that head tells"
        }
        Head::Agrees | Head::Contradicts => "; the published head agrees",
    };
    format!("{all}{head}\n")
}

pub(crate) fn receipt_json(file: &str, verified: &VerifiedReceipt) -> Json {
    let VerifiedReceipt { pin, before, at_ms, receipt } = verified;
    json!({
        "file": file,
        "entry": pin.n,
        "hash": pin.hash,
        "before": before,
        "at_ms": at_ms,
        "receipt": receipt,
    })
}

/// A log in a few lines.
pub(super) fn log(file: &str, log: &VerifiedLog, head: Head) -> String {
    let VerifiedLog { entries, head: signed, .. } = log;
    let span = match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => {
            format!(", from {} to {}", Moment(first.at_ms), Moment(last.at_ms))
        }
        _ => String::new(),
    };
    let receipts: Vec<String> = receipts(log).iter().map(ToString::to_string).collect();
    let receipts = if receipts.is_empty() { "none".into() } else { receipts.join(", ") };
    let agrees = if head == Head::Agrees { "; the published head agrees" } else { "" };
    format!(
        "{file}: verified\n  entries      {}{span}\n  receipts     {receipts}\n  head         \
         length {}, hash {}{agrees}\n",
        entries.len(),
        signed.length,
        signed.hash,
    )
}

pub(super) fn log_json(file: &str, log: &VerifiedLog) -> Json {
    json!({
        "file": file,
        "length": log.head.length,
        "hash": log.head.hash,
        "receipts": receipts(log),
    })
}

/// The numbers of the entries that are receipts.
fn receipts(log: &VerifiedLog) -> Vec<u64> {
    let is_receipt = |says: &Says| matches!(says, Says::Receipt(_));
    log.entries.iter().filter(|entry| is_receipt(&entry.says)).map(|entry| entry.n).collect()
}

fn target(erased: &Target) -> String {
    match erased {
        Target::Tenant(tenant) => format!("tenant {tenant}"),
        Target::Campaign { tenant, id } => format!("campaign {id} of tenant {tenant}"),
        Target::Person { tenant, tombstone } => {
            format!("the person with the tombstone {tombstone} of tenant {tenant}")
        }
    }
}

fn count(n: u64, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}

const fn store(store: Store) -> &'static str {
    match store {
        Store::Clickhouse => "ClickHouse",
        Store::Redis => "Redis",
        Store::Dead => "dead batches",
        Store::LaneLogs => "lane logs",
        Store::Lists => "recipient lists",
        Store::Keys => "keys",
        Store::Backups => "backups",
        Store::Etcd => "etcd",
        Store::Mail => "mail",
    }
}

/// Milliseconds since 1970 as people write a moment, in UTC.
struct Moment(u64);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0 / 1_000;
        let (h, m, s) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{} {h:02}:{m:02}:{s:02} UTC", Day::of_unix_ms(self.0))
    }
}
