//! Renders a log's events as chunks, and as the completion at the end.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::generation::Status;
use crate::generation::request::Request;
use crate::generation::usage::Usage;
use crate::ids::GenerationId;
use crate::log::event::{End, Event, Item, Stretch, TextKind};
use crate::log::reason;

/// What a completion has from its first chunk to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletionHead {
    id: String,
    generation: GenerationId,
    created: i64,
    model: String,
    include_usage: bool,
    custom_tools: BTreeSet<String>,
}

impl CompletionHead {
    /// For a request that was accepted at `created_ms`.
    #[must_use]
    pub fn new(generation: GenerationId, created_ms: i64, request: &Request) -> Self {
        let own = request.chat_completion.as_deref();
        Self {
            id: format!("chatcmpl-{}", generation.as_str().trim_start_matches("gen_")),
            generation,
            created: created_ms / 1_000,
            model: own.map_or_else(|| request.model.clone(), |own| own.model.clone()),
            include_usage: own.is_some_and(|own| own.include_usage),
            custom_tools: request.custom_tools(),
        }
    }

    /// A piece of a call, or a call, of the tool of this name: of its name and arguments in the form that its kind of tool has.
    fn call(&self, tool: &str, with_name: bool, arguments: &str) -> Value {
        let (kind, text) = if self.custom_tools.contains(tool) { ("custom", "input") } else { ("function", "arguments") };
        let mut call = json!({ kind: { text: arguments } });
        if with_name {
            call = json!({ "type": kind, kind: { "name": tool, text: arguments } });
        }
        call
    }

    fn object(&self, kind: &str, choices: &Value) -> Value {
        json!({ "id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices })
    }
}

/// A part of a streamed completion.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunk {
    /// An event with this JSON: a chunk, or an `error`.
    Data(Value),
    /// The end: `[DONE]`.
    Done,
}

/// The state of a completion after the events so far.
#[derive(Debug, Clone)]
pub struct Completion {
    head: CompletionHead,
    items: BTreeMap<u32, Output>,
    /// Items before this index belong to an abandoned attempt.
    output_from: u32,
    has_begun: bool,
    /// An attempt was abandoned whose output had been streamed.
    is_broken: bool,
    end: Option<(Status, End)>,
}

#[derive(Debug, Clone)]
struct Output {
    item: Item,
    is_open: bool,
    text: String,
    refusal: String,
}

impl Completion {
    /// The state before event 0.
    #[must_use]
    pub const fn new(head: CompletionHead) -> Self {
        Self { head, items: BTreeMap::new(), output_from: 0, has_begun: false, is_broken: false, end: None }
    }

    /// Whether an attempt was abandoned whose output had been streamed, so that the stream has ended with an error.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Applies the next event without rendering it: of a completion that is sent whole, an abandoned attempt leaves no trace.
    pub fn follow(&mut self, event: &Event) {
        match event {
            Event::InProgress { .. } => self.begin_attempt(),
            Event::OutputItemAdded { output_index, item } => {
                let output = Output { item: item.clone(), is_open: true, text: String::new(), refusal: String::new() };
                self.items.insert(*output_index, output);
            }
            Event::OutputItemDone { output_index, .. } => {
                self.items.entry(*output_index).and_modify(|output| output.is_open = false);
            }
            event => {
                if let Some((kind, stretch)) = event.stretch() {
                    self.gather(kind, stretch);
                }
            }
        }
        if let Some((status, end)) = event.end() {
            self.end = Some((status, end.clone()));
        }
    }

    /// Applies the next event, and renders it. After [`Chunk::Done`] or an error nothing more is rendered.
    ///
    /// A chunk cannot be taken back. Where an attempt begins again after its text was streamed, the stream ends with an error that
    /// names the generation, which has the whole text.
    #[must_use]
    pub fn render(&mut self, event: &Event) -> Vec<Chunk> {
        if self.is_broken {
            return Vec::new();
        }
        let (had_begun, output_from) = (self.has_begun, self.output_from);
        self.follow(event);
        match event {
            Event::InProgress { .. } if !had_begun => self.delta(&json!({ "role": "assistant", "content": "" })),
            Event::InProgress { .. } if self.output_from > output_from => {
                self.is_broken = true;
                vec![Chunk::Data(self.error())]
            }
            Event::OutputItemAdded { output_index, .. } => self.call_delta(*output_index, true, ""),
            event => match event.stretch() {
                Some((kind, stretch)) => self.stretch(kind, stretch),
                None if event.end().is_some() => self.ending(),
                None => Vec::new(),
            },
        }
    }

    /// The completion, once the generation has ended; before, and for one that failed, its error.
    #[must_use]
    pub fn completion(&self) -> Value {
        let Some(end) = self.answered() else { return self.error() };
        let mut message = Map::new();
        let calls = self.calls();
        let content = self.text(&Item::Message, |output| &output.text);
        let refusal = self.text(&Item::Message, |output| &output.refusal);
        let reasoning = self.text(&Item::Reasoning, |output| &output.text);
        let or_null = |text: String| if text.is_empty() { Value::Null } else { text.into() };
        message.insert("role".into(), "assistant".into());
        let has_no_content = !calls.is_empty() || !refusal.is_empty();
        message.insert("content".into(), if has_no_content { or_null(content) } else { content.into() });
        message.insert("refusal".into(), or_null(refusal));
        if !reasoning.is_empty() {
            message.insert("reasoning_content".into(), reasoning.into());
        }
        if !calls.is_empty() {
            message.insert("tool_calls".into(), calls.into());
        }
        let choice = json!({ "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason(end) });
        let mut completion = self.head.object("chat.completion", &json!([choice]));
        completion["usage"] = usage(end.usage.unwrap_or_default().total);
        completion
    }

    /// The generation's error, in the envelope of this API.
    #[must_use]
    pub fn error(&self) -> Value {
        let (message, code) = match &self.end {
            Some((Status::Cancelled, _)) => ("The generation was cancelled.".to_owned(), "cancelled".to_owned()),
            Some((_, end)) => (end.message.clone().unwrap_or_default(), end.reason.clone().unwrap_or_default()),
            None if self.is_broken => {
                let generation = &self.head.generation;
                let message = format!(
                    "The provider was interrupted and began again, which a stream of chunks cannot show. Read generation {generation}."
                );
                (message, "restarted".to_owned())
            }
            None => {
                let generation = &self.head.generation;
                (format!("The time of the function is over. Read generation {generation}."), "timeout".to_owned())
            }
        };
        json!({ "error": { "message": message, "type": "server_error", "param": null, "code": code } })
    }

    /// The end of a generation that has an answer, whole or cut off.
    fn answered(&self) -> Option<&End> {
        let (status, end) = self.end.as_ref()?;
        matches!(status, Status::Completed | Status::Incomplete).then_some(end)
    }

    /// A new attempt continues an open item. Without one, everything before belongs to an abandoned attempt.
    fn begin_attempt(&mut self) {
        self.has_begun = true;
        if self.items.values().all(|output| !output.is_open) {
            self.output_from = self.items.keys().last().map_or(0, |last| last.saturating_add(1));
        }
    }

    fn gather(&mut self, kind: TextKind, stretch: &Stretch) {
        if let Some(output) = self.items.get_mut(&stretch.output_index) {
            let text = if kind == TextKind::Refusal { &mut output.refusal } else { &mut output.text };
            text.push_str(&stretch.delta);
        }
    }

    fn stretch(&self, kind: TextKind, stretch: &Stretch) -> Vec<Chunk> {
        match kind {
            TextKind::OutputText => self.delta(&json!({ "content": stretch.delta })),
            TextKind::Reasoning => self.delta(&json!({ "reasoning_content": stretch.delta })),
            TextKind::Refusal => self.delta(&json!({ "refusal": stretch.delta })),
            TextKind::FunctionCallArguments => self.call_delta(stretch.output_index, false, &stretch.delta),
        }
    }

    /// The delta of a tool call; nothing for an item that is none.
    fn call_delta(&self, output_index: u32, begins: bool, arguments: &str) -> Vec<Chunk> {
        let Some(Item::FunctionCall { call_id, name }) = self.items.get(&output_index).map(|output| &output.item) else {
            return Vec::new();
        };
        let is_call = |(_, output): &(&u32, &Output)| matches!(output.item, Item::FunctionCall { .. });
        let index = self.items.range(self.output_from..output_index).filter(is_call).count();
        let mut piece = self.head.call(name, begins, arguments);
        if begins {
            piece["id"] = call_id.as_str().into();
        }
        piece["index"] = index.into();
        self.delta(&json!({ "tool_calls": [piece] }))
    }

    fn delta(&self, delta: &Value) -> Vec<Chunk> {
        vec![self.chunk(&json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }]))]
    }

    fn chunk(&self, choices: &Value) -> Chunk {
        let mut chunk = self.head.object("chat.completion.chunk", choices);
        if self.head.include_usage {
            chunk["usage"] = Value::Null;
        }
        Chunk::Data(chunk)
    }

    fn ending(&self) -> Vec<Chunk> {
        let Some(end) = self.answered() else { return vec![Chunk::Data(self.error())] };
        let finish = self.finish_reason(end);
        let mut chunks = vec![self.chunk(&json!([{ "index": 0, "delta": {}, "logprobs": null, "finish_reason": finish }]))];
        if self.head.include_usage {
            let mut counted = self.head.object("chat.completion.chunk", &json!([]));
            counted["usage"] = usage(end.usage.unwrap_or_default().total);
            chunks.push(Chunk::Data(counted));
        }
        chunks.push(Chunk::Done);
        chunks
    }

    fn finish_reason(&self, end: &End) -> String {
        let reason = match end.reason.as_deref() {
            Some(reason::MAX_OUTPUT_TOKENS) => "length",
            Some(reason::CONTENT_FILTER) => "content_filter",
            Some(_) => end.finish_reason.as_deref().unwrap_or("stop"),
            None if self.calls().is_empty() => "stop",
            None => "tool_calls",
        };
        reason.to_owned()
    }

    fn text(&self, kind: &Item, part: impl Fn(&Output) -> &String) -> String {
        let outputs = self.items.range(self.output_from..).map(|(_, output)| output);
        outputs.filter(|output| output.item == *kind).map(|output| part(output).as_str()).collect()
    }

    fn calls(&self) -> Vec<Value> {
        let call = |(_, output): (&u32, &Output)| {
            let Item::FunctionCall { call_id, name } = &output.item else { return None };
            let mut call = self.head.call(name, true, &output.text);
            call["id"] = call_id.as_str().into();
            Some(call)
        };
        self.items.range(self.output_from..).filter_map(call).collect()
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
    })
}
