//! Counts what DynamoDB charges, as its responses report it (`ReturnConsumedCapacity`, which is free).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::types::ConsumedCapacity;
use serde::Serialize;

/// Counts, which all clones of one [`crate::App`] share. Read units are counted in halves, so that all counts are integers.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    parent: Option<Meter>,
    writes: AtomicU64,
    write_units: AtomicU64,
    reads: AtomicU64,
    read_half_units: AtomicU64,
    written: Mutex<BTreeMap<String, u64>>,
}

/// The counts so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct MeterReading {
    /// Requests that write.
    pub writes: u64,
    /// Write units, of tables and their indexes.
    pub write_units: u64,
    /// Requests that read.
    pub reads: u64,
    /// Read units.
    pub read_units: f64,
}

impl Meter {
    /// A new meter, whose counts are added to this one too.
    #[must_use]
    pub fn part(&self) -> Self {
        Self(Arc::new(Counts { parent: Some(self.clone()), ..Counts::default() }))
    }

    pub(super) fn wrote(&self, capacity: Option<&ConsumedCapacity>) {
        if let Some(parent) = &self.0.parent {
            parent.wrote(capacity);
        }
        self.0.writes.fetch_add(1, Ordering::Relaxed);
        let units = in_steps_of(1.0, capacity);
        self.0.write_units.fetch_add(units, Ordering::Relaxed);
        if let (None, Some(table)) = (&self.0.parent, capacity.and_then(ConsumedCapacity::table_name)) {
            let mut written = self.0.written.lock().unwrap_or_else(PoisonError::into_inner);
            match written.get_mut(table) {
                Some(of_table) => *of_table += units,
                None => drop(written.insert(table.to_owned(), units)),
            }
        }
    }

    /// The write units of one table and its indexes so far. A part counts none.
    #[must_use]
    pub fn write_units_of(&self, table: &str) -> u64 {
        self.0.written.lock().unwrap_or_else(PoisonError::into_inner).get(table).copied().unwrap_or(0)
    }

    pub(super) fn read(&self, capacity: Option<&ConsumedCapacity>) {
        if let Some(parent) = &self.0.parent {
            parent.read(capacity);
        }
        self.0.reads.fetch_add(1, Ordering::Relaxed);
        self.0.read_half_units.fetch_add(in_steps_of(0.5, capacity), Ordering::Relaxed);
    }

    /// The counts so far.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
    pub fn reading(&self) -> MeterReading {
        MeterReading {
            writes: self.0.writes.load(Ordering::Relaxed),
            write_units: self.0.write_units.load(Ordering::Relaxed),
            reads: self.0.reads.load(Ordering::Relaxed),
            read_units: self.0.read_half_units.load(Ordering::Relaxed) as f64 / 2.0,
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "units are small and not negative")]
fn in_steps_of(step: f64, capacity: Option<&ConsumedCapacity>) -> u64 {
    let units = capacity.and_then(|capacity| capacity.capacity_units).unwrap_or(0.0);
    (units / step).round() as u64
}
