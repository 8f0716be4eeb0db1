//! Placeholders: `{{column}}`, or `{{column|what stands there when the cell is empty}}`.
//!
//! A placeholder names a column and nothing else. There are no functions, no environment and no
//! second pass, so that a cell that contains `{{…}}` is text like any other.

use std::borrow::Cow;
use std::ops::Range;

use crate::recipients::{Columns, Recipient};

/// The placeholder that stands for the campaign's unsubscribe URL. A link that starts with it is
/// a system link, which is never wrapped.
pub const UNSUBSCRIBE: &str = "unsubscribe";

/// The placeholder that stands for the message's own page: what is recorded of it, and a way to
/// object. A link that starts with it is a system link, which is never wrapped.
pub const TRACKING_PAGE: &str = "tracking-page";

/// One placeholder of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The column's name, folded as [`Columns`] folds it.
    pub name: String,
    /// What the author wants where the cell is empty, or where nobody is addressed.
    pub fallback: Option<String>,
    /// Where it stands in the source, for messages.
    pub line: usize,
}

/// What is wrong with a placeholder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// `{{` that no `}}` closes, or one with markup inside.
    #[error(
        "line {line}: {{{{ begins a placeholder that is not one: write {{{{column}}}} or \
         {{{{column|fallback}}}}, with no markup in between"
    )]
    Malformed {
        /// Line in the template.
        line: usize,
    },
    /// The list has no such column.
    #[error("line {line}: the list has no column {name:?} (it has: {known})")]
    Unknown {
        /// The name as folded.
        name: String,
        /// Line in the template.
        line: usize,
        /// The columns that there are.
        known: String,
    },
    /// `{{unsubscribe}}` without anything to put there.
    #[error(
        "line {line}: {{{{unsubscribe}}}} has no value: give the campaign an unsubscribe URL, or \
         the list a column \"unsubscribe\""
    )]
    NoUnsubscribe {
        /// Line in the template.
        line: usize,
    },
    /// One message goes to all, and the placeholder needs a person.
    #[error(
        "line {line}: {{{{{name}}}}} differs by recipient, and `overall` sends one message to \
         all: remove it, or say what to show instead: {{{{{name}|…}}}}"
    )]
    Shared {
        /// The name as folded.
        name: String,
        /// Line in the template.
        line: usize,
    },
}

/// Who a message is for: what its placeholders are filled with.
#[derive(Clone, Copy)]
pub enum Reader<'a> {
    /// One recipient of the list.
    One(&'a Columns, &'a Recipient),
    /// Everyone at once: only fallbacks can be shown.
    Everyone(&'a Columns),
}

/// What fills placeholders for one message.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// Who reads the message.
    pub reader: Reader<'a>,
    /// The campaign's unsubscribe URL, if it has one.
    pub unsubscribe: Option<&'a str>,
    /// The URL of the message's own page.
    pub page: &'a str,
}

impl<'a> Values<'a> {
    /// Whether one person is addressed.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        matches!(self.reader, Reader::One(..))
    }

    /// The text for one placeholder, not yet escaped for where it stands.
    ///
    /// # Errors
    /// [`SlotError`] when there is no such column, or nobody to take a cell from.
    pub fn get(&self, slot: &'a Slot) -> Result<Cow<'a, str>, SlotError> {
        if slot.name == UNSUBSCRIBE
            && let Some(url) = self.unsubscribe
        {
            return Ok(Cow::Borrowed(url));
        }
        if slot.name == TRACKING_PAGE {
            return Ok(Cow::Borrowed(self.page));
        }
        let (columns, recipient) = match self.reader {
            Reader::One(columns, recipient) => (columns, Some(recipient)),
            Reader::Everyone(columns) => (columns, None),
        };
        let Some(index) = columns.index(&slot.name) else {
            return Err(if slot.name == UNSUBSCRIBE {
                SlotError::NoUnsubscribe { line: slot.line }
            } else {
                let (name, line) = (slot.name.clone(), slot.line);
                SlotError::Unknown { name, line, known: columns.names().join(", ") }
            });
        };
        let cell = recipient.map(|recipient| recipient.cell(index));
        match (cell, &slot.fallback) {
            (None | Some(""), Some(fallback)) => Ok(Cow::Borrowed(fallback)),
            (Some(cell), _) => Ok(Cow::Borrowed(cell)),
            (None, None) => Err(SlotError::Shared { name: slot.name.clone(), line: slot.line }),
        }
    }
}

/// The line, from 1, that a byte offset lies in.
pub(crate) fn line_of(source: &str, offset: usize) -> usize {
    1 + source.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count()
}

/// Everything in a source that begins like a placeholder, in order.
pub(crate) fn find(source: &str) -> Vec<(Range<usize>, Result<Slot, SlotError>)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(start) = source[from..].find("{{").map(|at| from + at) {
        let line = line_of(source, start);
        let inside = source[start + 2..].split_once("}}").map(|(inside, _)| inside);
        let slot = inside.and_then(|inside| slot(inside, line));
        let len = inside.filter(|_| slot.is_some()).map_or(2, |inside| inside.len() + 4);
        from = start + len;
        found.push((start..from, slot.ok_or(SlotError::Malformed { line })));
    }
    found
}

/// What stands between the braces.
fn slot(inside: &str, line: usize) -> Option<Slot> {
    if inside.contains(['{', '}', '<', '>', '"']) {
        return None;
    }
    let (name, fallback) = match inside.split_once('|') {
        Some((name, fallback)) => (name, Some(fallback.trim().to_owned())),
        None => (inside, None),
    };
    let name = Columns::fold(name);
    let is_bad = |c: char| c.is_control() || "#/&=()'".contains(c);
    (!name.is_empty() && !name.contains(is_bad)).then_some(Slot { name, fallback, line })
}

/// A text without markup: a subject, or a plain-text part.
#[derive(Clone, Debug)]
pub struct PlainTemplate {
    source: String,
    slots: Vec<(Range<usize>, Slot)>,
}

impl PlainTemplate {
    /// Finds the placeholders of a plain text.
    ///
    /// # Errors
    /// [`SlotError::Malformed`] names the line.
    pub fn parse(source: impl Into<String>) -> Result<Self, SlotError> {
        let source = source.into();
        let found = find(&source).into_iter().map(|(range, slot)| Ok((range, slot?)));
        let slots = found.collect::<Result<_, SlotError>>()?;
        Ok(Self { source, slots })
    }

    /// Whether a placeholder of that name stands in it.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.slots.iter().any(|(_, slot)| slot.name == name)
    }

    /// The text for one reader; everything outside placeholders is as written.
    ///
    /// # Errors
    /// [`SlotError`] when a placeholder has no value.
    pub fn render(&self, values: &Values<'_>) -> Result<String, SlotError> {
        let mut out = String::with_capacity(self.source.len());
        let mut at = 0;
        for (range, slot) in &self.slots {
            out.push_str(&self.source[at..range.start]);
            out.push_str(&values.get(slot)?);
            at = range.end;
        }
        out.push_str(&self.source[at..]);
        Ok(out)
    }
}
