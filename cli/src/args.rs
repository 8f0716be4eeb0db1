//! What can be typed.

mod people;

use std::path::PathBuf;

use clap::{ArgGroup, Args as Group, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hushmark_event::audit::verify::Published;

use crate::cluster::args::{Cluster, Connection, Kind};
pub(crate) use people::{By, Contact, Delivered, Export, Format, Log, Segment};

/// Email open and click tracking that can prove what it forgot
#[derive(Parser)]
#[command(name = "hushmark", version, propagate_version = true)]
pub(crate) struct Args {
    /// Folder that holds everything a running stack keeps
    #[arg(long, global = true, env = "HUSHMARK_DATA", default_value = ".hushmark")]
    pub(crate) data: PathBuf,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start Redis, the ClickHouse engine, edge and writer from a folder of manifests
    Up(Up),
    /// Write one ready .eml a recipient, links wrapped and pixel placed
    Stamp(Stamp),
    /// Say that the receiving servers took messages of a campaign, or did not
    Delivered(Delivered),
    /// Show what the last epoch published of a campaign
    Report(Report),
    /// List the contacts whose mail was sent, delivered, opened or clicked, where that may be known
    #[command(after_help = "Sent and delivered are known in every mode. Opens and clicks lead to \
                            nobody outside individual: the answer is 0, with the reason.

Examples:
  hushmark segment --campaign spring --not-delivered
  hushmark segment --tenant acme --delivered --csv > next-list.csv
  hushmark segment --tenant acme --not-opened-since 2026-06-01")]
    Segment(Segment),
    /// Show the page of one contact: their mail, and what may be told of it
    #[command(after_help = "Examples:
  hushmark contact --tenant acme --person who.txt
  echo ann@example.org | hushmark contact --tenant acme --person -")]
    Contact(Contact),
    /// Export a campaign: a row a message and, apart from them, hits by day
    Export(Export),
    /// Show or export the log of a tenant's transactional mail
    Log(Log),
    /// Show a campaign's raw counters, below any minimum group; for operators of this machine
    Counters(Counters),
    /// Send a realistic morning of hits at the running edge, and check every counter
    Demo(Demo),
    /// End the tracking of a campaign or a tenant for good, mail that was sent included
    #[command(after_help = "Links go on working. It cannot be undone: a kill switch or a \
                            Campaign's own tracking can.")]
    Withdraw(Withdraw),
    /// Write down who agreed to be tracked, for tenants that ask (`consentFrom`)
    #[command(
        after_help = "Whoever ends their tracking later outweighs it by `hushmark withdraw`."
    )]
    Consent(Consent),
    /// Answer links with a plain 404 from now on; it cannot be undone
    Takedown(TakenDown),
    /// Show what a policy would remove here, or what manifests would change in a cluster
    #[command(after_help = "Examples:
  hushmark plan two-years             what the policy would remove on this machine, and a hash
  hushmark plan -f manifests/         what applying manifests would change in a cluster

Nothing is changed. Exit status: 0 nothing is due or would change, 1 something is wrong, 2 wrong
usage, 3 something is due or would change.")]
    Plan(Plan),
    /// Remove what a policy's plan announced, and nothing else
    #[command(after_help = "Examples:
  hushmark plan two-years             prints the hash
  hushmark enforce two-years --plan 3f0c…

The policy has mode: enforce. It stops before anything is changed where the plan is an old one, the
policy or its campaigns changed, a legal hold keeps them, or other rows are due than announced.")]
    Enforce(Enforce),
    /// Complete a campaign: forget who was on its list, and keep how many
    #[command(
        after_help = "Contacts, counters and what was published stay. Until its last day of \
                            tracking its hits go on being counted. It cannot be undone.

Example:
  hushmark complete spring"
    )]
    Complete(Complete),
    /// Erase people, a campaign or a tenant, and print a receipt that anyone can verify
    #[command(
        after_help = "It cannot be undone. Nothing of it is counted any more within a second; \
                            rows are gone from the disk within minutes. Run it again to get the \
                            receipt again."
    )]
    Erase(Erase),
    /// Verify receipts of erasures: offline, with a region's public key alone
    #[command(subcommand)]
    Receipt(Receipt),
    /// Verify the log of who asked for what: offline, with a region's public key alone
    #[command(subcommand)]
    Audit(Audit),
    /// Explain what mail may tell, of one recipient too: who decided that, and what is stored
    #[command(allow_missing_positional = true)]
    #[command(
        after_help = "Asked is the stack of this machine where there is one, else a cluster; \
                            -f asks manifests alone.

Examples:
  hushmark explain spring                              a campaign on this machine
  hushmark explain spring --person who.txt             what it may tell of one recipient
  echo ann@example.org | hushmark explain spring --person -
  hushmark explain tenant acme
  hushmark explain campaign spring -f examples/quickstart"
    )]
    Explain(Explain),
    #[command(flatten)]
    Cluster(Cluster),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

#[derive(Group)]
pub(crate) struct Up {
    /// Folder of manifests: one Region, its Tenants, Campaigns and policies
    pub(crate) manifests: PathBuf,
    /// Where the edge listens; default: where the Region's baseUrl points, if that is this machine
    #[arg(long)]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// A ClickHouse that runs already, instead of one started here
    #[arg(long, value_name = "URL", value_parser = clickhouse_url)]
    pub(crate) clickhouse: Option<String>,
    /// The user of that ClickHouse, where it is not its default user
    #[arg(long, value_name = "NAME", requires = "clickhouse")]
    pub(crate) clickhouse_user: Option<String>,
    /// A file with that user's password
    #[arg(long, value_name = "FILE", requires = "clickhouse")]
    pub(crate) clickhouse_password_file: Option<PathBuf>,
    /// Run the demo once everything is ready, and print its reports
    #[arg(long)]
    pub(crate) demo: bool,
    /// Stop once everything is ready, and the demo's reports are printed
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Group)]
pub(crate) struct Stamp {
    /// The campaign: NAME or NAMESPACE/NAME
    pub(crate) campaign: String,
    /// Folder for the messages; made if missing, refused if it holds any
    #[arg(long, short, default_value = "out")]
    pub(crate) out: PathBuf,
    /// Leave rows out that cannot be used, instead of writing nothing
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Group)]
pub(crate) struct Report {
    /// The campaign: NAME or NAMESPACE/NAME
    pub(crate) campaign: String,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Group)]
pub(crate) struct Counters {
    /// The campaign: NAME or NAMESPACE/NAME
    pub(crate) campaign: String,
    /// Print one JSON object a counter
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Group)]
pub(crate) struct Plan {
    /// The policy on this machine: NAME or NAMESPACE/NAME
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    pub(crate) policy: Option<String>,
    /// Which kind of policy, where both kinds have one of the name
    #[arg(long, requires = "policy")]
    pub(crate) kind: Option<PolicyKind>,
    /// Of a cluster: a folder of manifests, one file, or - for standard input
    #[arg(long, short, value_name = "PATH")]
    pub(crate) filename: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A kind of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyKind {
    /// How long data is kept
    Retention,
    /// How exactly data is kept as it ages
    Anonymization,
}

impl From<PolicyKind> for hushmark_event::plans::PolicyKind {
    fn from(kind: PolicyKind) -> Self {
        match kind {
            PolicyKind::Retention => Self::Retention,
            PolicyKind::Anonymization => Self::Anonymization,
        }
    }
}

/// A plan of a policy on this machine.
pub(crate) struct PlanPolicy {
    pub(crate) policy: String,
    pub(crate) kind: Option<PolicyKind>,
    pub(crate) json: bool,
}

#[derive(Group)]
pub(crate) struct Enforce {
    /// The policy: NAME or NAMESPACE/NAME
    pub(crate) policy: String,
    /// The hash that `hushmark plan` printed
    #[arg(long, value_name = "HASH", value_parser = crate::retention::hash)]
    pub(crate) plan: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Group)]
pub(crate) struct Complete {
    /// The campaign: NAME or NAMESPACE/NAME
    pub(crate) campaign: String,
    /// Do not ask whether it is meant
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Group)]
pub(crate) struct Explain {
    /// What kind of thing, campaign or tenant; default: campaign
    #[arg(value_parser = kind)]
    pub(crate) kind: Option<Kind>,
    /// Which one: NAME or NAMESPACE/NAME; a tenant by its namespace alone
    #[arg(required = true)]
    pub(crate) name: String,
    /// To whom, on this machine: a file with one address in it, or - for standard input
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["filename", "kubeconfig", "context", "namespace"])]
    pub(crate) person: Option<PathBuf>,
    /// Read a folder of manifests, one file, or - for standard input
    #[arg(long, short, value_name = "PATH")]
    pub(crate) filename: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// The first of two words. A recipient's address would be the second: every user of a machine can
/// read the arguments of a command, so that it has no place there.
fn kind(text: &str) -> Result<Kind, String> {
    <Kind as ValueEnum>::from_str(text, false).map_err(|_| {
        "two words are a kind (campaign or tenant) and a name. A recipient is given in a file, \
         --person FILE, or by standard input, --person -: every user of this machine can read \
         what is typed here"
            .to_owned()
    })
}

#[derive(Group)]
pub(crate) struct Demo {
    /// Do not print the reports at the end
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(Group)]
pub(crate) struct Withdraw {
    #[command(flatten)]
    pub(crate) what: Withdrawn,
    /// Of the tenant's mail to these people alone: a file with one address a line, or - for
    /// standard input. Their future mail is not tracked, and what was sent is not counted
    #[arg(long, value_name = "FILE", requires = "tenant")]
    #[arg(conflicts_with_all = ["campaign", "all", "mail_type", "only"])]
    pub(crate) people: Option<PathBuf>,
    /// How these people said so, for the record: a letter of a date, a page, a call
    #[arg(long, value_name = "TEXT", requires = "people", value_parser = people::source)]
    pub(crate) source: Option<String>,
    /// Do not ask whether everybody is meant
    #[arg(long, short, requires = "all")]
    pub(crate) yes: bool,
}

#[derive(Group)]
pub(crate) struct Consent {
    /// The tenant, by its namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) tenant: String,
    /// Who agreed: a file with one address a line, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) people: PathBuf,
    /// How these people said so, for the record: a form of a date, a contract's clause
    #[arg(long, value_name = "TEXT", value_parser = people::source)]
    pub(crate) source: String,
}

/// What is counted no more, on one machine and in a cluster.
#[derive(Group)]
pub(crate) struct Withdrawn {
    #[command(flatten)]
    pub(crate) whose: Whose,
    /// A tenant's mail of this type alone; default: both
    #[arg(long = "type", value_name = "TYPE", requires = "tenant")]
    #[arg(conflicts_with_all = ["campaign", "all"])]
    pub(crate) mail_type: Option<MailType>,
    /// One kind of hits alone; default: both
    #[arg(long, value_name = "KIND")]
    pub(crate) only: Option<Only>,
}

/// Whose tracking ends.
#[derive(Group)]
#[group(required = true, multiple = false)]
pub(crate) struct Whose {
    /// The campaign: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "CAMPAIGN")]
    pub(crate) campaign: Option<String>,
    /// The tenant, by its namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) tenant: Option<String>,
    /// Everybody in the whole region, for ever
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Group)]
#[group(skip)]
#[command(group(ArgGroup::new("erased").args(["campaign", "tenant"]).required(true)))]
pub(crate) struct Erase {
    /// The campaign: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "CAMPAIGN")]
    pub(crate) campaign: Option<String>,
    /// Of the tenant in this namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) tenant: Option<String>,
    /// These people of the tenant: a file with one address a line, or - for standard input
    #[arg(long, value_name = "FILE", requires = "tenant")]
    #[arg(conflicts_with_all = ["campaign", "all"])]
    pub(crate) people: Option<PathBuf>,
    /// Everything of the tenant; its key is destroyed
    #[arg(long, requires = "tenant", conflicts_with = "campaign")]
    pub(crate) all: bool,
    /// Do not ask whether a whole campaign or tenant is meant
    #[arg(long, short, conflicts_with = "people")]
    pub(crate) yes: bool,
    /// Save the receipt in this file; of several people, in files in this folder
    #[arg(long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A type of mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MailType {
    /// Newsletters and announcements
    Campaign,
    /// What one person's action caused
    Transactional,
}

/// One kind of hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Only {
    /// Opens
    Opens,
    /// Clicks
    Clicks,
}

/// What is taken down, on one machine and in a cluster.
#[derive(Group)]
#[group(required = true, multiple = false)]
pub(crate) struct TakenDown {
    /// Every link of the tenant in this namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) tenant: Option<String>,
    /// Every link of this campaign: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "CAMPAIGN")]
    pub(crate) campaign: Option<String>,
    /// Every link to this destination, byte for byte
    #[arg(long, value_parser = http_url)]
    pub(crate) url: Option<String>,
    /// Every token sealed under this key
    #[arg(long)]
    pub(crate) kid: Option<u16>,
}

#[derive(Subcommand)]
pub(crate) enum Receipt {
    /// Verify receipts as they were handed out, and say what they say
    #[command(after_help = "Examples:
  hushmark receipt verify receipt-2.json --key refusal.pub
  hushmark receipt verify receipt-*.json --key refusal.pub --head 9:5f70…

Exit status: 0 all are verified, 1 something is not, 2 wrong usage.")]
    Verify(VerifyReceipts),
}

#[derive(Group)]
pub(crate) struct VerifyReceipts {
    /// The receipts; of several, one that is missing between them is noticed
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) evidence: Evidence,
}

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// Verify an audit log as it was handed out: every entry, their order, and its end
    #[command(after_help = "Examples:
  hushmark audit verify audit.jsonl --key refusal.pub
  hushmark audit verify audit.jsonl --key refusal.pub --json | jq .log.receipts

Exit status: 0 it is verified, 1 something is not, 2 wrong usage.")]
    Verify(VerifyLog),
}

#[derive(Group)]
pub(crate) struct VerifyLog {
    /// The log: an entry a line, and the signed head as the last line
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) evidence: Evidence,
}

/// What receipts and logs are held against.
#[derive(Group)]
pub(crate) struct Evidence {
    /// The region's public key: refusal.pub as 32 bytes, 64 hex digits or base64
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The audit log's head as it was published: LENGTH:HASH, or the signed head as JSON
    #[arg(long, value_name = "HEAD")]
    pub(crate) head: Option<Published>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// [`http_url`] of a store: who asks it is told by other options.
fn clickhouse_url(text: &str) -> Result<String, String> {
    let url = http_url(text)?;
    let uri: Option<hyper::Uri> = url.parse().ok();
    let names_somebody =
        |uri: &hyper::Uri| uri.authority().is_some_and(|it| it.as_str().contains('@'));
    if uri.as_ref().is_some_and(names_somebody) {
        return Err(
            "every user of this machine can read the arguments of a command: leave user and \
                    password out, and give --clickhouse-user and --clickhouse-password-file"
                .to_owned(),
        );
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// An address with a scheme and a host, left as it was typed.
pub(crate) fn http_url(text: &str) -> Result<String, String> {
    let uri: Option<hyper::Uri> = text.parse().ok();
    let is_web = |uri: &hyper::Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    // What follows # is the author's, and no part of a request.
    let has_host = |uri: &hyper::Uri| uri.host().is_some_and(|host| !host.is_empty());
    match uri.filter(|uri| is_web(uri) && has_host(uri)) {
        Some(_) => Ok(text.to_owned()),
        None => Err("give a whole address, like https://www.example.com/page".to_owned()),
    }
}
