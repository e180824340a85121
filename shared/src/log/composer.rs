//! Composes a provider's deltas into events: opens and closes items and parts, and joins consecutive deltas of one kind into one
//! stretch.

use std::collections::BTreeMap;

use crate::log::chunk::{Outline, join};
use crate::log::event::{Event, Item, Place, Stretch, TextKind};
use crate::providers::{Delta, ToolCallDelta};

/// Events in one chunk. With 350 KB of text and names this keeps an item under DynamoDB's 400 KB.
pub(crate) const CHUNK_EVENTS_MAX: usize = 256;

/// The events that were received and not yet taken for a flush.
#[derive(Debug, Default)]
pub struct Composer {
    outline: Outline,
    /// By the provider's tool-call index: the item that was opened for the call.
    calls: BTreeMap<u32, u32>,
    pending: Vec<Event>,
    pending_bytes: usize,
    received_chunks: u64,
}

impl Composer {
    /// Continues a log that has this outline, and so many deltas.
    #[must_use]
    pub fn resume(outline: Outline, received_chunks: u64) -> Self {
        Self { outline, received_chunks, ..Self::default() }
    }

    /// Bytes of text that wait for a flush.
    #[must_use]
    pub const fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Events that wait for a flush.
    #[must_use]
    pub const fn pending_events(&self) -> usize {
        self.pending.len()
    }

    /// Whether any event waits for a flush.
    #[must_use]
    pub const fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Deltas with text in them so far, over all attempts.
    #[must_use]
    pub const fn received_chunks(&self) -> u64 {
        self.received_chunks
    }

    /// The index of the next item.
    #[must_use]
    pub const fn next_output_index(&self) -> u32 {
        self.outline.next_output_index()
    }

    /// Whether anything is open.
    #[must_use]
    pub fn is_continued(&self) -> bool {
        self.outline.is_continued()
    }

    /// Whether a message is open.
    #[must_use]
    pub fn has_open_message(&self) -> bool {
        self.outline.open().any(|(_, open)| open.item == Item::Message)
    }

    /// The item whose text a provider can continue: the only open item, a message whose first part is open and is text.
    #[must_use]
    pub fn open_text(&self) -> Option<u32> {
        let mut open = self.outline.open();
        let (output_index, item) = open.next().filter(|_| open.next().is_none())?;
        let is_text = item.part.is_some_and(|part| part.kind == TextKind::OutputText && part.content_index == 0);
        (item.item == Item::Message && is_text).then_some(output_index)
    }

    /// Adds an event as it is.
    pub fn event(&mut self, event: Event) {
        self.outline.apply(&event);
        self.pending_bytes += event.text_bytes();
        self.pending.push(event);
    }

    /// Adds one delta. An empty one leaves no trace.
    pub fn delta(&mut self, delta: Delta) {
        match delta {
            Delta::Text(text) => self.part_text(TextKind::OutputText, text),
            Delta::Reasoning(text) => self.part_text(TextKind::Reasoning, text),
            Delta::Refusal(text) => self.part_text(TextKind::Refusal, text),
            Delta::ToolCall(call) => self.tool_call(call),
            Delta::Usage(_) | Delta::Model(_) | Delta::Alive | Delta::Upstream(_) | Delta::Finish(_) => {}
        }
    }

    /// Closes everything that is open. `complete`: the provider had finished it.
    pub fn close(&mut self, complete: bool) {
        let open: Vec<u32> = self.outline.open().map(|(index, _)| index).collect();
        for index in open {
            self.close_item(index, complete);
        }
        self.calls.clear();
    }

    /// Begins with another stream of a provider, which numbers its tool calls anew. Calls that are open stay so: they are whole.
    pub fn begin_stream(&mut self) {
        self.calls.clear();
    }

    /// Closes what is open after an interruption, as incomplete. The text stays in the log, but is not part of the result.
    pub fn abandon(&mut self) {
        let open: Vec<u32> = self.outline.open().map(|(index, _)| index).collect();
        for output_index in open {
            self.event(Event::OutputItemDone { output_index, complete: false });
        }
        self.calls.clear();
    }

    /// Takes what waits, up to `bytes_max` of text and names; the rest stays for the next chunk.
    pub fn take(&mut self, bytes_max: usize) -> Vec<Event> {
        let mut bytes = 0;
        let mut taken = 0;
        while let Some(event) = self.pending.get(taken) {
            let more = bytes_in_chunk(event);
            if taken == CHUNK_EVENTS_MAX || bytes + more > bytes_max {
                break;
            }
            bytes += more;
            taken += 1;
        }
        let rest = self.pending.split_off(taken);
        let mut events = std::mem::replace(&mut self.pending, rest);
        if events.len() < CHUNK_EVENTS_MAX
            && let Some(head) = self.pending.first_mut().and_then(|event| split_off_head(event, bytes_max - bytes))
        {
            events.push(head);
        }
        self.pending_bytes -= events.iter().map(Event::text_bytes).sum::<usize>();
        events
    }

    fn part_text(&mut self, kind: TextKind, text: String) {
        if text.is_empty() {
            return;
        }
        self.received_chunks += 1;
        let place = self.place_for(kind);
        self.stretch(kind, Stretch { output_index: place.output_index, content_index: place.content_index, delta: text });
    }

    fn tool_call(&mut self, call: ToolCallDelta) {
        let output_index = match self.calls.get(&call.index) {
            Some(output_index) => *output_index,
            None => self.open_call(call.index, call.id.unwrap_or_default(), call.name.unwrap_or_default()),
        };
        if !call.arguments.is_empty() {
            self.received_chunks += 1;
            let kind = TextKind::FunctionCallArguments;
            self.stretch(kind, Stretch { output_index, content_index: 0, delta: call.arguments });
        }
    }

    fn stretch(&mut self, kind: TextKind, stretch: Stretch) {
        self.pending_bytes += stretch.delta.len();
        if let Some(stretch) = join(self.pending.last_mut(), kind, stretch) {
            self.pending.push(kind.delta(stretch));
        }
    }

    fn open_call(&mut self, tool_index: u32, id: String, name: String) -> u32 {
        self.close_parts_but(None);
        let output_index = self.next_output_index();
        let call_id = if id.is_empty() { format!("call_{tool_index}") } else { id };
        self.event(Event::OutputItemAdded { output_index, item: Item::FunctionCall { call_id, name } });
        self.calls.insert(tool_index, output_index);
        output_index
    }

    /// The open part for text of this kind; opens one if there is none.
    fn place_for(&mut self, kind: TextKind) -> Place {
        let item = if kind == TextKind::Reasoning { Item::Reasoning } else { Item::Message };
        let open = self.outline.open().find(|(_, open)| open.item == item).map(|(index, open)| (index, open.part, open.parts));
        if let Some((_, Some(place), _)) = open
            && place.kind == kind
        {
            return place;
        }
        let (output_index, content_index) = if let Some((index, part, parts)) = open {
            if let Some(place) = part {
                self.close_part(place);
            }
            (index, parts)
        } else {
            self.close_parts_but(Some(&item));
            let output_index = self.next_output_index();
            self.event(Event::OutputItemAdded { output_index, item });
            (output_index, 0)
        };
        let place = Place { output_index, content_index, kind };
        self.event(Event::ContentPartAdded(place));
        place
    }

    /// Closes messages and reasoning before another item begins. Tool calls stay open: their pieces may alternate.
    fn close_parts_but(&mut self, kept: Option<&Item>) {
        let closing: Vec<u32> = self
            .outline
            .open()
            .filter(|(_, open)| !matches!(open.item, Item::FunctionCall { .. }) && Some(&open.item) != kept)
            .map(|(index, _)| index)
            .collect();
        for index in closing {
            self.close_item(index, true);
        }
    }

    fn close_item(&mut self, output_index: u32, complete: bool) {
        let open = self.outline.open().find(|(index, _)| *index == output_index);
        let Some((is_call, part)) = open.map(|(_, open)| (matches!(open.item, Item::FunctionCall { .. }), open.part)) else {
            return;
        };
        if let Some(place) = part {
            self.close_part(place);
        } else if is_call {
            let kind = TextKind::FunctionCallArguments;
            self.event(kind.done(Place { output_index, content_index: 0, kind }));
        }
        self.event(Event::OutputItemDone { output_index, complete });
    }

    fn close_part(&mut self, place: Place) {
        self.event(place.kind.done(place));
        self.event(Event::ContentPartDone(place));
    }
}

/// Bytes of an event that count towards the size of its chunk: of text, and of the provider's names. The names of hundreds of calls
/// in one chunk may be more than an item holds.
pub(crate) fn bytes_in_chunk(event: &Event) -> usize {
    match event {
        Event::OutputItemAdded { item: Item::FunctionCall { call_id, name }, .. } => call_id.len() + name.len(),
        _ => event.text_bytes(),
    }
}

/// Splits off the first `bytes` of a stretch, at a character boundary. `None`: nothing fits, or the event is no stretch.
fn split_off_head(event: &mut Event, bytes: usize) -> Option<Event> {
    let (kind, stretch) = event.stretch_mut()?;
    let cut = stretch.delta.floor_char_boundary(bytes);
    if cut == 0 {
        return None;
    }
    let rest = stretch.delta.split_off(cut);
    let head = std::mem::replace(&mut stretch.delta, rest);
    Some(kind.delta(Stretch { delta: head, ..*stretch }))
}

#[cfg(test)]
#[path = "composer_tests.rs"]
mod tests;
