//! `progress`: how far a generation has come, for two or three small reads; with the JSON so far, for one read of the log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::app::App;
use crate::aws::{Blobs, Outcome};
use crate::error::Error;
use crate::generation::{Progress, Status};
use crate::ids::{GenerationId, GenerationKey};
use crate::json::{partial, text};
use crate::limits::JSON_BYTES_MAX;
use crate::log::assembly::Assembly;
use crate::log::chunk::Chunk;
use crate::verbs::generations::get;

/// A generation's progress.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProgressView {
    /// Its id.
    pub id: GenerationId,
    /// Where it stands.
    pub status: Status,
    /// How far it has come.
    pub progress: Progress,
    /// Attempts begun; `None` once the buffer is gone.
    pub attempt: Option<u32>,
    /// Where it was asked for: the best well-formed JSON of the text so far, and once the generation has completed the JSON that
    /// it is. `null`: there is none, or the text has more than 4 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<Box<RawValue>>,
}

impl App {
    /// How far it has come.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Aws`].
    pub async fn progress(&self, key: &GenerationKey) -> Result<ProgressView, Error> {
        let reads = async { futures::try_join!(self.records.get(key), self.buffer.newest(key), self.buffer.meta(key)) };
        let (record, newest, meta) = Box::pin(reads).await?;
        let record = self.look_again(key, record, newest.as_ref()).await?;
        Ok(ProgressView {
            status: get::status(&record, newest.as_ref()),
            progress: get::progress(record.outcome.as_ref(), newest.as_ref()),
            attempt: meta.map(|meta| meta.attempt),
            id: key.generation.clone(),
            partial: None,
        })
    }

    /// How far it has come, with the JSON so far.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Aws`].
    pub async fn progress_with_partial(&self, key: &GenerationKey) -> Result<ProgressView, Error> {
        let reads = async { futures::try_join!(self.records.get(key), self.buffer.meta(key)) };
        let (record, meta) = Box::pin(reads).await?;
        let so_far = if record.outcome.is_none() { self.json_so_far(key).await? } else { (None, None) };
        let record = self.look_again(key, record, so_far.0.as_ref()).await?;
        let (newest, partial) = match &record.outcome {
            Some(outcome) => (None, self.final_json(key, record.status, outcome).await?),
            None => so_far,
        };
        Ok(ProgressView {
            status: get::status(&record, newest.as_ref()),
            progress: get::progress(record.outcome.as_ref(), newest.as_ref()),
            attempt: meta.map(|meta| meta.attempt),
            id: key.generation.clone(),
            partial: Some(partial.unwrap_or_else(|| RawValue::NULL.to_owned())),
        })
    }

    async fn final_json(&self, key: &GenerationKey, status: Status, outcome: &Outcome) -> Result<Option<Box<RawValue>>, Error> {
        if let Some(json) = &outcome.llm_response {
            return Ok(RawValue::from_string(json.clone()).ok());
        }
        if outcome.bytes > JSON_BYTES_MAX as u64 {
            return Ok(None);
        }
        let text = self.blobs.get(&Blobs::output_key(key)).await?.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(text.and_then(|text| json_of(&text, Some(status))))
    }

    /// The log's newest chunk, and the JSON of the text up to it.
    async fn json_so_far(&self, key: &GenerationKey) -> Result<(Option<Chunk>, Option<Box<RawValue>>), Error> {
        let (mut text, mut output_from, mut newest, mut slot) = (String::new(), 0, None, Some(0));
        while let Some(from) = slot {
            let page = self.buffer.chunks(key, from).await?;
            slot = page.next_slot;
            for chunk in page.chunks {
                if chunk.output_from > output_from {
                    // The attempt before was given up, and its text with it.
                    output_from = chunk.output_from;
                    text.clear();
                }
                if text.len() <= JSON_BYTES_MAX {
                    let mut assembly = Assembly::new(output_from);
                    chunk.events.iter().filter_map(|event| assembly.event(event)).for_each(|part| text.push_str(part));
                }
                newest = Some(chunk);
            }
        }
        if text.len() > JSON_BYTES_MAX {
            return Ok((newest, None));
        }
        let end = newest.as_ref().and_then(Chunk::end).map(|(status, _)| status);
        Ok((newest, json_of(&text, end)))
    }
}

/// A text that was cut off has what was certain when it was.
fn json_of(text: &str, end: Option<Status>) -> Option<Box<RawValue>> {
    let whole = || text::find(text).map(ToOwned::to_owned);
    match end {
        None => partial::best(text),
        Some(Status::Completed) => whole(),
        Some(_) => whole().or_else(|| partial::best(text)),
    }
}
