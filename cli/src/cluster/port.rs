//! HTTP to a port of a pod, through the API server: a port-forward without a port on this machine,
//! so that nothing else here can use it meanwhile.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncWrite};

use super::connect::{is_forbidden, said};

/// How long one exchange may take, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(30);

/// The longest answer that is read: a page of metrics.
const ANSWER_MAX: usize = 4 << 20;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// One request to a port of a pod.
pub(crate) async fn to_pod(
    client: &Client,
    (namespace, pod): (&str, &str),
    port: u16,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let work = async {
        let mut forward = pods.portforward(pod, &[port]).await.map_err(|error| {
            if is_forbidden(&error) {
                return anyhow!(
                    "you may not create and get pods/portforward in namespace {namespace}, which is \
                     who may reach the operator: ask for that right, or ask somebody who has it"
                );
            }
            said(format!("forward a port to pod {namespace}/{pod}"), error)
        })?;
        let stream = forward.take_stream(port).context("the port was not forwarded")?;
        let answer = exchange(stream, request).await;
        let refused = forward.take_error(port);
        drop(forward);
        match (answer, refused) {
            (Ok(answer), _) => Ok(answer),
            (Err(error), Some(refused)) => {
                let why = tokio::time::timeout(Duration::from_secs(1), refused).await;
                match why {
                    Ok(Some(why)) => bail!("port {port} of pod {namespace}/{pod}: {why}"),
                    _ => Err(error.context(format!("port {port} of pod {namespace}/{pod}"))),
                }
            }
            (Err(error), None) => Err(error),
        }
    };
    in_time(work).await
}

/// One request to an address of this machine.
pub(crate) async fn to_address(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let work = async {
        let stream = tokio::net::TcpStream::connect(address).await;
        exchange(stream.with_context(|| format!("cannot connect to {address}"))?, request).await
    };
    in_time(work).await
}

async fn in_time(work: impl Future<Output = Result<Answer>>) -> Result<Answer> {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| bail!("no answer within {} s", PATIENCE.as_secs()))
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let ask = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| anyhow!(error))?.to_bytes();
        Ok(Answer { status, body })
    };
    let answer = ask.await;
    connection.abort();
    answer
}
