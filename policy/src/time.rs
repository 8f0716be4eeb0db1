//! Days and months, the units in which keys live and data is partitioned. All are UTC.

use std::fmt;

/// Milliseconds in a day.
const DAY_MS: u64 = 86_400_000;

/// A UTC day, as days since 1970-01-01. It reaches to the year 2149.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub u16);

impl Day {
    /// The day of a moment in milliseconds since 1970; moments past 2149 stay on the last day.
    #[must_use]
    pub fn of_unix_ms(ms: u64) -> Self {
        Self(u16::try_from(ms / DAY_MS).unwrap_or(u16::MAX))
    }

    /// The moment at which the day begins, in milliseconds since 1970.
    #[must_use]
    pub const fn start_ms(self) -> u64 {
        self.0 as u64 * DAY_MS
    }

    /// This day moved by a number of days, held at either end of what a day can be.
    #[must_use]
    pub const fn plus(self, days: u16) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// The month that the day lies in.
    #[must_use]
    pub fn month(self) -> Month {
        let (year, month, _) = self.civil();
        Month { year, month }
    }

    /// Year, month and day of the Gregorian calendar (H. Hinnant, "chrono-compatible low-level
    /// date algorithms", `civil_from_days`).
    #[must_use]
    pub fn civil(self) -> (u16, u8, u8) {
        let z = u32::from(self.0) + 719_468;
        let era = z / 146_097;
        let doe = z % 146_097;
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + u32::from(month <= 2);
        (year as u16, month as u8, day as u8)
    }

    /// Reads a day written as `2026-11-21`, which is how key files are named.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let year: i64 = parts.next().filter(|y| y.len() == 4)?.parse().ok()?;
        let month: i64 = parts.next().filter(|m| m.len() == 2)?.parse().ok()?;
        let day: i64 = parts.next().filter(|d| d.len() == 2)?.parse().ok()?;
        if parts.next().is_some() {
            return None;
        }
        let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
        let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
        // Reading back what it would print refuses 2026-02-30 and its like.
        u16::try_from(days).ok().map(Self).filter(|d| d.to_string() == text)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Debug for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Day({self})")
    }
}

/// A calendar month, the unit of partitions.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// The year, four digits.
    pub year: u16,
    /// The month, 1 to 12.
    pub month: u8,
}

impl Month {
    /// The month's first day, which stands for it in the tables.
    #[must_use]
    pub fn first_day(self) -> Day {
        Day::parse(&format!("{self}-01")).unwrap_or(Day(0))
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Month({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_reads_back_as_it_prints_and_lies_in_its_month() {
        for n in 0..=u16::MAX {
            let day = Day(n);
            assert_eq!(Day::parse(&day.to_string()), Some(day));
            assert!(day.to_string().starts_with(&day.month().to_string()));
            assert!(day.month().first_day() <= day);
        }
    }

    #[test]
    fn days_that_no_calendar_has_are_refused() {
        for text in ["2026-02-30", "2026-13-01", "2026-1-1", "26-01-01", "2026-01-01-", "", "x"] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }
}
