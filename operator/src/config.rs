//! The command line and its environment, `HUSHMARK_OPERATOR_*`.

use std::net::SocketAddr;

use clap::{Parser, Subcommand, ValueEnum};

use crate::probe::Probe;

/// Turns a Region, its Tenants and Campaigns into a running stack.
#[derive(Clone, Debug, Parser)]
#[command(name = "hushmark-operator", version)]
#[command(subcommand_negates_reqs = true, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// To run a Region, where nothing else is asked for.
    #[command(flatten)]
    pub serve: Option<Config>,
    /// Something else.
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// What else it may be asked for.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Tries to connect to one place outside, and says what became of it.
    Probe(Probe),
}

/// Turns a Region, its Tenants and Campaigns into a running stack.
#[derive(Clone, Debug, Parser)]
#[command(name = "hushmark-operator", version)]
pub struct Config {
    /// The Region that this release runs
    #[arg(long, env = "HUSHMARK_OPERATOR_REGION", value_name = "NAME")]
    pub region: String,

    /// The release's namespace: everything that is made is made there
    #[arg(long, env = "HUSHMARK_OPERATOR_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,

    /// What the names of all objects begin with
    #[arg(long, env = "HUSHMARK_OPERATOR_NAME", value_name = "RELEASE")]
    pub name: String,

    /// What this process is called in the Lease; its pod's name
    #[arg(long, env = "HUSHMARK_OPERATOR_IDENTITY", value_name = "POD")]
    pub identity: String,

    /// Image of the edge
    #[arg(long, env = "HUSHMARK_OPERATOR_IMAGE_EDGE", value_name = "IMAGE")]
    pub image_edge: String,

    /// Image of the writer
    #[arg(long, env = "HUSHMARK_OPERATOR_IMAGE_WRITER", value_name = "IMAGE")]
    pub image_writer: String,

    /// Image of Redis, 7 or later
    #[arg(long, env = "HUSHMARK_OPERATOR_IMAGE_REDIS", value_name = "IMAGE")]
    pub image_redis: String,

    /// Image of ClickHouse
    #[arg(long, env = "HUSHMARK_OPERATOR_IMAGE_CLICKHOUSE", value_name = "IMAGE")]
    pub image_clickhouse: String,

    /// Image of this program, for the pods that probe the network
    #[arg(long, env = "HUSHMARK_OPERATOR_IMAGE_OPERATOR", value_name = "IMAGE")]
    pub image_operator: String,

    /// When images are pulled
    #[arg(long, env = "HUSHMARK_OPERATOR_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub image_pull_policy: PullPolicy,

    /// Secret with the registry's credentials; may be repeated
    #[arg(long, env = "HUSHMARK_OPERATOR_IMAGE_PULL_SECRET", value_name = "SECRET")]
    #[arg(value_delimiter = ',')]
    pub image_pull_secret: Vec<String>,

    /// Where /healthz, /readyz and /metrics are; port 0 takes a free one
    #[arg(long, env = "HUSHMARK_OPERATOR_ADMIN", default_value = "0.0.0.0:9082")]
    pub admin: SocketAddr,

    /// Where people ask for entries of the refusal log, by a port-forward: a loopback address alone
    #[arg(long, env = "HUSHMARK_OPERATOR_ASKS", value_name = "ADDRESS:PORT")]
    #[arg(default_value_t = SocketAddr::from(([127, 0, 0, 1], hushmark_event::ask::PORT)))]
    #[arg(value_parser = loopback)]
    pub asks: SocketAddr,

    /// How log lines look
    #[arg(long, env = "HUSHMARK_OPERATOR_LOG_FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// Kinds of others that the chart gave rights for; may be repeated
    #[arg(long, env = "HUSHMARK_OPERATOR_OPTIONAL_API", value_name = "API")]
    #[arg(value_delimiter = ',')]
    pub optional_api: Vec<OptionalApi>,
}

/// An API of others that a Region may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum OptionalApi {
    /// HTTPRoute of the Gateway API
    Gateway,
    /// Certificate of cert-manager
    CertManager,
    /// ClickHouseCluster and KeeperCluster of ClickHouse's operator
    Clickhouse,
}

/// Whoever reaches it may ask for what cannot be undone, so nobody but this pod itself does.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|error| format!("{error}"))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("others would reach it: give an address like 127.0.0.1:9083".to_owned())
    }
}

/// When images are pulled, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullPolicy {
    /// At every start
    Always,
    /// When the node has none
    IfNotPresent,
    /// The node has to have them
    Never,
}

impl PullPolicy {
    /// As a pod writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One object a line
    Json,
    /// For people
    Text,
}

impl Config {
    /// The Lease under which one process of the release works.
    #[must_use]
    pub fn lease(&self) -> String {
        format!("hushmark-region-{}", self.region)
    }

    /// A name of the release: `demo-edge`.
    #[must_use]
    pub fn named(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// The host of one of its Services.
    #[must_use]
    pub fn service(&self, part: &str) -> String {
        format!("{}.{}.svc", self.named(part), self.namespace)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A release `demo` of region `eu` in namespace `hush`.
    pub(crate) fn config() -> Config {
        Config::parse_from([
            "hushmark-operator",
            "--region=eu",
            "--namespace=hush",
            "--name=demo",
            "--identity=demo-operator-0",
            "--image-edge=registry.example/edge:1",
            "--image-writer=registry.example/writer:1",
            "--image-redis=registry.example/redis:7",
            "--image-clickhouse=registry.example/clickhouse:26",
            "--image-operator=registry.example/operator:1",
            "--image-pull-secret=a,b",
        ])
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Config::command().debug_assert();
        CommandLine::command().debug_assert();
        let config = config();
        assert_eq!(config.image_pull_policy, PullPolicy::IfNotPresent);
        assert_eq!(config.image_pull_secret, ["a", "b"]);
        assert_eq!(config.lease(), "hushmark-region-eu");
        assert_eq!(config.asks.to_string(), "127.0.0.1:9083");
    }

    #[test]
    fn nobody_outside_the_pod_can_ask() {
        assert!(loopback("127.0.0.1:9083").is_ok() && loopback("[::1]:0").is_ok());
        for open in ["0.0.0.0:9083", "10.0.0.1:9083", "[::]:9083", "localhost"] {
            assert!(loopback(open).is_err(), "{open}");
        }
    }

    #[test]
    fn a_probe_needs_nothing_that_a_region_needs_and_a_region_all_of_it() {
        let asked =
            CommandLine::try_parse_from(["hushmark-operator", "probe", "192.0.2.1:443"]).unwrap();
        assert!(asked.serve.is_none());
        assert!(matches!(asked.task, Some(Task::Probe(probe)) if probe.target == "192.0.2.1:443"));
        let region = ["hushmark-operator", "--region=eu"];
        assert!(CommandLine::try_parse_from(region).is_err(), "the rest is missing");
    }
}
