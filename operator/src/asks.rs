//! What people ask of the refusal log: `kubectl hushmark takedown` and `withdraw` reach this
//! listener by a port-forward to the pod that works.
//!
//! It listens on the pod's loopback alone, so that whoever may `create` on `pods/portforward` in
//! the release's namespace may ask, and nobody else: no Service, no other pod. A page in a browser
//! cannot ask either: a browser says which page it posts for, and who says that is refused.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hushmark_event::ask::{Answer, Ask, BODY_MAX, Declined, PATH};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::context::now_ms;
use crate::{Context, Error, listen};

/// People at their keyboards.
const CONNECTIONS: usize = 8;

/// How long an append may take: Redis syncs its disk, and a whole log may have to be read first.
const PATIENCE: Duration = Duration::from_secs(15);

/// Why nothing was appended as far as is known, with what HTTP calls it.
struct No(StatusCode, String);

/// Serves until it is dropped.
pub async fn serve(listener: TcpListener, ctx: Arc<Context>) {
    let handler = move |request| {
        let ctx = Arc::clone(&ctx);
        async move {
            match answer(&ctx, request).await {
                Ok(answer) => json(StatusCode::OK, &answer),
                Err(No(code, error)) => json(code, &Declined { error }),
            }
        }
    };
    listen::serve(listener, CONNECTIONS, handler).await;
}

async fn answer(ctx: &Context, request: Request<Incoming>) -> Result<Answer, No> {
    if request.uri().path() != PATH {
        return Err(No(StatusCode::NOT_FOUND, format!("there is {PATH} alone")));
    }
    if request.method() != Method::POST {
        return Err(No(StatusCode::METHOD_NOT_ALLOWED, "asks are posted".into()));
    }
    if request.headers().contains_key(http::header::ORIGIN) {
        return Err(No(StatusCode::FORBIDDEN, "no page in a browser may ask".into()));
    }
    let content = request.headers().get(http::header::CONTENT_TYPE);
    if content.is_none_or(|content| content != "application/json") {
        return Err(No(StatusCode::UNSUPPORTED_MEDIA_TYPE, "asks are application/json".into()));
    }
    let body = Limited::new(request.into_body(), BODY_MAX).collect().await.map_err(|error| {
        No(StatusCode::PAYLOAD_TOO_LARGE, format!("the request cannot be read: {error}"))
    })?;
    let bad = |error: String| No(StatusCode::UNPROCESSABLE_ENTITY, error);
    let ask: Ask = serde_json::from_slice(&body.to_bytes())
        .map_err(|error| bad(format!("the request makes no sense: {error}")))?;
    let away = |error: String| No(StatusCode::SERVICE_UNAVAILABLE, error);
    let active = ctx.active().ok_or_else(|| {
        away(
            "this process runs no Region: another one works, or the Region is not there, not \
             valid, or another release's; `kubectl hushmark status` says which"
                .into(),
        )
    })?;
    let status = active.region.status.as_ref();
    let kids = status.and_then(|status| status.keys.as_ref()).map(|keys| keys.kids.as_slice());
    let kids: Vec<u16> =
        kids.unwrap_or_default().iter().filter_map(|kid| u16::try_from(*kid).ok()).collect();
    ask.check(&ctx.config.region, &kids).map_err(|error| bad(error.to_string()))?;
    let appended = tokio::time::timeout(PATIENCE, append(ctx, &active, ask)).await;
    appended.unwrap_or(Err(Error::Late(PATIENCE))).map_err(|error| {
        away(format!("{error}. It may be in the log all the same: ask again, which adds nothing"))
    })
}

async fn append(ctx: &Context, active: &crate::ActiveRegion, ask: Ask) -> Result<Answer, Error> {
    let mut redis = ctx.redis.connection().await?;
    let done = ctx.refusals.ask(&mut redis, &active.signing_key, ask.refuses, now_ms()).await;
    if matches!(done, Err(Error::Redis { .. })) {
        ctx.redis.failed().await;
    }
    done
}

fn json(code: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("text and numbers always serialise");
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let content = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, content);
    response
}
