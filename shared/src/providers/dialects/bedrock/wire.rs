//! The JSON of an event. Fields that are not named here, such as citations, signatures and padding, have no place in a log.

use crate::providers::lenient::{Raw, lenient};

lenient! {
    /// One event, of any kind.
    EventWire {
        index: Raw<'de> = "contentBlockIndex",
        start: BlockWire<'de> = "start",
        delta: BlockWire<'de> = "delta",
        stop_reason: Raw<'de> = "stopReason",
        usage: UsageWire<'de> = "usage",
    }

    /// A block of the message, as it begins, or what an event adds to it.
    BlockWire {
        text: Raw<'de> = "text",
        reasoning: ReasoningWire<'de> = "reasoningContent",
        tool_use: ToolUseWire<'de> = "toolUse",
    }

    /// Reasoning.
    ReasoningWire {
        text: Raw<'de> = "text",
    }

    /// A call of a tool.
    ToolUseWire {
        id: Raw<'de> = "toolUseId",
        name: Raw<'de> = "name",
        input: Raw<'de> = "input",
    }

    /// Token counts. Those of the prompt leave out what the cache holds.
    UsageWire {
        input: Raw<'de> = "inputTokens",
        cache_read: Raw<'de> = "cacheReadInputTokens",
        cache_write: Raw<'de> = "cacheWriteInputTokens",
        output: Raw<'de> = "outputTokens",
    }
}
