//! Time stamps, whose text is made once a second.

use std::time::{Duration, SystemTime};

/// The text of a moment, in UTC. Keep one and set it forward: while the second is the same, nothing is formatted.
#[derive(Debug)]
pub(crate) struct Stamp {
    /// What the texts below say, in seconds since 1970.
    second: u64,
    millis: u32,
    /// Such as `2026-11-21T02:01:03`.
    iso: String,
    /// Such as `21/Nov/2026:02:01:03 +0000`.
    clf: String,
}

/// The end of the year 9999, the last that the formats have digits for.
const LAST_SECOND: u64 = 253_402_300_799;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Stamp {
    /// The stamp of `time`; what is before 1970 counts as its beginning.
    pub(crate) fn new(time: SystemTime) -> Self {
        let mut stamp = Self { second: u64::MAX, millis: 0, iso: String::new(), clf: String::new() };
        stamp.set(time);
        stamp
    }

    /// Makes this the stamp of `time`.
    pub(crate) fn set(&mut self, time: SystemTime) {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.millis = since.subsec_millis();
        let second = since.as_secs().min(LAST_SECOND);
        if second != self.second {
            self.second = second;
            self.format();
        }
    }

    /// As in RFC 3339, with milliseconds: `2026-11-21T02:01:03.042Z`.
    pub(crate) fn write_iso(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.iso.as_bytes());
        out.push(b'.');
        // 1042 has the three digits behind its first.
        out.extend_from_slice(&itoa::Buffer::new().format(1000 + self.millis).as_bytes()[1..]);
        out.push(b'Z');
    }

    /// As in Apache's common log format, without its brackets: `21/Nov/2026:02:01:03 +0000`.
    pub(super) fn write_clf(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.clf.as_bytes());
    }

    /// The calendar is httpdate's, whose text is of fixed width: `Sat, 21 Nov 2026 02:01:03 GMT`.
    fn format(&mut self) {
        let date = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(self.second));
        let (day, month, year, clock) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
        let number = 1 + MONTHS.iter().position(|name| *name == month).unwrap_or_default();
        self.iso = format!("{year}-{number:02}-{day}T{clock}");
        self.clf = format!("{day}/{month}/{year}:{clock} +0000");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(stamp: &Stamp) -> (String, String) {
        let (mut iso, mut clf) = (Vec::new(), Vec::new());
        stamp.write_iso(&mut iso);
        stamp.write_clf(&mut clf);
        (String::from_utf8(iso).unwrap(), String::from_utf8(clf).unwrap())
    }

    #[test]
    fn stamps_are_in_utc() {
        let cases = [
            (0, "1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000"),
            (951_827_696_007, "2000-02-29T12:34:56.007Z", "29/Feb/2000:12:34:56 +0000"),
            (1_795_226_463_999, "2026-11-21T02:01:03.999Z", "21/Nov/2026:02:01:03 +0000"),
            (253_402_300_799_000, "9999-12-31T23:59:59.000Z", "31/Dec/9999:23:59:59 +0000"),
            (253_402_300_800_000, "9999-12-31T23:59:59.000Z", "31/Dec/9999:23:59:59 +0000"),
        ];
        for (millis, iso, clf) in cases {
            let stamp = Stamp::new(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(texts(&stamp), (iso.to_owned(), clf.to_owned()));
        }
        let before = Stamp::new(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        assert_eq!(texts(&before).0, "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_stamp_moves_with_the_clock_in_both_directions() {
        let mut stamp = Stamp::new(SystemTime::UNIX_EPOCH);
        for (millis, clock) in
            [(999, "00:00:00.999"), (1000, "00:00:01.000"), (60_001, "00:01:00.001"), (5, "00:00:00.005")]
        {
            stamp.set(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
            assert_eq!(texts(&stamp).0, format!("1970-01-01T{clock}Z"));
        }
    }
}
