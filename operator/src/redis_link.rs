//! The operator's way to the region's Redis.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::Error;

/// How long Redis may take to connect, and to answer one command.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Where Redis is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// `redis://host:port`.
    pub url: String,
    /// The ACL user.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Zeroizing<String>>,
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
        let failed = Error::redis;
        let mut info =
            address.url.as_str().into_connection_info().map_err(failed("use the address"))?;
        let mut settings = info.redis_settings().clone();
        if let Some(user) = &address.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &address.password {
            settings = settings.set_password(password.as_str());
        }
        info = info.set_redis_settings(settings);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_WITHIN))
            .set_response_timeout(Some(ANSWER_WITHIN));
        let connection = Client::open(info)
            .map_err(failed("use the address"))?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(failed("connect"))?;
        Ok(state.connection.insert(connection).clone())
    }

    /// A command failed: the connection may be the fault, and the next one is new.
    pub async fn failed(&self) {
        self.state.lock().await.connection = None;
    }
}
