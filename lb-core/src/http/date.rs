//! The date that responses get where they have none.

use std::io::Write;
use std::time::{Duration, SystemTime};

use httpdate::HttpDate;

/// Such as `Sat, 21 Nov 2026 02:01:03 GMT`: always as long as that.
const LENGTH: usize = 29;

/// The last second that the format has digits for, at the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// The text of a moment as HTTP has it (RFC 9110 section 5.6.7). Keep one and set it forward: while the second is the
/// same, nothing is formatted.
#[derive(Debug)]
pub(crate) struct Date {
    /// What the text says, in seconds since 1970.
    second: u64,
    text: [u8; LENGTH],
}

impl Default for Date {
    fn default() -> Self {
        Self { second: u64::MAX, text: [0; LENGTH] }
    }
}

impl Date {
    /// The text of `time`; what is before 1970 counts as its beginning.
    pub(crate) fn of(&mut self, time: SystemTime) -> &[u8] {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let second = since.as_secs().min(LAST_SECOND);
        if second != self.second {
            let date = HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
            // Infallible: it is as long as the text.
            let _ = write!(&mut self.text[..], "{date}");
            self.second = second;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_that_of_the_second() {
        let mut date = Date::default();
        for (millis, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777_999, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778_000, "Sun, 06 Nov 1994 08:49:38 GMT"),
            // Clocks are set back, too.
            (784_111_777_000, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (253_402_300_800_000, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
            assert_eq!(String::from_utf8_lossy(date.of(time)), text);
        }
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(date.of(before), b"Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
