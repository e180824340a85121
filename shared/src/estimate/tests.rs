//! What a generation is reckoned to cost, where that can be said in advance.

use super::*;

fn workload(tokens: u64, seconds: u64) -> Workload {
    Workload {
        output_bytes: tokens * 4,
        deltas: tokens,
        silence: Duration::from_secs(1),
        stream: Duration::from_secs(seconds),
        watched: Duration::ZERO,
        readers: 0,
        request_bytes: 500,
        response_bytes: 0,
    }
}

fn estimated(workload: &Workload) -> Estimate {
    estimate(workload, &Pace::default()).unwrap()
}

#[test]
fn an_unwatched_generation_is_stored_once_a_window_and_never_once_a_delta() {
    let slow = estimated(&workload(3_000, 60));
    assert!((15..=18).contains(&slow.chunks), "{slow:?}");
    assert!(
        slow.writes.chunks <= slow.chunks + 1,
        "what fills no unit costs one, and the first chunk has more than text: {slow:?}"
    );
    // Text that fills a unit within the window is stored by the unit.
    let fast = estimated(&workload(30_000, 60));
    assert!((74..=82).contains(&fast.chunks), "{fast:?}");
}

#[test]
fn a_watched_generation_is_stored_once_a_window_at_most() {
    let watched = Workload { watched: Duration::from_secs(31), readers: 1, ..workload(30_000, 60) };
    let (whole, half) = (Workload { watched: Duration::from_secs(61), ..watched }, watched);
    let (whole, half) = (estimated(&whole), estimated(&half));
    assert!((390..=420).contains(&whole.chunks), "{whole:?}");
    assert!((230..=250).contains(&half.chunks), "{half:?}");
    assert_eq!((whole.writes.watching, half.writes.watching), (7, 4), "a reader announces itself every ten seconds");
    assert!(whole.reads.tail > 300.0 && half.reads.tail < whole.reads.tail, "{whole:?}");
}

#[test]
fn nobody_who_watches_asks_for_nothing() {
    let none = Workload { watched: Duration::from_secs(61), ..workload(3_000, 60) };
    assert_eq!(estimated(&none), estimated(&workload(3_000, 60)));
}

#[test]
fn silence_is_paid_with_renewals_of_the_lease_and_a_long_generation_with_hand_overs() {
    let thinking = Workload { silence: Duration::from_mins(2), ..workload(300, 6) };
    assert_eq!(estimated(&thinking).writes.lease, 1 + 11);
    let long = Workload { stream: Duration::from_mins(40), ..workload(30_000, 60) };
    assert_eq!(estimated(&long).invocations, 3);
}

#[test]
fn a_large_request_lies_in_the_bucket_and_json_on_the_record_too() {
    let plain = estimated(&workload(3_000, 60));
    let large = estimated(&Workload { request_bytes: 100_000, ..workload(3_000, 60) });
    assert_eq!(large.writes.start, plain.writes.start);
    let json = estimated(&Workload { response_bytes: 12_000, ..workload(3_000, 60) });
    assert_eq!(json.writes.outcome - plain.writes.outcome, 11);
}

#[test]
fn the_overhead_by_which_the_writer_fills_a_unit_is_that_of_its_items() {
    // A chunk that was flushed because it was full costs one unit, and little of that is wasted.
    let flushes = chunks::flushes(&workload(100_000, 60), &Pace::default()).unwrap();
    let full = &flushes[2..flushes.len() - 1];
    assert!(full.iter().all(|flush| (900..=1_024).contains(&flush.item_bytes)), "{:?}", &full[..3]);
}
