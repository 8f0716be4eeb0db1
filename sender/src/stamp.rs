//! The loop over the list: one message a recipient, or one for all.

use std::collections::BTreeMap;
use std::io;

use hushmark_policy::resolve::Untracked;
use hushmark_policy::{Mark, Mode, Tracking};
use hushmark_token::{Route, SealError, Sealer};

use crate::address::Address;
use crate::html::{RenderError, Tracked, Warning, Wrap};
use crate::message::{HeaderError, Message, To, check_subject};
use crate::plan::Plan;
use crate::recipients::{BadRow, Columns, List, Recipient, RowReason};
use crate::slot::{PlainTemplate, Reader};

/// What the loop needs from outside.
pub struct Sources<'a> {
    /// Draws 64 random bits that nobody can guess: marks, Message-IDs, boundaries.
    pub random: &'a mut dyn FnMut() -> u64,
    /// Says which contact an address belongs to. Asked where messages name contacts.
    pub contact: &'a mut dyn FnMut(&Address) -> io::Result<Mark>,
    /// Says why a person is not tracked, if they are not. Asked wherever anything is tracked.
    pub untracked: &'a dyn Fn(&Address) -> Option<Untracked>,
    /// Takes note that a message was made for a person, in every mode. It answers nothing, so that
    /// nothing it knows can get into a message.
    pub made_for: &'a mut dyn FnMut(&Address) -> io::Result<()>,
    /// Takes a file's name and its bytes.
    pub sink: &'a mut dyn FnMut(&str, &[u8]) -> io::Result<()>,
}

/// What was stamped.
#[derive(Debug, Default)]
pub struct Stamped {
    /// Messages written: one a recipient, or one in all.
    pub messages: u64,
    /// People they are for. In `overall` with a list's address nobody here knows how many read.
    pub recipients: u64,
    /// People among them whose tracking ended or who did not consent, so that their message carries
    /// none, or only what needs no consent.
    pub withdrawn: u64,
    /// People among those whose message carries what needs no consent.
    pub exempt: u64,
    /// Rows that were left out, where the plan says to keep going.
    pub left_out: Vec<BadRow>,
    /// What a person should look at, and how many messages it is about.
    pub warnings: BTreeMap<Warning, u64>,
}

/// Why nothing, or not everything, was stamped.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// Rows that cannot be used; nothing was written.
    #[error("{} of the list cannot be used, so nothing was written:{}", rows(.0.len()), listed(.0))]
    BadRows(Vec<BadRow>),
    /// The subject, the HTML or the text cannot be rendered for anyone; nothing was written.
    #[error("{part}: {source}")]
    Template {
        /// Which of the three.
        part: &'static str,
        /// Why.
        source: RenderError,
    },
    /// The subject of the one message for all breaks its header; nothing was written.
    #[error(transparent)]
    Header(HeaderError),
    /// Nobody to write to.
    #[error("the list has no recipient: it holds a header row and nothing below it")]
    Empty,
    /// The contact of a row could not be found out; messages before it were written.
    #[error("row {row}: the contact cannot be looked up: {source}")]
    Contact {
        /// The row.
        row: u64,
        /// Why.
        source: io::Error,
    },
    /// A message could not be written; those before it were.
    #[error("{file} cannot be written: {source}")]
    Sink {
        /// The file's name.
        file: String,
        /// Why.
        source: io::Error,
    },
}

fn rows(n: usize) -> String {
    if n == 1 { "1 row".to_owned() } else { format!("{n} rows") }
}

fn listed(bad: &[BadRow]) -> String {
    bad.iter().map(|row| format!("\n  {row}")).collect()
}

/// What tells one message's hits from another's, for opens and for clicks.
#[derive(Default)]
struct Marks {
    opens: Option<Mark>,
    clicks: Option<Mark>,
}

impl Marks {
    /// An anonymous message has one mark, fresh and kept nowhere; a contact's is always the same.
    fn of(
        Tracking { opens, clicks }: Tracking,
        recipient: &Recipient,
        from: &mut Sources<'_>,
    ) -> Result<Self, StampError> {
        let has = |mode| opens == mode || clicks == mode;
        let message = has(Mode::Anonymous).then(|| Mark::new((from.random)()));
        let contact = if opens.names_contact() || clicks.names_contact() {
            let row = recipient.row;
            let found = (from.contact)(&recipient.address);
            Some(found.map_err(|source| StampError::Contact { row, source })?)
        } else {
            None
        };
        let mark = |mode| match mode {
            Mode::Off | Mode::Overall => None,
            Mode::Anonymous => message.clone(),
            Mode::Individual | Mode::LastOpenDay => contact.clone(),
        };
        Ok(Self { opens: mark(opens), clicks: mark(clicks) })
    }
}

/// A message without its headers.
struct Rendered {
    subject: String,
    html: String,
    text: Option<String>,
}

/// Why one message cannot be rendered.
enum Unrenderable {
    Part(&'static str, RenderError),
    Header(HeaderError),
}

impl Unrenderable {
    /// What only this row is to blame for; anything else stops the run.
    fn of_row(self) -> Result<RowReason, StampError> {
        match self {
            Self::Part(_, error @ RenderError::BadUrl { .. }) => Ok(RowReason::Render(error)),
            Self::Header(error) => Ok(RowReason::Header(error)),
            Self::Part(..) => Err(self.into()),
        }
    }
}

impl From<Unrenderable> for StampError {
    fn from(reason: Unrenderable) -> Self {
        match reason {
            Unrenderable::Part(part, source) => Self::Template { part, source },
            Unrenderable::Header(error) => Self::Header(error),
        }
    }
}

type Seal<'a> = dyn FnMut(Tracked<'_>) -> Result<String, SealError> + 'a;

fn render(
    plan: &Plan,
    Tracking { opens, clicks }: Tracking,
    reader: Reader<'_>,
    seal: &mut Seal<'_>,
    warn: &mut dyn FnMut(Warning),
) -> Result<Rendered, Unrenderable> {
    let page = if plan.has_page() {
        let sealed = seal(Tracked::Page);
        let failed = |source| RenderError::Seal { link: 0, source };
        plan.host.page(&sealed.map_err(|error| Unrenderable::Part("html", failed(error)))?)
    } else {
        String::new()
    };
    let values = plan.values(reader, &page);
    let plain = |part, template: &PlainTemplate| {
        let rendered = template.render(&values);
        rendered.map_err(|error| Unrenderable::Part(part, RenderError::Slot(error)))
    };
    let subject = plain("subject", &plan.subject)?;
    check_subject(&subject).map_err(Unrenderable::Header)?;
    let text = plan.text.as_ref().map(|text| plain("text", text)).transpose()?;
    let mut wrap = Wrap {
        host: &plan.host,
        opens: opens != Mode::Off,
        clicks: clicks != Mode::Off,
        same_links: clicks == Mode::Overall,
        seal,
        warn,
    };
    let html = plan.html.render(&values, &mut wrap);
    let html = html.map_err(|error| Unrenderable::Part("html", error))?;
    Ok(Rendered { subject, html, text })
}

/// Stamps a campaign: every message is handed to the sink, in the list's order.
///
/// # Errors
/// [`StampError`]. Every row is rendered once before the first is written, so that a bad one stops
/// the run while nothing is out yet.
pub fn stamp(
    plan: &Plan,
    list: List,
    sealer: &Sealer,
    mut from: Sources<'_>,
) -> Result<Stamped, StampError> {
    let List { columns, mut recipients, mut bad } = list;
    if recipients.is_empty() && bad.is_empty() {
        return Err(StampError::Empty);
    }
    if !plan.is_shared() {
        let refused = refused(plan, &columns, &recipients)?;
        recipients.retain(|recipient| !refused.contains_key(&recipient.row));
        bad.extend(refused.into_iter().map(|(row, reason)| BadRow { row, reason }));
        bad.sort_by_key(|bad| bad.row);
    }
    if !bad.is_empty() && !plan.keep_going {
        return Err(StampError::BadRows(bad));
    }
    let mut stamped =
        Stamped { recipients: recipients.len() as u64, left_out: bad, ..Stamped::default() };
    let asked = from.untracked;
    let tracking_of = |recipient: &Recipient| {
        if plan.tracking.is_off() {
            return Tracking::OFF;
        }
        match asked(&recipient.address) {
            None => plan.tracking,
            Some(Untracked::NoConsent) => plan.tracking.exempt(),
            Some(_) => Tracking::OFF,
        }
    };
    for tracking in recipients.iter().map(tracking_of).filter(|it| *it != plan.tracking) {
        stamped.withdrawn += 1;
        stamped.exempt += u64::from(!tracking.is_off());
    }
    if plan.is_shared() && stamped.withdrawn < stamped.recipients {
        let to = plan.list_address.as_ref().map_or(To::Undisclosed, To::One);
        let (reader, marks) = (Reader::Everyone(&columns), Marks::default());
        let letter = Letter { reader, to, marks, tracking: plan.tracking, file: "message.eml" };
        one(plan, sealer, letter, &mut from, &mut stamped)?;
    }
    for recipient in &recipients {
        let tracking = tracking_of(recipient);
        let reader = match (plan.is_shared(), tracking == plan.tracking) {
            (true, true) => {
                // Who reads a list's own address is not known here.
                if plan.list_address.is_none() {
                    made_for(recipient, &mut from)?;
                }
                continue;
            }
            // What is the same for everyone but for its tracking.
            (true, false) => Reader::Everyone(&columns),
            (false, _) => Reader::One(&columns, recipient),
        };
        let marks = Marks::of(tracking, recipient, &mut from)?;
        // The row tells nothing that the message's own `To` does not.
        let file = format!("{:06}.eml", recipient.row);
        let letter =
            Letter { reader, to: To::One(&recipient.address), marks, tracking, file: &file };
        one(plan, sealer, letter, &mut from, &mut stamped)?;
        made_for(recipient, &mut from)?;
    }
    if plan.tracking.clicks != Mode::Off {
        let messages = stamped.messages;
        stamped.warnings.extend(plan.html.warnings().iter().map(|w| (w.clone(), messages)));
    }
    Ok(stamped)
}

fn made_for(recipient: &Recipient, from: &mut Sources<'_>) -> Result<(), StampError> {
    let row = recipient.row;
    (from.made_for)(&recipient.address).map_err(|source| StampError::Contact { row, source })
}

/// Rows that the newsletter cannot be filled from.
fn refused(
    plan: &Plan,
    columns: &Columns,
    recipients: &[Recipient],
) -> Result<BTreeMap<u64, RowReason>, StampError> {
    let mut refused = BTreeMap::new();
    for recipient in recipients {
        let reader = Reader::One(columns, recipient);
        if let Err(error) =
            render(plan, plan.tracking, reader, &mut |_| Ok(String::new()), &mut |_| {})
        {
            refused.insert(recipient.row, error.of_row()?);
        }
    }
    Ok(refused)
}

/// One message, before it is rendered.
struct Letter<'a> {
    reader: Reader<'a>,
    to: To<'a>,
    marks: Marks,
    tracking: Tracking,
    file: &'a str,
}

/// Renders, seals and hands on one message.
fn one(
    plan: &Plan,
    sealer: &Sealer,
    Letter { reader, to, marks, tracking, file }: Letter<'_>,
    from: &mut Sources<'_>,
    stamped: &mut Stamped,
) -> Result<(), StampError> {
    let mut seal = |what: Tracked<'_>| {
        let (route, claims) = match what {
            Tracked::Open => plan.pixel(tracking.opens, marks.opens.as_ref()),
            Tracked::Click { link, destination, honeypot } => {
                let link = (link, destination, honeypot);
                plan.link(tracking.clicks, marks.clicks.as_ref(), link)
            }
            Tracked::Page => {
                let (opens, clicks) = (marks.opens.as_ref(), marks.clicks.as_ref());
                (Route::Page, plan.page(tracking, opens, clicks))
            }
        };
        sealer.seal(route, &claims)
    };
    let warnings = &mut stamped.warnings;
    let mut warn = |warning| *warnings.entry(warning).or_default() += 1;
    let rendered = render(plan, tracking, reader, &mut seal, &mut warn)?;
    let message = Message {
        to,
        subject: &rendered.subject,
        html: &rendered.html,
        text: rendered.text.as_deref(),
        random: [(from.random)(), (from.random)(), (from.random)()],
    };
    let bytes = message.build(&plan.envelope).map_err(StampError::Header)?;
    (from.sink)(file, &bytes)
        .map_err(|source| StampError::Sink { file: file.to_owned(), source })?;
    stamped.messages += 1;
    Ok(())
}
