//! Who made a request: a verdict, a device, a client and a system, from the request alone.
//!
//! An address or a user agent goes in and four small numbers come out; nothing that a person
//! could be known by leaves this module. In reading order:
//!
//! 1. [`headers`]: one pass over a request's headers, for all that the edge needs of them.
//! 2. `signatures`: the published lists, compiled so that no user agent can make them slow.
//! 3. [`agent`]: what a user agent says of itself, as [`Traits`] of four bytes.
//! 4. [`cache`]: the traits of user agents seen lately, without the user agents.
//!
//! Security scanners imitate browsers: their behaviour finds them, in the writer, never their user
//! agent. What is judged here is only what a request says outright.

pub mod agent;
pub mod cache;
pub mod headers;
mod signatures;

#[cfg(test)]
mod tests;

use hushmark_event::{Client, Device, System, Verdict};
use hushmark_policy::Kind;

use self::agent::{Says, Traits};
use self::signatures::Signatures;
use crate::client_addr::{ClientAddr, Ranges};

pub use cache::VerdictCache;
pub use headers::RequestHead;

/// The version of the rules and of their data, part of every batch: reports say by which rules a
/// hit was judged. A test fails when rules or data change and this number does not.
pub const RULES_VERSION: u16 = 1;

/// As many bytes of a user agent are looked at; real ones have 60 to 300. What is beyond is not
/// read, so that the work a request can ask for is bounded.
pub const USER_AGENT_CAP: usize = 512;

/// All that a judgement may depend on.
#[derive(Clone, Copy)]
pub struct RequestSignals<'a> {
    /// A pixel or a link.
    pub kind: Kind,
    /// The `User-Agent` header as sent; empty where there was none.
    pub user_agent: &'a [u8],
    /// Whether a header said that nobody is looking yet ([`RequestHead::prefetch`]).
    pub prefetch: bool,
    /// Where the request came from, or `None` where that is not known.
    pub client: Option<&'a ClientAddr>,
}

/// What is kept of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Who made it.
    pub verdict: Verdict,
    /// On what kind of device.
    pub device: Device,
    /// With which mail client or browser.
    pub client: Client,
    /// On which operating system.
    pub system: System,
}

/// The compiled rules: made once at start, shared by all cores, never written to.
pub struct Classifier {
    signatures: Signatures,
    relay: Option<Ranges>,
}

impl Classifier {
    /// Compiles the lists that ship with this crate. `relay` are the egress ranges of Apple's
    /// Private Relay, where a list of them is configured.
    ///
    /// Apple Mail Privacy Protection sends exactly `Mozilla/5.0`. With ranges, that alone is not
    /// enough: from elsewhere it is `unknown`. Without ranges it is taken at its word, because no
    /// browser sends it. A range without that user agent says nothing: it may be a person's Safari.
    #[must_use]
    pub fn new(relay: Option<Ranges>) -> Self {
        Self { signatures: Signatures::shipped(), relay }
    }

    /// Bytes on the heap that the lists take, without Apple's ranges and the parser.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.signatures.memory()
    }

    /// Judges one request without a cache: some microseconds.
    #[must_use]
    pub fn judge(&self, signals: &RequestSignals<'_>) -> Judgement {
        self.judge_traits(self.read(signals.user_agent), signals)
    }

    /// What a user agent says of itself: the slow half of a judgement, and the one worth caching.
    #[must_use]
    pub fn read(&self, user_agent: &[u8]) -> Traits {
        agent::read(&self.signatures, capped(user_agent))
    }

    /// Joins what the user agent says with what the rest of the request does: the fast half.
    #[must_use]
    pub fn judge_traits(&self, traits: Traits, signals: &RequestSignals<'_>) -> Judgement {
        let open = signals.kind == Kind::Open;
        let Traits { says, device, client, system } = traits;
        let as_said = |verdict| Judgement { verdict, device, client, system };
        let program = |verdict| Judgement {
            verdict,
            device: Device::Server,
            client: Client::Program,
            system: System::Unknown,
        };
        match says {
            _ if signals.prefetch => as_said(Verdict::Prefetch),
            Says::BareMozilla if !open => program(Verdict::Bot),
            Says::BareMozilla if self.in_relay(signals.client) => as_said(Verdict::AppleProxy),
            Says::BareMozilla | Says::Nothing => UNRECOGNISED,
            // An image proxy that follows a link is no person who reads: it is a program.
            Says::GmailProxy if open => as_said(Verdict::GmailProxy),
            Says::YahooProxy if open => as_said(Verdict::YahooProxy),
            Says::GmailProxy | Says::YahooProxy | Says::Program => program(Verdict::Bot),
            Says::Scanner => program(Verdict::Scanner),
            Says::Ahead => as_said(Verdict::Prefetch),
            Says::Person => as_said(Verdict::Human),
            // The same view inside an app shows mails and the pages that links lead to.
            Says::AppView if open => as_said(Verdict::Human),
            Says::AppView => Judgement { client: Client::OtherBrowser, ..as_said(Verdict::Human) },
            Says::Unrecognised => as_said(Verdict::Unknown),
        }
    }

    /// Whether Apple's proxies may have sent it: where the ranges are not known, anybody may be one.
    fn in_relay(&self, client: Option<&ClientAddr>) -> bool {
        self.relay.as_ref().is_none_or(|ranges| client.is_some_and(|addr| ranges.contains(addr)))
    }
}

const UNRECOGNISED: Judgement = Judgement {
    verdict: Verdict::Unknown,
    device: Device::Unknown,
    client: Client::Unknown,
    system: System::Unknown,
};

/// The part of a user agent that is looked at.
fn capped(user_agent: &[u8]) -> &[u8] {
    &user_agent[..user_agent.len().min(USER_AGENT_CAP)]
}
