//! What must hold of a generation that has ended, whatever went wrong on the way.

use longhand_tests::{PATIENCE, key_of};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use longhand::generation::{Generation, Status};
use longhand::log::event::{Event, NumberedEvent};
use longhand::{GenerationId, Inspection, SubjectKey};
use longhand_tests::faults::Made;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::kind::{self, Kind};
use super::scenario::{Run, organization, text_of};

/// Writes of a life that are no flush: the request, the record and its outcome, the idempotency key.
const WRITES_BESIDE_FLUSHES: usize = 6;
/// Writes of one attempt that are no flush: the claim, and a renewal or two.
const WRITES_OF_AN_ATTEMPT: usize = 3;
/// Writes of a cancel: the note on meta, and a few tries for a slot against the writer; or of a buffer's deletion.
const WRITES_OF_A_CALLERS_WISH: usize = 8;
/// By then a buffer has expired.
const LIFETIME: Duration = Duration::from_hours(25);

/// Looks at everything that is stored, and notes what does not hold.
pub async fn check(run: &Run, id: &GenerationId, seen: &[NumberedEvent], violations: &mut Vec<String>) {
    run.until_idle().await;
    let mut must = |holds: bool, otherwise: String| {
        if !holds {
            violations.push(otherwise);
        }
    };
    let app = &run.app;
    let inspection = app.inspect(&key_of(id)).await.expect("the log");
    let page = app.events(&key_of(id), None, Some(10_000)).await.expect("the events");
    let output = app.output(&key_of(id)).await.expect("the output");
    let text = if run.kind == Kind::Cancelled { text_of(&page.data) } else { kind::text() };

    // 1: nothing that was seen is lost, changed or repeated.
    must(page.data.starts_with(seen), format!("what was seen has changed: {seen:?} is now {:?}", page.data));
    let seqs: Vec<u64> = page.data.iter().map(|event| event.seq).collect();
    let otherwise = run.caller.told_otherwise(&page.data);
    must(otherwise.is_empty(), format!("its caller was told {otherwise:?}: {:?}", page.data));
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
    // 4 and 5: ended as it must, with the whole text, in the log, in the output and in the bucket.
    let record = &inspection.record;
    must(
        record.status == run.kind.status(),
        format!("{:?} with the reason {:?}: {:?}", record.status, record.reason, record.error),
    );
    must(text_of(&page.data) == text && kind::text().starts_with(&text), format!("the log says {:?}", text_of(&page.data)));
    must(output.text.as_deref() == Some(&text), format!("the output says {:?}", output.text));
    let sha256 = format!("{:x}", Sha256::digest(&text));
    must(
        record.sha256.as_ref() == Some(&sha256) && record.bytes == Some(text.len() as u64),
        format!("the record counts {:?} bytes", record.bytes),
    );
    must(record.compacted.is_some(), "the record has no blob".into());
    let told = page.data.iter().filter(|event| matches!(event.event, Event::InProgress { .. })).count();
    let attempts = inspection.meta.as_ref().map_or(told, |meta| meta.attempt as usize);
    check_writes(run, attempts, record, &run.faults.made(), &mut must);
    // Nothing is left over, and nothing was made twice.
    let list = app.list(&organization(), &longhand::ListQuery::default()).await.expect("the list");
    must(list.data.len() == 1, format!("{} generations came of one request", list.data.len()));
    let swept = app.sweep(std::future::pending()).await.expect("a sweep");
    must(json!(swept)["open"] == 0, format!("something is still open: {swept:?}"));
    let asked = run.upstream.requests();
    must(asked >= 1 && asked <= attempts as u64 + 1, format!("{asked} requests upstream in {attempts} attempts"));
    let used = app.quota_view(&organization()).await.expect("what is used").used;
    let (generations, output_bytes) = if run.kind == Kind::Counted { (1, record.progress.received_bytes) } else { (0, 0) };
    must((used.generations, used.output_bytes) == (generations, output_bytes), format!("counted {used:?}"));
    Box::pin(check_version(run, id, &text, &mut must)).await;
    Box::pin(check_statistics(run, &mut must)).await;
    // The buffer goes; what a reader gets stays.
    if run.kind == Kind::Deleted && !run.faults.made().iter().any(is_deleters_fault) {
        must(is_gone(&inspection), format!("of the buffer are left {:?}", inspection.slots));
    }
    run.clock.advance(LIFETIME);
    let expired = app.inspect(&key_of(id)).await.expect("what is left");
    must(is_gone(&expired), format!("of the buffer are left {:?}", expired.slots));
    let archived = app.events(&key_of(id), None, Some(10_000)).await.expect("the events");
    must(archived.data == page.data, format!("from the bucket comes {:?} in place of {:?}", archived.data, page.data));
}

/// It is counted once, however often its end was told.
async fn check_statistics(run: &Run, must: &mut impl FnMut(bool, String)) {
    let counts = async || run.app.usage(&organization(), None, None, None).await.expect("the statistics").total.generations;
    let began = Instant::now();
    while counts().await.total == 0 && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run.until_idle().await;
    let counts = counts().await;
    let of_kind =
        [Status::Completed, Status::Incomplete, Status::Failed, Status::Cancelled].map(|it| u64::from(it == run.kind.status()));
    must([counts.completed, counts.incomplete, counts.failed, counts.cancelled] == of_kind, format!("counted as {counts:?}"));
}

/// Of a generation with a subject there is one version, with the text, however often the generation was settled.
async fn check_version(run: &Run, id: &GenerationId, text: &str, must: &mut impl FnMut(bool, String)) {
    if run.kind != Kind::Versioned {
        return;
    }
    let key = SubjectKey::new(organization(), kind::SUBJECT.parse().expect("a subject"));
    let began = Instant::now();
    // Whoever settles may be between two tries.
    while run.app.subject(&key).await.expect("the subject").current.is_none() && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    run.until_idle().await;
    let versions = run.app.versions(&key, None, None).await.expect("the versions").data;
    let made: Vec<_> = versions.iter().map(|view| (view.version.number, view.version.generation.as_ref())).collect();
    must(made == [(1, Some(id))], format!("it became {made:?}"));
    let output = run.app.version_output(&key, None).await.ok().and_then(|output| output.text);
    must(output.as_deref() == Some(text), format!("its version says {output:?}"));
}

/// Whether it kept the buffer from being deleted: it expires then.
fn is_deleters_fault(made: &Made) -> bool {
    made.met.is_some() && ["compact", "sweep"].contains(&made.function.as_str())
}

fn is_gone(inspection: &Inspection) -> bool {
    inspection.slots.is_empty() && inspection.meta.is_none()
}

/// 7: writes are flushes, heartbeats and a constant.
fn check_writes(run: &Run, attempts: usize, record: &Generation, made: &[Made], must: &mut impl FnMut(bool, String)) {
    let writes = made.iter().filter(|made| made.call.service == "dynamodb" && is_write(&made.call.operation)).count();
    let faults = made.iter().filter(|made| made.met.is_some()).count();
    let flushes = usize::try_from(record.chunk_count.unwrap_or(0)).unwrap_or(usize::MAX);
    let has_wish = matches!(run.kind, Kind::Cancelled | Kind::Deleted);
    let wish = if has_wish { WRITES_OF_A_CALLERS_WISH * (1 + faults) } else { 0 };
    // A fault repeats one write, or begins the work of one function anew.
    let most = flushes + WRITES_BESIDE_FLUSHES * (1 + faults) + WRITES_OF_AN_ATTEMPT * (attempts + faults) + wish;
    must(writes <= most, format!("{writes} writes for {flushes} flushes and {attempts} attempts"));
}

fn is_write(operation: &str) -> bool {
    ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"].contains(&operation)
}
