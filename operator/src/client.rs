//! The API server as everyone here reaches it: each request is counted, and none changes anything
//! while it is not certain that this process leads.
//!
//! The fence closes by itself, by this machine's clock, before the Lease could be another's. So an
//! API server that is away for a while is waited for, and a process that slept through its Lease
//! writes nothing when it wakes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Request};
use kube::client::{Body, ClientBuilder};
use kube::{Client, Config};
use tower::filter::FilterLayer;

use crate::Error;
use crate::metrics::Metrics;

/// How long a connection to the API server may take to come about.
const CONNECT: Duration = Duration::from_secs(5);

/// Reviews are asked by POST and change nothing.
const REVIEWS: &str = "/apis/authorization.k8s.io/";

/// Until when this process may write.
#[derive(Clone, Default)]
pub struct Fence {
    until: Arc<Mutex<Option<Instant>>>,
}

/// A request was not sent, because it would have changed something.
#[derive(Debug, thiserror::Error)]
#[error("it is not certain that this process leads, so it changes nothing")]
struct Closed;

impl Fence {
    /// This process may write until then.
    pub fn open_until(&self, until: Instant) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Whether a request may go out now.
    fn lets_out<B>(&self, request: &Request<B>, now: Instant) -> bool {
        let changes =
            *request.method() != Method::GET && !request.uri().path().starts_with(REVIEWS);
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        !changes || until.is_some_and(|until| now < until)
    }
}

/// Two ways to the API server.
pub struct Clients {
    /// For the Lease itself.
    pub free: Client,
    /// For everything else.
    pub fenced: Client,
    /// What the second one is behind.
    pub fence: Fence,
}

/// Clients by the kubeconfig or by the pod's ServiceAccount.
///
/// # Errors
/// [`Error::Api`] when neither is there.
pub async fn clients(metrics: &Metrics) -> Result<Clients, Error> {
    let failed = Error::api;
    let mut config = Config::infer()
        .await
        .map_err(|error| failed("find the API server")(kube::Error::InferConfig(error)))?;
    config.connect_timeout = Some(CONNECT);
    let fence = Fence::default();
    let free = client(config.clone(), metrics.clone(), None).map_err(failed("make a client"))?;
    let fenced = client(config, metrics.clone(), Some(fence.clone()));
    let fenced = fenced.map_err(failed("make a client"))?;
    Ok(Clients { free, fenced, fence })
}

fn client(
    mut config: Config,
    metrics: Metrics,
    fence: Option<Fence>,
) -> Result<Client, kube::Error> {
    // The client's own repeats would be inside of the fence, and sent after it has closed. Whoever
    // asks tries again.
    config.default_retry = false;
    let look = move |request: Request<Body>| -> Result<Request<Body>, Closed> {
        let out = fence.as_ref().is_none_or(|fence| fence.lets_out(&request, Instant::now()));
        if !out {
            return Err(Closed);
        }
        metrics.called(&request);
        Ok(request)
    };
    Ok(ClientBuilder::try_from(config)?.with_layer(&FilterLayer::new(look)).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_before_the_lease_is_held_nor_after_it_may_be_anothers() {
        let request = |method: Method, uri: &str| {
            Request::builder().method(method).uri(uri).body(()).unwrap()
        };
        let patch = request(Method::PATCH, "/api/v1/namespaces/a/services/b");
        let read = request(Method::GET, "/api/v1/namespaces/a/services/b");
        let ask = request(Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews");
        let fence = Fence::default();
        let now = Instant::now();
        assert!(!fence.lets_out(&patch, now));
        assert!(fence.lets_out(&read, now) && fence.lets_out(&ask, now));
        fence.open_until(now + Duration::from_secs(7));
        assert!(fence.lets_out(&patch, now));
        assert!(!fence.lets_out(&patch, now + Duration::from_secs(7)));
        assert!(fence.lets_out(&read, now + Duration::from_secs(7)));
    }
}
