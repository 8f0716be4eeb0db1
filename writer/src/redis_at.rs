//! The way to Redis: plain or by TLS, and who asks.

use std::time::Duration;

use hushmark_hop::{Files, HopError, PasswordError, PasswordFile};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _,
    RedisError,
};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Config;

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(2);

/// Time for Redis to answer: far above a stalled disk's, below what a lease can wait for.
const ANSWER: Duration = Duration::from_secs(3);

/// Why Redis cannot be asked for.
#[derive(Debug, thiserror::Error)]
pub enum RedisAtError {
    /// The URL.
    #[error("cannot use the redis url: {0}; expected redis://host:port, rediss:// or unix:///path")]
    Url(RedisError),
    /// The password file.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The files for TLS.
    #[error("TLS to redis: {0}")]
    Tls(#[from] HopError),
}

/// Where Redis is.
#[derive(Clone)]
pub struct RedisAt {
    info: ConnectionInfo,
    password: Option<PasswordFile>,
    /// By TLS, with these.
    tls: Option<Files>,
}

impl RedisAt {
    /// Checks everything that needs no connection.
    pub(crate) fn new(config: &Config) -> Result<Self, RedisAtError> {
        // The client's own TLS would read the machine's list of public authorities; ours trusts the
        // given ones alone, so that what it parses is the same place without TLS.
        let by_tls = config.redis.strip_prefix("rediss://").map(|rest| format!("redis://{rest}"));
        let url = by_tls.as_deref().unwrap_or(&config.redis);
        let password = config.redis_password_file.as_deref().map(PasswordFile::new).transpose()?;
        let mut info = url.into_connection_info().map_err(RedisAtError::Url)?;
        if let (Some(_), Some(user)) = (&password, &config.redis_user) {
            let settings = info.redis_settings().clone().set_username(user);
            info = info.set_redis_settings(settings);
        }
        let (ca, certificate) = (config.redis_ca.clone(), config.redis_certificate.clone());
        let files = Files::from_options(ca, certificate, config.redis_key.clone())?;
        let tls = match (by_tls, files) {
            (Some(_), Some(files)) => {
                files.client()?;
                Some(files)
            }
            (None, None) => None,
            (Some(_), None) => Err(HopError::Incomplete("rediss:// needs --redis-ca"))?,
            (None, Some(_)) => Err(HopError::Incomplete("--redis-ca is for rediss:// alone"))?,
        };
        Client::open(info.clone()).map_err(RedisAtError::Url)?;
        Ok(Self { info, password, tls })
    }

    /// A new connection. The files are read now, so that a renewed certificate is the one shown,
    /// and a new password the one that is said.
    pub(crate) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(ANSWER));
        let mut info = self.info.clone();
        if let Some(file) = &self.password {
            let password = file.read().map_err(std::io::Error::other)?;
            let settings = info.redis_settings().clone().set_password(password.as_str());
            info = info.set_redis_settings(settings);
        }
        let Some(files) = &self.tls else {
            let client = Client::open(info)?;
            return client.get_multiplexed_async_connection_with_config(&config).await;
        };
        let late = |_| std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer to connect");
        timeout(CONNECT, connect_by_tls(&info, files, config)).await.map_err(late)?
    }
}

async fn connect_by_tls(
    info: &ConnectionInfo,
    files: &Files,
    config: AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        return Err(std::io::Error::other("TLS needs a host and a port").into());
    };
    let stream = TcpStream::connect((host.as_str(), *port)).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(files.client().map_err(std::io::Error::other)?);
    let name = hushmark_hop::server_name(host).map_err(std::io::Error::other)?;
    let stream = connector.connect(name, stream).await?;
    let settings = info.redis_settings();
    let (connection, driver) =
        MultiplexedConnection::new_with_config(settings, stream, config).await?;
    // It ends when the last clone of the connection is gone.
    tokio::spawn(driver);
    Ok(connection)
}
