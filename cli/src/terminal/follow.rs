//! Follows one generation to its end, with live progress.

use std::time::{Duration, Instant};

use anyhow::bail;
use serde_json::Value;
use tokio::time::sleep;

use crate::api::{Api, Reply};
use crate::patience::Patience;
use crate::terminal::output::{count, size};
use crate::terminal::ticker::Ticker;

const ASK_EVERY: Duration = Duration::from_millis(100);
/// A generation that did not complete shows so as soon as its log has ended; where its text lies is on the record a moment later.
const RESULT_WAIT: Duration = Duration::from_secs(10);

/// Waits until the generation has ended, and answers with its record. With `standstill`, gives up when nothing has
/// changed for so long.
pub async fn to_the_end(api: &Api, id: &str, standstill: Option<Duration>) -> anyhow::Result<Reply> {
    let (mut ticker, mut patience) = (Ticker::new(), Patience::default());
    let began = Instant::now();
    let (mut newest, mut changed, mut ended) = (Value::Null, began, None);
    loop {
        match ask(api, id).await {
            Ok(Answer::Ended(record)) => {
                let since = *ended.get_or_insert_with(Instant::now);
                if !record.value["compacted_at"].is_null() || since.elapsed() > RESULT_WAIT {
                    return Ok(*record);
                }
            }
            Ok(Answer::Running(progress)) => {
                patience.restore();
                ticker.show(&describe(&progress, began.elapsed()));
                if newest != progress {
                    (newest, changed) = (progress, Instant::now());
                }
                if standstill.is_some_and(|limit| changed.elapsed() > limit) {
                    bail!("nothing has changed for {} s: {}", changed.elapsed().as_secs(), describe(&newest, began.elapsed()));
                }
            }
            Err(error) => {
                ticker.clear();
                patience.bear(error).await?;
            }
        }
        sleep(ASK_EVERY).await;
    }
}

/// Whether a status is final.
pub fn has_ended(status: &str) -> bool {
    matches!(status, "completed" | "incomplete" | "failed" | "cancelled")
}

/// What a generation came to, where it did not complete: `failed (rate_limited): …`.
pub fn outcome(record: &Value) -> String {
    let word = |pointer| record.pointer(pointer).and_then(Value::as_str);
    let status = word("/status").unwrap_or("unknown");
    let reason = word("/reason").or_else(|| word("/error/code")).map(|reason| format!(" ({reason})"));
    let message = word("/error/message").map(|message| format!(": {message}"));
    format!("{status}{}{}", reason.unwrap_or_default(), message.unwrap_or_default())
}

enum Answer {
    Running(Value),
    Ended(Box<Reply>),
}

/// The log may have ended while the result is still being put away: only the record's word is final.
async fn ask(api: &Api, id: &str) -> anyhow::Result<Answer> {
    let progress = api.progress(id).await?.value;
    if !progress["status"].as_str().is_some_and(has_ended) {
        return Ok(Answer::Running(progress));
    }
    let record = api.generation(id).await?;
    if record.value["status"].as_str().is_some_and(has_ended) {
        return Ok(Answer::Ended(Box::new(record)));
    }
    Ok(Answer::Running(progress))
}

fn describe(answer: &Value, elapsed: Duration) -> String {
    let status = answer["status"].as_str().unwrap_or("unknown");
    let number = |name: &str| answer["progress"][name].as_u64().unwrap_or(0);
    let received = count(number("received_chunks"), "delta");
    let stored = count(number("chunk_count"), "chunk");
    format!("{status}  {received}  {}  in {stored}  {:.1} s", size(number("received_bytes")), elapsed.as_secs_f64())
}
