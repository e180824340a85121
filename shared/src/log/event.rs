//! Events, of which a log consists.
//!
//! They correspond one to one, in order, to the stream events of the OpenAI Responses API and carry its names, without the
//! leading `response.`; an event's `seq` is that API's `sequence_number`. What can be derived is not stored: item ids follow
//! from the generation and `output_index`, and the `…done` events do not repeat the text.

use serde::{Deserialize, Serialize};

use crate::generation::Status;
use crate::generation::usage::{TotalUsage, Usage};

/// One event of a generation's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// The generation exists. Always event 0.
    #[serde(rename = "created")]
    Created,
    /// An attempt began. A second one means that the first was interrupted.
    #[serde(rename = "in_progress")]
    InProgress {
        /// Which attempt, from 1.
        attempt: u32,
        /// The tokens of the attempts before it, as far as they are known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        used: Option<Usage>,
    },
    /// An output item begins.
    #[serde(rename = "output_item.added")]
    OutputItemAdded {
        /// The item's place in the output; never used twice.
        output_index: u32,
        /// The item.
        item: Item,
    },
    /// A part of the open message or reasoning item begins.
    #[serde(rename = "content_part.added")]
    ContentPartAdded(Place),
    /// Output text.
    #[serde(rename = "output_text.delta")]
    OutputTextDelta(Stretch),
    /// The text of that part has ended.
    #[serde(rename = "output_text.done")]
    OutputTextDone(Place),
    /// Reasoning text.
    #[serde(rename = "reasoning_text.delta")]
    ReasoningTextDelta(Stretch),
    /// The reasoning has ended.
    #[serde(rename = "reasoning_text.done")]
    ReasoningTextDone(Place),
    /// A refusal's text.
    #[serde(rename = "refusal.delta")]
    RefusalDelta(Stretch),
    /// The refusal has ended.
    #[serde(rename = "refusal.done")]
    RefusalDone(Place),
    /// A piece of a tool call's arguments.
    #[serde(rename = "function_call_arguments.delta")]
    FunctionCallArgumentsDelta(Stretch),
    /// The arguments have ended.
    #[serde(rename = "function_call_arguments.done")]
    FunctionCallArgumentsDone(Place),
    /// The part has ended.
    #[serde(rename = "content_part.done")]
    ContentPartDone(Place),
    /// The item has ended.
    #[serde(rename = "output_item.done")]
    OutputItemDone {
        /// Which item.
        output_index: u32,
        /// `false`: it was cut off, by a limit or by an interruption.
        complete: bool,
    },
    /// The output broke the request's schema, in a way that no continuation can mend. At most one. The Responses API has no such
    /// event; `/v1/responses` shows a snapshot in its place.
    #[serde(rename = "schema_violation")]
    SchemaViolation {
        /// A JSON Pointer into the output's JSON.
        path: String,
        /// What was expected there, in one sentence.
        message: String,
    },
    /// Terminal: the provider finished of its own accord.
    #[serde(rename = "completed")]
    Completed(End),
    /// Terminal: the provider stopped at a limit or a filter; `reason` says which.
    #[serde(rename = "incomplete")]
    Incomplete(End),
    /// Terminal: it could not be finished; `reason` says why. What was received is kept.
    #[serde(rename = "failed")]
    Failed(End),
    /// Terminal: the caller cancelled it. What was received is kept.
    #[serde(rename = "cancelled")]
    Cancelled(End),
}

/// The kind of an output item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Item {
    /// The assistant's message: text, or a refusal.
    Message,
    /// The model's reasoning before its answer.
    Reasoning,
    /// A call of one of the request's tools.
    FunctionCall {
        /// The provider's id of the call.
        call_id: String,
        /// The tool.
        name: String,
    },
}

/// The four kinds of text that a provider streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// The answer.
    OutputText,
    /// Reasoning before the answer.
    Reasoning,
    /// A refusal to answer.
    Refusal,
    /// A tool call's arguments: pieces of JSON text.
    FunctionCallArguments,
}

/// A part of an output item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The item.
    pub output_index: u32,
    /// The part of the item; 0 for a tool call, which has no parts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub content_index: u32,
    /// The kind of text in it.
    #[serde(rename = "part")]
    pub kind: TextKind,
}

/// A stretch of text: consecutive deltas of one kind, joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The item.
    pub output_index: u32,
    /// The part of the item.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub content_index: u32,
    /// The text, byte for byte as it was received.
    pub delta: String,
}

/// How a generation ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Why, where the status is not enough: one of [`super::reason::REASONS`], or a provider's
    /// [`Fault::code`](crate::providers::Fault::code).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The provider's own word for why it stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// The HTTP status of the provider's answer that ended the generation, where it was an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_status: Option<u16>,
    /// The tokens of all attempts that the provider counted, or else estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TotalUsage>,
    /// The model that answered, as the provider named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl TextKind {
    /// The delta event of this kind.
    #[must_use]
    pub const fn delta(self, stretch: Stretch) -> Event {
        match self {
            Self::OutputText => Event::OutputTextDelta(stretch),
            Self::Reasoning => Event::ReasoningTextDelta(stretch),
            Self::Refusal => Event::RefusalDelta(stretch),
            Self::FunctionCallArguments => Event::FunctionCallArgumentsDelta(stretch),
        }
    }

    /// The event that ends text of this kind.
    #[must_use]
    pub const fn done(self, place: Place) -> Event {
        match self {
            Self::OutputText => Event::OutputTextDone(place),
            Self::Reasoning => Event::ReasoningTextDone(place),
            Self::Refusal => Event::RefusalDone(place),
            Self::FunctionCallArguments => Event::FunctionCallArgumentsDone(place),
        }
    }

    /// Whether text of this kind lies in a content part (a tool call's arguments do not).
    #[must_use]
    pub const fn has_part(self) -> bool {
        !matches!(self, Self::FunctionCallArguments)
    }
}

/// The kind and the stretch of a delta, borrowed as the event is.
macro_rules! stretch_of {
    ($event:expr) => {
        match $event {
            Event::OutputTextDelta(stretch) => Some((TextKind::OutputText, stretch)),
            Event::ReasoningTextDelta(stretch) => Some((TextKind::Reasoning, stretch)),
            Event::RefusalDelta(stretch) => Some((TextKind::Refusal, stretch)),
            Event::FunctionCallArgumentsDelta(stretch) => Some((TextKind::FunctionCallArguments, stretch)),
            _ => None,
        }
    };
}

impl Event {
    /// The event's type, as in its JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::InProgress { .. } => "in_progress",
            Self::OutputItemAdded { .. } => "output_item.added",
            Self::ContentPartAdded(_) => "content_part.added",
            Self::OutputTextDelta(_) => "output_text.delta",
            Self::OutputTextDone(_) => "output_text.done",
            Self::ReasoningTextDelta(_) => "reasoning_text.delta",
            Self::ReasoningTextDone(_) => "reasoning_text.done",
            Self::RefusalDelta(_) => "refusal.delta",
            Self::RefusalDone(_) => "refusal.done",
            Self::FunctionCallArgumentsDelta(_) => "function_call_arguments.delta",
            Self::FunctionCallArgumentsDone(_) => "function_call_arguments.done",
            Self::ContentPartDone(_) => "content_part.done",
            Self::OutputItemDone { .. } => "output_item.done",
            Self::SchemaViolation { .. } => "schema_violation",
            Self::Completed(_) => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed(_) => "failed",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// The text that the event carries, and its kind, if it is a delta.
    #[must_use]
    pub const fn stretch(&self) -> Option<(TextKind, &Stretch)> {
        stretch_of!(self)
    }

    /// The same, to be changed.
    pub const fn stretch_mut(&mut self) -> Option<(TextKind, &mut Stretch)> {
        stretch_of!(self)
    }

    /// How the generation ended, if this event ends it.
    #[must_use]
    pub const fn end(&self) -> Option<(Status, &End)> {
        match self {
            Self::Completed(end) => Some((Status::Completed, end)),
            Self::Incomplete(end) => Some((Status::Incomplete, end)),
            Self::Failed(end) => Some((Status::Failed, end)),
            Self::Cancelled(end) => Some((Status::Cancelled, end)),
            _ => None,
        }
    }

    /// Bytes of text in it; 0 for an event that is not a delta.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.stretch().map_or(0, |(_, stretch)| stretch.delta.len())
    }
}

/// An event and its number, as readers get it: one JSON object, `seq` first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberedEvent {
    /// Its place in the log: 0, 1, 2 … without gaps.
    pub seq: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// A delta, as JSON. It has one shape, so serde reads it without the buffer in which it holds the fields of a tagged enum.
#[derive(Deserialize)]
struct NumberedDelta {
    seq: u64,
    #[serde(rename = "type")]
    kind: DeltaType,
    output_index: u32,
    #[serde(default)]
    content_index: u32,
    delta: String,
}

#[derive(Deserialize)]
enum DeltaType {
    #[serde(rename = "output_text.delta")]
    OutputText,
    #[serde(rename = "reasoning_text.delta")]
    ReasoningText,
    #[serde(rename = "refusal.delta")]
    Refusal,
    #[serde(rename = "function_call_arguments.delta")]
    FunctionCallArguments,
}

impl NumberedEvent {
    /// Reads an event from its JSON. Deltas, which are nearly all of a log, are read several times as fast as by serde's derive.
    ///
    /// # Errors
    /// It is no event.
    pub fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        let Ok(NumberedDelta { seq, kind, output_index, content_index, delta }) = serde_json::from_slice(json) else {
            return serde_json::from_slice(json);
        };
        let kind = match kind {
            DeltaType::OutputText => TextKind::OutputText,
            DeltaType::ReasoningText => TextKind::Reasoning,
            DeltaType::Refusal => TextKind::Refusal,
            DeltaType::FunctionCallArguments => TextKind::FunctionCallArguments,
        };
        Ok(Self { seq, event: kind.delta(Stretch { output_index, content_index, delta }) })
    }
}

/// A [`NumberedEvent`] that borrows its event, to be serialised.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Numbered<'a> {
    /// See [`NumberedEvent::seq`].
    pub seq: u64,
    /// The event.
    #[serde(flatten)]
    pub event: &'a Event,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_back_from_its_json_line() {
        let events = [
            Event::Created,
            Event::InProgress { attempt: 1, used: None },
            Event::InProgress { attempt: 2, used: Usage::estimate(40, 9) },
            Event::OutputItemAdded { output_index: 0, item: Item::FunctionCall { call_id: "c".into(), name: "f".into() } },
            TextKind::OutputText.delta(Stretch { output_index: 1, content_index: 0, delta: "0".into() }),
            TextKind::Reasoning.delta(Stretch { output_index: 0, content_index: 2, delta: "\"ñ\u{1}".into() }),
            TextKind::Refusal.delta(Stretch { output_index: 1, content_index: 1, delta: String::new() }),
            TextKind::FunctionCallArguments.delta(Stretch { output_index: 2, content_index: 0, delta: "{".into() }),
            TextKind::Refusal.done(Place { output_index: 1, content_index: 1, kind: TextKind::Refusal }),
            Event::SchemaViolation { path: "/a".into(), message: "must be an integer".into() },
            Event::Incomplete(End { reason: Some("max_output_tokens".into()), ..End::default() }),
        ];
        for (seq, event) in (0..).zip(events) {
            let numbered = NumberedEvent { seq, event };
            let line = serde_json::to_string(&numbered).unwrap();
            assert_eq!(serde_json::to_string(&Numbered { seq, event: &numbered.event }).unwrap(), line);
            assert!(line.starts_with(&format!("{{\"seq\":{seq},\"type\":\"{}\"", numbered.event.name())), "{line}");
            assert_eq!(serde_json::from_str::<NumberedEvent>(&line).unwrap(), numbered);
            assert_eq!(NumberedEvent::from_json(line.as_bytes()).unwrap(), numbered);
        }
    }
}
