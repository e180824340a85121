//! The JSON of an event. Fields that are not named here, such as annotations and log probabilities, have no place in a log.

use crate::providers::lenient::{Raw, lenient};

lenient! {
    /// One event.
    EventWire {
        kind: Raw<'de> = "type",
        sequence_number: Raw<'de> = "sequence_number",
        response: ResponseWire<'de> = "response",
        output_index: Raw<'de> = "output_index",
        summary_index: Raw<'de> = "summary_index",
        item_id: Raw<'de> = "item_id",
        item: ItemWire<'de> = "item",
        delta: Raw<'de> = "delta",
    }

    /// The response, as it is at an event.
    ResponseWire {
        id: Raw<'de> = "id",
        model: Raw<'de> = "model",
        error: Raw<'de> = "error",
        incomplete: IncompleteWire<'de> = "incomplete_details",
        usage: UsageWire<'de> = "usage",
        output: Vec<ItemWire<'de>> = "output",
    }

    /// Why a response is not whole.
    IncompleteWire {
        reason: Raw<'de> = "reason",
    }

    /// An item of the output.
    ItemWire {
        kind: Raw<'de> = "type",
        call_id: Raw<'de> = "call_id",
        name: Raw<'de> = "name",
        arguments: Raw<'de> = "arguments" | "input",
        content: Vec<PartWire<'de>> = "content",
        summary: Vec<PartWire<'de>> = "summary",
    }

    /// A part of an item.
    PartWire {
        text: Raw<'de> = "text",
        refusal: Raw<'de> = "refusal",
    }

    /// Token counts.
    UsageWire {
        input: Raw<'de> = "input_tokens",
        input_details: InputDetailsWire<'de> = "input_tokens_details",
        output: Raw<'de> = "output_tokens",
        output_details: OutputDetailsWire<'de> = "output_tokens_details",
        total: Raw<'de> = "total_tokens",
    }

    /// The part of the prompt that was in the cache.
    InputDetailsWire {
        cached: Raw<'de> = "cached_tokens",
    }

    /// The part of the output that is reasoning.
    OutputDetailsWire {
        reasoning: Raw<'de> = "reasoning_tokens",
    }
}
