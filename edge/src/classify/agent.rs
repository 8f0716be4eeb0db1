//! What a user agent says of itself.
//!
//! Mail systems and crawlers are known by the lists of `signatures`, browsers
//! and systems by the parser `woothee`. What a mail client's web view sends, no list holds: it is
//! known by what is missing after `(KHTML, like Gecko)`.

use hushmark_event::{Client, Device, System};
use woothee::parser::{Parser, WootheeResult};

use super::USER_AGENT_CAP;
use super::signatures::{Crawler, MailClass, MailLine, Signatures};

/// Who a user agent says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Says {
    /// There is none.
    Nothing,
    /// `Mozilla/5.0` and nothing else.
    BareMozilla,
    /// Gmail's image proxy.
    GmailProxy,
    /// Yahoo's image proxy.
    YahooProxy,
    /// A program that looks at a link before a person is shown it.
    Ahead,
    /// A security scanner, by its own word.
    Scanner,
    /// Another program, by its own word.
    Program,
    /// A mail client or browser in a person's hands.
    Person,
    /// A web view inside an app, which shows mails as well as pages.
    AppView,
    /// None of these.
    Unrecognised,
}

/// All that is remembered of a user agent: four bytes, the same for thousands of people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits {
    /// Who it says it is.
    pub says: Says,
    /// On what kind of device.
    pub device: Device,
    /// Which mail client or browser.
    pub client: Client,
    /// On which operating system.
    pub system: System,
}

impl Traits {
    const fn unknown(says: Says) -> Self {
        let (device, client, system) = (Device::Unknown, Client::Unknown, System::Unknown);
        Self { says, device, client, system }
    }

    const fn server(says: Says, client: Client) -> Self {
        Self { says, device: Device::Server, client, system: System::Unknown }
    }
}

/// Reads a user agent of at most [`USER_AGENT_CAP`] bytes.
pub(super) fn read(signatures: &Signatures, user_agent: &[u8]) -> Traits {
    match user_agent {
        b"" | b"-" => return Traits::unknown(Says::Nothing),
        b"Mozilla/5.0" => return Traits::server(Says::BareMozilla, Client::AppleMail),
        _ => {}
    }
    let found = signatures.find(user_agent);
    let system = found.mail.filter(|line| line.class != MailClass::Client);
    match (system, found.crawler) {
        (Some(line), _) => return listed(line),
        (None, Some(Crawler::Scanner)) => return Traits::server(Says::Scanner, Client::Program),
        (None, Some(Crawler::Bot)) => return Traits::server(Says::Program, Client::Program),
        (None, None) => {}
    }
    let mut buffer = [0; USER_AGENT_CAP];
    let parsed = parse(ascii(user_agent, &mut buffer));
    match found.mail {
        None => parsed,
        Some(line) => Traits {
            says: Says::Person,
            client: line.client,
            device: line.device.unwrap_or(parsed.device),
            system: line.system.unwrap_or(parsed.system),
        },
    }
}

/// What the list says of a mail system that is no person's client.
fn listed(line: &MailLine) -> Traits {
    let says = match line.class {
        MailClass::GmailProxy => Says::GmailProxy,
        MailClass::YahooProxy => Says::YahooProxy,
        MailClass::Scanner => Says::Scanner,
        MailClass::Ahead => Says::Ahead,
        MailClass::Client => Says::Person,
    };
    Traits {
        says,
        client: line.client,
        device: line.device.unwrap_or(Device::Unknown),
        system: line.system.unwrap_or(System::Unknown),
    }
}

/// The same text with `?` for every byte that is not ASCII: the parser wants UTF-8, nothing that
/// it looks for is beyond ASCII, and a user agent may hold any byte.
fn ascii<'b>(user_agent: &[u8], buffer: &'b mut [u8; USER_AGENT_CAP]) -> &'b str {
    let text = &mut buffer[..user_agent.len().min(USER_AGENT_CAP)];
    for (to, from) in text.iter_mut().zip(user_agent) {
        *to = if from.is_ascii() { *from } else { b'?' };
    }
    std::str::from_utf8(text).unwrap_or_default()
}

fn parse(text: &str) -> Traits {
    let Some(parsed) = Parser::new().parse(text) else {
        return Traits::unknown(Says::Unrecognised);
    };
    let (device, system) = (device(text, &parsed), system(&parsed));
    if matches!(parsed.category, "crawler" | "misc") {
        return Traits::server(Says::Program, Client::Program);
    }
    let (says, client) = match parsed.name {
        _ if text.contains("; wv)") => (Says::AppView, Client::OtherMail),
        _ if is_apple_view(text) => (Says::AppView, Client::AppleMail),
        "Chrome" => (Says::Person, Client::Chrome),
        "Safari" => (Says::Person, Client::Safari),
        "Firefox" => (Says::Person, Client::Firefox),
        "Edge" => (Says::Person, Client::Edge),
        "Opera" => (Says::Person, Client::Opera),
        "SamsungBrowser" => (Says::Person, Client::SamsungInternet),
        // The parser gives what is no browser the name of its system.
        _ if parsed.browser_type == "browser" || parsed.browser_type == "full" => {
            (Says::Person, Client::OtherBrowser)
        }
        _ => (Says::Unrecognised, Client::Unknown),
    };
    Traits { says, device, client, system }
}

/// Apple's web view, as Mail uses it: WebKit on an Apple system that names no browser and no app.
fn is_apple_view(text: &str) -> bool {
    let Some((before, after)) = text.split_once("(KHTML, like Gecko)") else { return false };
    let build = after.trim();
    let only_build = build.is_empty() || (build.starts_with("Mobile/") && !build.contains(' '));
    only_build && before.contains("Mac OS X") && before.contains("AppleWebKit/")
}

fn device(text: &str, parsed: &WootheeResult<'_>) -> Device {
    match (parsed.category, parsed.os) {
        ("pc", _) => Device::Desktop,
        ("smartphone", "iPad") => Device::Tablet,
        // Browsers on tablets leave out "Mobile", what is no browser may leave it out anywhere:
        // https://developer.chrome.com/docs/multidevice/user-agent
        ("smartphone", "Android") if !text.contains("Mobile") => {
            if text.starts_with("Mozilla/") {
                Device::Tablet
            } else {
                Device::Unknown
            }
        }
        // The parser's name for Apple's network library, which Macs use as well.
        ("smartphone", "iOS") => Device::Unknown,
        ("smartphone" | "mobilephone", _) => Device::Phone,
        ("appliance", _) => Device::Other,
        _ => Device::Unknown,
    }
}

fn system(parsed: &WootheeResult<'_>) -> System {
    match parsed.os {
        "UNKNOWN" | "" | "iOS" => System::Unknown,
        "iPhone" | "iPad" | "iPod" => System::Ios,
        "Android" => System::Android,
        "Linux" => System::Linux,
        "ChromeOS" => System::ChromeOs,
        "Windows Phone OS" | "Windows CE" => System::Other,
        windows if windows.starts_with("Windows") => System::Windows,
        mac if mac.starts_with("Mac OS") => System::MacOs,
        _ => System::Other,
    }
}
