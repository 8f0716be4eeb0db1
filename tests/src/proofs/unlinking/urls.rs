//! `overall`: the same URLs for everybody, as the sender writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use hushmark_policy::{CampaignId, Generation, MailType, Mark, Mode, Place, Tracking};
use hushmark_sender::{
    Address, Envelope, List, Mailbox, PlainTemplate, Plan, Sources, Template, TrackingHost, stamp,
};
use hushmark_token::Sealer;

use crate::figure::Figures;
use crate::keys::Keys;
use crate::plan::tenant;
use crate::proofs::Run;
use crate::stack::Stack;

const CAMPAIGN: CampaignId = CampaignId(0x0d00_0000_0000_0000);
const HTML: &str = "<html><body><p>Hello {{name}}</p><a href=\"https://acme.example/a\">a</a>\
                    <a href=\"https://acme.example/b\">b</a></body></html>";
const SAME: &str = "<html><body><p>Hello</p><a href=\"https://acme.example/a\">a</a>\
                    <a href=\"https://acme.example/b\">b</a></body></html>";

/// Links of a message that are tracked: two that people see, and one that they do not.
const LINKS: u64 = 3;

/// The tracked URLs of many messages: of pixels, and of links.
type Urls = [BTreeSet<String>; 2];

pub(super) fn prove(run: &Run, stack: &Stack, figures: &mut Figures) -> Result<()> {
    let recipients = run.size(10_000, 300);
    let (opens, clicks) = (0, 1);
    // A list of one at a time, because a whole list gets one message.
    let mut each = Urls::default();
    let mut messages = 0;
    for n in 0..recipients {
        let tracking = Tracking { opens: Mode::Overall, clicks: Mode::Overall };
        messages += stamped(stack, tracking, SAME, n..n + 1, &mut each)?;
    }
    figures.exactly("overall: messages stamped one by one", messages, recipients, "messages");
    figures.exactly("distinct URLs of their pixels", each[opens].len() as u64, 1, "URLs");
    figures.exactly("distinct URLs of their links", each[clicks].len() as u64, LINKS, "URLs");
    for (tracking, name, same, other) in [
        (Tracking { opens: Mode::Overall, clicks: Mode::Anonymous }, "pixels", opens, clicks),
        (Tracking { opens: Mode::Anonymous, clicks: Mode::Overall }, "links", clicks, opens),
    ] {
        let mut urls = Urls::default();
        let messages = stamped(stack, tracking, HTML, 0..recipients, &mut urls)?;
        figures.exactly(&format!("messages with overall {name} alone"), messages, recipients, "");
        let wanted = if same == clicks { LINKS } else { 1 };
        let figure = format!("distinct URLs of overall {name}");
        figures.exactly(&figure, urls[same].len() as u64, wanted, "URLs");
        let figure = format!("distinct URLs of what is anonymous beside overall {name}");
        let wanted = recipients * if other == clicks { LINKS } else { 1 };
        figures.exactly(&figure, urls[other].len() as u64, wanted, "URLs");
    }
    Ok(())
}

/// Stamps a campaign to numbered recipients and takes the URLs out of what was written.
fn stamped(
    stack: &Stack,
    tracking: Tracking,
    html: &str,
    recipients: std::ops::Range<u64>,
    urls: &mut Urls,
) -> Result<u64> {
    let plan = Plan {
        tenant: tenant(),
        campaign: CAMPAIGN,
        generation: Generation(0),
        tracking,
        mail_type: MailType::Campaign,
        place: Place::None,
        last_day: Keys::last_day(),
        host: TrackingHost::parse("https://t.example")?,
        envelope: Envelope::new(Mailbox::parse("Acme <n@acme.example>")?, 0, "eu.example", None)?,
        subject: PlainTemplate::parse("News")?,
        html: Template::parse(html)?,
        text: None,
        list_address: None,
        keep_going: false,
    };
    let mut list = "email,name\n".to_owned();
    for n in recipients {
        writeln!(list, "reader{n}@example.org,Reader {n}")?;
    }
    let mut random = || fastrand::u64(..);
    let mut contact = |_: &Address| Ok(Mark::new(1));
    let mut bad = None;
    let mut sink = |_: &str, message: &[u8]| {
        if let Err(error) = take(message, urls) {
            bad = Some(error);
        }
        Ok(())
    };
    let from = Sources {
        random: &mut random,
        contact: &mut contact,
        made_for: &mut |_| Ok(()),
        untracked: &|_| None,
        sink: &mut sink,
    };
    let sealer = Sealer::new(stack.keys.kid, &stack.keys.region, CAMPAIGN);
    let stamped = stamp(&plan, List::read(list.as_bytes())?, &sealer, from)?;
    bad.map_or(Ok(stamped.messages), Err)
}

/// The tracked URLs of a message. Quoted-printable breaks lines and writes `=` as `=3D`.
fn take(message: &[u8], urls: &mut Urls) -> Result<()> {
    let text = std::str::from_utf8(message).context("a message is text")?;
    let text = text.replace("=\r\n", "").replace("=3D", "=");
    for (of, start) in ["https://t.example/o/", "https://t.example/c/"].iter().enumerate() {
        for (at, _) in text.match_indices(start) {
            let rest = &text[at..];
            let end = rest.find('"').context("a URL ends with its attribute")?;
            urls[of].insert(rest[..end].to_owned());
        }
    }
    Ok(())
}
