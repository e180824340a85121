//! The journal of a run: what it changes, written to the bucket before it is written to the table. Undo and resume read it.
//!
//! A segment is an object of JSON lines, gzip: a head, and the changes of some units in their order.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use super::plan::Counts;
use super::{Change, UnitReason};
use crate::hash::sha256_hex;

/// Units of one segment.
pub const SEGMENT_UNITS: usize = 25;

/// A segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Segment {
    /// Its head.
    pub head: SegmentHead,
    /// The changes.
    pub changes: Vec<Change>,
}

/// The first line of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentHead {
    /// The number of the segment in its run, from 0.
    pub number: u64,
    /// The last unit that the run has looked at with this segment; `None`: at none.
    pub after: Option<String>,
    /// Whether there are no more units behind it.
    pub is_last: bool,
    /// The units that the run has looked at with this segment.
    pub counts: Counts,
    /// Whether these are changes that were refused in the segment before, planned anew.
    #[serde(default)]
    pub is_retry: bool,
    /// The units of the segment before that were refused: what that says of them was not written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Those of them that cannot be changed any more, seen anew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cannot: Vec<UnitReason>,
}

impl Segment {
    /// The bytes of its object. The same segment gives the same bytes.
    ///
    /// # Errors
    /// It cannot be rendered.
    pub fn render(&self) -> std::io::Result<Vec<u8>> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        writeln!(gzip, "{}", serde_json::to_string(&self.head)?)?;
        for change in &self.changes {
            writeln!(gzip, "{}", serde_json::to_string(change)?)?;
        }
        gzip.finish()
    }

    /// Reads it back.
    ///
    /// # Errors
    /// It is no segment, or not whole.
    pub fn parse(bytes: &[u8]) -> std::io::Result<Self> {
        let mut text = String::new();
        GzDecoder::new(bytes).read_to_string(&mut text)?;
        let mut lines = text.lines();
        let head = serde_json::from_str(lines.next().unwrap_or_default())?;
        let changes = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(Self { head, changes })
    }
}

/// The key of a segment's object.
#[must_use]
pub fn segment_key(migration: &str, run: &str, number: u64) -> String {
    format!("{FOLDER}/{migration}/{run}/{number:06}.jsonl.gz")
}

/// The key under which a run keeps an object that it replaces.
#[must_use]
pub fn kept_key(migration: &str, run: &str, object: &str) -> String {
    // The embedded S3 takes keys of 120 bytes.
    format!("{FOLDER}/{migration}/{run}/objects/{}", &sha256_hex(object)[..20])
}

/// The folder of the bucket with all journals. No organization is called so.
pub const FOLDER: &str = ".migrations";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::migrations::{ObjectChange, RowChange, RowKey, tests::attributes};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_segment_reads_back_and_a_shortened_one_is_an_error(
            rows in prop::collection::vec((prop::option::of(attributes()), attributes()), 0..12),
            number in any::<u64>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let changes = rows.iter().enumerate().map(|(number, (before, after))| {
                let key = RowKey { pk: format!("acme#{number}"), sk: "record".into() };
                let object = ObjectChange { object: number.to_string(), sha256: "5e".into(), bytes: 1, is_new: number % 2 == 0, replaces: (number % 3 == 0).then(|| "a".into()) };
                let rows = RowChange::between(key, before.as_ref(), after).into_iter().collect();
                Change { unit: number.to_string(), rows, objects: vec![object] }
            });
            let head = SegmentHead { number, after: Some("a".into()), is_last: true, ..SegmentHead::default() };
            let segment = Segment { head, changes: changes.collect() };
            let bytes = segment.render().unwrap();
            prop_assert_eq!(&bytes, &segment.render().unwrap());
            prop_assert_eq!(Segment::parse(&bytes).unwrap(), segment);
            prop_assert!(Segment::parse(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }
}
