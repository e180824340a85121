//! Assembles the result from the events: the text, and beside it a refusal and tool calls.

use serde::{Deserialize, Serialize};

use crate::log::event::{Event, Item, TextKind};

/// A tool call with all its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// JSON text, as the model wrote it.
    pub arguments: String,
    #[serde(skip)]
    output_index: u32,
}

/// The part of the result beside its text, and the rule for which text is part of it.
#[derive(Debug, Clone, Default)]
pub struct Assembly {
    output_from: u32,
    refusal: String,
    tool_calls: Vec<ToolCall>,
}

impl Assembly {
    /// `output_from`: items before it belong to attempts that were given up ([`crate::log::chunk::Chunk::output_from`]).
    #[must_use]
    pub fn new(output_from: u32) -> Self {
        Self { output_from, ..Self::default() }
    }

    /// Adds an event, and returns the text that it adds to the result.
    pub fn event<'a>(&mut self, event: &'a Event) -> Option<&'a str> {
        if let Event::OutputItemAdded { output_index, item: Item::FunctionCall { call_id, name } } = event
            && *output_index >= self.output_from
        {
            let (call_id, name) = (call_id.clone(), name.clone());
            self.tool_calls.push(ToolCall { call_id, name, arguments: String::new(), output_index: *output_index });
        }
        let (kind, stretch) = event.stretch().filter(|(_, stretch)| stretch.output_index >= self.output_from)?;
        match kind {
            TextKind::OutputText => return Some(&stretch.delta),
            TextKind::Refusal => self.refusal.push_str(&stretch.delta),
            TextKind::FunctionCallArguments => {
                if let Some(call) = self.tool_calls.iter_mut().find(|call| call.output_index == stretch.output_index) {
                    call.arguments.push_str(&stretch.delta);
                }
            }
            TextKind::Reasoning => {}
        }
        None
    }

    /// Whether there is a refusal or a tool call.
    #[must_use]
    pub const fn has_other_output(&self) -> bool {
        !self.refusal.is_empty() || !self.tool_calls.is_empty()
    }

    /// The refusal, if there was one, and the tool calls.
    #[must_use]
    pub fn into_other_output(self) -> (Option<String>, Vec<ToolCall>) {
        (Some(self.refusal).filter(|refusal| !refusal.is_empty()), self.tool_calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::event::Stretch;

    fn delta(kind: TextKind, output_index: u32, delta: &str) -> Event {
        kind.delta(Stretch { output_index, content_index: 0, delta: delta.into() })
    }

    fn call(output_index: u32, name: &str) -> Event {
        Event::OutputItemAdded {
            output_index,
            item: Item::FunctionCall { call_id: format!("c{output_index}"), name: name.into() },
        }
    }

    /// Id, name and arguments.
    type Call = (String, String, String);

    /// The text of these events, and what there is beside it.
    fn assembled(output_from: u32, events: &[Event]) -> (String, bool, Option<String>, Vec<Call>) {
        let mut assembly = Assembly::new(output_from);
        let text = events.iter().filter_map(|event| assembly.event(event)).collect();
        let has_other = assembly.has_other_output();
        let (refusal, calls) = assembly.into_other_output();
        (text, has_other, refusal, calls.into_iter().map(|call| (call.call_id, call.name, call.arguments)).collect())
    }

    #[test]
    fn items_before_the_output_are_not_in_the_result() {
        let events = [
            call(0, "given up"),
            delta(TextKind::FunctionCallArguments, 0, "{"),
            delta(TextKind::OutputText, 1, "given up"),
            delta(TextKind::OutputText, 2, "uno "),
            Event::OutputItemAdded { output_index: 3, item: Item::Message },
            delta(TextKind::Reasoning, 3, "hm"),
            delta(TextKind::OutputText, 3, "dos"),
        ];
        assert_eq!(assembled(2, &events), ("uno dos".into(), false, None, vec![]));
    }

    #[test]
    fn refusals_and_tool_calls_are_kept_beside_the_text() {
        let refused = [delta(TextKind::Refusal, 0, "No"), delta(TextKind::Refusal, 0, ".")];
        assert_eq!(assembled(0, &refused), (String::new(), true, Some("No.".into()), vec![]));
        let called = [
            call(0, "f"),
            call(1, "g"),
            delta(TextKind::FunctionCallArguments, 1, "[1"),
            delta(TextKind::FunctionCallArguments, 0, "{}"),
            delta(TextKind::FunctionCallArguments, 1, "]"),
        ];
        let calls = [("c0", "f", "{}"), ("c1", "g", "[1]")];
        let calls = calls.map(|(id, name, arguments)| (id.into(), name.into(), arguments.into())).to_vec();
        assert_eq!(assembled(0, &called), (String::new(), true, None, calls));
    }
}
