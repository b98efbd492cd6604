//! Durations and sizes as the file writes them: a whole number and a unit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A length of time: `"500ms"`, `"2s"`, `"1m"`, `"1h"`, `"1d"`. At most [`Period::LONGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(pub(crate) Duration);

impl Period {
    /// A year. Longer is a slip of the finger, and timers far beyond it overflow.
    pub(crate) const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);
}

/// Unit names with their milliseconds, largest first.
const PERIODS: [(&str, u64); 5] =
    [("d", 24 * 60 * 60 * 1000), ("h", 60 * 60 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

/// Unit names with their bytes. The powers of 1000 are read, and written back as bytes.
const SIZES: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("kB", 1000),
    ("B", 1),
];

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        let (_, factor) = PERIODS.into_iter().find(|(name, _)| *name == unit).ok_or(UnitError::Unreadable)?;
        let millis = number.checked_mul(factor).ok_or(UnitError::TooLarge)?;
        let period = Duration::from_millis(millis);
        if period > Self::LONGEST { Err(UnitError::TooLarge) } else { Ok(Self(period)) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (unit, factor) = PERIODS
            .into_iter()
            .find(|(_, factor)| millis != 0 && millis.is_multiple_of(u128::from(*factor)))
            .unwrap_or(("s", 1000));
        write!(f, "{}{unit}", millis / u128::from(factor))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A number of bytes: an integer, or `"64KiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text)?;
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, factor) = SIZES.into_iter().find(|(name, _)| *name == unit).ok_or(UnitError::Unreadable)?;
        number.checked_mul(factor).map(Self).ok_or(UnitError::TooLarge)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary =
            SIZES.into_iter().take(3).find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor));
        match binary {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => self.0.fmt(f),
        }
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is no duration or size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnitError {
    /// Not a whole number followed by a known unit.
    #[error("not a whole number with a unit")]
    Unreadable,
    /// Beyond what the type or a sane deployment holds.
    #[error("too large")]
    TooLarge,
    /// Below zero.
    #[error("negative")]
    Negative,
}

fn split(text: &str) -> Result<(u64, &str), UnitError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(UnitError::Negative);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits).ok_or(UnitError::Unreadable)?;
    if number.is_empty() {
        return Err(UnitError::Unreadable);
    }
    // Only digits: what is left to fail is the range.
    let number = number.parse().map_err(|_| UnitError::TooLarge)?;
    Ok((number, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read_and_written_alike() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("2s", 2000), ("90s", 90_000), ("1m", 60_000), ("1h", 3_600_000)]
        {
            let period: Period = text.parse().unwrap();
            assert_eq!(period.0, Duration::from_millis(millis), "{text}");
            assert_eq!(period.to_string(), text);
        }
        assert_eq!("1000ms".parse::<Period>().unwrap().to_string(), "1s");
        assert_eq!("2 s".parse::<Period>().unwrap().to_string(), "2s");
    }

    #[test]
    fn sizes_are_read_and_written_alike() {
        for (text, bytes) in
            [("0", 0), ("1000", 1000), ("64KiB", 65_536), ("3MiB", 3 << 20), ("1GiB", 1 << 30)]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.0, bytes, "{text}");
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("2kB".parse::<Size>().unwrap().0, 2000);
        assert_eq!("7B".parse::<Size>().unwrap().to_string(), "7");
    }

    #[test]
    fn what_is_neither_is_refused() {
        use UnitError::{Negative, TooLarge, Unreadable};
        for (text, expected) in [
            ("", Unreadable),
            ("2", Unreadable),
            ("s", Unreadable),
            ("1.5s", Unreadable),
            ("2sec", Unreadable),
            ("1m30s", Unreadable),
            ("-1s", Negative),
            ("367d", TooLarge),
            ("99999999999999999999s", TooLarge),
            ("18446744073709551615h", TooLarge),
        ] {
            assert_eq!(text.parse::<Period>(), Err(expected), "{text:?}");
        }
        for (text, expected) in
            [("", Unreadable), ("1TiB", Unreadable), ("-1", Negative), ("18446744073709551615KiB", TooLarge)]
        {
            assert_eq!(text.parse::<Size>(), Err(expected), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_period_comes_back(millis in 0_u64..=31_622_400_000) {
            let period = Period(Duration::from_millis(millis));
            proptest::prop_assert_eq!(period.to_string().parse::<Period>(), Ok(period));
        }

        #[test]
        fn every_size_comes_back(bytes: u64) {
            proptest::prop_assert_eq!(Size(bytes).to_string().parse::<Size>(), Ok(Size(bytes)));
        }
    }
}
