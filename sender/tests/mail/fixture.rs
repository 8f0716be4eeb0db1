//! A campaign in a few words, and what a reader finds in its mail.

use std::cell::RefCell;
use std::io;

use html5ever::interface::TokenizerResult;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::states::{RawKind, Rawtext, Rcdata, ScriptData};
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use hushmark_policy::resolve::Untracked;
use hushmark_policy::{
    CampaignId, Day, Generation, MailType, Mark, Mode, Place, TenantId, Tracking,
};
use hushmark_sender::stamp::StampError;
use hushmark_sender::{
    Address, Envelope, List, Mailbox, PlainTemplate, Plan, Sources, Stamped, Template,
    TrackingHost, Unsubscribe, stamp,
};
use hushmark_token::{Claims, Kid, RegionKey, RegionKeys, Route, Sealer, Verifier};
use mail_parser::MessageParser;

pub(crate) const HOST: &str = "https://t.example";
pub(crate) const CAMPAIGN: CampaignId = CampaignId(7);
pub(crate) const ANN: &str = "email,first_name\nann@example.org,Ann\n";

/// A campaign that tracks opens and clicks of its kind, to Ann alone.
pub(crate) struct Campaign {
    pub(crate) html: String,
    pub(crate) list: String,
    pub(crate) tracking: Tracking,
    pub(crate) subject: String,
    pub(crate) text: Option<String>,
    pub(crate) unsubscribe: Option<&'static str>,
    pub(crate) list_address: Option<&'static str>,
    pub(crate) keep_going: bool,
    /// Addresses of people whose tracking ended.
    pub(crate) withdrawn: &'static [&'static str],
    /// Addresses of people who were asked for consent and gave none.
    pub(crate) without_consent: &'static [&'static str],
}

pub(crate) fn campaign(html: impl Into<String>) -> Campaign {
    Campaign {
        html: html.into(),
        list: ANN.to_owned(),
        tracking: Tracking { opens: Mode::Anonymous, clicks: Mode::Anonymous },
        subject: "News".to_owned(),
        text: None,
        unsubscribe: None,
        list_address: None,
        keep_going: false,
        withdrawn: &[],
        without_consent: &[],
    }
}

/// Sends a newsletter to Ann and shows what she gets.
pub(crate) fn mail_of(html: &str) -> Mail {
    campaign(html).send().mail(0)
}

impl Campaign {
    pub(crate) fn tracked(mut self, opens: Mode, clicks: Mode) -> Self {
        self.tracking = Tracking { opens, clicks };
        self
    }

    pub(crate) fn to(mut self, list: &str) -> Self {
        self.list = list.to_owned();
        self
    }

    pub(crate) fn send(self) -> Run {
        self.try_send().unwrap_or_else(|(error, _)| panic!("{error}"))
    }

    /// The error as a person reads it, when nothing was written.
    pub(crate) fn refused(self) -> String {
        match self.try_send() {
            Ok(_) => panic!("it was sent"),
            Err((error, files)) => {
                assert_eq!(files, 0, "something was written before: {error}");
                error.to_string()
            }
        }
    }

    fn try_send(self) -> Result<Run, (StampError, usize)> {
        let template = Template::parse(self.html)
            .map_err(|error| panic!("the template: {error}"))
            .unwrap_or_else(|never| never);
        let unsubscribe = self.unsubscribe.map(|url| Unsubscribe::new(url, false).unwrap());
        let from = Mailbox::parse("Acme News <news@acme.example>").unwrap();
        let plan = Plan {
            tenant: TenantId(3),
            campaign: CAMPAIGN,
            generation: Generation(1),
            tracking: self.tracking,
            mail_type: MailType::Campaign,
            place: Place::Country,
            last_day: Day(21_000),
            host: TrackingHost::parse(HOST).unwrap(),
            envelope: Envelope::new(from, 1_795_000_000, "eu.example", unsubscribe).unwrap(),
            subject: PlainTemplate::parse(self.subject).unwrap(),
            html: template,
            text: self.text.map(|text| PlainTemplate::parse(text).unwrap()),
            list_address: self.list_address.map(|text| Address::parse(text).unwrap()),
            keep_going: self.keep_going,
        };
        let mut drawn = 0_u64;
        let mut random = || {
            drawn += 1;
            drawn.wrapping_mul(0x9E37_79B9_7F4A_7C15)
        };
        // A contact's number is the length of the address: fixed, and told from a drawn mark.
        let mut contact = |address: &Address| Ok(Mark::new(address.expose().len() as u64));
        let (mut files, mut made_for) = (Vec::new(), Vec::new());
        let mut made = |address: &Address| -> io::Result<()> {
            made_for.push(address.expose().to_owned());
            Ok(())
        };
        let mut sink = |name: &str, bytes: &[u8]| -> io::Result<()> {
            files.push((name.to_owned(), bytes.to_vec()));
            Ok(())
        };
        let from = Sources {
            random: &mut random,
            contact: &mut contact,
            untracked: &|address: &Address| {
                let said_no = self.withdrawn.contains(&address.expose());
                let asked = self.without_consent.contains(&address.expose());
                let no_consent = asked.then_some(Untracked::NoConsent);
                said_no.then_some(Untracked::Withdrew).or(no_consent)
            },
            made_for: &mut made,
            sink: &mut sink,
        };
        let list = List::read(self.list.as_bytes()).unwrap();
        let stamped = stamp(&plan, list, &sealer(), from);
        stamped.map_err(|error| (error, files.len())).map(|stamped| Run {
            stamped,
            files,
            made_for,
        })
    }
}

fn key() -> RegionKey {
    RegionKey::new([5; 32])
}

pub(crate) fn sealer() -> Sealer {
    Sealer::new(Kid(1), &key(), CAMPAIGN)
}

/// Opens a token as the edge does.
pub(crate) fn open(route: Route, token: &str) -> Claims {
    let mut keys = RegionKeys::default();
    keys.insert(Kid(1), key());
    Verifier::new(keys).verify(route, token.as_bytes()).unwrap().claims
}

pub(crate) struct Run {
    pub(crate) stamped: Stamped,
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Whom messages were made for, as was noted.
    pub(crate) made_for: Vec<String>,
}

impl Run {
    pub(crate) fn mail(&self, n: usize) -> Mail {
        Mail { bytes: self.files[n].1.clone() }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.stamped.warnings.keys().map(ToString::to_string).collect()
    }
}

/// One message as it arrives.
pub(crate) struct Mail {
    pub(crate) bytes: Vec<u8>,
}

impl Mail {
    /// Headers as sent, unfolded.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let text = String::from_utf8(self.bytes.clone()).unwrap();
        let (head, _) = text.split_once("\r\n\r\n").unwrap();
        let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let split = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        unfolded.split("\r\n").map(split).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.headers().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The HTML part, decoded, with the line ends that the author wrote.
    pub(crate) fn html(&self) -> String {
        self.part("text/html")
    }

    pub(crate) fn text(&self) -> String {
        self.part("text/plain")
    }

    fn part(&self, wanted: &str) -> String {
        let message = MessageParser::default().parse(&self.bytes).unwrap();
        let part = message.parts.iter().find(|part| {
            use mail_parser::MimeHeaders;
            let kind = part.content_type();
            kind.is_some_and(|t| format!("{}/{}", t.c_type, t.subtype().unwrap_or("")) == wanted)
        });
        part.and_then(|part| part.text_contents()).unwrap().replace("\r\n", "\n")
    }

    /// Every link's `href` as a mail client reads it, without the honeypot's.
    pub(crate) fn hrefs(&self) -> Vec<String> {
        let is_honeypot = |href: &String| self.clicks_in(href).is_some_and(|c| c.honeypot);
        hrefs(&self.html()).into_iter().filter(|href| !is_honeypot(href)).collect()
    }

    fn clicks_in(&self, href: &str) -> Option<Claims> {
        let token = href.strip_prefix(HOST)?.strip_prefix("/c/")?;
        Some(open(Route::Click, token))
    }

    /// What each wrapped link says, the honeypot's among them.
    pub(crate) fn clicks(&self) -> Vec<Claims> {
        hrefs(&self.html()).iter().filter_map(|href| self.clicks_in(href)).collect()
    }

    /// Where the wrapped links that people see lead.
    pub(crate) fn destinations(&self) -> Vec<String> {
        let seen = self.clicks().into_iter().filter(|claims| !claims.honeypot);
        seen.map(|claims| claims.destination.unwrap()).collect()
    }

    /// What each pixel says.
    pub(crate) fn opens(&self) -> Vec<Claims> {
        let tags = tags(&self.html());
        let sources = tags.iter().filter(|t| &*t.name == "img").filter_map(|t| value(t, "src"));
        let token = |src: String| {
            Some(src.strip_prefix(HOST)?.strip_prefix("/o/")?.strip_suffix(".gif")?.to_owned())
        };
        sources.filter_map(token).map(|token| open(Route::Open, &token)).collect()
    }
}

/// The decoded `href` of every `a` and `area`, by html5ever.
pub(crate) fn hrefs(html: &str) -> Vec<String> {
    let is_link = |tag: &&Tag| matches!(tag.name.as_ref(), "a" | "area");
    tags(html).iter().filter(is_link).filter_map(|tag| value(tag, "href")).collect()
}

fn value(tag: &Tag, name: &str) -> Option<String> {
    tag.attrs.iter().find(|attr| &*attr.name.local == name).map(|a| a.value.to_string())
}

/// Every start tag, by html5ever.
pub(crate) fn tags(html: &str) -> Vec<Tag> {
    #[derive(Default)]
    struct Sink(RefCell<Vec<Tag>>);
    impl TokenSink for Sink {
        type Handle = ();
        fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
            let Token::TagToken(tag) = token else { return TokenSinkResult::Continue };
            if tag.kind != TagKind::StartTag {
                return TokenSinkResult::Continue;
            }
            let raw: Option<RawKind> = match tag.name.as_ref() {
                "script" => Some(ScriptData),
                "style" | "xmp" | "iframe" | "noembed" | "noframes" => Some(Rawtext),
                "title" | "textarea" => Some(Rcdata),
                _ => None,
            };
            self.0.borrow_mut().push(tag);
            raw.map_or(TokenSinkResult::Continue, TokenSinkResult::RawData)
        }
    }
    let queue = BufferQueue::default();
    queue.push_back(StrTendril::from(html));
    let tokenizer = Tokenizer::new(Sink::default(), TokenizerOpts::default());
    while !matches!(tokenizer.feed(&queue), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.0.into_inner()
}
