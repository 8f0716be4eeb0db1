//! The plan as text. Pure.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::super::paint::{Paint, wrapped};
use super::Planned;
use super::effect::{Direction, Effect, Line, Refusal};
use super::merge::{Change, Field};

/// A terminal's width, less the indent.
const WIDTH: usize = 92;

/// Names of things alike; the rest is counted.
const NAMES: usize = 8;

/// The whole plan.
pub(crate) fn say(planned: &Planned, paint: Paint) -> String {
    let mut out = String::new();
    for change in &planned.changes {
        out += &change_text(change, paint);
    }
    if !planned.effects.is_empty() {
        _ = writeln!(out, "\n{}", paint.title("WHAT IT MEANS"));
    }
    for effect in &planned.effects {
        out += &effect_text(effect, paint);
    }
    if !planned.refused.is_empty() {
        _ = writeln!(out, "\n{}", paint.title("REFUSED"));
    }
    for Refusal { kind, name, message } in &planned.refused {
        _ = writeln!(out, "{} {kind} {name}", paint.bad("x"));
        _ = writeln!(out, "      {}", wrapped(message, WIDTH, 6));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    for note in &planned.notes {
        _ = writeln!(out, "note: {}", wrapped(note, WIDTH, 6));
    }
    let created = planned.changes.iter().filter(|change| change.created).count();
    let changed = planned.changes.len() - created;
    let (unchanged, refused) = (planned.unchanged, planned.refused.len());
    _ = write!(out, "{created} to create, {changed} to change, {unchanged} unchanged");
    if refused > 0 {
        _ = write!(out, ", {}", paint.bad(&format!("{refused} refused")));
    }
    out + "; nothing was changed\n"
}

fn change_text(change: &Change, paint: Paint) -> String {
    let Change { kind, name, created, fields } = change;
    let mark = if *created { paint.good("+") } else { paint.uneasy("~") };
    let mut out = format!("{mark} {}\n", paint.title(&format!("{kind} {name}")));
    for Field { path, from, to } in fields {
        let to = to.as_ref().map_or_else(|| "(gone)".to_owned(), value);
        _ = match from {
            Some(from) => writeln!(out, "      {path}: {} -> {to}", value(from)),
            None => writeln!(out, "      {path}: {to}"),
        };
    }
    out
}

fn value(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn effect_text(effect: &Effect, paint: Paint) -> String {
    let Effect { kind, names, lines } = effect;
    let mut said = names.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    if let more @ 1.. = names.len().saturating_sub(NAMES) {
        said += &format!(" and {more} more");
    }
    let mut out = format!("{}\n", paint.title(&wrapped(&format!("{kind} {said}"), WIDTH, 4)));
    for Line { direction, reaches_sent_mail, text } in lines {
        let word = match direction {
            Direction::Tightens => paint.good("tightens"),
            Direction::Loosens => paint.uneasy("loosens "),
            Direction::New => "new     ".to_owned(),
            Direction::Other => "        ".to_owned(),
        };
        let reach = match (direction, reaches_sent_mail) {
            (Direction::Other, true) => {
                "; of mail that was sent nothing is recorded any more, within a second"
            }
            (_, true) => "; mail that was sent included, within a second",
            (Direction::Loosens, false) => "; only mail sealed from then on",
            _ => "",
        };
        _ = writeln!(out, "  {word}  {}", wrapped(&format!("{text}{reach}"), WIDTH - 12, 12));
    }
    out
}
