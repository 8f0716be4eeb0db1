//! What the load asks for: paths as long as a token's, from user agents that open mail.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What opens mail: proxies, phones, programs and browsers, as their own headers say.
pub const USER_AGENTS: &[&str] = &[
    "Mozilla/5.0",
    "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
     Mobile/15E148",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/7.0; Microsoft Outlook \
     16.0.5134; ms-office; MSOffice 16)",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Thunderbird/115.10.1",
];

/// Length of a pixel's token in the path.
const TOKEN: usize = 118;

/// Writes the file that `wrk/requests.lua` reads: each path with a user agent, in turn.
///
/// # Errors
/// When it cannot be written.
pub fn write<'a>(file: &Path, paths: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut text = String::new();
    for (path, agent) in paths.zip(USER_AGENTS.iter().cycle()) {
        writeln!(text, "{path}\t{agent}")?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Paths that look like pixels and verify nowhere: peers do not look at them.
#[must_use]
pub fn lookalikes(count: usize) -> Vec<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = 1_u64;
    let mut letter = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(ALPHABET[(state >> 58) as usize])
    };
    (0..count).map(|_| format!("/o/{}", (0..TOKEN).map(|_| letter()).collect::<String>())).collect()
}
