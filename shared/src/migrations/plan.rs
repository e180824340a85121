//! What a migration would do: counts, samples, units of writing, and a hash by which what is written can be held to what was read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Change, Planned, UnitReason, Verdict};

/// Changes that are shown in full.
pub const SAMPLES: usize = 10;
/// Reasons and findings that are kept in full; of others only how many there are.
pub const TOLD: usize = 40;

/// How many units there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Those that are to be changed, or were.
    pub changed: u64,
    /// Those that are as they should be.
    pub already_right: u64,
    /// Those that cannot be changed.
    pub cannot: u64,
}

impl Counts {
    /// Counts one more unit.
    pub const fn add(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Change(_) => self.changed += 1,
            Verdict::AlreadyRight => self.already_right += 1,
            Verdict::Cannot(_) => self.cannot += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.changed + self.already_right + self.cannot
    }
}

/// A plan, which is made unit by unit.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The units.
    pub counts: Counts,
    /// Rows that are to be written.
    pub rows: u64,
    /// Objects that are to be put.
    pub objects: u64,
    /// Bytes of those objects.
    pub object_bytes: u64,
    /// An estimate of the write units.
    pub write_units: u64,
    /// The first changes.
    pub samples: Vec<Change>,
    /// The first units that cannot be changed, with the reason.
    pub cannot: Vec<UnitReason>,
    /// The first findings: unit, code and detail.
    pub found: Vec<[String; 3]>,
    /// How often each finding was made.
    pub findings_by_code: BTreeMap<String, u64>,
    hash: Sha256,
}

impl Plan {
    /// Adds the next unit.
    pub fn add(&mut self, planned: &Planned) {
        self.counts.add(&planned.verdict);
        for finding in &planned.findings {
            *self.findings_by_code.entry(finding.code.clone()).or_default() += 1;
            if self.found.len() < TOLD {
                self.found.push([planned.unit.clone(), finding.code.clone(), finding.detail.clone()]);
            }
        }
        match &planned.verdict {
            Verdict::Cannot(why) if self.cannot.len() < TOLD => self.cannot.push(UnitReason::new(&planned.unit, why)),
            Verdict::AlreadyRight | Verdict::Cannot(_) => {}
            Verdict::Change(change) => {
                self.rows += change.rows.len() as u64;
                self.objects += change.new_objects().count() as u64;
                self.object_bytes += change.new_objects().map(|object| object.bytes).sum::<u64>();
                self.write_units += change.write_units();
                // Maps of attribute values have no order of their own.
                let mut line = serde_json::to_value(change).unwrap_or_default();
                line.sort_all_objects();
                self.hash.update(line.to_string());
                self.hash.update(b"\n");
                if self.samples.len() < SAMPLES {
                    self.samples.push(change.clone());
                }
            }
        }
    }

    /// The hash of all changes in their order: 12 hex digits. The same state of the data gives the same hash.
    #[must_use]
    pub fn hash(&self) -> String {
        let digits = format!("{:x}", self.hash.clone().finalize());
        digits.chars().take(12).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::migrations::{Finding, RowChange, RowKey, tests::attributes};

    fn planned(rows: &[crate::migrations::Attributes]) -> Vec<Planned> {
        let change = |number: usize, after| {
            let key = RowKey { pk: format!("acme#{number}"), sk: "record".into() };
            let rows = RowChange::between(key, None, after).into_iter().collect();
            let verdict = Verdict::Change(Change { unit: number.to_string(), rows, objects: Vec::new() });
            Planned { unit: number.to_string(), verdict, findings: Vec::new() }
        };
        rows.iter().enumerate().map(|(number, after)| change(number, after)).collect()
    }

    fn hash(planned: &[Planned]) -> String {
        let mut plan = Plan::default();
        for planned in planned {
            plan.add(planned);
        }
        assert_eq!(plan.counts.total(), planned.len() as u64);
        assert!(plan.samples.len() <= SAMPLES);
        plan.hash()
    }

    #[test]
    fn the_first_reasons_are_kept_and_all_are_counted() {
        let mut plan = Plan::default();
        for unit in 0..3 * TOLD {
            let findings = vec![Finding::new("odd", "it is odd"), Finding::new("old", "it is old")];
            plan.add(&Planned { unit: unit.to_string(), verdict: Verdict::Cannot("it is gone".into()), findings });
        }
        assert_eq!((plan.cannot.len(), plan.found.len(), plan.counts.cannot), (TOLD, TOLD, 3 * TOLD as u64));
        assert_eq!(plan.cannot[1].to_string(), "1: it is gone");
        assert_eq!(plan.findings_by_code, [("odd".to_owned(), 3 * TOLD as u64), ("old".to_owned(), 3 * TOLD as u64)].into());
    }

    proptest! {
        #[test]
        fn the_hash_tells_changes_apart_and_nothing_else(rows in prop::collection::vec(attributes(), 1..20), at in any::<prop::sample::Index>()) {
            let one = hash(&planned(&rows));
            prop_assert_eq!(&one, &hash(&planned(&rows)));
            let mut others = rows.clone();
            let at = at.index(rows.len());
            others[at].insert("z".into(), serde_dynamo::AttributeValue::Bool(true));
            prop_assert_ne!(&one, &hash(&planned(&others)));
            prop_assert_ne!(&one, &hash(&planned(&rows[..rows.len() - 1])));
        }
    }
}
