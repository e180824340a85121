//! The JSON of a line.

use crate::providers::lenient::{Raw, lenient};

lenient! {
    /// One line.
    LineWire {
        model: Raw<'de> = "model",
        message: MessageWire<'de> = "message",
        is_done: Raw<'de> = "done",
        done_reason: Raw<'de> = "done_reason",
        error: Raw<'de> = "error",
        prompt_tokens: Raw<'de> = "prompt_eval_count",
        output_tokens: Raw<'de> = "eval_count",
    }

    /// What a line adds to the message.
    MessageWire {
        content: Raw<'de> = "content",
        thinking: Raw<'de> = "thinking",
        tool_calls: Vec<CallWire<'de>> = "tool_calls",
    }

    /// A whole tool call.
    CallWire {
        id: Raw<'de> = "id",
        function: FunctionWire<'de> = "function",
    }

    /// The tool that is called, and its arguments as an object.
    FunctionWire {
        name: Raw<'de> = "name",
        arguments: Raw<'de> = "arguments",
    }
}
