//! What can be typed about single people and their mail. An address is personal data in a list of
//! processes: it comes from a file or standard input, never as an argument.

use std::path::PathBuf;

use clap::Args as Group;
use hushmark_policy::Day;

use crate::up::now_ms;

/// Bytes of a [`source`]: a sentence, and no document.
const SOURCE_MAX: usize = 1_000;

/// How people said so, as it is written down for whoever has to show it one day.
pub(super) fn source(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("say how these people said so, like \"form of 3 May 2026\"".to_owned());
    }
    if text.len() > SOURCE_MAX || text.chars().any(char::is_control) {
        return Err(format!("give one line of at most {SOURCE_MAX} bytes"));
    }
    // By this word a table tells who was erased.
    if text == "erased" {
        return Err("\"erased\" is what an erasure writes down; say it in other words".to_owned());
    }
    Ok(text.to_owned())
}

/// A day that has come: of a later one everybody would be said not to have opened since.
fn day(text: &str) -> Result<Day, String> {
    let day = Day::parse(text).ok_or("give a day of UTC since 1970, like 2026-05-03")?;
    let today = Day::of_unix_ms(now_ms());
    if day > today {
        return Err(format!("{day} has not come yet: give a day up to today, {today}"));
    }
    Ok(day)
}

/// How an answer is printed.
#[derive(Group)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Group)]
pub(crate) struct Delivered {
    /// The campaign: NAME or NAMESPACE/NAME
    pub(crate) campaign: String,
    /// Whose server answered: a file with one address a line, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) people: PathBuf,
    /// The server refused the message, or was never reached
    #[arg(long)]
    pub(crate) failed: bool,
}

#[derive(Group)]
pub(crate) struct Segment {
    #[command(flatten)]
    pub(crate) whose: OfWhom,
    #[command(flatten)]
    pub(crate) by: By,
    #[command(flatten)]
    pub(crate) format: Format,
}

/// Whose contacts are listed.
#[derive(Group)]
#[group(required = true, multiple = false)]
pub(crate) struct OfWhom {
    /// The campaign: NAME or NAMESPACE/NAME
    #[arg(long, value_name = "CAMPAIGN")]
    pub(crate) campaign: Option<String>,
    /// The tenant, by its namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) tenant: Option<String>,
}

/// By what contacts are chosen.
#[derive(Group)]
#[group(required = true, multiple = false)]
pub(crate) struct By {
    /// Contacts that a message was made for
    #[arg(long)]
    pub(crate) sent: bool,
    /// Contacts whose server took it
    #[arg(long)]
    pub(crate) delivered: bool,
    /// Contacts that a message was made for, and whose server did not take it or did not say
    #[arg(long)]
    pub(crate) not_delivered: bool,
    /// Contacts that opened it; nobody, where opens are not individual
    #[arg(long)]
    pub(crate) opened: bool,
    /// Contacts that followed a link; nobody, where clicks are not individual
    #[arg(long)]
    pub(crate) clicked: bool,
    /// Contacts of a tenant whose last open was on this day or later, where opens are lastOpenDay
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, conflicts_with = "campaign")]
    pub(crate) opened_since: Option<Day>,
    /// Contacts of a tenant that had such mail on this day or later, and were not seen opening any
    /// since: for a sender who stops writing to whoever no longer reads
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day, conflicts_with = "campaign")]
    pub(crate) not_opened_since: Option<Day>,
}

#[derive(Group)]
pub(crate) struct Contact {
    /// The tenant, by its namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) tenant: String,
    /// Who: a file with one address in it, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) person: PathBuf,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Group)]
pub(crate) struct Export {
    /// The campaign: NAME or NAMESPACE/NAME
    pub(crate) campaign: String,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Group)]
pub(crate) struct Log {
    /// The tenant, by its namespace
    #[arg(long, value_name = "NAMESPACE")]
    pub(crate) tenant: String,
    #[command(flatten)]
    pub(crate) format: Format,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::Args;

    fn is_taken(words: &[&str]) -> bool {
        Args::try_parse_from([&["hushmark"][..], words].concat()).is_ok()
    }

    #[test]
    fn how_people_said_so_is_one_line_that_says_something() {
        let long = "x".repeat(1_001);
        let consent = ["consent", "--tenant", "acme", "--people", "-", "--source"];
        let withdraw = ["withdraw", "--tenant", "acme", "--people", "-", "--source"];
        for command in [consent, withdraw] {
            let says = |source: &str| is_taken(&[&command[..], &[source]].concat());
            assert!(says("form of 3 May 2026"));
            for nothing in ["", "  ", "two\nlines", "\u{1b}[31mred", "erased", &long] {
                assert!(!says(nothing), "{nothing}");
            }
        }
    }

    #[test]
    fn contacts_are_listed_of_a_campaign_or_a_tenant_and_not_of_everybody() {
        assert!(is_taken(&["segment", "--tenant", "acme", "--sent"]));
        assert!(is_taken(&["segment", "--campaign", "spring", "--sent"]));
        assert!(!is_taken(&["segment", "--all", "--sent"]));
    }

    #[test]
    fn a_last_open_is_asked_for_of_a_tenant_and_a_day_that_has_come() {
        for by in ["--not-opened-since", "--opened-since"] {
            assert!(is_taken(&["segment", "--tenant", "acme", by, "2026-05-03"]));
            assert!(!is_taken(&["segment", "--campaign", "spring", by, "2026-05-03"]));
            assert!(!is_taken(&["segment", "--tenant", "acme", by, "2026-05-03", "--sent"]));
            for no_day in ["3 May 2026", "2026-13-01", "2100-01-01", ""] {
                assert!(!is_taken(&["segment", "--tenant", "acme", by, no_day]), "{no_day}");
            }
        }
    }
}
