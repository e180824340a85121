//! The table of limits in `docs/deploy.md` is what the estimate gives.

use std::time::Duration;

use longhand::estimate::{Estimate, Pace, Workload, estimate};

const DEPLOY: &str = include_str!("../../../docs/deploy.md");

const SECONDS: f64 = 61.0;
/// What DynamoDB gives a new table on demand, a table at its default quota, and a partition, in units a second.
const NEW_TABLE: [f64; 2] = [4_000.0, 12_000.0];
const TABLE_QUOTA: f64 = 40_000.0;
const PARTITION_READS: f64 = 3_000.0;

fn generation(watched: bool, window_ms: u64) -> Estimate {
    let workload = Workload {
        output_bytes: 12_000,
        deltas: 3_000,
        silence: Duration::from_secs(1),
        stream: Duration::from_mins(1),
        watched: if watched { Duration::from_secs_f64(SECONDS) } else { Duration::ZERO },
        readers: u64::from(watched),
        request_bytes: 2_000,
        response_bytes: 0,
    };
    let mut pace = Pace::default();
    pace.windows.watched = Duration::from_millis(window_ms);
    estimate(&workload, &pace).unwrap()
}

/// Write and read units of the buffer table, by second. A little of what `stream` and `compact` read is in the other table.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn of_the_buffer(estimate: &Estimate) -> [f64; 2] {
    let (writes, reads) = (estimate.writes, estimate.reads);
    [(writes.chunks + writes.lease + writes.watching) as f64 / SECONDS, (reads.stream + reads.compact + reads.tail) / SECONDS]
}

/// Whether the document has it as one writes it, or rounded down to two digits or three.
fn assert_told(what: &str, value: f64, told: &str) {
    let number: f64 = told.replace(',', "").parse().unwrap();
    assert!((number / value - 1.0).abs() < 0.02, "{what}: {value}, told as {told}");
    let is_told = DEPLOY.match_indices(told).any(|(at, _)| {
        let behind = DEPLOY[at + told.len()..].chars().next().unwrap();
        !DEPLOY[..at].ends_with(|mark: char| mark.is_ascii_digit() || ".,".contains(mark)) && !behind.is_ascii_digit()
    });
    assert!(is_told, "{what}: the document does not have {told}");
}

#[test]
fn limits_follow_from_the_estimate() {
    let (unwatched, watched, slower) = (generation(false, 150), generation(true, 150), generation(true, 300));
    let [[writes, reads], [watched_writes, watched_reads]] = [&unwatched, &watched].map(of_the_buffer);
    let reader = watched.reads.tail / SECONDS;
    for (what, value, told) in [
        ("unwatched writes", writes, "0.28"),
        ("unwatched reads", reads, "0.47"),
        ("watched writes", watched_writes, "6.72"),
        ("watched reads", watched_reads, "9.38"),
        ("a reader's polls", reader, "8.52"),
        ("writes with a longer window", of_the_buffer(&slower)[0], "3.44"),
        ("reads with a longer window", of_the_buffer(&slower)[1], "5.10"),
        ("unwatched, writes of a new table", NEW_TABLE[0] / writes, "14,300"),
        ("watched, writes of a new table", NEW_TABLE[0] / watched_writes, "600"),
        ("unwatched, reads of a new table", NEW_TABLE[1] / reads, "25,300"),
        ("watched, reads of a new table", NEW_TABLE[1] / watched_reads, "1,280"),
        ("watched, writes at the quota", TABLE_QUOTA / watched_writes, "5,950"),
        ("watched, reads at the quota", TABLE_QUOTA / watched_reads, "4,250"),
        ("readers of one log", PARTITION_READS / reader, "350"),
        ("writes of the records", NEW_TABLE[0] * SECONDS / 7.0, "34,800"),
        ("starts a second", 10_000.0 / SECONDS, "164"),
        ("starts of one route", 100.0 * SECONDS, "6,100"),
        ("compactions", 80.0 / 0.25 * SECONDS, "19,500"),
        ("compactions of watched logs", 80.0 / 0.5 * SECONDS, "9,800"),
        ("of one organization in the index", 1_000.0 / 2.0 * SECONDS, "30,000"),
    ] {
        assert_told(what, value, told);
    }
    for estimate in [unwatched, watched] {
        assert_eq!(estimate.writes.start + estimate.writes.outcome, 7);
    }
}
