//! Who comes by in the morning: what each program says of itself, and what it has to be judged as.

use hushmark_event::{Client, Device, System, Verdict};

/// What is kept of whoever made a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) client: Client,
    pub(super) system: System,
    pub(super) device: Device,
}

/// A program that loads pictures or follows links.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// As sent; where it is empty no header is sent.
    pub(super) user_agent: &'static str,
    pub(super) judged: Judged,
}

const fn agent(
    user_agent: &'static str,
    verdict: Verdict,
    client: Client,
    system: System,
    device: Device,
) -> Agent {
    Agent { user_agent, judged: Judged { verdict, client, system, device } }
}

const fn person(user_agent: &'static str, client: Client, system: System, device: Device) -> Agent {
    agent(user_agent, Verdict::Human, client, system, device)
}

/// Mail Privacy Protection: loads every picture, read or not.
pub(super) static APPLE_PROXY: Agent =
    agent("Mozilla/5.0", Verdict::AppleProxy, Client::AppleMail, System::Unknown, Device::Server);

/// Loads a picture when somebody opens the mail in Gmail.
pub(super) static GMAIL_PROXY: Agent = agent(
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    Verdict::GmailProxy,
    Client::Gmail,
    System::Unknown,
    Device::Server,
);

/// Looks at pictures when a mail arrives, before anybody opens it.
pub(super) static GMAIL_AHEAD: Agent = agent(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
    Verdict::Prefetch,
    Client::Gmail,
    System::Unknown,
    Device::Server,
);

pub(super) static YAHOO_PROXY: Agent = agent(
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    Verdict::YahooProxy,
    Client::YahooMail,
    System::Unknown,
    Device::Server,
);

pub(super) static OUTLOOK: Agent = person(
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; .NET4.0C; \
     .NET4.0E; Microsoft Outlook 16.0.17328; ms-office; MSOffice 16)",
    Client::Outlook,
    System::Windows,
    Device::Desktop,
);

pub(super) static IPHONE_MAIL: Agent = person(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 \
     (KHTML, like Gecko) Mobile/15E148",
    Client::AppleMail,
    System::Ios,
    Device::Phone,
);

pub(super) static SAMSUNG_EMAIL: Agent = person(
    "SamsungEmail/6.1 (Android 13; SM-S918B)",
    Client::SamsungEmail,
    System::Android,
    Device::Unknown,
);

pub(super) static THUNDERBIRD: Agent = person(
    "Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Thunderbird/102.15.1",
    Client::Thunderbird,
    System::Linux,
    Device::Desktop,
);

pub(super) static CHROME: Agent = person(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/124.0.0.0 Safari/537.36",
    Client::Chrome,
    System::Windows,
    Device::Desktop,
);

pub(super) static CHROME_PHONE: Agent = person(
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/124.0.0.0 Mobile Safari/537.36",
    Client::Chrome,
    System::Android,
    Device::Phone,
);

pub(super) static SAFARI_PHONE: Agent = person(
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 \
     (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
    Client::Safari,
    System::Ios,
    Device::Phone,
);

pub(super) static EDGE: Agent = person(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
    Client::Edge,
    System::Windows,
    Device::Desktop,
);

pub(super) static FIREFOX: Agent = person(
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:126.0) Gecko/20100101 Firefox/126.0",
    Client::Firefox,
    System::Windows,
    Device::Desktop,
);

pub(super) static SAMSUNG_INTERNET: Agent = person(
    "Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) \
     SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36",
    Client::SamsungInternet,
    System::Android,
    Device::Phone,
);

const fn program(user_agent: &'static str, verdict: Verdict) -> Agent {
    agent(user_agent, verdict, Client::Program, System::Unknown, Device::Server)
}

pub(super) static GOOGLEBOT: Agent = program(
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    Verdict::Bot,
);

/// A scanner that says so. Most do not: they send [`CHROME`]'s user agent.
pub(super) static BARRACUDA: Agent = program("Barracuda Sentinel (EE)", Verdict::Scanner);

/// Sends no user agent at all.
pub(super) static NAMELESS: Agent =
    agent("", Verdict::Unknown, Client::Unknown, System::Unknown, Device::Unknown);
