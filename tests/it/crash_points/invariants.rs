//! What must hold of a generation that has ended, whatever went wrong on the way.

use std::collections::BTreeSet;

use longhand::event::NumberedEvent;
use longhand::generation::{Generation, Status};
use longhand::{GenerationId, Inspection};
use longhand_local::Playback;
use longhand_tests::faults::Made;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::scenario::{Run, organization, script, text_of};

/// Writes of a life that are no flush: the request, the record and its outcome, the idempotency key.
const WRITES_BESIDE_FLUSHES: usize = 6;
/// Writes of one attempt that are no flush: the claim, and a renewal or two.
const WRITES_OF_AN_ATTEMPT: usize = 3;

/// Looks at everything that is stored, and notes what does not hold.
pub async fn check(run: &Run, id: &GenerationId, seen: &[NumberedEvent], provider: &Playback, violations: &mut Vec<String>) {
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            violations.push(otherwise);
        }
    };
    let app = &run.app;
    let inspection = app.inspect(&organization(), id).await.expect("the log");
    let page = app.events(&organization(), id, None, Some(10_000)).await.expect("the events");
    let output = app.output(&organization(), id).await.expect("the output");
    let text = script().text();

    // 1: nothing that was seen is lost, changed or repeated.
    must(page.data.starts_with(seen), format!("what was seen has changed: {seen:?} is now {:?}", page.data));
    let seqs: Vec<u64> = page.data.iter().map(|event| event.seq).collect();
    must(seqs == (0..page.data.len() as u64).collect::<Vec<_>>(), format!("numbers have gaps: {seqs:?}"));
    // 2: one writer at a time; none comes back.
    let mut writers: Vec<&str> = inspection.slots.iter().map(|slot| slot.writer.as_str()).collect();
    writers.dedup();
    let distinct: BTreeSet<&str> = writers.iter().copied().collect();
    must(writers.len() == distinct.len(), format!("a fenced writer wrote: {writers:?}"));
    // 3: one end, and it is last.
    let ends: Vec<usize> =
        page.data.iter().enumerate().filter(|(_, event)| event.event.end().is_some()).map(|(at, _)| at).collect();
    must(ends == [page.data.len().saturating_sub(1)], format!("ends at {ends:?} of {}", page.data.len()));
    // 4 and 5: complete, with the whole text, in the log, in the output and in the bucket.
    let record = &inspection.record;
    must(
        record.status == Status::Completed,
        format!("{:?} with the reason {:?}: {:?}", record.status, record.reason, record.error),
    );
    must(text_of(&page.data) == text, format!("the log says {:?}", text_of(&page.data)));
    must(output.text.as_deref() == Some(&text), format!("the output says {:?}", output.text));
    let sha256 = format!("{:x}", Sha256::digest(&text));
    must(
        record.sha256.as_ref() == Some(&sha256) && record.bytes == Some(text.len() as u64),
        format!("the record counts {:?} bytes", record.bytes),
    );
    must(record.compacted.is_some(), "the record has no blob".into());
    check_writes(&inspection, record, &run.faults.made(), &mut must);
    // Nothing is left over, and nothing was made twice.
    let list = app.list(&organization(), None, None).await.expect("the list");
    must(list.data.len() == 1, format!("{} generations came of one request", list.data.len()));
    let swept = app.sweep(None).await.expect("a sweep");
    must(json!(swept)["open"] == 0, format!("something is still open: {swept:?}"));
    let attempts = inspection.meta.as_ref().map_or(0, |meta| meta.attempt);
    let asked = provider.stats().requests;
    must(asked >= 1 && asked <= u64::from(attempts) + 1, format!("{asked} requests upstream in {attempts} attempts"));
}

/// 7: writes are flushes, heartbeats and a constant.
fn check_writes(inspection: &Inspection, record: &Generation, made: &[Made], must: &mut impl FnMut(bool, String)) {
    let writes = made.iter().filter(|made| made.call.service == "dynamodb" && is_write(&made.call.operation)).count();
    let faults = made.iter().filter(|made| made.met.is_some()).count();
    let attempts = inspection.meta.as_ref().map_or(1, |meta| meta.attempt as usize);
    let flushes = usize::try_from(record.chunk_count.unwrap_or(0)).unwrap_or(usize::MAX);
    // A fault repeats one write, or begins the work of one function anew.
    let most = flushes + WRITES_BESIDE_FLUSHES * (1 + faults) + WRITES_OF_AN_ATTEMPT * (attempts + faults);
    must(writes <= most, format!("{writes} writes for {flushes} flushes and {attempts} attempts"));
}

fn is_write(operation: &str) -> bool {
    ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"].contains(&operation)
}
