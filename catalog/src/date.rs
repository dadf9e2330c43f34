//! Days, without a time and without a zone.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use serde::{Deserialize, Serialize};

/// A day, written `2026-11-25` and in no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(jiff::civil::Date);

/// A text that is not a day.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not a date such as `2026-11-25`")]
pub struct DateError {
    /// What was given.
    pub text: String,
}

impl Date {
    /// Returns this day moved by so many days; a day outside the calendar stays at its edge.
    #[must_use]
    pub fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(days.days()))
    }

    /// Returns how many days lie between `earlier` and this day; negative if it is later.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> i32 {
        self.0.since(earlier.0).map_or(0, |span| span.get_days())
    }
}

impl From<jiff::civil::Date> for Date {
    fn from(date: jiff::civil::Date) -> Self {
        Self(date)
    }
}

impl From<jiff::Timestamp> for Date {
    /// Takes the day in UTC, so that the answer is the same on every machine.
    fn from(timestamp: jiff::Timestamp) -> Self {
        Self(jiff::tz::Offset::UTC.to_datetime(timestamp).date())
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let date = text.parse::<jiff::civil::Date>().ok().map(Self);
        // The parser behind also takes `20261125` and times of day; a document has one form.
        date.filter(|date| date.to_string() == text).ok_or_else(|| DateError { text: text.to_owned() })
    }
}

impl TryFrom<String> for Date {
    type Error = DateError;

    fn try_from(text: String) -> Result<Self, DateError> {
        text.parse()
    }
}

impl From<Date> for String {
    fn from(date: Date) -> Self {
        date.to_string()
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_one_form() {
        assert_eq!("2026-11-25".parse::<Date>().unwrap().to_string(), "2026-11-25");
        for text in ["20261125", "2026-11-25T00:00:00", "2026-11-31", "2026-1-5", "", "today"] {
            assert_eq!(text.parse::<Date>(), Err(DateError { text: text.to_owned() }));
        }
    }

    #[test]
    fn days_are_added_and_counted_across_years() {
        let date: Date = "2027-01-05".parse().unwrap();
        assert_eq!(date.plus_days(-90).to_string(), "2026-10-07");
        assert_eq!(date.days_since("2026-10-07".parse().unwrap()), 90);
    }
}
