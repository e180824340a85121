//! `progress`: how far a generation has come, at the cost of two or three small reads; with the JSON so far, of the whole log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::aws::{Blobs, Meta, Outcome, RecordRow};
use crate::error::Error;
use crate::generation::{Progress, Status};
use crate::ids::{GenerationId, GenerationKey};
use crate::json::{partial, text};
use crate::limits::JSON_BYTES_MAX;
use crate::log::chunk::Chunk;
use crate::verbs::generations::result::PartialResult;
use crate::verbs::generations::view;

/// A generation's progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgressView {
    /// The generation's id.
    pub id: GenerationId,
    /// The generation's status.
    pub status: Status,
    /// Deltas, bytes and chunks so far.
    pub progress: Progress,
    /// Attempts begun; `None` after the buffer has gone.
    pub attempt: Option<u32>,
    /// On request: the best well-formed JSON of the text so far; of a completed generation, the JSON in its text. `null`: the
    /// text holds no JSON, or is larger than [`JSON_BYTES_MAX`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<Box<RawValue>>,
}

impl App {
    /// How far the generation has come. `partial` is absent.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Aws`].
    pub async fn progress(&self, key: &GenerationKey) -> Result<ProgressView, Error> {
        let reads = async { futures::try_join!(self.records.get(key), self.buffer.newest_and_meta(key)) };
        let (record, (newest, meta)) = Box::pin(reads).await?;
        let record = self.reload_if_empty(key, record, newest.as_ref()).await?;
        Ok(ProgressView::new(&record, newest.as_ref(), meta.as_ref()))
    }

    /// How far the generation has come, with the JSON so far. Reads the whole log of a running generation.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Aws`].
    pub async fn progress_with_partial(&self, key: &GenerationKey) -> Result<ProgressView, Error> {
        let reads = async { futures::try_join!(self.records.get(key), self.buffer.meta(key)) };
        let (record, meta) = Box::pin(reads).await?;
        let so_far = if record.outcome.is_none() { self.json_so_far(key).await? } else { (None, None) };
        let record = self.reload_if_empty(key, record, so_far.0.as_ref()).await?;
        let (newest, partial) = match &record.outcome {
            Some(outcome) => (None, self.final_json(key, record.status, outcome).await?),
            None => so_far,
        };
        let partial = partial.unwrap_or_else(|| RawValue::NULL.to_owned());
        Ok(ProgressView { partial: Some(partial), ..ProgressView::new(&record, newest.as_ref(), meta.as_ref()) })
    }

    async fn final_json(&self, key: &GenerationKey, status: Status, outcome: &Outcome) -> Result<Option<Box<RawValue>>, Error> {
        if let Some(json) = &outcome.llm_response {
            return Ok(RawValue::from_string(json.clone()).ok());
        }
        if outcome.bytes > JSON_BYTES_MAX as u64 {
            return Ok(None);
        }
        let text = self.blobs.get(&Blobs::output_key(key)).await?.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| best_json(&text, Some(status))))
    }

    /// The log's newest chunk, and the JSON of the text up to it.
    async fn json_so_far(&self, key: &GenerationKey) -> Result<(Option<Chunk>, Option<Box<RawValue>>), Error> {
        let mut result = PartialResult::new(JSON_BYTES_MAX as u64);
        let newest = self.fold_buffer(key, &mut result).await?;
        let end = newest.as_ref().and_then(Chunk::end).map(|(status, _)| status);
        let (text, _) = result.text.into_parts();
        Ok((newest, text.and_then(|text| best_json(&text, end))))
    }
}

impl ProgressView {
    fn new(record: &RecordRow, newest: Option<&Chunk>, meta: Option<&Meta>) -> Self {
        Self {
            id: record.generation.clone(),
            status: view::status(record, newest),
            progress: view::progress(record, newest),
            attempt: meta.map(|meta| meta.attempt),
            partial: None,
        }
    }
}

/// The JSON in a text: of a complete text, the whole document; of an incomplete one, what is certain.
fn best_json(text: &str, end: Option<Status>) -> Option<Box<RawValue>> {
    let whole = || text::find(text).map(ToOwned::to_owned);
    match end {
        None => partial::best(text),
        Some(Status::Completed) => whole(),
        Some(_) => whole().or_else(|| partial::best(text)),
    }
}
