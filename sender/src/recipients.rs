//! The list: a CSV file with one row a person.
//!
//! A header row names the columns. One of them is `address` (or `email`); the others are free and
//! fill placeholders. Every bad row is found before anything is written, so that a person can mend
//! all of them at once.

use std::collections::HashMap;
use std::io::{self, Read};

use zeroize::Zeroizing;

use crate::address::{Address, AddressError};
use crate::html::RenderError;
use crate::message::HeaderError;

/// The longest cell, in bytes. A quote that was never closed makes a cell of the rest of the file.
const MAX_CELL: usize = 10_000;

/// The names that the address column may have. A list has exactly one of them.
pub const ADDRESS_COLUMNS: [&str; 2] = ["address", "email"];

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
    Read(#[source] io::Error),
    /// The header row.
    #[error("row 1: the list is not CSV in UTF-8: {0}")]
    Csv(#[source] csv::Error),
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
    ///
    /// # Errors
    /// [`ListError`] when there is no list; a bad row is no error but one of `bad`.
    pub fn read(mut input: impl Read) -> Result<Self, ListError> {
        let mut bytes = Zeroizing::new(Vec::new());
        input.read_to_end(&mut bytes).map_err(ListError::Read)?;
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
        let header = reader.headers().map_err(ListError::Csv)?;
        let names: Vec<String> =
            header.iter().map(|name| Columns::fold(name.trim_start_matches('\u{feff}'))).collect();
        let address_column = address_column(&names)?;
        let columns = Columns(names);
        let mut list = Self { columns, recipients: Vec::new(), bad: Vec::new() };
        let mut seen: HashMap<Address, u64> = HashMap::new();
        let mut record = csv::ByteRecord::new();
        let mut rows = Rows { bytes: &bytes, at: 0, row: 1 };
        while reader.read_byte_record(&mut record).map_err(ListError::Csv)? {
            let row = rows.of(&record);
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

/// Numbers records as an editor does. The reader's own line numbers differ where lines end in
/// CRLF or are blank.
struct Rows<'a> {
    bytes: &'a [u8],
    at: usize,
    row: u64,
}

impl Rows<'_> {
    fn of(&mut self, record: &csv::ByteRecord) -> u64 {
        let offset = record.position().map_or(0, csv::Position::byte);
        let rest = usize::try_from(offset).ok().and_then(|offset| self.bytes.get(offset..));
        let breaks = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
        // The offset is the end of the record before, line ends and blank lines not yet skipped.
        let start = rest.map_or(self.at, |rest| {
            self.bytes.len() - rest.len() + rest.iter().take_while(breaks).count()
        });
        let newlines = self.bytes[self.at..start].iter().filter(|byte| **byte == b'\n').count();
        self.row += newlines as u64;
        self.at = start;
        self.row
    }
}

fn address_column(names: &[String]) -> Result<usize, ListError> {
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(ListError::Twice { name: name.clone() });
        }
    }
    let mut candidates =
        names.iter().enumerate().filter(|(_, name)| ADDRESS_COLUMNS.contains(&name.as_str()));
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
