//! Each end is counted once: by properties over shards whose deliveries are repeated, divided, cut off, and done by two at once.

use proptest::prelude::*;

use super::*;

const ROWS: usize = 3;

/// A record of a shard, and the row that it counts for.
#[derive(Clone, Debug)]
struct Told {
    row: usize,
    end: EndRecord,
}

/// What happens to one delivery of a shard's records.
#[derive(Clone, Debug)]
enum Fate {
    /// Everything is counted, and the next delivery goes on behind it.
    Done,
    /// So many rows are written; then it fails. What is delivered next may be more or less of it.
    Crash(usize),
    /// It is counted, but that is not noted: delivery begins again so many records before.
    Forgotten(usize),
    /// Its two halves are delivered one after the other.
    Bisected,
    /// A delivery that is taken for dead writes its rows at the same time: it read them before the other wrote.
    Twice,
}

fn ended(status: Status, millis: u64, tokens: u64, cost: Option<u64>) -> Ended {
    Ended {
        status,
        duration_ms: Some(millis),
        first_text_ms: Some(millis / 2),
        input_tokens: tokens,
        output_tokens: tokens + 1,
        cost,
    }
}

fn ends() -> impl Strategy<Value = Ended> {
    let status = prop_oneof![Just(Status::Completed), Just(Status::Incomplete), Just(Status::Failed), Just(Status::Cancelled)];
    (status, 0_u64..100_000, 0_u64..1_000, prop::option::of(0_u64..1_000))
        .prop_map(|(status, millis, tokens, cost)| ended(status, millis, tokens, cost))
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Done),
        1 => (0..=ROWS).prop_map(Fate::Crash),
        1 => (0_usize..20).prop_map(Fate::Forgotten),
        1 => Just(Fate::Bisected),
        1 => Just(Fate::Twice),
    ]
}

/// The rows of a table, each replaced only at the revision that was read.
#[derive(Default)]
struct Table(Vec<Tally>);

impl Table {
    fn new() -> Self {
        Self(vec![Tally::default(); ROWS])
    }

    fn store(&mut self, row: usize, next: Tally) -> bool {
        let holds = self.0[row].revision + 1 == next.revision;
        if holds {
            self.0[row] = next;
        }
        holds
    }

    /// Counts a delivery in the first `rows` rows.
    fn deliver(&mut self, shard: &str, records: &[Told], rows: usize) {
        for row in 0..rows {
            if let Some(next) = self.0[row].count(shard, &of_row(records, row)) {
                assert!(self.store(row, next));
            }
        }
    }

    /// Two deliveries of the same records, side by side: one of them loses each row, and reads it again.
    fn deliver_twice(&mut self, shard: &str, records: &[Told]) {
        for row in 0..ROWS {
            let both = [self.0[row].count(shard, &of_row(records, row)), self.0[row].count(shard, &of_row(records, row))];
            for next in both.into_iter().flatten() {
                if !self.store(row, next) {
                    assert_eq!(self.0[row].count(shard, &of_row(records, row)), None);
                }
            }
        }
    }
}

fn of_row(records: &[Told], row: usize) -> Vec<EndRecord> {
    records.iter().filter(|told| told.row == row).map(|told| told.end.clone()).collect()
}

fn shard(ends: Vec<(usize, Ended)>, digits: usize) -> Vec<Told> {
    let number = |at: usize| format!("{}{}", "9".repeat(digits), at * 7);
    let end = |(at, (row, ended)): (usize, (usize, Ended))| {
        let mark = Mark { sequence: number(at).parse().unwrap(), at: i64::try_from(at).unwrap() };
        Told { row, end: EndRecord { mark, ended } }
    };
    ends.into_iter().enumerate().map(end).collect()
}

proptest! {
    #[test]
    fn however_it_is_delivered_each_end_is_counted_once(
        shards in prop::collection::vec(prop::collection::vec((0..ROWS, ends()), 0..40), 1..4),
        turns in prop::collection::vec((0_usize..4, 1_usize..15, fates()), 1..60),
    ) {
        let shards: Vec<Vec<Told>> = shards.into_iter().enumerate().map(|(at, ends)| shard(ends, 15 + at)).collect();
        let (mut table, mut done) = (Table::new(), vec![0; shards.len()]);
        // The rest is delivered at last, as Lambda does.
        let rest = (0..shards.len()).map(|shard| (shard, 1_000, Fate::Done));
        for (of, size, fate) in turns.into_iter().chain(rest) {
            let of = of % shards.len();
            let (name, from) = (format!("shardId-{of}"), done[of]);
            let to = (from + size).min(shards[of].len());
            let records = &shards[of][from..to];
            match fate {
                Fate::Done => { table.deliver(&name, records, ROWS); done[of] = to; }
                Fate::Crash(rows) => table.deliver(&name, records, rows),
                Fate::Forgotten(back) => { table.deliver(&name, records, ROWS); done[of] = to.saturating_sub(back); }
                Fate::Bisected => {
                    let (first, second) = records.split_at(records.len() / 2);
                    table.deliver(&name, first, ROWS);
                    table.deliver(&name, second, ROWS);
                    done[of] = to;
                }
                Fate::Twice => { table.deliver_twice(&name, records); done[of] = to; }
            }
        }
        for row in 0..ROWS {
            let mut expected = Sums::default();
            shards.iter().flatten().filter(|told| told.row == row).for_each(|told| expected.add(&told.end.ended));
            prop_assert_eq!(&table.0[row].sums, &expected);
        }
    }

    #[test]
    fn sums_of_parts_are_the_sums_of_the_whole(ends in prop::collection::vec(ends(), 0..50), at in 0_usize..50) {
        let of = |ends: &[Ended]| {
            let mut sums = Sums::default();
            for ended in ends {
                sums.add(ended);
            }
            sums
        };
        let (one, other) = ends.split_at(at.min(ends.len()));
        let mut merged = of(other);
        merged.merge(&of(one));
        prop_assert_eq!(merged.generations(), ends.len() as u64);
        prop_assert_eq!(merged, of(&ends));
    }

    #[test]
    fn numbers_of_records_compare_as_numbers(one in any::<u128>(), other in any::<u128>(), zeros in 0_usize..2) {
        let sequence = |number: u128| format!("{}{number}", "0".repeat(zeros)).parse::<Sequence>();
        let (Ok(left), Ok(right)) = (sequence(one), sequence(other)) else { return Err(TestCaseError::reject("too long")) };
        prop_assert_eq!(left.cmp(&right), one.cmp(&other));
        prop_assert_eq!(String::from(left), one.to_string());
    }
}

#[test]
fn marks_of_shards_that_are_long_closed_are_dropped() {
    let end = |at: i64| {
        let mark = Mark { sequence: "7".parse().unwrap(), at };
        EndRecord { mark, ended: ended(Status::Completed, 1, 1, None) }
    };
    let tally = Tally::default().count("old", &[end(0)]).unwrap().count("middle", &[end(10)]).unwrap();
    let tally = tally.count("new", &[end(MARK_SECONDS + 5)]).unwrap();
    assert_eq!(tally.marks.keys().collect::<Vec<_>>(), ["middle", "new"]);
    assert_eq!((tally.sums.completed, tally.revision), (3, 3));
    assert_eq!(tally.count("middle", &[end(11)]), None, "a mark is not passed by time");
}

#[test]
fn what_is_no_number_of_a_record_is_refused() {
    for text in ["", "x", "-1", "1.5", &"1".repeat(41)] {
        assert!(text.parse::<Sequence>().is_err(), "{text:?}");
    }
}
