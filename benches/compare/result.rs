//! What was measured: samples, and what follows from them by arithmetic alone.

use crate::load::Outcome;
use crate::peer::Subject;
use crate::scenario::Scenario;
use crate::statistics::Spread;
use crate::task::{Cpu, Memory};

/// One scenario with all its samples and all that was left out.
#[derive(Debug)]
pub(crate) struct Findings {
    pub(crate) scenario: Scenario,
    pub(crate) samples: Vec<Sample>,
    /// Whoever has no figure, and why.
    pub(crate) left_out: Vec<String>,
}

/// One measurement of one subject.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) subject: Subject,
    pub(crate) round: u32,
    /// In the scenario's unit.
    pub(crate) value: f64,
    /// While the load ran.
    pub(crate) cpu: Cpu,
    pub(crate) outcome: Outcome,
    /// After the load.
    pub(crate) memory: Memory,
}

/// A subject's row in a table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) subject: Subject,
    pub(crate) value: Spread,
    /// The part of its CPU spent in the kernel.
    pub(crate) system_share: f64,
    /// Beside each reference that was measured in the same rounds.
    pub(crate) ratios: Vec<(Subject, Spread)>,
    pub(crate) rate: f64,
    /// Microseconds: p50, p99, p99.9.
    pub(crate) latency: [Option<f64>; 3],
    pub(crate) resident_bytes: f64,
    /// Over all rounds. Other than zero only where failing is what is measured.
    pub(crate) failed: u64,
    pub(crate) requests: u64,
}

impl Findings {
    /// A row for each subject that has a figure, in the order of the rounds.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut subjects: Vec<Subject> = Vec::new();
        for sample in &self.samples {
            if !subjects.contains(&sample.subject) {
                subjects.push(sample.subject);
            }
        }
        subjects.into_iter().filter_map(|subject| self.row(subject)).collect()
    }

    fn row(&self, subject: Subject) -> Option<Row> {
        let samples: Vec<&Sample> = self.of(subject).collect();
        let median = |of: &dyn Fn(&Sample) -> Option<f64>| {
            Spread::of(samples.iter().filter_map(|sample| of(sample))).map(|spread| spread.median)
        };
        let references =
            self.scenario.references(subject).into_iter().filter(|reference| *reference != subject);
        let latency = |pick: fn(&crate::load::Latency) -> Option<std::time::Duration>| {
            median(&|sample| Some(pick(sample.outcome.latency.as_ref()?)?.as_secs_f64() * 1e6))
        };
        Some(Row {
            subject,
            value: Spread::of(samples.iter().map(|sample| sample.value))?,
            system_share: median(&|sample| Some(sample.cpu.system_share()))?,
            ratios: references
                .filter_map(|reference| Some((reference, self.ratio(subject, reference)?)))
                .collect(),
            rate: median(&|sample| {
                Some(sample.outcome.requests as f64 / sample.outcome.elapsed.as_secs_f64())
            })?,
            latency: [latency(|l| Some(l.p50)), latency(|l| Some(l.p99)), latency(|l| l.p999)],
            resident_bytes: median(&|sample| Some(sample.memory.resident as f64))?,
            failed: samples.iter().map(|sample| sample.outcome.failed()).sum(),
            requests: samples.iter().map(|sample| sample.outcome.requests).sum(),
        })
    }

    /// Within each round, so that what disturbs the machine disturbs both.
    fn ratio(&self, subject: Subject, reference: Subject) -> Option<Spread> {
        Spread::of(self.of(subject).filter_map(|sample| {
            let beside = self.of(reference).find(|other| other.round == sample.round)?;
            (beside.value > 0.0).then(|| sample.value / beside.value)
        }))
    }

    fn of(&self, subject: Subject) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.subject == subject)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::peer::Peer;
    use crate::scenario::ALL;

    fn sample(peer: Peer, round: u32, value: f64) -> Sample {
        let outcome = Outcome {
            requests: 1,
            bytes: 1,
            elapsed: Duration::from_secs(1),
            bad_statuses: 0,
            broken: 0,
            latency: None,
        };
        Sample {
            subject: Subject::of(peer),
            round,
            value,
            cpu: Cpu::default(),
            outcome,
            memory: Memory::default(),
        }
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_only_where_both_were_measured() {
        let samples = vec![
            sample(Peer::Lb, 1, 8.0),
            sample(Peer::Haproxy, 1, 10.0),
            sample(Peer::Lb, 2, 30.0),
            sample(Peer::Haproxy, 2, 20.0),
            sample(Peer::Lb, 3, 1.0),
        ];
        let findings = Findings { scenario: ALL[0], samples, left_out: Vec::new() };
        let rows = findings.rows();
        let (reference, ratio) = rows[0].ratios[0];
        assert_eq!(reference, Subject::of(Peer::Haproxy));
        assert_eq!((ratio.least, ratio.greatest), (0.8, 1.5));
        assert_eq!(rows[0].ratios.len(), 1, "nginx was not measured");
        assert!(rows[1].ratios.is_empty(), "nothing is compared with itself");
    }
}
