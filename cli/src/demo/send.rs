//! The requests themselves: over real HTTP, each from a connection of its own, as mail clients,
//! proxies and scanners come, so that they land on every core. Every answer is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{DATE, HOST, LOCATION, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::errand::{Answer, Effect, Errand};
use super::expect::Hit;
use super::people::How;
use crate::up::now_ms;

/// Requests under way at once: below what a desktop may have of open files.
const AT_ONCE: usize = 128;

/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The longest body that is read.
const BODY_MAX: usize = 64 << 10;

/// Faults that are told; the rest is only counted.
const FAULTS_TOLD: usize = 10;

/// What was sent, once all of it is answered.
#[derive(Default)]
pub(super) struct Sent {
    /// What is to be counted, by campaign.
    pub(super) hits: BTreeMap<usize, Vec<Hit>>,
    /// Valid requests of which nothing is kept.
    pub(super) voids: u64,
    /// Requests with a token that nobody sealed.
    pub(super) forged: u64,
}

/// An answer, as far as two of them have to be the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answered {
    status: u16,
    /// But for the date.
    headers: Vec<(String, Vec<u8>)>,
    body: Bytes,
}

type Http = Client<HttpConnector, Empty<Bytes>>;

/// Sends everything at its time. `edge` is where it listens, `host` whom the mail names.
pub(super) async fn send(edge: &str, host: &str, mut errands: Vec<Errand>) -> Result<Sent> {
    errands.sort_by_key(|errand| errand.at_ms);
    let connector = HttpConnector::new();
    // Nothing is kept for a next request: another person does not come over the same connection.
    let http: Http =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector);
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let begun = Instant::now();
    let mut under_way = JoinSet::new();
    for errand in errands {
        sleep_until(begun + Duration::from_millis(u64::from(errand.at_ms))).await;
        let place = Arc::clone(&places).acquire_owned().await.context("nobody closes it")?;
        let (http, url) = (http.clone(), format!("{edge}{}", errand.path));
        let host = host.to_owned();
        under_way.spawn(async move {
            let at_ms = now_ms();
            let answered = timeout(ANSWER_WITHIN, ask(&http, &url, &host, &errand)).await;
            drop(place);
            let late = || anyhow::anyhow!("no answer within {} s", ANSWER_WITHIN.as_secs());
            (errand, at_ms, answered.unwrap_or_else(|_| Err(late())))
        });
    }
    let mut verdict = Verdict::default();
    while let Some(done) = under_way.join_next().await {
        let (errand, at_ms, answered) = done.context("a request did not end")?;
        verdict.take(errand, at_ms, answered);
    }
    verdict.into_sent()
}

async fn ask(http: &Http, url: &str, host: &str, errand: &Errand) -> Result<Answered> {
    let method = if errand.how == How::Head { Method::HEAD } else { Method::GET };
    let mut request = Request::builder().method(method).uri(url).header(HOST, host);
    if !errand.user_agent.is_empty() {
        request = request.header(USER_AGENT, errand.user_agent);
    }
    match errand.how {
        How::Get | How::Head => {}
        How::Prefetch => request = request.header("purpose", "prefetch"),
        How::Objecting => request = request.header("sec-gpc", "1"),
    }
    let request = request.body(Empty::new()).context("cannot be asked for")?;
    let response = http.request(request).await?;
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY_MAX)
        .collect()
        .await
        .map_err(|error| anyhow::anyhow!(error))?
        .to_bytes();
    let mut headers: Vec<(String, Vec<u8>)> = head
        .headers
        .iter()
        .filter(|(name, _)| **name != DATE)
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    headers.sort();
    Ok(Answered { status: head.status.as_u16(), headers, body })
}

/// Collects what was answered.
#[derive(Default)]
struct Verdict {
    sent: Sent,
    faults: Vec<String>,
    /// The one answer that every pixel gets, sealed or forged.
    pixel: Option<Answered>,
    /// The one answer that every forged link gets.
    not_found: Option<Answered>,
}

impl Verdict {
    fn take(&mut self, errand: Errand, at_ms: u64, answered: Result<Answered>) {
        let checked = answered.and_then(|answered| self.check(&errand, answered));
        if let Err(error) = checked {
            self.faults.push(format!("{}: {error:#}", errand.path));
        }
        match errand.effect {
            Effect::Counts(hit) => {
                self.sent.hits.entry(errand.campaign).or_default().push(Hit { at_ms, ..hit });
            }
            Effect::Void => self.sent.voids += 1,
            Effect::Nothing => self.sent.forged += 1,
        }
    }

    fn check(&mut self, errand: &Errand, answered: Answered) -> Result<()> {
        let head = errand.how == How::Head;
        ensure!(!head || answered.body.is_empty(), "a body answers HEAD");
        let same = match &errand.answer {
            Answer::Redirect(to) => return redirects(&answered, to),
            Answer::Pixel => {
                ensure!(answered.status == StatusCode::OK, "{} instead of 200", answered.status);
                ensure!(head || is_pixel(&answered.body), "not a GIF of one pixel");
                &mut self.pixel
            }
            Answer::NotFound => {
                let status = answered.status;
                ensure!(status == StatusCode::NOT_FOUND, "{status} instead of 404");
                ensure!(locations(&answered).is_empty(), "a refused link leads somewhere");
                &mut self.not_found
            }
        };
        if head {
            return Ok(());
        }
        let first = same.get_or_insert_with(|| answered.clone());
        ensure!(*first == answered, "told apart from others: {answered:?} is not {first:?}");
        Ok(())
    }

    fn into_sent(self) -> Result<Sent> {
        if self.faults.is_empty() {
            return Ok(self.sent);
        }
        let told = self.faults.iter().take(FAULTS_TOLD).map(|fault| format!("\n  {fault}"));
        bail!(
            "{} answers are not what they have to be:{}\nA takedown or a withdrawal of a demo's \
             campaign does that, and cannot be undone: give another folder with --data",
            self.faults.len(),
            told.collect::<String>()
        )
    }
}

fn locations(answered: &Answered) -> Vec<&[u8]> {
    let named = answered.headers.iter().filter(|(name, _)| name == LOCATION.as_str());
    named.map(|(_, value)| value.as_slice()).collect()
}

fn redirects(answered: &Answered, to: &str) -> Result<()> {
    ensure!(answered.status == StatusCode::FOUND, "{} instead of 302", answered.status);
    let locations = locations(answered);
    let told = || locations.iter().map(|l| String::from_utf8_lossy(l)).collect::<Vec<_>>();
    ensure!(locations == [to.as_bytes()], "leads to {:?} instead of {to}", told());
    Ok(())
}

/// A GIF (version 89a) whose screen is one pixel wide and high, from header to trailer.
fn is_pixel(body: &[u8]) -> bool {
    body.len() == 43 && body.starts_with(b"GIF89a\x01\x00\x01\x00") && body.ends_with(b"\x3b")
}
