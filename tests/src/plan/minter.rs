//! The request for a planned hit: its token sealed as a sender would.

use std::collections::HashMap;
use std::io::Write as _;

use anyhow::{Context, Result};
use hushmark_policy::{CampaignId, Day, Generation, Kind, MailType, Mark, Place};
use hushmark_token::{Claims, Kid, RegionKey, Route, Sealer};

use super::{Planned, tenant};

/// A mail client that nobody takes for a machine, so that hits are human.
pub const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0";

/// Derived keys that are kept; beyond it all are forgotten, so that a run of any length is bounded.
const SEALERS: usize = 4_096;

/// Where every link of a proof leads.
const DESTINATION: &str = "https://news.example.org/articles/";

/// Seals tokens and writes the requests that carry them.
pub struct Minter {
    kid: Kid,
    key: RegionKey,
    last_day: Day,
    sealers: HashMap<CampaignId, Sealer>,
}

impl Minter {
    /// A minter under one region key; hits count until `last_day`.
    #[must_use]
    pub fn new(kid: Kid, key: &RegionKey, last_day: Day) -> Self {
        Self { kid, key: key.clone(), last_day, sealers: HashMap::new() }
    }

    /// What the token of a hit says.
    #[must_use]
    pub fn claims(&self, hit: &Planned) -> Claims {
        let click = hit.kind == Kind::Click;
        Claims {
            tenant: tenant(),
            campaign: hit.campaign,
            generation: Generation(0),
            mode: hit.mode,
            mail_type: MailType::Campaign,
            place: Place::None,
            honeypot: false,
            mark: hit.mode.has_mark().then(|| Mark::new(hit.mark)),
            link: hit.link,
            last_day: self.last_day,
            destination: click.then(|| format!("{DESTINATION}{}", hit.link)),
            apart: None,
        }
    }

    /// The token of a hit.
    ///
    /// # Errors
    /// When the claims cannot be sealed, which no plan asks for.
    pub fn token(&mut self, hit: &Planned) -> Result<String> {
        let claims = self.claims(hit);
        if self.sealers.len() >= SEALERS {
            self.sealers.clear();
        }
        let sealer = self
            .sealers
            .entry(hit.campaign)
            .or_insert_with(|| Sealer::new(self.kid, &self.key, hit.campaign));
        sealer.seal(route(hit.kind), &claims).context("a planned hit cannot be sealed")
    }

    /// Appends the whole request of a hit.
    ///
    /// # Errors
    /// As [`Self::token`].
    pub fn request(&mut self, hit: &Planned, into: &mut Vec<u8>) -> Result<()> {
        let (segment, token) = (route(hit.kind).segment(), self.token(hit)?);
        write!(
            into,
            "GET /{segment}/{token} HTTP/1.1\r\nHost: t.example.org\r\nUser-Agent: {USER_AGENT}\r\n\r\n"
        )?;
        Ok(())
    }
}

const fn route(kind: Kind) -> Route {
    match kind {
        Kind::Open => Route::Open,
        Kind::Click => Route::Click,
    }
}
