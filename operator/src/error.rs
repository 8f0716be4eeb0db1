//! What can go wrong while reconciling: what was tried, and why it failed.

use std::time::Duration;

/// Why a reconcile did not come to its end. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused, or did not answer.
    #[error("cannot {what}: {}", said(.source))]
    Api {
        /// What was tried.
        what: String,
        /// What the client said.
        source: Box<kube::Error>,
    },
    /// Redis refused, or did not answer.
    #[error("redis: cannot {what}: {source}")]
    Redis {
        /// What was tried.
        what: &'static str,
        /// What the client said.
        source: redis::RedisError,
    },
    /// No Region has said yet where Redis is.
    #[error("it is not known yet where redis is")]
    RedisUnknown,
    /// It took too long.
    #[error("not done within {} s", .0.as_secs())]
    Late(Duration),
    /// The refusal log cannot be used.
    #[error("refusal log: {0}")]
    Refusals(String),
    /// The audit log cannot be used.
    #[error("audit log: {0}")]
    Audit(String),
    /// Something in the cluster has to be changed by a person first.
    #[error("{0}")]
    Blocked(String),
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Certificates(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
    /// Another process holds the Lease now.
    #[error("the lease {0} is lost: another process works, this one ends")]
    LeaseLost(String),
    /// The ServiceAccount may not do what is needed.
    #[error("permissions are missing: {}", .0.join("; "))]
    Permissions(Vec<String>),
}

/// What the API server said, without what a debugger would want to see.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

impl Error {
    /// Says what was asked of the API server, for `map_err`.
    pub fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }

    /// Says what was asked of Redis, for `map_err`.
    pub fn redis(what: &'static str) -> impl FnOnce(redis::RedisError) -> Self {
        move |source| Self::Redis { what, source }
    }
}
