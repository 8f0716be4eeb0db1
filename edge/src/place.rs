//! The country of an address, from an mmdb file, where a Region configures one.
//!
//! The file is read once and rewritten as a sorted table of where each country's addresses begin;
//! then the file is let go. The table takes half of the file's memory and answers in a tenth of its
//! time, nothing in it can be finer than a country, and a file that is broken anywhere is refused
//! when it is opened instead of when somebody from that corner of the world opens a mail.
//!
//! Both layouts in use are understood: `country.iso_code` (MaxMind, DB-IP) and `country_code`
//! (ip-location-db).

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use maxminddb::{MaxMindDbError, PathElement, Reader};
use thiserror::Error;

use crate::client_addr::ClientAddr;

/// Why a file is no use as a country database. A reload keeps the one that is loaded.
#[derive(Debug, Error)]
pub enum CountryDbError {
    /// The file cannot be read.
    #[error("country database {path}: cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is no mmdb file, or is cut short or damaged.
    #[error("country database {path}: no whole mmdb file, fetch it anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: MaxMindDbError,
    },
    /// It is an mmdb file about something else.
    #[error("country database {path}: of type {kind:?}, and no record in it holds a country")]
    NoCountry {
        /// The file.
        path: PathBuf,
        /// What it says that it is.
        kind: String,
    },
}

/// Two capital letters, ISO 3166-1 alpha-2.
type Country = [u8; 2];

/// Which country's an address is: sorted tables for IPv4, and for IPv6 by network of 64 bits, the
/// smallest that anybody is given.
pub struct CountryDb {
    v4: Table<u32>,
    v6: Table<u64>,
}

impl CountryDb {
    /// Reads and checks a file; some tenths of a second for all the world. Not for a core that
    /// serves: the caller opens it elsewhere and swaps it in.
    ///
    /// # Errors
    ///
    /// Where the file cannot be read, is damaged, or holds no countries.
    pub fn open(path: &Path) -> Result<Self, CountryDbError> {
        let bytes = std::fs::read(path)
            .map_err(|source| CountryDbError::Read { path: path.to_owned(), source })?;
        let damaged = |source| CountryDbError::Damaged { path: path.to_owned(), source };
        let reader = Reader::from_source(bytes).map_err(damaged)?;
        let db = Self::of(&reader).map_err(damaged)?;
        if db.v4.is_empty() && db.v6.is_empty() {
            let kind = reader.metadata().database_type.clone();
            return Err(CountryDbError::NoCountry { path: path.to_owned(), kind });
        }
        Ok(db)
    }

    fn of(reader: &Reader<Vec<u8>>) -> Result<Self, MaxMindDbError> {
        let mut db = Self { v4: Table::default(), v6: Table::default() };
        // There are a few hundred countries, and hundreds of thousands of networks.
        let mut known: HashMap<usize, Option<Country>> = HashMap::new();
        for found in reader.networks(maxminddb::WithinOptions::default())? {
            let found = found?;
            let Some(offset) = found.offset() else { continue };
            let country = match known.get(&offset) {
                Some(country) => *country,
                None => *known.entry(offset).or_insert(country_of(&found)?),
            };
            let network = found.network()?;
            match (network.network(), network.broadcast()) {
                (IpAddr::V4(first), IpAddr::V4(last)) => {
                    db.v4.append(first.to_bits(), last.to_bits().checked_add(1), country);
                }
                (IpAddr::V6(first), IpAddr::V6(last)) => {
                    let upper = |ip: std::net::Ipv6Addr| (ip.to_bits() >> 64) as u64;
                    db.v6.append(upper(first), upper(last).checked_add(1), country);
                }
                _ => {}
            }
        }
        db.v4.finish();
        db.v6.finish();
        Ok(db)
    }

    /// The country of an address, where the database knows one.
    #[must_use]
    pub fn lookup(&self, addr: &ClientAddr) -> Option<Country> {
        match addr.ip() {
            IpAddr::V4(ip) => self.v4.country(ip.to_bits()),
            IpAddr::V6(ip) => self.v6.country((ip.to_bits() >> 64) as u64),
        }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn memory(&self) -> usize {
        let country = size_of::<Country>();
        self.v4.starts.len() * (size_of::<u32>() + country)
            + self.v6.starts.len() * (size_of::<u64>() + country)
    }
}

fn country_of<S: AsRef<[u8]>>(
    found: &maxminddb::LookupResult<'_, S>,
) -> Result<Option<Country>, MaxMindDbError> {
    const LAYOUTS: [&[PathElement<'_>]; 2] = [
        &[PathElement::Key("country"), PathElement::Key("iso_code")],
        &[PathElement::Key("country_code")],
    ];
    for layout in LAYOUTS {
        if let Some(code) = found.decode_path::<&str>(layout)? {
            let code: Option<Country> = code.to_ascii_uppercase().into_bytes().try_into().ok();
            return Ok(code.filter(|code| code.iter().all(u8::is_ascii_uppercase)));
        }
    }
    Ok(None)
}

/// Where each country's addresses begin; what is nobody's begins with a country of zeros.
#[derive(Default)]
struct Table<T> {
    starts: Vec<T>,
    countries: Vec<Country>,
    /// The first address after the last network, while appending; `None` after the very last.
    next: Option<T>,
}

const NOBODY: Country = [0; 2];

impl<T: Copy + Ord + Default> Table<T> {
    /// Appends the network from `first` until before `next`; networks come in their order.
    fn append(&mut self, first: T, next: Option<T>, country: Option<Country>) {
        if let Some(gap) = self.next.filter(|&gap| gap < first) {
            self.begin(gap, NOBODY);
        }
        self.begin(first, country.unwrap_or(NOBODY));
        self.next = next;
    }

    fn begin(&mut self, start: T, country: Country) {
        // A second start at one place is a network finer than the table: the first one stays.
        let known = self.starts.last().is_some_and(|&last| start <= last);
        if !known && self.countries.last().copied().unwrap_or(NOBODY) != country {
            self.starts.push(start);
            self.countries.push(country);
        }
    }

    fn finish(&mut self) {
        if let Some(end) = self.next {
            self.begin(end, NOBODY);
        }
        self.starts.shrink_to_fit();
        self.countries.shrink_to_fit();
    }

    fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    fn country(&self, ip: T) -> Option<Country> {
        let after = self.starts.partition_point(|&start| start <= ip);
        let country = *self.countries.get(after.checked_sub(1)?)?;
        (country != NOBODY).then_some(country)
    }
}

#[cfg(test)]
mod tests;
