//! The operator's way to the region's Redis.

use std::io;
use std::time::Duration;

use hushmark_hop::Pem;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo as _, RedisError};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::Error;

/// How long Redis may take to connect, and to answer one command.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Where Redis is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// `redis://host:port`, or `rediss://host:port` by TLS.
    pub url: String,
    /// What TLS needs, for `rediss://` alone.
    pub tls: Option<Shown>,
    /// The ACL user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Zeroizing<String>>,
}

/// What one end of a hop shows and trusts, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown {
    /// Authorities that the other end's certificate may be signed by.
    pub ca: Vec<u8>,
    /// The certificate and its key, where the other end asks for one.
    pub own: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl Shown {
    fn pem(&self) -> Result<Pem, hushmark_hop::HopError> {
        let own = self.own.as_ref().map(|(certificate, key)| {
            (("tls.crt".to_owned(), certificate.clone()), ("tls.key".to_owned(), key.to_vec()))
        });
        Pem::parse(("ca.crt".to_owned(), self.ca.clone()), own)
    }
}

/// A connection that is made when it is needed, and kept while it works.
#[derive(Default)]
pub struct RedisLink {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    address: Option<RedisAddress>,
    connection: Option<MultiplexedConnection>,
}

impl RedisLink {
    /// Says where Redis is. Another address than before ends the old connection.
    pub async fn is_at(&self, address: RedisAddress) {
        let mut state = self.state.lock().await;
        if state.address.as_ref() != Some(&address) {
            *state = State { address: Some(address), connection: None };
        }
    }

    /// A connection with a time-out on every answer. It is the same one until [`Self::failed`].
    ///
    /// # Errors
    /// [`Error::RedisUnknown`] before a Region said where Redis is; [`Error::Redis`].
    pub async fn connection(&self) -> Result<MultiplexedConnection, Error> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok(connection.clone());
        }
        let address = state.address.as_ref().ok_or(Error::RedisUnknown)?;
        let connected = timeout(ANSWER_WITHIN, address.connect()).await;
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer");
        let connected = connected.map_err(late).map_err(Into::into).and_then(|it| it);
        let connection = connected.map_err(Error::redis("connect"))?;
        Ok(state.connection.insert(connection).clone())
    }

    /// A command failed: the connection may be the fault, and the next one is new.
    pub async fn failed(&self) {
        self.state.lock().await.connection = None;
    }
}

impl RedisAddress {
    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        // The client's own TLS would read the machine's list of public authorities; ours trusts the
        // given ones alone, so that what it parses is the same place without TLS.
        let by_tls = self.url.strip_prefix("rediss://").map(|rest| format!("redis://{rest}"));
        let mut info = by_tls.as_deref().unwrap_or(&self.url).into_connection_info()?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password.as_str());
        }
        info = info.set_redis_settings(settings);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let (Some(_), ConnectionAddr::Tcp(host, port)) = (by_tls, info.addr()) else {
            return Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await;
        };
        let shown = self.tls.as_ref().ok_or_else(|| io::Error::other("no authority is known"))?;
        let client = shown.pem().and_then(|pem| pem.client()).map_err(io::Error::other)?;
        let name = hushmark_hop::server_name(host).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(client).connect(name, stream).await?;
        let settings = info.redis_settings();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, stream, config).await?;
        // It ends when the last clone of the connection is gone.
        tokio::spawn(driver);
        Ok(connection)
    }
}
