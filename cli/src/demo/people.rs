//! The morning, as a script: what happens to the message of each reader. Pure, and the same every
//! time.
//!
//! What a person does keeps a distance from what the writer takes for a scanner's: never more than
//! two different links a message. What a scanner does is far beyond it: every link, the hidden one
//! too, in less than a second.

use super::agents::{self, Agent};

/// When the last reader's first step is, in milliseconds from the beginning.
const ARRIVALS_MS: u32 = 5_500;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Pixel,
    /// A tracked link by its index among those that people see.
    Link(usize),
    /// The link that people do not see.
    Honeypot,
}

/// How it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Get,
    /// A program checks whether the link is alive.
    Head,
    /// A program fetches ahead of a person and says so.
    Prefetch,
    /// A person objects to being tracked: Global Privacy Control.
    Objecting,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Milliseconds from the beginning of the morning.
    pub(super) at_ms: u32,
    pub(super) what: What,
    pub(super) agent: &'static Agent,
    pub(super) how: How,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unread,
    /// Apple's proxy loads the pixel, and nobody may have read anything.
    LoadedByApple,
    ReadOnIphoneBehindApple,
    Gmail,
    GmailReader,
    GmailApp,
    /// Google looks at the pictures first, a person later.
    GmailAhead,
    /// Google looks at the pictures, and nobody at the mail.
    LookedAtByGoogle,
    Yahoo,
    Outlook,
    OutlookReader,
    Iphone,
    IphoneReader,
    Samsung,
    Thunderbird,
    /// A person who objects by Global Privacy Control.
    Objector,
    /// Pixel and link are fetched ahead, and nobody looks.
    FetchedAhead,
    /// A link checker sends HEAD requests.
    Checked,
    /// A security scanner in a browser's clothes follows everything, then a person opens.
    Scanned,
    /// A security scanner that says so.
    ScannedOpenly,
    /// The reader published the mail, and a crawler follows a link.
    Crawled,
    /// Passed on to three others, who open the same message.
    Forwarded,
    /// A mail client that sends no user agent.
    Nameless,
}

/// Of a hundred messages, how many have which fate.
const FATES: [(u32, Fate); 23] = [
    (10, Fate::Unread),
    (11, Fate::LoadedByApple),
    (4, Fate::ReadOnIphoneBehindApple),
    (6, Fate::Gmail),
    (5, Fate::GmailReader),
    (5, Fate::GmailApp),
    (2, Fate::GmailAhead),
    (6, Fate::LookedAtByGoogle),
    (6, Fate::Yahoo),
    (6, Fate::Outlook),
    (5, Fate::OutlookReader),
    (4, Fate::Iphone),
    (4, Fate::IphoneReader),
    (6, Fate::Samsung),
    (3, Fate::Thunderbird),
    (2, Fate::Objector),
    (2, Fate::FetchedAhead),
    (1, Fate::Checked),
    (5, Fate::Scanned),
    (1, Fate::ScannedOpenly),
    (4, Fate::Crawled),
    (1, Fate::Forwarded),
    (1, Fate::Nameless),
];

fn fate(reader: u32) -> Fate {
    // 37 has no factor with 100 in common, so that any hundred readers in a row have every fate.
    let mut place = reader.wrapping_mul(37) % 100;
    for (share, fate) in FATES {
        if place < share {
            return fate;
        }
        place -= share;
    }
    Fate::Unread
}

/// A number that looks like chance, and is the same for the same reader every time (the finalizer
/// of MurmurHash3, Appleby).
fn chance(reader: u32) -> u32 {
    let mut x = reader.wrapping_add(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

/// One message's morning while it is written.
struct Diary {
    now_ms: u32,
    links: usize,
    /// The link that interests this reader most.
    favourite: usize,
    steps: Vec<Step>,
}

impl Diary {
    fn then(&mut self, wait_ms: u32, what: What, agent: &'static Agent, how: How) -> &mut Self {
        self.now_ms += wait_ms;
        let nothing_there = matches!(what, What::Link(_) | What::Honeypot) && self.links == 0;
        if !nothing_there {
            self.steps.push(Step { at_ms: self.now_ms, what, agent, how });
        }
        self
    }

    fn opens(&mut self, wait_ms: u32, agent: &'static Agent) -> &mut Self {
        self.then(wait_ms, What::Pixel, agent, How::Get)
    }

    /// Follows the link that interests most, or another one.
    fn follows(&mut self, wait_ms: u32, agent: &'static Agent, other: usize) -> &mut Self {
        let link = (self.favourite + other) % self.links.max(1);
        self.then(wait_ms, What::Link(link), agent, How::Get)
    }

    /// Every link and the hidden one, a breath apart.
    fn follows_everything(&mut self, agent: &'static Agent) -> &mut Self {
        for link in 0..self.links {
            let pause = (700 / u32::try_from(self.links).unwrap_or(u32::MAX)).min(90);
            self.then(pause, What::Link(link), agent, How::Get);
        }
        self.then(50, What::Honeypot, agent, How::Get)
    }
}

/// Everything that happens to one reader's message, in order. `links` is how many tracked links a
/// person sees in it.
pub(super) fn morning(reader: u32, links: usize) -> Vec<Step> {
    let chance = chance(reader);
    // Some links interest more than others.
    let favourite = [1, 1, 1, 4, 4, 0, 5, 2][(chance >> 16) as usize % 8] % links.max(1);
    let mut diary = Diary { now_ms: chance % ARRIVALS_MS, links, favourite, steps: Vec::new() };
    let d = &mut diary;
    match fate(reader) {
        Fate::Unread => d,
        Fate::LoadedByApple => d.opens(0, &agents::APPLE_PROXY),
        Fate::ReadOnIphoneBehindApple => {
            d.opens(0, &agents::APPLE_PROXY).follows(600, &agents::SAFARI_PHONE, 0)
        }
        Fate::Gmail => d.opens(0, &agents::GMAIL_PROXY),
        Fate::GmailReader => d
            .opens(0, &agents::GMAIL_PROXY)
            .follows(500, &agents::CHROME, 0)
            .follows(900, &agents::CHROME, 1),
        Fate::GmailApp => d.opens(0, &agents::GMAIL_PROXY).follows(700, &agents::CHROME_PHONE, 0),
        Fate::GmailAhead => d.opens(0, &agents::GMAIL_AHEAD).opens(900, &agents::GMAIL_PROXY),
        Fate::LookedAtByGoogle => d.opens(0, &agents::GMAIL_AHEAD),
        Fate::Yahoo => d.opens(0, &agents::YAHOO_PROXY),
        Fate::Outlook => d.opens(0, &agents::OUTLOOK),
        Fate::OutlookReader => {
            d.opens(0, &agents::OUTLOOK).follows(800, &agents::EDGE, 0).opens(500, &agents::OUTLOOK)
        }
        Fate::Iphone => d.opens(0, &agents::IPHONE_MAIL),
        Fate::IphoneReader => d
            .opens(0, &agents::IPHONE_MAIL)
            .follows(400, &agents::SAFARI_PHONE, 0)
            .follows(900, &agents::SAFARI_PHONE, 2),
        Fate::Samsung => {
            d.opens(0, &agents::SAMSUNG_EMAIL).follows(600, &agents::SAMSUNG_INTERNET, 0)
        }
        Fate::Thunderbird => d.opens(0, &agents::THUNDERBIRD).follows(700, &agents::FIREFOX, 0),
        Fate::Objector => {
            let link = d.favourite;
            d.then(0, What::Pixel, &agents::FIREFOX, How::Objecting).then(
                600,
                What::Link(link),
                &agents::FIREFOX,
                How::Objecting,
            )
        }
        Fate::FetchedAhead => {
            let link = d.favourite;
            d.then(0, What::Pixel, &agents::SAFARI_PHONE, How::Prefetch).then(
                200,
                What::Link(link),
                &agents::SAFARI_PHONE,
                How::Prefetch,
            )
        }
        Fate::Checked => {
            let link = d.favourite;
            d.then(0, What::Pixel, &agents::CHROME, How::Head).then(
                100,
                What::Link(link),
                &agents::CHROME,
                How::Head,
            )
        }
        Fate::Scanned => d.follows_everything(&agents::CHROME).opens(900, &agents::OUTLOOK),
        Fate::ScannedOpenly => d.opens(0, &agents::BARRACUDA).follows(100, &agents::BARRACUDA, 0),
        Fate::Crawled => d.follows(0, &agents::GOOGLEBOT, 0),
        Fate::Forwarded => d
            .opens(0, &agents::OUTLOOK)
            .opens(400, &agents::GMAIL_PROXY)
            .opens(200, &agents::IPHONE_MAIL)
            .follows(300, &agents::SAFARI_PHONE, 0)
            .opens(200, &agents::THUNDERBIRD)
            .follows(500, &agents::FIREFOX, 0),
        Fate::Nameless => d.opens(0, &agents::NAMELESS),
    };
    diary.steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_hundred_readers_have_every_fate_in_its_share() {
        assert_eq!(FATES.iter().map(|(share, _)| share).sum::<u32>(), 100);
        for (share, wanted) in FATES {
            let found = (1_000..1_100).filter(|reader| fate(*reader) == wanted).count();
            assert_eq!(found, share as usize, "{wanted:?}");
        }
    }

    #[test]
    fn people_follow_two_links_at_most_and_scanners_all_within_a_second() {
        for reader in 0..200 {
            let clicks: Vec<Step> =
                morning(reader, 6).into_iter().filter(|step| step.what != What::Pixel).collect();
            if fate(reader) == Fate::Scanned {
                assert_eq!(clicks.len(), 7);
                assert!(clicks[6].at_ms - clicks[0].at_ms < 1_000);
                assert_eq!(clicks[6].what, What::Honeypot);
            } else {
                let links: BTreeSet<String> =
                    clicks.iter().map(|step| format!("{:?}", step.what)).collect();
                assert!(links.len() <= 2, "reader {reader}");
                assert!(clicks.iter().all(|step| step.what != What::Honeypot));
            }
        }
    }

    #[test]
    fn the_morning_is_over_in_eight_seconds_and_the_same_every_time() {
        let say = |reader| format!("{:?}", morning(reader, 6));
        for reader in 0..1_000 {
            assert_eq!(say(reader), say(reader));
            assert!(morning(reader, 6).iter().all(|step| step.at_ms < 8_000));
        }
    }

    #[test]
    fn a_mail_without_links_is_only_opened() {
        assert!((0..200).flat_map(|r| morning(r, 0)).all(|step| step.what == What::Pixel));
        assert!((0..200).any(|r| !morning(r, 1).is_empty()));
    }
}
