//! What `hushmark stamp` wrote, as a mail client reads it: to whom a message goes, and what is
//! tracked in it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use mail_parser::MessageParser;

/// One message that people get.
#[derive(Clone, Debug)]
pub struct Letter {
    /// The address that it goes to; nothing where one message goes to all, and names nobody.
    pub to: String,
    /// The pixel's path at the edge, where it has one.
    pub pixel: Option<String>,
    /// The path of the page that says what it records, where it links to one.
    pub page: Option<String>,
    /// Paths of the links that lead through the edge, in the message's order.
    pub links: Vec<String>,
}

/// Reads every message of a folder, in the order of the list. Of `base_url` is what leads through
/// the edge.
///
/// # Errors
/// Which message cannot be read, and why.
pub fn read(folder: &Path, base_url: &str) -> Result<Vec<Letter>> {
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    let paths: Result<Vec<_>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths?;
    paths.sort();
    let letter = |path: &Path| letter(&fs::read(path)?, base_url);
    let read = |path: &std::path::PathBuf| {
        letter(path).with_context(|| format!("message {}", path.display()))
    };
    paths.iter().filter(|path| path.extension().is_some_and(|it| it == "eml")).map(read).collect()
}

fn letter(message: &[u8], base_url: &str) -> Result<Letter> {
    let message = MessageParser::default().parse(message).context("is no mail")?;
    let to = message.to().context("says nothing of whom it goes to")?;
    let to = to.first().and_then(|to| to.address()).unwrap_or_default();
    let html = message.body_html(0).context("has no HTML")?;
    let paths = |route: &str| -> Vec<String> {
        let begin = format!("{base_url}{route}");
        html.match_indices(&begin)
            .map(|(at, _)| &html[at + base_url.len()..])
            .map(|rest| rest.split(['"', '\'', '<', ' ']).next().unwrap_or(rest).to_owned())
            .collect()
    };
    Ok(Letter {
        to: to.to_owned(),
        pixel: paths("/o/").pop(),
        page: paths("/p/").pop(),
        links: paths("/c/"),
    })
}
