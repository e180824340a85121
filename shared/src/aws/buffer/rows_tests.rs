//! Every row reads back as it was written.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use proptest::prelude::*;

use super::*;
use crate::generation::usage::{TotalUsage, Usage};
use crate::ids::GenerationId;
use crate::log::chunk::LogState;
use crate::log::event::{End, Item, Place, Stretch, TextKind};

fn key() -> GenerationKey {
    GenerationKey::new("acme".parse().unwrap(), GenerationId::new(1_700_000_000_000))
}

fn event() -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        Just(TextKind::OutputText),
        Just(TextKind::Reasoning),
        Just(TextKind::Refusal),
        Just(TextKind::FunctionCallArguments)
    ];
    let end = (prop::option::of(".{0,9}"), any::<u32>()).prop_map(|(reason, tokens)| End {
        reason,
        usage: TotalUsage::of(None, Some(Usage { total_tokens: tokens.into(), ..Usage::default() })),
        ..End::default()
    });
    prop_oneof![
        Just(Event::Created),
        (any::<u32>(), 0_u64..9).prop_map(|(attempt, bytes)| Event::InProgress { attempt, used: Usage::estimate(40, bytes) }),
        (any::<u32>(), ".{0,9}").prop_map(|(output_index, name)| Event::OutputItemAdded {
            output_index,
            item: Item::FunctionCall { call_id: "c".into(), name }
        }),
        (kind.clone(), any::<u32>(), 0_u32..3, prop_oneof![".{0,40}", "[a-e ]{500,3000}"])
            .prop_map(|(kind, output_index, content_index, delta)| kind.delta(Stretch { output_index, content_index, delta })),
        (kind, any::<u32>(), 0_u32..3).prop_map(|(kind, output_index, content_index)| kind.done(Place {
            output_index,
            content_index,
            kind
        })),
        (".{0,9}", ".{0,9}").prop_map(|(path, message)| Event::SchemaViolation { path, message }),
        end.prop_map(Event::Failed),
    ]
}

proptest! {
    #[test]
    fn chunk_reads_back_as_stored(events in prop::collection::vec(event(), 1..8), first_seq in 0_u64..1_000_000_000_000, output_from in 0_u32..3) {
        let counters = Counters { received_chunks: 3, stored_bytes: 99, chunk_count: 7 };
        let chunk = Chunk { first_seq, writer: "w1".into(), at_ms: 1_700_000_000_001, first_text_at_ms: first_seq.checked_sub(1).map(u64::cast_signed), counters, output_from, upstream: None, events };
        let item: HashMap<String, AttributeValue> = serde_dynamo::to_item(ChunkRow::new(&key(), &chunk, 1_800_000_000)).unwrap();
        prop_assert_eq!(item.contains_key("end"), chunk.end().is_some(), "the trigger's attribute is on the terminal chunk alone");
        let row: ChunkRow = serde_dynamo::from_item(item).unwrap();
        let read = row.into_chunk().unwrap();
        prop_assert_eq!(read.as_ref(), Some(&chunk));
        let (item, _) = chunk_item(&key(), &chunk, 1_800_000_000).unwrap();
        let row: ChunkRow = serde_dynamo::from_item(item).unwrap();
        prop_assert_eq!(row.into_chunk().unwrap(), Some(chunk));
    }

    #[test]
    fn damaged_counts_are_reported_without_a_panic(first_seq in any::<u64>(), counts in any::<[u64; 3]>(), index in any::<u32>()) {
        let place = Place { output_index: 0, content_index: index, kind: TextKind::OutputText };
        let events = vec![Event::OutputItemAdded { output_index: 0, item: Item::Message }, Event::ContentPartAdded(place)];
        let [received_chunks, stored_bytes, chunk_count] = counts;
        let counters = Counters { received_chunks, stored_bytes, chunk_count };
        let chunk = Chunk { first_seq, writer: "w".into(), at_ms: 0, first_text_at_ms: None, counters, output_from: 0, upstream: None, events };
        let item = chunk_to_item(&key(), &chunk, 0).unwrap();
        prop_assert_eq!(chunk_from_item(item).unwrap().is_some(), first_seq <= SLOT_MAX);
        let mut log = LogState { next_seq: first_seq, counters: Counters { chunk_count: chunk_count.wrapping_sub(1), ..counters }, ..LogState::default() };
        let _ = log.apply(&chunk);
        let _ = chunk.next_slot();
    }

    #[test]
    fn slots_sort_by_number_and_before_meta(left in 0_u64..1_000_000_000_000, right in 0_u64..1_000_000_000_000) {
        prop_assert_eq!(slot(left).cmp(&slot(right)), left.cmp(&right));
        prop_assert!(slot(left).as_str() < AFTER_SLOTS && AFTER_SLOTS < META);
    }
}
