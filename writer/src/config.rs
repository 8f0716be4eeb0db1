//! The command line and its environment, `HUSHMARK_WRITER_*`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Drains lanes into ClickHouse, every answered hit exactly once.
#[derive(Parser, Clone, Debug)]
#[command(name = "hushmark-writer", version)]
pub struct Config {
    /// Redis: redis://host:port, rediss://host:port by TLS, or unix:///path.
    #[arg(long, env = "HUSHMARK_WRITER_REDIS")]
    pub redis: String,
    /// Redis's ACL user; its default user where none is named.
    #[arg(long, env = "HUSHMARK_WRITER_REDIS_USER", requires = "redis_password_file")]
    pub redis_user: Option<String>,
    /// A file with Redis's password, where one is needed.
    #[arg(long, env = "HUSHMARK_WRITER_REDIS_PASSWORD_FILE")]
    pub redis_password_file: Option<PathBuf>,
    /// Authorities, in PEM, that Redis's certificate is signed by: for rediss:// alone. Read again
    /// at each connection, as the two below are.
    #[arg(long, env = "HUSHMARK_WRITER_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// The certificate in PEM that Redis is shown.
    #[arg(long, env = "HUSHMARK_WRITER_REDIS_CERTIFICATE", value_name = "FILE")]
    #[arg(requires_all = ["redis_ca", "redis_key"])]
    pub redis_certificate: Option<PathBuf>,
    /// That certificate's key in PEM.
    #[arg(long, env = "HUSHMARK_WRITER_REDIS_KEY", value_name = "FILE")]
    #[arg(requires = "redis_certificate")]
    pub redis_key: Option<PathBuf>,
    /// ClickHouse's HTTP interface: http://host:port, or https://host:port by TLS.
    #[arg(long, env = "HUSHMARK_WRITER_CLICKHOUSE")]
    pub clickhouse: String,
    /// The ClickHouse user, where one is needed.
    #[arg(long, env = "HUSHMARK_WRITER_CLICKHOUSE_USER")]
    pub clickhouse_user: Option<String>,
    /// A file with the user's password.
    #[arg(long, env = "HUSHMARK_WRITER_CLICKHOUSE_PASSWORD_FILE")]
    pub clickhouse_password_file: Option<PathBuf>,
    /// Authorities, in PEM, that ClickHouse's certificate is signed by: for https:// alone. Read
    /// again at each connection, as the two below are.
    #[arg(long, env = "HUSHMARK_WRITER_CLICKHOUSE_CA", value_name = "FILE")]
    pub clickhouse_ca: Option<PathBuf>,
    /// The certificate in PEM that ClickHouse is shown.
    #[arg(long, env = "HUSHMARK_WRITER_CLICKHOUSE_CERTIFICATE", value_name = "FILE")]
    #[arg(requires_all = ["clickhouse_ca", "clickhouse_key"])]
    pub clickhouse_certificate: Option<PathBuf>,
    /// That certificate's key in PEM.
    #[arg(long, env = "HUSHMARK_WRITER_CLICKHOUSE_KEY", value_name = "FILE")]
    #[arg(requires = "clickhouse_certificate")]
    pub clickhouse_key: Option<PathBuf>,
    /// Folder of batch keys, one file a day.
    #[arg(long, env = "HUSHMARK_WRITER_RING")]
    pub ring: PathBuf,
    /// Folder of salt keys, one file a day.
    #[arg(long, env = "HUSHMARK_WRITER_SALTS")]
    pub salts: PathBuf,
    /// Where /healthz, /readyz and /metrics are served; port 0 takes a free one.
    #[arg(long, env = "HUSHMARK_WRITER_ADMIN", default_value = "127.0.0.1:8402")]
    pub admin: SocketAddr,
    /// Folder for the copy of the refusal log; made where it is missing.
    #[arg(long, env = "HUSHMARK_WRITER_STATE")]
    pub state: PathBuf,
    /// Ed25519 key that verifies the refusal log's head: a file of 32 bytes.
    #[arg(long, env = "HUSHMARK_WRITER_REFUSAL_KEY")]
    pub refusal_key: PathBuf,
    /// Seconds between epochs: how often published figures may change.
    #[arg(long, env = "HUSHMARK_WRITER_EPOCH_SECONDS", default_value_t = 3_600,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub epoch_seconds: u32,
    /// The minimum group: fewer people are never shown.
    #[arg(long, env = "HUSHMARK_WRITER_MINIMUM_GROUP", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub minimum_group: u32,
    /// Hits that figures of hits move on by, at the least: the minimum group, so that they tell of
    /// nobody alone; 1 for exact ones.
    #[arg(long, env = "HUSHMARK_WRITER_METRICS_STEP", value_name = "HITS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub metrics_step: u32,
    /// Seconds that a hit waits for what its mark does next; 0 judges no behaviour.
    #[arg(long, env = "HUSHMARK_WRITER_WINDOW_SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(0..=60))]
    pub window_seconds: u32,
}
