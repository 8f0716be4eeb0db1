//! What is known of one request once its address and user agent are forgotten.

use hushmark_policy::{CampaignId, Day, Generation, Kind, MailType, Mark, Mode, TenantId};

/// Makes a closed set of small numbers with names: what is stored is the number on the wire and
/// the name in the tables, and nothing else can be stored.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $n:literal $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $n,)+ }

        impl $name {
            /// Every value, in wire order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name as tables and reports spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// The value of a wire number, or `None` for a number that none has.
            #[must_use]
            pub const fn from_u8(n: u8) -> Option<Self> {
                match n { $($n => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

named! {
    /// Who made the request, as far as the request alone tells, or the writer's ten-second window.
    Verdict {
        /// A person's mail client or browser.
        Human = 0 "human",
        /// Apple Mail Privacy Protection loaded the pixel, read or not.
        AppleProxy = 1 "apple_proxy",
        /// Gmail's image proxy: somebody opened the mail in Gmail.
        GmailProxy = 2 "gmail_proxy",
        /// Yahoo's image proxy.
        YahooProxy = 3 "yahoo_proxy",
        /// A security scanner, by its behaviour or its own word.
        Scanner = 4 "scanner",
        /// A browser or mail client fetched ahead of a person.
        Prefetch = 5 "prefetch",
        /// A program that says that it is one.
        Bot = 6 "bot",
        /// Nothing was recognised.
        Unknown = 7 "unknown",
    }
}

impl Verdict {
    /// Whether the hit counts as human. Gmail's and Yahoo's proxies fetch when a person opens the
    /// mail; Apple's fetches whether or not anybody does.
    #[must_use]
    pub const fn is_human(self) -> bool {
        matches!(self, Self::Human | Self::GmailProxy | Self::YahooProxy | Self::Unknown)
    }
}

named! {
    /// What kind of device it was.
    Device {
        /// Not told.
        Unknown = 0 "unknown",
        /// A desktop or laptop.
        Desktop = 1 "desktop",
        /// A phone.
        Phone = 2 "phone",
        /// A tablet.
        Tablet = 3 "tablet",
        /// A server: proxies, scanners, bots.
        Server = 4 "server",
        /// Anything else that said what it is.
        Other = 5 "other",
    }
}

named! {
    /// Which mail client or browser it was.
    Client {
        /// Not told.
        Unknown = 0 "unknown",
        /// Apple Mail, on any system.
        AppleMail = 1 "Apple Mail",
        /// Gmail, in a browser or its app.
        Gmail = 2 "Gmail",
        /// Outlook, on any system.
        Outlook = 3 "Outlook",
        /// Yahoo Mail.
        YahooMail = 4 "Yahoo Mail",
        /// Thunderbird.
        Thunderbird = 5 "Thunderbird",
        /// Samsung Email.
        SamsungEmail = 6 "Samsung Email",
        /// Any other mail client.
        OtherMail = 7 "other mail client",
        /// Chrome.
        Chrome = 8 "Chrome",
        /// Safari.
        Safari = 9 "Safari",
        /// Firefox.
        Firefox = 10 "Firefox",
        /// Edge.
        Edge = 11 "Edge",
        /// Opera.
        Opera = 12 "Opera",
        /// Samsung Internet.
        SamsungInternet = 13 "Samsung Internet",
        /// Any other browser.
        OtherBrowser = 14 "other browser",
        /// A program that is no mail client and no browser.
        Program = 15 "program",
    }
}

named! {
    /// Which operating system it was.
    System {
        /// Not told.
        Unknown = 0 "unknown",
        /// Windows.
        Windows = 1 "Windows",
        /// macOS.
        MacOs = 2 "macOS",
        /// iOS and iPadOS.
        Ios = 3 "iOS",
        /// Android.
        Android = 4 "Android",
        /// Linux.
        Linux = 5 "Linux",
        /// ChromeOS.
        ChromeOs = 6 "ChromeOS",
        /// Any other system.
        Other = 7 "other",
    }
}

/// What a token says that many hits of one batch share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Context {
    /// Whose mail it was.
    pub tenant: TenantId,
    /// Which mail it was.
    pub campaign: CampaignId,
    /// The tenant's generation when the token was sealed; caps cover generations.
    pub generation: Generation,
    /// The mode that the edge found after caps; never `off`, which is a void instead.
    pub mode: Mode,
    /// Campaign or transactional mail; caps of a tenant name the type.
    pub mail_type: MailType,
    /// The last day on which the token counts; its salt dies when that day closes.
    pub last_day: Day,
}

/// One counted request.
#[derive(Clone, PartialEq, Eq)]
pub struct Hit {
    /// What the token says.
    pub context: Context,
    /// A pixel or a link.
    pub kind: Kind,
    /// The link's position in the template; 0 for an open.
    pub link: u16,
    /// The link that people do not see: whoever follows it follows everything.
    pub honeypot: bool,
    /// The message or contact; present exactly where the mode has marks.
    pub mark: Option<Mark>,
    /// Arrival, in milliseconds since 1970.
    pub at_ms: u64,
    /// What the request alone told.
    pub verdict: Verdict,
    /// The device.
    pub device: Device,
    /// The mail client or browser.
    pub client: Client,
    /// The operating system.
    pub system: System,
    /// ISO 3166-1 alpha-2, where policy allows a place and one is known.
    pub country: Option<[u8; 2]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_reads_back_as_its_value() {
        for n in 0..=255u8 {
            assert!(Verdict::from_u8(n).is_none_or(|v| v as u8 == n));
            assert!(Device::from_u8(n).is_none_or(|v| v as u8 == n));
            assert!(Client::from_u8(n).is_none_or(|v| v as u8 == n));
            assert!(System::from_u8(n).is_none_or(|v| v as u8 == n));
        }
        assert_eq!(Verdict::ALL.len(), 8);
    }
}
