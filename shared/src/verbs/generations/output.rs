//! `output`: the result, as far as it has come.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::aws::{Blobs, Outcome, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits::{OUTPUT_INLINE_BYTES_MAX, OUTPUT_URL_TTL};
use crate::log::assembly::{Assembly, ToolCall};
use crate::log::chunk::Chunk;
use crate::verbs::generations::get;

/// A generation's result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Output {
    /// Its id.
    pub id: GenerationId,
    /// Its status: until it is terminal, the result is what has come so far.
    pub status: Status,
    /// The text; `None` where it is larger than 4 MiB.
    pub text: Option<String>,
    /// The text's length.
    pub bytes: u64,
    /// Its SHA-256 in hex, once it lies in the bucket.
    pub sha256: Option<String>,
    /// For text too large to be here: a URL that works for 15 minutes.
    pub url: Option<String>,
    /// The text as JSON, exactly as it was written, if it is JSON of at most 64 KB and 100 levels.
    pub llm_response: Option<Box<RawValue>>,
    /// What the model said instead of an answer.
    pub refusal: Option<String>,
    /// The tools it wants called.
    pub tool_calls: Vec<ToolCall>,
}

impl App {
    /// The result, from the bucket once it lies there, and from the log until then.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LogGone`]; [`Error::Aws`].
    pub async fn output(&self, key: &GenerationKey) -> Result<Output, Error> {
        let (record, newest) = self.newest(key, self.records.get(key).await?).await?;
        match &record.outcome {
            Some(outcome) => self.output_from_bucket(key, &record, outcome).await,
            None => self.output_from_log(key, &record, newest.as_ref()).await,
        }
    }

    async fn output_from_bucket(&self, key: &GenerationKey, record: &RecordRow, outcome: &Outcome) -> Result<Output, Error> {
        if outcome.compacted.is_none() {
            return Err(Error::LogGone(key.generation.to_string()));
        }
        let object = Blobs::output_key(key);
        let (text, url) = if outcome.bytes > OUTPUT_INLINE_BYTES_MAX {
            (None, Some(self.blobs.presigned_url(&object, OUTPUT_URL_TTL).await?))
        } else {
            let bytes = self.blobs.get(&object).await?.ok_or_else(|| Error::LogGone(key.generation.to_string()))?;
            let damaged = |_| Error::LogDamaged(key.generation.to_string(), "its blob is not UTF-8".into());
            (Some(String::from_utf8(bytes).map_err(damaged)?), None)
        };
        let (refusal, tool_calls) = if outcome.has_other_output {
            self.assemble(key, record, &mut |_| {}).await?.into_other_output()
        } else {
            (None, Vec::new())
        };
        Ok(Output {
            id: key.generation.clone(),
            status: record.status,
            text,
            bytes: outcome.bytes,
            sha256: outcome.sha256.clone(),
            url,
            llm_response: outcome.llm_response.clone().and_then(|json| RawValue::from_string(json).ok()),
            refusal,
            tool_calls,
        })
    }

    async fn output_from_log(&self, key: &GenerationKey, record: &RecordRow, newest: Option<&Chunk>) -> Result<Output, Error> {
        let (mut text, mut bytes) = (Some(String::new()), 0);
        let assembly = self
            .assemble(key, record, &mut |part| {
                bytes += part.len() as u64;
                match &mut text {
                    Some(text) if bytes <= OUTPUT_INLINE_BYTES_MAX => text.push_str(part),
                    _ => text = None,
                }
            })
            .await?;
        let (refusal, tool_calls) = assembly.into_other_output();
        let status = get::status(record, newest);
        let id = key.generation.clone();
        Ok(Output { id, status, text, bytes, sha256: None, url: None, llm_response: None, refusal, tool_calls })
    }

    /// Reads the whole log; `text` gets the text of the result, piece by piece.
    async fn assemble(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        text: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Assembly, Error> {
        let events = self.read_events(key, record, 0, usize::MAX).await?;
        let newest = self.buffer.newest(key).await?;
        let output_from = newest.map_or_else(|| output_from(&events), |chunk| chunk.output_from);
        let mut assembly = Assembly::new(output_from);
        for event in &events {
            if let Some(part) = assembly.event(&event.event) {
                text(part);
            }
        }
        Ok(assembly)
    }
}

/// Where the last attempt's output begins: at the first item that is added after the last `in_progress`.
fn output_from(events: &[crate::log::event::NumberedEvent]) -> u32 {
    use crate::log::event::Event;
    let last_attempt = events.iter().rposition(|event| matches!(event.event, Event::InProgress { .. })).unwrap_or(0);
    let first_item = events[last_attempt..].iter().find_map(|event| match event.event {
        Event::OutputItemAdded { output_index, .. } => Some(output_index),
        _ => None,
    });
    first_item.unwrap_or(u32::MAX)
}
