//! A generation's result, put together from its log one event at a time, in bounded memory.

use crate::app::App;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::log::assembly::Assembly;
use crate::log::chunk::{Chunk, Outline};
use crate::log::event::Event;

/// A text of any length, held only while it has at most `bytes_max` bytes.
#[derive(Debug, Clone)]
pub(in crate::verbs) struct BoundedText {
    text: Option<String>,
    bytes: u64,
    bytes_max: u64,
}

impl BoundedText {
    /// Empty.
    pub(in crate::verbs) const fn new(bytes_max: u64) -> Self {
        Self { text: Some(String::new()), bytes: 0, bytes_max }
    }

    pub(in crate::verbs) fn push(&mut self, part: &str) {
        self.bytes += part.len() as u64;
        if self.bytes > self.bytes_max {
            self.text = None;
        }
        if let Some(text) = &mut self.text {
            text.push_str(part);
        }
    }

    /// The text, unless it is larger than the bound, and its length in bytes.
    pub(in crate::verbs) fn into_parts(self) -> (Option<String>, u64) {
        (self.text, self.bytes)
    }
}

/// The result of the events applied so far.
#[derive(Debug)]
pub(in crate::verbs) struct PartialResult {
    /// The text of the current attempt.
    pub text: BoundedText,
    /// The refusal and the tool calls.
    pub assembly: Assembly,
    outline: Outline,
}

impl PartialResult {
    /// Of no event. Holds at most `bytes_max` bytes of text.
    pub(in crate::verbs) fn new(bytes_max: u64) -> Self {
        Self { text: BoundedText::new(bytes_max), assembly: Assembly::default(), outline: Outline::default() }
    }

    /// Applies the log's next event.
    pub(in crate::verbs) fn apply(&mut self, event: &Event) {
        if matches!(event, Event::InProgress { .. }) && !self.outline.is_continued() {
            self.text = BoundedText::new(self.text.bytes_max);
            self.assembly = Assembly::new(self.outline.next_output_index());
        }
        self.outline.apply(event);
        if let Some(part) = self.assembly.event(event) {
            self.text.push(part);
        }
    }
}

impl App {
    /// Applies the buffer's events to `result`, one page in memory at a time. Returns the newest chunk; `None`: the buffer is
    /// empty, or is being deleted and has a gap, so `result` is of no use.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn fold_buffer(
        &self,
        key: &GenerationKey,
        result: &mut PartialResult,
    ) -> Result<Option<Chunk>, Error> {
        let (mut newest, mut slot) = (None, Some(0));
        while let Some(from) = slot {
            let page = self.buffer.chunks(key, from).await?;
            if page.is_torn(from) {
                return Ok(None);
            }
            slot = page.next_slot;
            page.chunks.iter().flat_map(|chunk| &chunk.events).for_each(|event| result.apply(event));
            newest = page.chunks.into_iter().next_back().or(newest);
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::event::{Item, Stretch, TextKind};

    fn message(output_index: u32) -> Event {
        Event::OutputItemAdded { output_index, item: Item::Message }
    }

    fn text(output_index: u32, delta: &str) -> Event {
        TextKind::OutputText.delta(Stretch { output_index, content_index: 0, delta: delta.into() })
    }

    fn result(events: &[Event]) -> (Option<String>, u64) {
        let mut result = PartialResult::new(6);
        for event in events {
            result.apply(event);
        }
        result.text.into_parts()
    }

    #[test]
    fn an_attempt_continues_an_open_item_and_abandons_closed_ones() {
        let begun = [Event::InProgress { attempt: 1, used: None }, message(0), text(0, "uno ")];
        let continued = [Event::InProgress { attempt: 2, used: None }, text(0, "dos")];
        let abandoned =
            [Event::OutputItemDone { output_index: 0, complete: false }, Event::InProgress { attempt: 2, used: None }];
        assert_eq!(result(&begun), (Some("uno ".into()), 4));
        assert_eq!(result(&[&begun[..], &continued].concat()), (None, 7), "the text is larger than its bound");
        assert_eq!(result(&[&begun[..], &abandoned].concat()), (Some(String::new()), 0));
        assert_eq!(result(&[&begun[..], &abandoned, &[message(1), text(1, "tres")]].concat()), (Some("tres".into()), 4));
    }
}
