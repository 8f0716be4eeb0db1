//! One request: verify, classify, append, answer once it is durable.

mod form;
mod object;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hushmark_event::objection::{Whose, is_objected, is_refused};
use hushmark_event::{self as event, Client, Device, Hit, System};
use hushmark_policy::{Day, Kind, Mark, Mode, Place};
use hushmark_token::{Claims, Route, Verified, Verifier};
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;

use crate::classify::VerdictCache;
use crate::classify::{Classifier, Judgement, RULES_VERSION, RequestHead, RequestSignals};
use crate::client_addr::TrustedProxies;
use crate::commit::{Commit, Ticket};
use crate::config::PrivacySignals;
use crate::conn::ConnState;
use crate::known::{Known, Shared};
use crate::page::Language;
use crate::reply::Reply;
use crate::stats::{CoreStats, TAKEN_DOWN};
use form::Form;

/// The longest request target that is looked at: a token of 2,800 characters and what some mail
/// programs append to links.
const TARGET_MAX: usize = 4 * 1024;

/// The rules that all cores share and nobody changes.
pub(crate) struct Rules {
    pub(crate) classifier: Classifier,
    pub(crate) proxies: TrustedProxies,
    pub(crate) privacy_signals: PrivacySignals,
}

/// What one core has for its requests.
pub(crate) struct Desk {
    pub(crate) commit: Commit,
    pub(crate) stats: Arc<CoreStats>,
    pub(crate) shared: Arc<Shared>,
    rules: Arc<Rules>,
    /// The version of what follows.
    version: Cell<u64>,
    local: RefCell<Local>,
}

struct Local {
    known: Known,
    verifier: Verifier,
    verdicts: VerdictCache,
}

impl Desk {
    /// `key` is random: it keys this core's cache of verdicts.
    pub(crate) fn new(
        shared: Arc<Shared>,
        rules: Arc<Rules>,
        stats: Arc<CoreStats>,
        key: [u8; 16],
    ) -> Self {
        let version = Cell::new(shared.version());
        let known = shared.get();
        let verifier = Verifier::new((*known.keys).clone());
        let local = RefCell::new(Local { known, verifier, verdicts: VerdictCache::new(key) });
        Self { commit: Commit::new(RULES_VERSION), stats, shared, rules, version, local }
    }

    /// Who is believed about where a client is.
    pub(crate) fn proxies(&self) -> &TrustedProxies {
        &self.rules.proxies
    }

    /// Takes over keys, refusals and places that changed since the last request.
    fn refresh(&self) {
        let version = self.shared.version();
        if version == self.version.get() {
            return;
        }
        self.version.set(version);
        let known = self.shared.get();
        let local = &mut *self.local.borrow_mut();
        if !Arc::ptr_eq(&known.keys, &local.known.keys) {
            local.verifier = Verifier::new((*known.keys).clone());
        }
        local.known = known;
    }

    /// The answer to a request, and the record that it waits for.
    fn receive(
        &self,
        peer: IpAddr,
        request: &Request<Incoming>,
        what: Result<What, Reply>,
    ) -> (Reply, Option<Ticket>) {
        let what = match what {
            Ok(what) => what,
            Err(reply) => {
                self.stats.rejected.one();
                return (reply, None);
            }
        };
        let Some((route, token)) = route(request.uri().path()) else {
            self.stats.not_found.one();
            return (Reply::NotFound, None);
        };
        self.refresh();
        let local = &mut *self.local.borrow_mut();
        match local.verifier.verify(route, token) {
            Ok(verified) if self.commit.has_room() => {
                let asked = Asked { peer, request, what, now_ms: now_ms() };
                self.record(local, route, verified, &asked)
            }
            Ok(_) => {
                self.stats.rejected.one();
                (Reply::Busy, None)
            }
            Err(why) => {
                self.stats.refuse(why);
                (refused(route), None)
            }
        }
    }

    /// Appends the record of a request with a valid token.
    fn record(
        &self,
        local: &mut Local,
        route: Route,
        Verified { kid, claims }: Verified,
        asked: &Asked<'_>,
    ) -> (Reply, Option<Ticket>) {
        let stats = &self.stats;
        let to = claims.destination.as_deref();
        let down = local
            .known
            .refusals
            .as_ref()
            .is_some_and(|log| log.is_taken_down(claims.tenant, claims.campaign, kid.0, to));
        if down {
            // A valid token leaves its record even so: who takes a link down learns nothing more
            // than who forges one, and who counts batches learns nothing at all.
            stats.refused[TAKEN_DOWN].one();
            return (refused(route), Some(self.forbidden(local, route, &claims, asked)));
        }
        if asked.what == What::Object {
            return self.object(local, &claims, asked);
        }
        let ticket = match self.hit(local, route, &claims, asked) {
            Some(hit) => {
                let kind = if hit.kind == Kind::Open { &stats.opens } else { &stats.clicks };
                kind.one();
                self.commit.hit(&hit)
            }
            None => self.forbidden(local, route, &claims, asked),
        };
        let tracking = claims.tracking();
        let reply = match (route, claims.destination) {
            (Route::Open, _) => Reply::Pixel,
            (Route::Page, _) => Reply::Page(Language::of(asked.request.headers()), tracking),
            // The token's bytes became a header value without a change, or not at all.
            (Route::Click, Some(url)) => HeaderValue::from_maybe_shared(Bytes::from(url))
                .map_or(Reply::NotFound, Reply::Redirect),
            (Route::Click, None) => Reply::NotFound,
        };
        (reply, Some(ticket))
    }

    /// A void in the place of the hit that the token was made for.
    fn forbidden(&self, local: &Local, route: Route, claims: &Claims, asked: &Asked<'_>) -> Ticket {
        self.stats.voids.one();
        let kind = match route {
            Route::Open => Kind::Open,
            Route::Click => Kind::Click,
            Route::Page => return self.commit.void(1, asked.now_ms),
        };
        // What others' mail of this campaign may tell, where it may tell anything; without a look at
        // whoever asks.
        let sealed = (claims.mode, claims.place);
        let capped = local.known.refusals.as_ref().map(|log| {
            let Claims { tenant, mail_type, campaign, generation, .. } = *claims;
            log.caps().apply((tenant, mail_type), campaign, generation, kind, sealed)
        });
        let (mode, place) = capped.filter(|(mode, _)| *mode != Mode::Off).unwrap_or(sealed);
        let has_country =
            place >= Place::Country && mode != Mode::LastOpenDay && local.known.countries.is_some();
        self.commit.forbidden(&context(claims, mode), kind, has_country, asked.now_ms)
    }

    /// The hit that policy allows of this request, or `None` where it is a void.
    fn hit(
        &self,
        local: &mut Local,
        route: Route,
        claims: &Claims,
        asked: &Asked<'_>,
    ) -> Option<Hit> {
        let kind = match route {
            Route::Open => Kind::Open,
            Route::Click => Kind::Click,
            Route::Page => return None,
        };
        // Without the refusal log nobody knows what was withdrawn.
        let refusals = local.known.refusals.as_ref()?;
        let (mut mode, mut place) = refusals.caps().apply(
            (claims.tenant, claims.mail_type),
            claims.campaign,
            claims.generation,
            kind,
            (claims.mode, claims.place),
        );
        let ends = |mark: &Mark| {
            let Claims { tenant, campaign, last_day, .. } = *claims;
            let (whose, ring) = (Whose { tenant, campaign, last_day, mark }, &local.known.ring);
            is_refused(refusals.caps(), ring, whose)
                || is_objected(&local.known.objected, ring, whose)
        };
        if claims.mark.as_ref().is_some_and(ends) {
            return None;
        }
        if mode == Mode::Off
            || asked.what == What::Head
            || Day::of_unix_ms(asked.now_ms) > claims.last_day
        {
            return None;
        }
        let headers = asked.request.headers();
        let RequestHead { user_agent, prefetch, objects } = RequestHead::of(headers);
        if kind == Kind::Open && prefetch {
            return None;
        }
        let client = self.rules.proxies.client(asked.peer, headers);
        let signals = RequestSignals { kind, user_agent, prefetch, client: client.as_ref() };
        let mut judgement = local.verdicts.judge(&self.rules.classifier, &signals);
        if mode == Mode::LastOpenDay {
            // Nothing else is kept of it, and so nothing else leaves this core.
            place = Place::None;
            judgement = untold(judgement);
        }
        if kind == Kind::Open && objects {
            match self.rules.privacy_signals {
                // A person's day is not a figure that could stand for nobody.
                PrivacySignals::CountRaw if mode == Mode::LastOpenDay => return None,
                PrivacySignals::IgnoreOpen => return None,
                PrivacySignals::CountRaw => {
                    (mode, place) = (Mode::Overall, Place::None);
                    judgement = untold(judgement);
                }
            }
        }
        let countries = local.known.countries.as_ref().filter(|_| place >= Place::Country);
        let country = countries.and_then(|db| db.lookup(client.as_ref()?));
        Some(Hit {
            context: context(claims, mode),
            kind,
            link: claims.link,
            honeypot: claims.honeypot,
            mark: claims.mark.clone().filter(|_| mode.has_mark()),
            at_ms: asked.now_ms,
            verdict: judgement.verdict,
            device: judgement.device,
            client: judgement.client,
            system: judgement.system,
            country,
        })
    }
}

const fn context(claims: &Claims, mode: Mode) -> event::Context {
    event::Context {
        tenant: claims.tenant,
        campaign: claims.campaign,
        generation: claims.generation,
        mode,
        mail_type: claims.mail_type,
        last_day: claims.last_day,
    }
}

/// What the rules look at.
struct Asked<'a> {
    peer: IpAddr,
    request: &'a Request<Incoming>,
    what: What,
    now_ms: u64,
}

/// A judgement that tells machines from people and nothing else.
const fn untold(judgement: Judgement) -> Judgement {
    Judgement {
        verdict: judgement.verdict,
        device: Device::Unknown,
        client: Client::Unknown,
        system: System::Unknown,
    }
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Get,
    /// The head of the answer, and nothing counted.
    Head,
    /// An objection, by the form of a page.
    Object,
}

/// What a request wants, or what is wrong with it.
fn sound(request: &Request<Incoming>) -> Result<What, Reply> {
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > TARGET_MAX {
        return Err(Reply::TargetTooLong);
    }
    let is_page = uri.path().starts_with("/p/");
    match *request.method() {
        Method::GET => form::none(request.body()).map(|()| What::Get),
        Method::HEAD => form::none(request.body()).map(|()| What::Head),
        Method::POST if is_page => form::short(request.body()).map(|()| What::Object),
        _ if is_page => Err(Reply::MethodNotAllowedOnPage),
        _ => Err(Reply::MethodNotAllowed),
    }
}

/// The one answer for every token that is no good.
const fn refused(route: Route) -> Reply {
    match route {
        Route::Open => Reply::Pixel,
        Route::Click | Route::Page => Reply::NotFound,
    }
}

/// The route and token of a path.
fn route(path: &str) -> Option<(Route, &[u8])> {
    let (route, token) = match path.as_bytes() {
        [b'/', b'o', b'/', token @ ..] => {
            (Route::Open, token.strip_suffix(b".gif").unwrap_or(token))
        }
        [b'/', b'c', b'/', token @ ..] => (Route::Click, token),
        [b'/', b'p', b'/', token @ ..] => (Route::Page, token),
        _ => return None,
    };
    Some((route, token))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What hyper calls for each request of one connection.
pub(crate) struct Handler {
    pub(crate) desk: Rc<Desk>,
    pub(crate) conn: Rc<ConnState>,
    pub(crate) peer: IpAddr,
}

impl Service<Request<Incoming>> for Handler {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let what = sound(&request);
        // hyper leaves the body of an answer to HEAD out in HTTP/1 alone.
        let bare = self.conn.is_http2() && request.method() == Method::HEAD;
        let mut answering = Answering {
            desk: Rc::clone(&self.desk),
            conn: Rc::clone(&self.conn),
            form: None,
            reply: None,
            bare,
            ticket: None,
            registered: false,
        };
        if matches!(what, Ok(What::Object)) && !request.body().is_end_stream() {
            self.conn.reads_form();
            answering.form = Some(Box::new(Form::new(self.peer, request)));
        } else {
            answering.asked(self.peer, &request, what);
        }
        answering
    }
}

/// An answer that waits until its record is durable.
pub(crate) struct Answering {
    desk: Rc<Desk>,
    conn: Rc<ConnState>,
    /// The form of an objection that is still coming in; nothing was recorded yet.
    form: Option<Box<Form>>,
    reply: Option<Reply>,
    /// Whether the answer is its head alone.
    bare: bool,
    ticket: Option<Ticket>,
    registered: bool,
}

impl Answering {
    /// The request is whole.
    fn asked(&mut self, peer: IpAddr, request: &Request<Incoming>, what: Result<What, Reply>) {
        self.conn.asked();
        let (reply, ticket) = self.desk.receive(peer, request, what);
        (self.reply, self.ticket) = (Some(reply), ticket);
    }
}

impl Future for Answering {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(form) = &mut this.form {
            let what = ready!(form.poll_whole(cx));
            if let Some(form) = this.form.take() {
                this.asked(form.peer, &form.request, what);
            }
        }
        if let Some(ticket) = this.ticket {
            ready!(this.desk.commit.poll_durable(ticket, &mut this.registered, cx));
        }
        this.desk.stats.answered.one();
        this.conn.answering();
        let reply = this.reply.take().expect("a finished future is not polled again");
        let lost = this.ticket.is_some_and(|ticket| this.desk.commit.may_be_dropped(ticket));
        let reply = match reply {
            // Whoever objects is told that it holds only where it does.
            Reply::Objected(..) if lost => Reply::Busy,
            reply => reply,
        };
        let response = reply.into_response();
        Poll::Ready(Ok(if this.bare { crate::reply::head_of(response) } else { response }))
    }
}

impl Drop for Answering {
    /// A client of HTTP/2 can give up one request and keep its connection.
    fn drop(&mut self) {
        if self.reply.is_some() {
            self.conn.answering();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_routes() {
        let routed = |path| route(path).map(|(route, token)| (route, token.len()));
        assert_eq!(routed("/o/abc"), Some((Route::Open, 3)));
        assert_eq!(routed("/o/abc.gif"), Some((Route::Open, 3)));
        assert_eq!(routed("/c/abc.gif"), Some((Route::Click, 7)));
        assert_eq!(routed("/p/"), Some((Route::Page, 0)));
        for path in ["/", "", "/o", "/x/abc", "/favicon.ico", "//o/abc"] {
            assert_eq!(routed(path), None, "{path}");
        }
    }
}
