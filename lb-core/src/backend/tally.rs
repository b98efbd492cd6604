//! Rise and fall: what a row of check results makes of a server. No clock, no socket.

use super::check::{HealthCheck, Initial};

/// A server's health by its checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// No result yet.
    Unknown,
    Up,
    Down,
}

/// The state and the results in a row that speak against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    health: Health,
    against: u32,
}

impl Tally {
    /// Before the first result; without a check a server counts as up.
    pub(super) fn new(check: Option<&HealthCheck>) -> Self {
        let health = match check.map(|check| check.initial) {
            None | Some(Initial::Up) => Health::Up,
            Some(Initial::Unknown) => Health::Unknown,
            Some(Initial::Down) => Health::Down,
        };
        Self { health, against: 0 }
    }

    /// Counts one result; `true`: the state flipped.
    pub(super) fn record(&mut self, passed: bool, check: &HealthCheck) -> bool {
        let (next, needed) = if passed { (Health::Up, check.rise) } else { (Health::Down, check.fall) };
        if self.health == next {
            self.against = 0;
            return false;
        }
        self.against += 1;
        // From unknown, one result decides: until then the server is idle, or the backend is blind.
        let flips = self.health == Health::Unknown || self.against >= needed;
        if flips {
            *self = Self { health: next, against: 0 };
        }
        flips
    }

    pub(super) fn health(self) -> Health {
        self.health
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a row of results (`+` passed, `-` failed) makes of a state: `?` unknown, `u` up, `d` down.
    fn states(initial: Initial, rise: u32, fall: u32, results: &str) -> String {
        let check = HealthCheck::tcp().initial(initial).rise(rise).fall(fall);
        let mut tally = Tally::new(Some(&check));
        let mut before = tally.health();
        let each = |result| {
            let flipped = tally.record(result == '+', &check);
            assert_eq!(flipped, tally.health() != before, "a flip is a change of state");
            before = tally.health();
            match before {
                Health::Unknown => '?',
                Health::Up => 'u',
                Health::Down => 'd',
            }
        };
        results.chars().map(each).collect()
    }

    #[test]
    fn rise_and_fall_count_results_in_a_row() {
        use Initial::{Down, Unknown, Up};
        let cases = [
            (Unknown, 2, 3, "+", "u"),
            (Unknown, 2, 3, "-", "d"),
            (Unknown, 2, 3, "-+-++", "ddddu"),
            (Up, 2, 3, "--+---", "uuuuud"),
            (Up, 2, 3, "---+-++", "uuddddu"),
            (Down, 2, 3, "+-++", "dddu"),
            (Down, 1, 1, "+-+-", "udud"),
            (Up, 1, 1, "-+-+", "dudu"),
        ];
        for (initial, rise, fall, results, expected) in cases {
            assert_eq!(states(initial, rise, fall, results), expected, "{initial:?} {rise}/{fall} {results}");
        }
    }

    #[test]
    fn without_a_check_a_server_is_up() {
        assert_eq!(Tally::new(None).health(), Health::Up);
    }
}
