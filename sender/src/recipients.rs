//! The list: a CSV file with one row a person.
//!
//! A header row names the columns. One of them is `address` (or `email`); the others are free and
//! fill placeholders. Every bad row is found before anything is written, so that a person can mend
//! all of them at once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io::Read;

use zeroize::Zeroizing;

use crate::html::RenderError;
use crate::message::HeaderError;

/// The longest cell, in bytes. A quote that was never closed makes a cell of the rest of the file.
const MAX_CELL: usize = 10_000;

/// A recipient's mail address: checked, wiped when dropped, and without `Debug` or `Display`, so
/// that logging one does not compile. Two are equal if they differ in case alone.
#[derive(Clone)]
pub struct Address(Zeroizing<String>);

/// Why a text is not a mail address. It never repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// Line breaks, tabs and their like, which could add a header to a mail.
    #[error("the address contains a control character")]
    Control,
    /// Beyond RFC 5321's limits: 64 octets before the @, 254 in all.
    #[error("the address is too long (64 characters before the @, 254 in all)")]
    TooLong,
    /// Letters beyond ASCII, which need SMTPUTF8 all the way to the mailbox.
    #[error("the address has letters beyond ASCII, which not every mail server takes")]
    NotAscii,
    /// No @, or more than one.
    #[error("the address needs exactly one @")]
    At,
    /// Quotes, spaces, dots in the wrong place.
    #[error("what stands before the @ is not a plain mailbox name")]
    Local,
    /// Not a host name (RFC 1123).
    #[error("what stands after the @ is not a host name")]
    Domain,
}

impl Address {
    /// Checks a text against RFC 5321's `Mailbox`, less quoted names and address literals.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim_matches(' ');
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.contains(char::is_control) {
            return Err(AddressError::Control);
        }
        if !text.is_ascii() {
            return Err(AddressError::NotAscii);
        }
        let (local, domain) = text.split_once('@').ok_or(AddressError::At)?;
        if domain.contains('@') {
            return Err(AddressError::At);
        }
        if local.len() > 64 || text.len() > 254 {
            return Err(AddressError::TooLong);
        }
        let atom =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        if !local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom)) {
            return Err(AddressError::Local);
        }
        let label = |part: &str| {
            (1..=63).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if !domain.split('.').all(label) {
            return Err(AddressError::Domain);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The address, for the code that seals it or writes it into a mail's `To`.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The address in lower case, by which a contact is found again.
    #[must_use]
    pub fn folded(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.to_ascii_lowercase())
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.bytes().for_each(|byte| state.write_u8(byte.to_ascii_lowercase()));
    }
}

/// The names of a list's columns.
#[derive(Clone, Debug)]
pub struct Columns(Vec<String>);

impl Columns {
    /// A column's name as it is compared: without spaces around it and in lower case.
    #[must_use]
    pub fn fold(name: &str) -> String {
        name.trim().to_lowercase()
    }

    /// The names, folded, in the file's order.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn index(&self, folded: &str) -> Option<usize> {
        self.0.iter().position(|name| name == folded)
    }
}

/// One person of the list.
pub struct Recipient {
    /// The row in the file as an editor numbers it; the header is row 1.
    pub row: u64,
    /// Where the mail goes.
    pub address: Address,
    cells: Vec<Zeroizing<String>>,
}

impl Recipient {
    pub(crate) fn cell(&self, index: usize) -> &str {
        self.cells.get(index).map_or("", |cell| cell)
    }
}

/// A row that cannot be used. It says nothing of what the row holds.
#[derive(Debug, thiserror::Error)]
#[error("row {row}: {reason}")]
pub struct BadRow {
    /// The row in the file; the header is row 1.
    pub row: u64,
    /// What is wrong with it.
    pub reason: RowReason,
}

/// What is wrong with a row.
#[derive(Debug, thiserror::Error)]
pub enum RowReason {
    /// The address cell.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Too many cells, or too few.
    #[error("it has {found} cells and the header has {expected}: is a quote or a comma missing?")]
    Cells {
        /// Cells in this row.
        found: usize,
        /// Columns in the header.
        expected: usize,
    },
    /// A cell that no placeholder should ever show.
    #[error("column {column:?} contains a control character")]
    Control {
        /// The column's name.
        column: String,
    },
    /// A cell beyond the limit.
    #[error("column {column:?} is longer than {MAX_CELL} bytes: is a quote not closed?")]
    TooLong {
        /// The column's name.
        column: String,
    },
    /// The same person twice.
    #[error("the address is the same as in row {first}")]
    Duplicate {
        /// The row that has it first.
        first: u64,
    },
    /// Bytes that are no UTF-8.
    #[error("it is not UTF-8: save the list as CSV in UTF-8")]
    NotUtf8,
    /// The newsletter cannot be filled from this row.
    #[error(transparent)]
    Render(RenderError),
    /// A header cannot be filled from this row.
    #[error(transparent)]
    Header(HeaderError),
}

/// Why a list cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The file.
    #[error("the list cannot be read: {0}")]
    Read(#[source] csv::Error),
    /// No address column.
    #[error(
        "row 1: the list needs a column \"address\" or \"email\" (it has: {found}); columns are \
         separated by commas"
    )]
    NoAddress {
        /// The columns that there are.
        found: String,
    },
    /// Two columns of one name, or both `address` and `email`.
    #[error("row 1: the list has two columns {name:?}")]
    Twice {
        /// The name.
        name: String,
    },
}

/// A list as read: who can be written to, and which rows cannot.
pub struct List {
    /// The columns' names.
    pub columns: Columns,
    /// Good rows in the file's order.
    pub recipients: Vec<Recipient>,
    /// Bad rows in the file's order. With any, a strict run writes nothing.
    pub bad: Vec<BadRow>,
}

impl List {
    /// Reads a list to its end.
    pub fn read(input: impl Read) -> Result<Self, ListError> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input);
        let header = reader.headers().map_err(ListError::Read)?;
        let names: Vec<String> =
            header.iter().map(|name| Columns::fold(name.trim_start_matches('\u{feff}'))).collect();
        let address_column = address_column(&names)?;
        let columns = Columns(names);
        let mut list = Self { columns, recipients: Vec::new(), bad: Vec::new() };
        let mut seen: HashMap<Address, u64> = HashMap::new();
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(ListError::Read)? {
            let row = record.position().map_or(0, csv::Position::line);
            match recipient(row, &record, &list.columns, address_column) {
                Ok(found) => match seen.insert(found.address.clone(), row) {
                    None => list.recipients.push(found),
                    Some(first) => {
                        seen.insert(found.address, first);
                        list.bad.push(BadRow { row, reason: RowReason::Duplicate { first } });
                    }
                },
                Err(reason) => list.bad.push(BadRow { row, reason }),
            }
        }
        Ok(list)
    }
}

fn address_column(names: &[String]) -> Result<usize, ListError> {
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(ListError::Twice { name: name.clone() });
        }
    }
    let mut candidates =
        names.iter().enumerate().filter(|(_, name)| *name == "address" || *name == "email");
    match (candidates.next(), candidates.next()) {
        (Some((index, _)), None) => Ok(index),
        (None, _) => Err(ListError::NoAddress { found: names.join(", ") }),
        (Some(_), Some(_)) => Err(ListError::Twice { name: "address / email".to_owned() }),
    }
}

fn recipient(
    row: u64,
    record: &csv::ByteRecord,
    columns: &Columns,
    address_column: usize,
) -> Result<Recipient, RowReason> {
    let (found, expected) = (record.len(), columns.names().len());
    if found != expected {
        return Err(RowReason::Cells { found, expected });
    }
    let mut cells = Vec::with_capacity(expected);
    for (cell, column) in record.iter().zip(columns.names()) {
        let cell = str::from_utf8(cell).map_err(|_| RowReason::NotUtf8)?;
        if cell.len() > MAX_CELL {
            return Err(RowReason::TooLong { column: column.clone() });
        }
        // A line break is text in a body; whatever goes into a header refuses it there.
        let is_bad = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if cell.contains(is_bad) {
            return Err(RowReason::Control { column: column.clone() });
        }
        cells.push(Zeroizing::new(cell.trim().to_owned()));
    }
    let address = Address::parse(
        record.get(address_column).map_or("", |cell| str::from_utf8(cell).unwrap_or_default()),
    )?;
    Ok(Recipient { row, address, cells })
}
