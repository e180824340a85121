//! The state of a log, and every way in which a chunk can contradict it.

use super::*;
use crate::log::event::Event;

fn text(delta: &str) -> Event {
    TextKind::OutputText.delta(Stretch { output_index: 0, content_index: 0, delta: delta.into() })
}

fn completed() -> Event {
    Event::Completed(End { finish_reason: Some("stop".into()), ..End::default() })
}

/// The next chunk of `log`, with these events.
fn due(log: &LogState, events: Vec<Event>) -> Chunk {
    let NextSlot { seq, counters, output_from } = log.next_slot();
    let bytes: u64 = events.iter().map(|event| event.text_bytes() as u64).sum();
    let counters = Counters {
        received_chunks: counters.received_chunks + u64::from(bytes > 0),
        stored_bytes: counters.stored_bytes + bytes,
        chunk_count: counters.chunk_count + 1,
    };
    let at_ms = 1_000 * counters.chunk_count.cast_signed();
    Chunk { first_seq: seq, writer: "w".into(), at_ms, first_text_at_ms: None, counters, output_from, upstream: None, events }
}

/// A log of these chunks.
fn log(chunks: impl IntoIterator<Item = Vec<Event>>) -> LogState {
    let mut log = LogState::default();
    for events in chunks {
        let chunk = due(&log, events);
        log.apply(&chunk).unwrap();
    }
    log
}

#[test]
fn state_has_next_slot_totals_and_newest_chunk() {
    assert!(LogState::default().is_empty());
    let mut state = log([
        vec![Event::Created, Event::InProgress { attempt: 1, used: None }],
        vec![text("uno "), text("dos")],
        vec![text("!")],
    ]);
    let counters = Counters { received_chunks: 2, stored_bytes: 8, chunk_count: 3 };
    assert_eq!(state.next_slot(), NextSlot { seq: 5, counters, output_from: 0 });
    assert_eq!((state.is_empty(), &state.end, state.has_schema_violation), (false, &None, false));
    assert_eq!(state.newest, Some(("w".to_owned(), 3_000)));
    assert_eq!(state.first_text_at_ms, Some(2_000), "the first chunk with text, and no later one");

    let mut waited = log([vec![Event::Created]]);
    let first_text_at_ms = Some(1_500);
    waited.apply(&Chunk { first_text_at_ms, ..due(&waited, vec![text("uno")]) }).unwrap();
    assert_eq!(waited.first_text_at_ms, first_text_at_ms, "it was received before it was stored");

    let violation = Event::SchemaViolation { path: String::new(), message: String::new() };
    let last = Chunk { output_from: 7, ..due(&state, vec![violation, completed()]) };
    assert_eq!((last.last_seq(), last.next_slot().seq, last.text_bytes()), (6, 7, 0));
    state.apply(&last).unwrap();
    assert_eq!(state.next_slot().output_from, 7);
    assert_eq!(state.end.map(|(status, end)| (status, end.finish_reason)), Some((Status::Completed, Some("stop".into()))));
    assert!(state.has_schema_violation);
}

#[test]
fn usage_counts_all_attempts() {
    let begun = |attempt, used| Event::InProgress { attempt, used };
    let first = log([vec![Event::Created, begun(1, None)], vec![text("12345678")]]);
    let (estimate, counted) =
        (Usage::estimate(40, 8), Usage { output_tokens: 5, total_tokens: 7, input_tokens: 2, ..Usage::default() });
    assert_eq!(first.usage(40, 8, None), TotalUsage::of(None, estimate), "one attempt has no other");
    assert_eq!(first.usage(40, 8, Some(counted)).unwrap().total, counted);
    let mut second = first.clone();
    second.apply(&due(&first, vec![begun(2, estimate)])).unwrap();
    assert_eq!(second.usage(40, 8, None), TotalUsage::of(estimate, None), "the second attempt has received nothing");
    let both = second.usage(40, 12, None).unwrap();
    assert_eq!(both.last_attempt, Usage::estimate(40, 4), "its share alone");
    assert_eq!((both.total.input_tokens, both.total.output_tokens, both.total.estimated), (20, 3, true));
    assert_eq!(second.usage(40, 12, Some(counted)).unwrap().total.total_tokens, 12 + 7);

    let item = Event::OutputItemAdded { output_index: 0, item: Item::Message };
    let mut continued = log([vec![Event::Created, begun(1, None), item], vec![text("12345678")]]);
    for (attempt, prefix) in [(2, 8), (3, 16)] {
        continued.apply(&due(&continued, vec![begun(attempt, None)])).unwrap();
        assert_eq!(continued.prefix_bytes, prefix, "attempt {attempt} continues an open item");
        continued.apply(&due(&continued, vec![text("12345678")])).unwrap();
    }
    assert_eq!(continued.usage(40, 24, None), TotalUsage::of(None, Usage::estimate(40 + 16, 8)), "its prompt has the prefix too");
    continued.apply(&due(&continued, vec![Event::OutputItemDone { output_index: 0, complete: false }, begun(4, None)])).unwrap();
    assert_eq!(continued.prefix_bytes, 0, "attempt 4 begins again");
}

#[test]
fn schema_violation_is_kept() {
    let violation = Event::SchemaViolation { path: String::new(), message: String::new() };
    assert!(log([vec![violation], vec![text("a")]]).has_schema_violation);
}

/// A change to a chunk that fits, and the damage that is reported.
type Case<'a> = (&'a dyn Fn(&mut Chunk), &'a str);

#[test]
fn contradictions_are_reported() {
    let ended = log([vec![Event::Created, completed()]]);
    assert_eq!(ended.clone().apply(&due(&ended, vec![text("a")])), Err("slot 2 follows the end".into()));

    let open = log([vec![Event::Created], vec![text("año")]]);
    let good = due(&open, vec![text("1"), text("2")]);
    let counters = good.counters;
    let with = |change: &dyn Fn(&mut Chunk)| {
        let mut chunk = good.clone();
        change(&mut chunk);
        open.clone().apply(&chunk)
    };
    assert_eq!(with(&|_| {}), Ok(()));
    let cases: [Case<'_>; 9] = [
        (&|chunk| chunk.first_seq = 3, "slot 3 where 2 was expected"),
        (&|chunk| chunk.first_seq = 1, "slot 1 where 2 was expected"),
        (&|chunk| chunk.events.clear(), "slot 2 holds no event"),
        (&|chunk| chunk.events.insert(1, completed()), "slot 2 holds an event after the end"),
        (&|chunk| chunk.counters.stored_bytes += 1, "slot 2 counts 7 bytes of text where there are 6"),
        (&|chunk| chunk.counters.stored_bytes -= 1, "slot 2 counts 5 bytes of text where there are 6"),
        (&|chunk| chunk.counters.chunk_count += 1, "slot 2 counts 4 chunks where there are 3"),
        (&|chunk| chunk.counters.received_chunks = 0, "slot 2 counts backwards"),
        (&|chunk| chunk.counters.chunk_count = 2, "slot 2 counts 2 chunks where there are 3"),
    ];
    for (change, damage) in cases {
        assert_eq!(with(change), Err(damage.to_owned()));
    }
    // Deltas may be counted without text that is stored: that of an empty one.
    assert_eq!(with(&|chunk| chunk.counters.received_chunks = counters.received_chunks - 1), Ok(()));
    assert_eq!(with(&|chunk| chunk.output_from = 1), Ok(()));
    let mut given_up = open.clone();
    given_up.output_from = 2;
    assert_eq!(given_up.apply(&good), Err("slot 2 counts backwards".into()));
    assert_eq!(with(&|chunk| chunk.events.push(completed())), Ok(()), "an end that is last");
}

#[test]
fn items_and_parts_open_and_close() {
    let place = |output_index, content_index| Place { output_index, content_index, kind: TextKind::OutputText };
    let mut outline = Outline::default();
    assert_eq!(outline.next_output_index(), 0);
    let mut open_after = |event: Event| {
        outline.apply(&event);
        let open: Vec<_> = outline.open().map(|(index, open)| (index, open.part, open.parts)).collect();
        (outline.next_output_index(), open)
    };
    let added = |output_index| Event::OutputItemAdded { output_index, item: Item::Message };
    assert_eq!(open_after(added(3)), (4, vec![(3, None, 0)]));
    assert_eq!(open_after(added(1)), (4, vec![(1, None, 0), (3, None, 0)]), "no index is used twice");
    assert_eq!(open_after(Event::ContentPartAdded(place(1, 0))), (4, vec![(1, Some(place(1, 0)), 1), (3, None, 0)]));
    assert_eq!(open_after(Event::ContentPartDone(place(1, 0))), (4, vec![(1, None, 1), (3, None, 0)]));
    assert_eq!(open_after(Event::ContentPartAdded(place(1, 1))), (4, vec![(1, Some(place(1, 1)), 2), (3, None, 0)]));
    assert_eq!(open_after(Event::ContentPartAdded(place(9, 0))).1.len(), 2, "of no item");
    assert_eq!(open_after(Event::OutputItemDone { output_index: 3, complete: true }), (4, vec![(1, Some(place(1, 1)), 2)]));
    assert_eq!(open_after(Event::OutputItemDone { output_index: 1, complete: false }), (4, vec![]));
}

#[test]
fn join_requires_same_kind_and_place() {
    let stretch = |output_index, content_index| Stretch { output_index, content_index, delta: "b".into() };
    let mut last = TextKind::OutputText.delta(Stretch { output_index: 1, content_index: 2, delta: "a".into() });
    for (kind, output_index, content_index) in
        [(TextKind::Refusal, 1, 2), (TextKind::OutputText, 0, 2), (TextKind::OutputText, 1, 0)]
    {
        let other = stretch(output_index, content_index);
        assert_eq!(join(Some(&mut last), kind, other.clone()), Some(other));
    }
    assert_eq!(join(Some(&mut Event::Created), TextKind::OutputText, stretch(1, 2)), Some(stretch(1, 2)));
    assert_eq!(join(None, TextKind::OutputText, stretch(1, 2)), Some(stretch(1, 2)));
    assert_eq!(last.text_bytes(), 1);
    assert_eq!(join(Some(&mut last), TextKind::OutputText, stretch(1, 2)), None);
    assert_eq!(last.stretch().map(|(_, held)| held.delta.as_str()), Some("ab"));
}
