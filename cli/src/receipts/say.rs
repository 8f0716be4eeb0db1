//! What was verified, for people and for programs.

use std::fmt::Write as _;

use hushmark_event::audit::entry::TakenDown;
use hushmark_event::audit::verify::VerifiedReceipt;
use hushmark_event::audit::verify::log_file::VerifiedLog;
use hushmark_event::audit::{
    Action, Asked, Entry, Outcome, Principal, Read, Reason, Says, Store, Target, Write,
};
use hushmark_policy::Day;
use serde::Serialize;
use serde_json::{Value as Json, json};

/// What came of holding a published head against what was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Head {
    NotGiven,
    Agrees,
    /// The receipts prove nothing at its length.
    NotCompared,
    Contradicts,
}

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
        Head::Agrees => "; the published head agrees",
        Head::NotGiven | Head::NotCompared | Head::Contradicts => "",
    };
    format!("{all}{head}\n")
}

/// The receipts verify, and what was asked about the head nobody can answer by them.
pub(super) fn not_compared(length: u64) -> String {
    format!(
        "the published head is NOT compared: at length {length} these receipts prove nothing; \
         `hushmark audit verify` of the log with that head tells"
    )
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
pub(crate) fn log(file: &str, log: &VerifiedLog, head: Head) -> String {
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

/// An entry in one line.
pub(crate) fn entry(entry: &Entry) -> String {
    let Entry { n, at_ms, says, .. } = entry;
    let said = match says {
        Says::Asked(Asked { by, action, outcome }) => {
            let by = match by {
                Principal::Kubernetes(name) | Principal::Local(name) => name.as_str(),
                Principal::Recipient => "a recipient",
            };
            format!("{by} asked to {}: {}", self::action(action), self::outcome(outcome))
        }
        Says::Receipt(receipt) => {
            format!("{} is erased, as entry {} asked", target(&receipt.erased), receipt.request)
        }
    };
    format!("{n:>5}  {}  {said}\n", Moment(*at_ms))
}

fn action(action: &Action) -> String {
    match action {
        Action::Withdraw(whose) => format!("end the tracking of {}", target(whose)),
        Action::Object(Target::Campaign { tenant, id }) => {
            format!("ignore a message of campaign {id} of tenant {tenant}")
        }
        Action::Object(whose) => format!("ignore their mail of {}", target(whose)),
        Action::WithdrawAll => "end the tracking of the whole region".into(),
        Action::Takedown(TakenDown::Tenant(tenant)) => {
            format!("take down the links of tenant {tenant}")
        }
        Action::Takedown(TakenDown::Campaign { tenant, id }) => {
            format!("take down the links of campaign {id} of tenant {tenant}")
        }
        Action::Takedown(TakenDown::Url) => "take down the links to one destination".into(),
        Action::Takedown(TakenDown::Kid(kid)) => format!("take down key {kid}"),
        Action::RotateKeys => "make a new key".into(),
        Action::Erase(whose) => format!("erase {}", target(whose)),
        Action::Complete { tenant, id } => {
            format!("forget who was on the list of campaign {id} of tenant {tenant}")
        }
        Action::EnforcePlan { tenant, plan } => {
            format!("carry out the plan {plan} for tenant {tenant}")
        }
        Action::Read { what, of } => format!("see {} of {}", read(*what), target(of)),
        Action::Write { what, of } => format!("write down {} of {}", written(*what), target(of)),
    }
}

const fn read(what: Read) -> &'static str {
    match what {
        Read::Report => "the report",
        Read::Counters => "raw counters",
        Read::Export => "an export",
        Read::Segment => "a segment",
        Read::Contact => "a contact's page",
        Read::Explanation => "what mail may tell",
        Read::Log => "the log of mail",
        Read::RecordOfProcessing => "the register entry",
    }
}

const fn written(what: Write) -> &'static str {
    match what {
        Write::Messages => "whom mail was made for",
        Write::Deliveries => "what became of the mail",
        Write::Consents => "who consented to the tracking",
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Allowed { position: None } => "allowed".into(),
        Outcome::Allowed { position: Some(n) } => format!("allowed, entry {n} of the refusal log"),
        Outcome::Refused(reason) => format!("refused, because {}", because(*reason)),
    }
}

const fn because(reason: Reason) -> &'static str {
    match reason {
        Reason::NotPermitted => "that may not be asked for",
        Reason::Unknown => "there is no such thing",
        Reason::AnotherRegion => "it is meant for another region",
        Reason::AboveCeiling => "the region's ceiling is below it",
        Reason::LegalHold => "a legal hold keeps the data",
        Reason::PlanChanged => "the plan is an old one",
        Reason::KeyGone => "a key that is needed is gone",
        Reason::NotNow => "a store was away",
    }
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
