//! The JSON of an event. Fields that are not named here, such as signatures and citations, have no place in a log.

use crate::providers::lenient::{Raw, lenient};

lenient! {
    /// One event.
    EventWire {
        candidates: Vec<CandidateWire<'de>> = "candidates",
        prompt_feedback: FeedbackWire<'de> = "promptFeedback",
        usage: UsageWire<'de> = "usageMetadata",
        model: Raw<'de> = "modelVersion",
    }

    /// Why the prompt is refused.
    FeedbackWire { block_reason: Raw<'de> = "blockReason" }

    /// One of the alternative answers. Longhand asks for one.
    CandidateWire {
        content: ContentWire<'de> = "content",
        finish_reason: Raw<'de> = "finishReason",
    }

    /// What an event adds to the answer.
    ContentWire { parts: Vec<PartWire<'de>> = "parts" }

    /// A piece of text or thought, or a whole function call.
    PartWire {
        text: Raw<'de> = "text",
        is_thought: Raw<'de> = "thought",
        call: CallWire<'de> = "functionCall",
    }

    /// A function call.
    CallWire {
        id: Raw<'de> = "id",
        name: Raw<'de> = "name",
        args: Raw<'de> = "args",
    }

    /// Token counts so far.
    UsageWire {
        prompt: Raw<'de> = "promptTokenCount",
        cached: Raw<'de> = "cachedContentTokenCount",
        candidates: Raw<'de> = "candidatesTokenCount",
        thoughts: Raw<'de> = "thoughtsTokenCount",
        total: Raw<'de> = "totalTokenCount",
    }
}
