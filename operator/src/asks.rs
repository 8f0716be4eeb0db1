//! What people ask for: `kubectl hushmark takedown`, `withdraw`, `erase`, `audit`, `plan` and
//! `enforce` reach
//! this listener by a port-forward to the pod that works. Who it is that asks is the asker's own
//! word, because the connection comes from the pod itself.
//!
//! It listens on the pod's loopback alone, so that whoever may `create` on `pods/portforward` in
//! the release's namespace may ask, and nobody else: no Service, no other pod. A page in a browser
//! cannot ask either: a browser says which page it posts for, and who says that is refused.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hushmark_event::ask::enforce::{
    ENFORCE_PATH, EnforceAsk, NotEnforceable, PLANS_PATH, PlanQuestion,
};
use hushmark_event::ask::look::{
    AUDIT_PATH, AuditQuestion, RECEIPT_PATH, ReceiptAnswer, ReceiptQuestion,
};
use hushmark_event::ask::{Answer, Ask, BODY_MAX, Declined, NotAskable, PATH, Question};
use hushmark_event::audit::{Outcome, Reason};
use hushmark_event::refusal::{Refuses, Whose};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::context::{ActiveRegion, now_ms};
use crate::plans::Hold;
use crate::{Context, Error, listen, plans};

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
                Ok(answer) => answer,
                Err(No(code, error)) => json(code, &Declined { error }),
            }
        }
    };
    listen::serve(listener, CONNECTIONS, handler).await;
}

async fn answer(ctx: &Context, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, No> {
    let path = request.uri().path().to_owned();
    const PATHS: [&str; 5] = [PATH, AUDIT_PATH, RECEIPT_PATH, PLANS_PATH, ENFORCE_PATH];
    if !PATHS.contains(&path.as_str()) {
        let text = format!("there is {}", PATHS.join(", "));
        return Err(No(StatusCode::NOT_FOUND, text));
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
    let body = body.to_bytes();
    let active = ctx.active().ok_or_else(|| {
        away(
            "this process runs no Region: another one works, or the Region is not there, not \
             valid, or another release's; `kubectl hushmark status` says which"
                .into(),
        )
    })?;
    match path.as_str() {
        AUDIT_PATH => {
            let AuditQuestion { region, after } = read(&body)?;
            is_ours(ctx, &region)?;
            let page = ctx.refusals.page(&active.signing_key, after).await;
            Ok(json(StatusCode::OK, &page.map_err(|error| away(error.to_string()))?))
        }
        RECEIPT_PATH => {
            let ReceiptQuestion { region, position } = read(&body)?;
            is_ours(ctx, &region)?;
            let file = ctx.refusals.receipt(&active.signing_key, position).await;
            let file = file.map_err(|error| away(error.to_string()))?;
            Ok(json(StatusCode::OK, &ReceiptAnswer { file }))
        }
        PLANS_PATH => {
            let of: PlanQuestion = read(&body)?;
            is_ours(ctx, &of.region)?;
            Ok(json(StatusCode::OK, &in_time(plans::show(ctx, &of)).await?))
        }
        ENFORCE_PATH => {
            let ask: EnforceAsk = read(&body)?;
            is_ours(ctx, &ask.of.region)?;
            Ok(json(StatusCode::OK, &in_time(plans::enforce(ctx, &active, ask)).await?))
        }
        _ => Ok(json(StatusCode::OK, &ask(ctx, &active, read(&body)?).await?)),
    }
}

/// What is known of a plan, or was demanded.
async fn in_time<T>(
    work: impl Future<Output = Result<Result<T, NotEnforceable>, Error>>,
) -> Result<T, No> {
    let done = tokio::time::timeout(PATIENCE, work).await;
    let done = done.unwrap_or(Err(Error::Late(PATIENCE)));
    let done = done.map_err(|error| away(error.to_string()))?;
    done.map_err(|no| No(StatusCode::UNPROCESSABLE_ENTITY, no.to_string()))
}

fn away(error: String) -> No {
    No(StatusCode::SERVICE_UNAVAILABLE, error)
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, No> {
    serde_json::from_slice(body).map_err(|error| {
        No(StatusCode::UNPROCESSABLE_ENTITY, format!("the request makes no sense: {error}"))
    })
}

fn is_ours(ctx: &Context, asked: &str) -> Result<(), No> {
    let ours = ctx.config.region.as_str();
    if asked == ours {
        return Ok(());
    }
    let (ours, asked) = (ours.to_owned(), asked.to_owned());
    let text = NotAskable::AnotherRegion { ours, asked }.to_string();
    Err(No(StatusCode::UNPROCESSABLE_ENTITY, text))
}

/// Appends what is asked for; what may not be is told of in the audit log, where that can say it.
async fn ask(ctx: &Context, active: &ActiveRegion, ask: Ask) -> Result<Answer, No> {
    let status = active.region.status.as_ref();
    let kids = status.and_then(|status| status.keys.as_ref()).map(|keys| keys.kids.as_slice());
    let kids: Vec<u16> =
        kids.unwrap_or_default().iter().filter_map(|kid| u16::try_from(*kid).ok()).collect();
    let checked = match ask.check(&ctx.config.region, &kids) {
        Ok(question) => may_be_erased(ctx, &ask.refuses)?.map(|()| question),
        no => no,
    };
    let question = match checked {
        Ok(question) => question,
        Err(no) => {
            if let Some(question) = ask.question() {
                refused(ctx, active, question, no.reason()).await;
            }
            return Err(No(StatusCode::UNPROCESSABLE_ENTITY, no.to_string()));
        }
    };
    let appended = tokio::time::timeout(PATIENCE, append(ctx, active, question, ask.refuses)).await;
    appended.unwrap_or(Err(Error::Late(PATIENCE))).map_err(|error| {
        away(format!("{error}. It may be in the log all the same: ask again, which adds nothing"))
    })
}

/// Whether no legal hold keeps any of what is to be erased. What the refusal log demands already no
/// hold stops.
fn may_be_erased(ctx: &Context, refuses: &Refuses) -> Result<Result<(), NotAskable>, No> {
    let Refuses::Erase(erased) = refuses else { return Ok(Ok(())) };
    let Some(whose) = erased.parse() else { return Ok(Err(NotAskable::Impossible)) };
    let log = ctx.refusals.shown().log;
    if log.is_some_and(|log| log.erasures().last_of(&whose).is_some()) {
        return Ok(Ok(()));
    }
    let holds = ctx.holds.borrow().clone();
    let holds = holds.ok_or_else(|| {
        away(
            "policies are not read yet, and one could have a legal hold: ask again in a minute"
                .into(),
        )
    })?;
    let is_its = |hold: &&Hold| match &whose {
        Whose::Campaign(_, id) => hold.campaign == *id,
        Whose::Tenant(tenant) | Whose::Person { tenant, .. } => hold.tenant == *tenant,
    };
    let kept = holds.iter().filter(is_its);
    let kept: Vec<String> =
        kept.map(|hold| format!("{} ({})", hold.held.name, hold.held.reason)).collect();
    Ok(if kept.is_empty() { Ok(()) } else { Err(NotAskable::Held(kept)) })
}

async fn refused(ctx: &Context, active: &ActiveRegion, question: Question, reason: Reason) {
    let noted = async {
        let mut redis = ctx.redis.connection().await?;
        let what = (question, Outcome::Refused(reason));
        ctx.refusals.note(&mut redis, &active.signing_key, what, now_ms()).await.map(drop)
    };
    let noted = tokio::time::timeout(PATIENCE, noted).await;
    if let Err(error) = noted.unwrap_or(Err(Error::Late(PATIENCE))) {
        // It is refused all the same.
        tracing::warn!(%error, "the audit log was not told of what was refused");
    }
}

async fn append(
    ctx: &Context,
    active: &ActiveRegion,
    question: Question,
    refuses: Refuses,
) -> Result<Answer, Error> {
    let mut redis = ctx.redis.connection().await?;
    let what = (question, refuses);
    let done = ctx.refusals.ask(&mut redis, &active.signing_key, what, now_ms()).await;
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
