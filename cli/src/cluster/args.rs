//! What can be typed at a cluster: as `kubectl hushmark …`, and as `hushmark …`.

use std::path::PathBuf;

use clap::{ArgGroup, Args as Group, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::args::{TakenDown, Withdrawn};

/// Hushmark in a cluster: what is, why, and what would change
#[derive(Parser)]
#[command(
    name = "kubectl-hushmark",
    bin_name = "kubectl hushmark",
    version,
    propagate_version = true
)]
#[command(
    after_help = "Exit status: 0 all is well or done, 1 something is not, 2 wrong usage; plan \
                        says 3 where there are changes."
)]
pub(crate) struct Plugin {
    #[command(subcommand)]
    pub(crate) command: PluginCommand,
}

#[derive(Subcommand)]
pub(crate) enum PluginCommand {
    #[command(flatten)]
    Cluster(Cluster),
    /// Explain what a Campaign's or a Tenant's mail may tell, who decided that, and what is stored
    #[command(after_help = "Examples:
  kubectl hushmark explain campaign acme/spring
  kubectl hushmark explain tenant acme
  kubectl hushmark explain campaign spring-anonymous -f examples/quickstart")]
    Explain(Explain),
    /// Show what applying manifests would change, or what a policy would remove, without changing
    /// anything
    #[command(after_help = "Examples:
  kubectl hushmark plan -f manifests/
  kustomize build overlays/eu | kubectl hushmark plan -f -
  kubectl hushmark plan retentionpolicy/two-years -n acme      prints the hash for `enforce`

Exit status: 0 nothing would change, 1 something is wrong, 2 wrong usage, 3 there are changes.")]
    Plan(Plan),
    /// Remove what a policy's plan announced, and nothing else
    #[command(
        after_help = "The policy has mode: enforce. It stops where the plan is not the newest one, \
                            the policy or its campaigns changed, a legal hold keeps them, or other \
                            rows are due than announced. Who asked is in the audit log, and the \
                            writer obeys that entry.

Example:
  kubectl hushmark enforce retentionpolicy/two-years -n acme --plan 3f0c…"
    )]
    Enforce(Enforce),
    /// End the tracking of a campaign or a tenant for good, mail that was sent included
    #[command(after_help = "Links go on working. It cannot be undone: a kill switch or a \
                            Campaign's own tracking can.

Examples:
  kubectl hushmark withdraw --campaign acme/spring
  kubectl hushmark withdraw --tenant acme --type campaign --only opens")]
    Withdraw(Withdraw),
    /// Answer links with a plain 404 from now on; it cannot be undone
    #[command(after_help = "Examples:
  kubectl hushmark takedown --campaign acme/spring
  kubectl hushmark takedown --region eu --url https://www.acme.example/recalled
  kubectl hushmark takedown --region eu --kid 3        a key that leaked")]
    Takedown(Takedown),
    /// Erase a campaign or a tenant, and print a receipt that anyone can verify
    #[command(
        after_help = "It cannot be undone. Nothing of it is counted any more within a second; \
                            rows are gone from the disk within minutes. Run it again to get the \
                            receipt again. People cannot be erased in a cluster yet: it has no \
                            contacts.

Examples:
  kubectl hushmark erase --campaign acme/spring --out receipt.json
  kubectl hushmark erase --tenant acme --all --out receipt.json"
    )]
    Erase(Erase),
    /// Show who asked for what, as the operator wrote it down, verified
    #[command(after_help = "Examples:
  kubectl hushmark audit
  kubectl hushmark audit eu -o audit.jsonl       to be verified offline by `hushmark audit verify`")]
    Audit(Audit),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// The commands that talk to a cluster.
#[derive(Subcommand)]
pub(crate) enum Cluster {
    /// Show on one screen what is not as it should be in a cluster, and what to do next
    #[command(after_help = "Examples:
  kubectl hushmark status                 every Region of the cluster
  kubectl hushmark status eu --watch      one Region, again every two seconds
  kubectl hushmark status --json | jq -e .well

Exit status: 0 all is well, 1 something is not, 2 wrong usage.")]
    Status(Status),
    /// Print a campaign's entry in its controller's register of processing (GDPR, Article 30)
    #[command(after_help = "What nobody has said is listed at the end, each with where to say it.

Examples:
  kubectl hushmark record-of-processing acme/spring
  kubectl hushmark record-of-processing acme/spring --json | jq .lacks
  hushmark record-of-processing spring-individual -f examples/quickstart

Exit status: 0 the entry is complete, 1 something is not said, 2 wrong usage.")]
    RecordOfProcessing(RecordOfProcessing),
    /// Look after a Region's keys
    #[command(subcommand)]
    Keys(Keys),
    /// Collect what a person who helps needs, without a secret and without a person in it
    #[command(
        after_help = "Only what is on a list of harmless fields is taken; README.txt in the \
                            archive says which. Look at it before you send it.

Examples:
  kubectl hushmark support-bundle
  kubectl hushmark support-bundle eu -o eu.tar.gz"
    )]
    SupportBundle(SupportBundle),
}

/// How the cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Group)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Connection {
    /// The kubeconfig; default: as kubectl finds it
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; default: its current one
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The namespace of names without one; default: the context's
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
}

#[derive(Group)]
pub(crate) struct Status {
    /// The Region; default: all of them
    pub(crate) region: Option<String>,
    /// Show it again every two seconds until Ctrl-C
    #[arg(long, short, conflicts_with = "json")]
    pub(crate) watch: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Group)]
pub(crate) struct Explain {
    /// What kind of thing
    pub(crate) kind: Kind,
    /// Which one: NAME or NAMESPACE/NAME; a tenant by its namespace alone
    pub(crate) name: String,
    /// Read a folder of manifests, one file, or - for standard input, instead of a cluster
    #[arg(long, short, value_name = "PATH")]
    pub(crate) filename: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Group)]
pub(crate) struct RecordOfProcessing {
    /// The campaign: NAME or NAMESPACE/NAME
    pub(crate) campaign: String,
    /// Read a folder of manifests, one file, or - for standard input, instead of a cluster
    #[arg(long, short, value_name = "PATH")]
    pub(crate) filename: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// What can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One mailing
    #[value(alias = "camp")]
    Campaign,
    /// Who sends
    #[value(alias = "ten")]
    Tenant,
}

#[derive(Group)]
pub(crate) struct Plan {
    /// The policy: NAME, retentionpolicy/NAME or anonymizationpolicy/NAME
    #[arg(required_unless_present = "filename", conflicts_with = "filename")]
    pub(crate) policy: Option<String>,
    /// A folder of manifests, one file, or - for standard input
    #[arg(long, short, value_name = "PATH")]
    pub(crate) filename: Option<PathBuf>,
    /// Where the operator's asks are reached already, instead of by a port-forward of this command
    #[arg(long, value_name = "ADDRESS:PORT", requires = "policy")]
    pub(crate) operator: Option<std::net::SocketAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// A plan of manifests.
pub(crate) struct PlanManifests {
    pub(crate) filename: PathBuf,
    pub(crate) json: bool,
    pub(crate) connection: Connection,
}

/// A plan of a policy.
pub(crate) struct PlanPolicy {
    pub(crate) policy: String,
    pub(crate) operator: Option<std::net::SocketAddr>,
    pub(crate) json: bool,
    pub(crate) connection: Connection,
}

#[derive(Group)]
pub(crate) struct Enforce {
    /// The policy: NAME, retentionpolicy/NAME or anonymizationpolicy/NAME
    pub(crate) policy: String,
    /// The hash that `kubectl hushmark plan` printed
    #[arg(long, value_name = "HASH", value_parser = crate::retention::hash)]
    pub(crate) plan: String,
    /// How many seconds to wait until it is done at most; it goes on without
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub(crate) timeout: u64,
    /// Where the operator's asks are reached already, instead of by a port-forward of this command
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) operator: Option<std::net::SocketAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Group)]
pub(crate) struct Withdraw {
    #[command(flatten)]
    pub(crate) what: Withdrawn,
    #[command(flatten)]
    pub(crate) sure: Sure,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How something is done that cannot be undone.
#[derive(Default, Group)]
pub(crate) struct Sure {
    /// The Region, where no resource names it
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Do not ask whether it is meant
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Mean it also where the cluster has no such resource any more; needs --region
    #[arg(long, requires = "region")]
    pub(crate) deleted: bool,
    /// Where the operator's asks are reached already, instead of by a port-forward of this command
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) operator: Option<std::net::SocketAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Group)]
pub(crate) struct Takedown {
    #[command(flatten)]
    pub(crate) what: TakenDown,
    #[command(flatten)]
    pub(crate) sure: Sure,
    #[command(flatten)]
    pub(crate) connection: Connection,
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
    /// Everything of the tenant
    #[arg(long, requires = "tenant")]
    pub(crate) all: bool,
    /// People of the tenant: refused, because a cluster has no contacts yet
    #[arg(long, value_name = "FILE", requires = "tenant", conflicts_with = "all", hide = true)]
    pub(crate) people: Option<PathBuf>,
    /// Save the receipt in this file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How many seconds to wait for the receipt at most; the erasure goes on without
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) sure: Sure,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Group)]
pub(crate) struct Audit {
    /// The Region; may be left out where there is one
    pub(crate) region: Option<String>,
    /// Save the log in this file, for `hushmark audit verify`, instead of showing it
    #[arg(long, short, value_name = "FILE", conflicts_with = "json")]
    pub(crate) output: Option<PathBuf>,
    /// Where the operator's asks are reached already, instead of by a port-forward of this command
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) operator: Option<std::net::SocketAddr>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// Make a new key, wait until every edge has it, and seal with it from then on
    #[command(
        after_help = "Mail that was sent stays readable: old keys stay as long as its links \
                            live.

Examples:
  kubectl hushmark keys rotate
  kubectl hushmark keys rotate eu --no-wait"
    )]
    Rotate(Rotate),
}

#[derive(Group)]
pub(crate) struct Rotate {
    /// The Region; may be left out where there is one
    pub(crate) region: Option<String>,
    /// Only ask for it
    #[arg(long)]
    pub(crate) no_wait: bool,
    /// How many seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

#[derive(Group)]
pub(crate) struct SupportBundle {
    /// The Region; default: all of them
    pub(crate) region: Option<String>,
    /// The archive; default: hushmark-support-DATE.tar.gz
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Lines of each log
    #[arg(long, value_name = "LINES", default_value_t = 500)]
    pub(crate) tail: i64,
    #[command(flatten)]
    pub(crate) connection: Connection,
}
