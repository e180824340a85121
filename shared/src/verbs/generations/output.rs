//! `output`: the result, complete or partial.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::aws::{Blobs, Outcome, RecordRow};
use crate::error::Error;
use crate::generation::Status;
use crate::ids::{GenerationId, GenerationKey};
use crate::limits::{OUTPUT_INLINE_BYTES_MAX, OUTPUT_URL_TTL};
use crate::log::assembly::ToolCall;
use crate::log::chunk::Chunk;
use crate::verbs::generations::result::PartialResult;
use crate::verbs::generations::view;

/// A generation's result, complete or partial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Output {
    /// The generation's id.
    pub id: GenerationId,
    /// The generation's status. Until it is terminal, the result is what has been stored so far.
    pub status: Status,
    /// The text; `None` where it is larger than [`OUTPUT_INLINE_BYTES_MAX`].
    pub text: Option<String>,
    /// The text's length in bytes.
    pub bytes: u64,
    /// The text's SHA-256 in hex; `None` before compaction.
    pub sha256: Option<String>,
    /// A presigned URL for a compacted text that is too large to be inline; valid for [`OUTPUT_URL_TTL`].
    pub url: Option<String>,
    /// The text as JSON, byte for byte, if it is JSON of at most 64 KB and 100 levels.
    pub llm_response: Option<Box<RawValue>>,
    /// The model's refusal, if it refused.
    pub refusal: Option<String>,
    /// The tool calls that the model requested.
    pub tool_calls: Vec<ToolCall>,
}

impl App {
    /// The result: from the bucket after compaction, from the log before.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LogGone`]; [`Error::LogDamaged`]; [`Error::Aws`].
    pub async fn output(&self, key: &GenerationKey) -> Result<Output, Error> {
        let (mut record, newest) = self.newest(key, self.records.get(key).await?).await?;
        if record.outcome.is_none() {
            if let Some(output) = self.output_from_log(key, &record, newest.as_ref()).await? {
                return Ok(output);
            }
            record = self.records.get(key).await?;
        }
        match &record.outcome {
            Some(outcome) => self.output_from_bucket(key, &record, outcome).await,
            None => Err(Error::LogGone(key.generation.to_string())),
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
        let (refusal, tool_calls) =
            if outcome.has_other_output { self.other_output(key, outcome).await? } else { (None, Vec::new()) };
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

    /// `None`: the buffer was deleted meanwhile, so the result is in the bucket or nowhere.
    async fn output_from_log(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        newest: Option<&Chunk>,
    ) -> Result<Option<Output>, Error> {
        let mut result = PartialResult::new(OUTPUT_INLINE_BYTES_MAX);
        if let Some(newest) = newest {
            let folded = self.fold_buffer(key, &mut result).await?;
            if folded.is_none_or(|folded| folded.last_seq() < newest.last_seq()) {
                return Ok(None);
            }
        }
        let (text, bytes) = result.text.into_parts();
        let (refusal, tool_calls) = result.assembly.into_other_output();
        Ok(Some(Output {
            id: key.generation.clone(),
            status: view::status(record, newest),
            text,
            bytes,
            sha256: None,
            url: None,
            llm_response: None,
            refusal,
            tool_calls,
        }))
    }

    /// The refusal and the tool calls of a compacted log: from the buffer, and where that is gone, from the bucket.
    async fn other_output(&self, key: &GenerationKey, outcome: &Outcome) -> Result<(Option<String>, Vec<ToolCall>), Error> {
        let mut result = PartialResult::new(0);
        let folded = self.fold_buffer(key, &mut result).await?;
        let next = folded.as_ref().map_or(0, |newest| newest.last_seq() + 1);
        if next <= outcome.last_seq {
            let mut archive = self.open_archive(key, outcome, next).await?;
            if folded.is_none() {
                result = PartialResult::new(0);
            }
            loop {
                let page = archive.page(next).await?;
                if page.is_empty() {
                    break;
                }
                for event in &page {
                    result.apply(&event.event);
                }
            }
        }
        Ok(result.assembly.into_other_output())
    }
}
