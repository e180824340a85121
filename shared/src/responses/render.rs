//! Renders the log's events as the API's stream events: a state machine with one output event for each input event.
//!
//! `…done` events and the final response carry the text, which the log does not repeat. The renderer collects it, so it must see a
//! log from event 0. To resume a stream, pass the events that the reader already has to [`Renderer::follow`].

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ids::ItemKind;
use super::object::Snapshot;
use crate::generation::Status;
use crate::log::event::{End, Event, Item, NumberedEvent, Place, Stretch, TextKind};

/// The state after the events so far.
#[derive(Debug, Clone)]
pub struct Renderer {
    snapshot: Snapshot,
    items: BTreeMap<u32, OutputItem>,
    /// Items before this index belong to an abandoned attempt.
    output_from: u32,
    has_begun: bool,
    end: Option<(Status, End)>,
    ended_ms: Option<i64>,
}

#[derive(Debug, Clone)]
struct OutputItem {
    item: Item,
    status: &'static str,
    parts: Vec<Part>,
    arguments: String,
}

#[derive(Debug, Clone)]
struct Part {
    kind: TextKind,
    text: String,
}

impl Renderer {
    /// The state before event 0.
    #[must_use]
    pub const fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, items: BTreeMap::new(), output_from: 0, has_begun: false, end: None, ended_ms: None }
    }

    /// The response after the events so far: the object that the newest lifecycle event carries.
    #[must_use]
    pub fn response(&self) -> Value {
        match &self.end {
            Some((status, end)) => self.snapshot.ended(*status, end, self.ended_ms, self.output()),
            None => self.snapshot.open(self.has_begun, self.output()),
        }
    }

    /// The final status; `None` while the response is open.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        self.end.as_ref().map(|(status, _)| *status)
    }

    /// Applies the next event without rendering it. `ended_ms`: when the log ended, if that is known.
    pub fn follow(&mut self, event: &Event, ended_ms: Option<i64>) {
        match event {
            Event::InProgress { .. } => self.begin_attempt(),
            Event::OutputItemAdded { output_index, item } => {
                let item = OutputItem { item: item.clone(), status: "in_progress", parts: Vec::new(), arguments: String::new() };
                self.items.insert(*output_index, item);
            }
            Event::ContentPartAdded(place) => {
                if let Some(item) = self.items.get_mut(&place.output_index) {
                    item.parts.push(Part { kind: place.kind, text: String::new() });
                }
            }
            Event::OutputItemDone { output_index, complete } => {
                if let Some(item) = self.items.get_mut(output_index) {
                    item.status = if *complete { "completed" } else { "incomplete" };
                }
            }
            event => {
                if let Some((kind, stretch)) = event.stretch() {
                    self.gather(kind, stretch);
                }
            }
        }
        if let Some((status, end)) = event.end() {
            self.finish(status, end.clone(), ended_ms);
        }
    }

    /// Applies the next event and renders it as a stream event of the API.
    #[must_use]
    pub fn render(&mut self, event: &NumberedEvent, ended_ms: Option<i64>) -> Value {
        self.follow(&event.event, ended_ms);
        let (kind, fields) = self.render_event(&event.event);
        let head = [("type".to_owned(), kind.into()), ("sequence_number".to_owned(), event.seq.into())];
        let fields = if let Value::Object(fields) = fields { fields } else { Map::new() };
        head.into_iter().chain(fields).collect::<Map<_, _>>().into()
    }

    /// A new attempt continues an open item. Without one, everything before belongs to an abandoned attempt.
    fn begin_attempt(&mut self) {
        self.has_begun = true;
        if self.items.values().all(|item| item.status != "in_progress") {
            self.output_from = self.items.keys().last().map_or(0, |last| last.saturating_add(1));
        }
    }

    fn gather(&mut self, kind: TextKind, stretch: &Stretch) {
        let Some(item) = self.items.get_mut(&stretch.output_index) else { return };
        if kind == TextKind::FunctionCallArguments {
            item.arguments.push_str(&stretch.delta);
        } else if let Some(part) = item.parts.get_mut(stretch.content_index as usize) {
            part.text.push_str(&stretch.delta);
        }
    }

    fn finish(&mut self, status: Status, end: End, ended_ms: Option<i64>) {
        self.end = Some((status, end));
        self.ended_ms = ended_ms;
        for item in self.items.values_mut().filter(|item| item.status == "in_progress") {
            item.status = "incomplete";
        }
    }

    fn render_event(&self, event: &Event) -> (&'static str, Value) {
        match event {
            Event::Created => ("response.created", json!({ "response": self.response() })),
            // The API has no event for a schema violation. A snapshot takes its number, so that the numbering has no gap.
            Event::InProgress { .. } | Event::SchemaViolation { .. } => {
                ("response.in_progress", json!({ "response": self.response() }))
            }
            Event::OutputItemAdded { output_index, .. } => {
                ("response.output_item.added", json!({ "output_index": output_index, "item": self.item(*output_index) }))
            }
            Event::OutputItemDone { output_index, .. } => {
                ("response.output_item.done", json!({ "output_index": output_index, "item": self.item(*output_index) }))
            }
            Event::ContentPartAdded(place) if self.is_summary(place.kind) => {
                ("response.reasoning_summary_part.added", self.with_part(*place))
            }
            Event::ContentPartDone(place) if self.is_summary(place.kind) => {
                ("response.reasoning_summary_part.done", self.with_part(*place))
            }
            Event::ContentPartAdded(place) => ("response.content_part.added", self.with_part(*place)),
            Event::ContentPartDone(place) => ("response.content_part.done", self.with_part(*place)),
            Event::OutputTextDelta(stretch) => ("response.output_text.delta", self.delta(TextKind::OutputText, stretch)),
            Event::ReasoningTextDelta(stretch) => {
                let is_summary = self.snapshot.summarizes();
                let kind = if is_summary { "response.reasoning_summary_text.delta" } else { "response.reasoning_text.delta" };
                (kind, self.delta(TextKind::Reasoning, stretch))
            }
            Event::RefusalDelta(stretch) => ("response.refusal.delta", self.delta(TextKind::Refusal, stretch)),
            Event::FunctionCallArgumentsDelta(stretch) => {
                let is_custom = self.is_custom(stretch.output_index);
                let kind =
                    if is_custom { "response.custom_tool_call_input.delta" } else { "response.function_call_arguments.delta" };
                (kind, self.delta(TextKind::FunctionCallArguments, stretch))
            }
            Event::OutputTextDone(place) => ("response.output_text.done", self.done(*place, "text")),
            Event::ReasoningTextDone(place) => {
                let is_summary = self.snapshot.summarizes();
                let kind = if is_summary { "response.reasoning_summary_text.done" } else { "response.reasoning_text.done" };
                (kind, self.done(*place, "text"))
            }
            Event::RefusalDone(place) => ("response.refusal.done", self.done(*place, "refusal")),
            Event::FunctionCallArgumentsDone(place) => {
                let is_custom = self.is_custom(place.output_index);
                let kind =
                    if is_custom { "response.custom_tool_call_input.done" } else { "response.function_call_arguments.done" };
                (kind, self.done(*place, "arguments"))
            }
            Event::Completed(_) => ("response.completed", json!({ "response": self.response() })),
            Event::Incomplete(_) => ("response.incomplete", json!({ "response": self.response() })),
            // The API has no event for a cancel; the response's status is `cancelled`.
            Event::Failed(_) | Event::Cancelled(_) => ("response.failed", json!({ "response": self.response() })),
        }
    }

    fn output(&self) -> Vec<Value> {
        self.items.range(self.output_from..).map(|(index, _)| self.item(*index)).collect()
    }

    fn item_id(&self, output_index: u32) -> String {
        let kind = match self.items.get(&output_index).map(|item| &item.item) {
            Some(Item::Reasoning) => ItemKind::Reasoning,
            Some(Item::FunctionCall { name, .. }) if self.snapshot.is_custom(name) => ItemKind::CustomToolCall,
            Some(Item::FunctionCall { .. }) => ItemKind::FunctionCall,
            Some(Item::Message) | None => ItemKind::Message,
        };
        self.snapshot.id().item(kind, output_index as usize)
    }

    fn item(&self, output_index: u32) -> Value {
        let Some(output) = self.items.get(&output_index) else { return Value::Null };
        let (id, status) = (self.item_id(output_index), output.status);
        let content: Vec<Value> = output.parts.iter().map(|part| self.render_part(part)).collect();
        match &output.item {
            Item::Message => json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content }),
            Item::Reasoning => {
                let (summary, content) = if self.snapshot.summarizes() { (content, Vec::new()) } else { (Vec::new(), content) };
                json!({ "id": id, "type": "reasoning", "summary": summary, "content": content, "status": status })
            }
            Item::FunctionCall { call_id, name } if self.snapshot.is_custom(name) => json!({
                "id": id, "type": "custom_tool_call", "status": status,
                "call_id": call_id, "name": name, "input": output.arguments,
            }),
            Item::FunctionCall { call_id, name } => json!({
                "id": id, "type": "function_call", "status": status,
                "call_id": call_id, "name": name, "arguments": output.arguments,
            }),
        }
    }

    /// Whether text of this kind is given as a summary.
    fn is_summary(&self, kind: TextKind) -> bool {
        kind == TextKind::Reasoning && self.snapshot.summarizes()
    }

    fn is_custom(&self, output_index: u32) -> bool {
        let item = self.items.get(&output_index).map(|output| &output.item);
        matches!(item, Some(Item::FunctionCall { name, .. }) if self.snapshot.is_custom(name))
    }

    fn render_part(&self, part: &Part) -> Value {
        if self.is_summary(part.kind) {
            return json!({ "type": "summary_text", "text": part.text });
        }
        part.render()
    }

    fn part(&self, place: Place) -> Option<&Part> {
        self.items.get(&place.output_index)?.parts.get(place.content_index as usize)
    }

    fn with_part(&self, place: Place) -> Value {
        let mut fields = self.placed(place);
        fields["part"] = self.part(place).map_or(Value::Null, |part| self.render_part(part));
        fields
    }

    fn delta(&self, kind: TextKind, stretch: &Stretch) -> Value {
        let mut fields = self.placed(Place { output_index: stretch.output_index, content_index: stretch.content_index, kind });
        fields["delta"] = stretch.delta.as_str().into();
        if kind == TextKind::OutputText {
            fields["logprobs"] = json!([]);
        }
        fields
    }

    fn done(&self, place: Place, name: &str) -> Value {
        let mut fields = self.placed(place);
        let output = self.items.get(&place.output_index);
        if let Some(OutputItem { item: Item::FunctionCall { name, .. }, arguments, .. }) = output {
            if self.snapshot.is_custom(name) {
                fields["input"] = arguments.as_str().into();
                return fields;
            }
            fields["name"] = name.as_str().into();
            fields["arguments"] = arguments.as_str().into();
            return fields;
        }
        fields[name] = self.part(place).map_or("", |part| part.text.as_str()).into();
        if place.kind == TextKind::OutputText {
            fields["logprobs"] = json!([]);
        }
        fields
    }

    fn placed(&self, place: Place) -> Value {
        let mut fields = json!({ "item_id": self.item_id(place.output_index), "output_index": place.output_index });
        if place.kind.has_part() {
            let name = if self.is_summary(place.kind) { "summary_index" } else { "content_index" };
            fields[name] = place.content_index.into();
        }
        fields
    }
}

impl Part {
    fn render(&self) -> Value {
        match self.kind {
            TextKind::Refusal => json!({ "type": "refusal", "refusal": self.text }),
            TextKind::Reasoning => json!({ "type": "reasoning_text", "text": self.text }),
            TextKind::OutputText | TextKind::FunctionCallArguments => {
                json!({ "type": "output_text", "text": self.text, "annotations": [], "logprobs": [] })
            }
        }
    }
}
