//! The JSON of an event. Fields that are not named here, such as citations and signatures, have no place in a log.

use crate::providers::lenient::{Raw, lenient};

lenient! {
    /// One event.
    EventWire {
        kind: Raw<'de> = "type",
        index: Raw<'de> = "index",
        message: MessageWire<'de> = "message",
        content_block: BlockWire<'de> = "content_block",
        delta: BlockWire<'de> = "delta",
        usage: UsageWire<'de> = "usage",
    }

    /// The message, as it begins.
    MessageWire {
        model: Raw<'de> = "model",
        usage: UsageWire<'de> = "usage",
    }

    /// A block of the message, as it begins, or what an event adds to it or to the message.
    BlockWire {
        kind: Raw<'de> = "type",
        text: Raw<'de> = "text",
        thinking: Raw<'de> = "thinking",
        partial_json: Raw<'de> = "partial_json",
        id: Raw<'de> = "id",
        name: Raw<'de> = "name",
        input: Raw<'de> = "input",
        stop_reason: Raw<'de> = "stop_reason",
    }

    /// Token counts so far. Those of the prompt leave out what the cache holds.
    UsageWire {
        input: Raw<'de> = "input_tokens",
        cache_creation: Raw<'de> = "cache_creation_input_tokens",
        cache_read: Raw<'de> = "cache_read_input_tokens",
        output: Raw<'de> = "output_tokens",
    }
}
