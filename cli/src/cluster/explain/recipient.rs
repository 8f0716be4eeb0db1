//! What a campaign's mail to one person may tell: their own word beside everybody else's. Pure.

use hushmark_policy::resolve::{Untracked, Word};
use hushmark_policy::{Day, Mode, Tracking};
use k8s_openapi::jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::voices::{Explained, Voice, voice};

/// Something that was written down of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct OnRecord {
    pub(crate) at: Timestamp,
    /// How it came to the tenant, in the tenant's words.
    pub(crate) source: String,
}

/// One person as a tenant knows them. Their address is not in here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recipient {
    /// Since when they are a contact.
    #[serde(serialize_with = "as_day")]
    pub(crate) contact_since: Option<Day>,
    /// When a message of the campaign was first made for them.
    #[serde(serialize_with = "as_day")]
    pub(crate) sent: Option<Day>,
    /// When they agreed, the last time they did.
    pub(crate) consent: Option<OnRecord>,
    /// When they ended their tracking, the first time they did.
    pub(crate) withdrawal: Option<OnRecord>,
    /// When they objected by the page of a message that named them.
    pub(crate) objection: Option<Timestamp>,
    /// When they were erased.
    pub(crate) erasure: Option<Timestamp>,
    /// Why they are not tracked, if they are not.
    pub(crate) untracked: Option<Untracked>,
}

fn as_day<S: Serializer>(day: &Option<Day>, serializer: S) -> Result<S::Ok, S::Error> {
    day.map(|day| day.to_string()).serialize(serializer)
}

fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

impl OnRecord {
    /// A source is what somebody typed: it stays one line.
    fn told(&self) -> String {
        let source: String =
            self.source.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("on {}: {source}", moment(self.at))
    }
}

impl Recipient {
    /// Whether nothing at all is known of them.
    pub(crate) fn is_unknown(&self) -> bool {
        *self == Self::default()
    }

    /// Their own word.
    pub(crate) const fn word(&self) -> Word {
        Word {
            erased: self.erasure.is_some(),
            withdrew: self.withdrawal.is_some(),
            objected: self.objection.is_some(),
            agreed: self.consent.is_some(),
        }
    }

    /// Whom it is about, without a name.
    pub(super) fn is_told(&self) -> String {
        let since = match (self.contact_since, self.erasure) {
            (Some(since), _) => format!("a contact since {since}"),
            (None, Some(_)) => "somebody who was erased".to_owned(),
            (None, None) => "somebody who never had mail and is on record all the same".to_owned(),
        };
        let sent = match self.sent {
            Some(day) => format!("a message was made for them on {day}"),
            None => "no message of it is on record for them".to_owned(),
        };
        format!("to one person: {since}; {sent}")
    }

    /// What holds for mail that was sent to them before they said so.
    pub(super) fn sent_mail(&self) -> Option<String> {
        let anonymous = "What was sent to them as anonymous counts on, for nobody wrote down which \
                         message is theirs: its own page takes the objection";
        match self.untracked? {
            Untracked::NoConsent => {
                Some("stays as it was when it was stamped, with tracking or without".to_owned())
            }
            Untracked::Withdrew | Untracked::Objected => Some(format!(
                "of mail that names them (individual, lastOpenDay) nothing is stored any more, \
                 whenever it was sent. {anonymous}"
            )),
            Untracked::Erased => Some(
                "of mail that names them (individual, lastOpenDay) nothing is stored any more, and \
                 every row that named them is gone; sums that they are in stay"
                    .to_owned(),
            ),
        }
    }

    fn voices(&self, is_asked: bool) -> Vec<Voice> {
        let off = |said: String| format!("{said}: off");
        let none = || "none".to_owned();
        let consent = match (&self.consent, is_asked) {
            (Some(given), true) => format!("given {}", given.told()),
            (Some(given), false) => format!("not needed; given {}", given.told()),
            (None, true) => off("none on record".to_owned()),
            (None, false) => "not needed".to_owned(),
        };
        let withdrawal = self.withdrawal.as_ref().map_or_else(none, |it| off(it.told()));
        let on =
            |at: Option<Timestamp>| at.map_or_else(none, |at| off(format!("on {}", moment(at))));
        vec![
            voice("the recipient's consent", &consent),
            voice("the recipient's withdrawal", &withdrawal),
            voice("their objection by a message's page", &on(self.objection)),
            voice("their erasure", &on(self.erasure)),
        ]
    }
}

impl Explained {
    /// The same for one person: what they said themselves comes last, and decides where anything
    /// was left to decide.
    pub(crate) fn to(mut self, mut recipient: Recipient) -> Self {
        let is_asked = self.consent.is_asked;
        recipient.untracked = recipient.word().untracked(is_asked);
        for mail in &mut self.mail {
            let mut theirs = recipient.voices(is_asked);
            let alike = Tracking { opens: mail.mode, clicks: mail.mode };
            let left = match recipient.untracked {
                // What needs no consent stays.
                Some(Untracked::NoConsent) => alike.exempt().of(mail.hits),
                _ => Mode::Off,
            };
            let decides = recipient.untracked.filter(|_| mail.mode != left);
            if let Some(why) = decides {
                mail.voices.iter_mut().for_each(|voice| voice.decides = false);
                let (at, because) = match why {
                    Untracked::NoConsent => (0, "they did not consent"),
                    Untracked::Withdrew => (1, "they ended their tracking"),
                    Untracked::Objected => (2, "they objected to it"),
                    Untracked::Erased => (3, "they were erased"),
                };
                theirs[at].decides = true;
                (mail.mode, mail.decided_by) = (left, None);
                mail.because = Some(because.to_owned());
            }
            mail.voices.extend(theirs);
        }
        self.recipient = Some(recipient);
        self
    }
}
