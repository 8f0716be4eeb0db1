//! What can be typed about single people and their mail. An address is personal data in a list of
//! processes: it comes from a file or standard input, never as an argument.

use std::path::PathBuf;

use clap::Args as Group;

use super::Whose;

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
    pub(crate) whose: Whose,
    #[command(flatten)]
    pub(crate) by: By,
    #[command(flatten)]
    pub(crate) format: Format,
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
