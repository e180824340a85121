//! Chunks as stored in the table.

use longhand::aws::{chunk_from_item, chunk_to_item};
use longhand::log::assembly::Assembly;
use longhand::log::chunk::{Chunk, LogState};
use longhand::{GenerationId, GenerationKey};
use serde_json::Value;

/// The input has one item per line. A parsed chunk renders as the same chunk; a log accepted as whole has every number once.
pub fn chunk(data: &[u8]) {
    let chunks: Vec<Chunk> = data.split(|byte| *byte == b'\n').filter_map(read).collect();
    let (mut log, mut events) = (LogState::default(), 0);
    for chunk in &chunks {
        if log.apply(chunk).is_err() {
            return;
        }
        events += chunk.events.len() as u64;
        assert_eq!(log.next_seq, events);
    }
    let mut assembly = Assembly::new(log.output_from);
    let text: usize = chunks.iter().flat_map(|chunk| &chunk.events).filter_map(|event| assembly.event(event)).map(str::len).sum();
    assert!(text as u64 <= log.counters.stored_bytes);
}

fn read(line: &[u8]) -> Option<Chunk> {
    let item: Value = serde_json::from_slice(line).ok()?;
    let chunk = chunk_from_item(item).ok().flatten()?;
    let organization = "acme".parse().expect("an organization");
    let key = GenerationKey::new(organization, GenerationId::new(0));
    let written = chunk_to_item(&key, &chunk, 0).expect("a chunk can be written");
    assert_eq!(chunk_from_item(written).expect("it can be read"), Some(chunk.clone()));
    let _ = (chunk.last_seq(), chunk.next_slot(), chunk.end(), chunk.text_bytes());
    Some(chunk)
}
