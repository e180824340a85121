//! Properties of [`super::Composer`]: no byte is lost, changed or moved, whatever the deltas and wherever the flushes fall.

use proptest::prelude::*;

use super::*;
use crate::aws::chunk_item_bytes;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits::{CHUNK_TEXT_BYTES_MAX, PROVIDER_NAME_BYTES_MAX};
use crate::log::chunk::{Chunk, Counters, LogState};

/// DynamoDB's own limit.
const ITEM_BYTES_MAX: usize = 400 * 1024;

fn deltas() -> impl Strategy<Value = Vec<Delta>> {
    let text = prop_oneof![Just("0".to_owned()), Just(String::new()), "[a-zñ€😀中0-9]{0,12}"];
    let delta = prop_oneof![
        4 => text.clone().prop_map(Delta::Text),
        1 => text.clone().prop_map(Delta::Reasoning),
        1 => text.clone().prop_map(Delta::Refusal),
        1 => (0_u32..3, text).prop_map(|(index, arguments)| {
            Delta::ToolCall(ToolCallDelta { index, id: Some(format!("c{index}")), name: Some("f".into()), arguments })
        }),
    ];
    prop::collection::vec(delta, 0..60)
}

/// The text that the provider sent, by kind.
fn sent(deltas: &[Delta]) -> [String; 4] {
    let mut sent = [const { String::new() }; 4];
    for delta in deltas {
        match delta {
            Delta::Text(text) => sent[0].push_str(text),
            Delta::Reasoning(text) => sent[1].push_str(text),
            Delta::Refusal(text) => sent[2].push_str(text),
            Delta::ToolCall(call) if call.index == 0 => sent[3].push_str(&call.arguments),
            _ => {}
        }
    }
    sent
}

/// The text of the events, by kind.
fn kept(events: &[Event]) -> [String; 4] {
    let mut kept = [const { String::new() }; 4];
    let mut first_call = None;
    for event in events {
        if let Event::OutputItemAdded { output_index, item: Item::FunctionCall { call_id, .. } } = event
            && call_id == "c0"
        {
            first_call = Some(*output_index);
        }
        match event.stretch() {
            Some((TextKind::OutputText, stretch)) => kept[0].push_str(&stretch.delta),
            Some((TextKind::Reasoning, stretch)) => kept[1].push_str(&stretch.delta),
            Some((TextKind::Refusal, stretch)) => kept[2].push_str(&stretch.delta),
            Some((TextKind::FunctionCallArguments, stretch)) if Some(stretch.output_index) == first_call => {
                kept[3].push_str(&stretch.delta);
            }
            _ => {}
        }
    }
    kept
}

proptest! {
    #[test]
    fn bytes_come_out_in_order_wherever_the_flushes_fall(deltas in deltas(), flush_every in 1_usize..8, bytes_max in 4_usize..40) {
        let mut composer = Composer::default();
        let mut events = Vec::new();
        for (number, delta) in deltas.iter().enumerate() {
            composer.delta(delta.clone());
            if number % flush_every == 0 {
                events.extend(composer.take(bytes_max));
            }
        }
        composer.close(true);
        while composer.has_pending() {
            let taken = composer.take(bytes_max);
            prop_assert!(!taken.is_empty());
            prop_assert!(taken.iter().map(Event::text_bytes).sum::<usize>() <= bytes_max);
            events.extend(taken);
        }
        prop_assert_eq!(composer.pending_bytes(), 0);
        prop_assert_eq!(kept(&events), sent(&deltas));
    }

    #[test]
    fn chunks_of_any_deltas_are_an_undamaged_log_and_close_leaves_nothing_open(deltas in deltas(), flush_every in 1_usize..8) {
        let mut composer = Composer::default();
        let mut log = LogState::default();
        composer.event(Event::Created);
        for (number, delta) in deltas.iter().enumerate() {
            composer.delta(delta.clone());
            if number % flush_every == 0 {
                store(&mut composer, &mut log);
            }
            if number % 17 == 16 {
                composer.abandon();
            }
        }
        composer.close(true);
        store(&mut composer, &mut log);
        prop_assert_eq!(log.outline.open().count(), 0);
        let counted = deltas.iter().filter(|delta| !sent(std::slice::from_ref(delta)).concat().is_empty() || is_other_call(delta)).count();
        prop_assert_eq!(log.counters.received_chunks, counted as u64);
    }
}

fn is_other_call(delta: &Delta) -> bool {
    matches!(delta, Delta::ToolCall(call) if call.index > 0 && !call.arguments.is_empty())
}

fn store(composer: &mut Composer, log: &mut LogState) {
    while composer.has_pending() {
        let events = composer.take(64);
        let counters = Counters {
            received_chunks: composer.received_chunks(),
            stored_bytes: log.counters.stored_bytes + events.iter().map(|event| event.text_bytes() as u64).sum::<u64>(),
            chunk_count: log.counters.chunk_count + 1,
        };
        let chunk = Chunk {
            first_seq: log.next_seq,
            writer: "w".into(),
            at_ms: 0,
            first_text_at_ms: None,
            counters,
            output_from: 0,
            upstream: None,
            events,
        };
        log.apply(&chunk).unwrap();
    }
}

#[test]
fn reasoning_closes_before_the_answer_and_indexes_are_used_once() {
    let mut composer = Composer::default();
    for delta in
        [Delta::Reasoning("why".into()), Delta::Text("because".into()), Delta::Reasoning("hm".into()), Delta::Text("!".into())]
    {
        composer.delta(delta);
    }
    composer.close(true);
    let added: Vec<u32> = composer
        .take(1_000)
        .iter()
        .filter_map(|event| if let Event::OutputItemAdded { output_index, .. } = event { Some(*output_index) } else { None })
        .collect();
    assert_eq!(added, [0, 1, 2, 3]);
}

#[test]
fn consecutive_deltas_of_one_kind_are_one_event() {
    let mut composer = Composer::default();
    for text in ["v: ", "0", "", ".9"] {
        composer.delta(Delta::Text(text.into()));
    }
    let events = composer.take(1_000);
    assert_eq!(events.len(), 3, "item added, part added, one stretch: {events:?}");
    assert_eq!(events[2].stretch().unwrap().1.delta, "v: 0.9");
    assert_eq!(composer.received_chunks(), 3, "an empty delta is not counted");
}

#[test]
fn chunk_with_long_names_fits_into_an_item() {
    let key = GenerationKey::new("o".repeat(64).parse().unwrap(), GenerationId::new(0));
    let name = || Some("n".repeat(PROVIDER_NAME_BYTES_MAX));
    let calls = |arguments: &str| {
        let call = |index| ToolCallDelta { index, id: name(), name: name(), arguments: arguments.into() };
        (0..600).map(|index| Delta::ToolCall(call(index))).collect::<Vec<_>>()
    };
    for deltas in [calls(""), calls(&"a".repeat(1_500))] {
        let mut composer = Composer::default();
        for delta in deltas {
            composer.delta(delta);
        }
        composer.close(true);
        while composer.has_pending() {
            let events = composer.take(CHUNK_TEXT_BYTES_MAX);
            let counters = Counters { received_chunks: u64::MAX, stored_bytes: u64::MAX, chunk_count: u64::MAX };
            let chunk = Chunk {
                first_seq: 1,
                writer: "w".repeat(26),
                at_ms: i64::MAX,
                first_text_at_ms: None,
                counters,
                output_from: u32::MAX,
                upstream: None,
                events,
            };
            let bytes = chunk_item_bytes(&key, &chunk, i64::MAX).unwrap().whole;
            assert!(!chunk.events.is_empty() && bytes <= ITEM_BYTES_MAX, "{bytes} bytes in {} events", chunk.events.len());
        }
        assert_eq!(composer.pending_bytes(), 0);
    }
}
