//! A conversation as the `messages` of `ConverseStream`.

use serde_json::{Value, json};

use crate::generation::conversation::{Content, Conversation, Entry, FileReference, Message, Part, Role, ToolCall};
use crate::providers::outgoing::{arguments_object, inline_data, turns};

/// What a document is called that has no name; the API requires one.
const DOCUMENT: &str = "document";

/// Renders the rest of a conversation. Blocks of one author in a row become one message, as the API requires. Reasoning is left out:
/// a model accepts only its own, unchanged and with a signature.
pub(super) fn render(conversation: Conversation) -> Vec<Value> {
    let said = conversation.entries.into_iter().filter_map(|entry| match entry {
        Entry::Reasoning(_) => None,
        Entry::ToolCall(call) => Some(("assistant", vec![tool_use(call)])),
        Entry::Message(message) => (!message.role.is_system()).then(|| message_blocks(message)),
    });
    turns(said, "content")
}

fn message_blocks(message: Message) -> (&'static str, Vec<Value>) {
    let content = message.content.map_or_else(Vec::new, blocks);
    match message.role {
        Role::Tool => ("user", vec![json!({ "toolResult": { "toolUseId": message.tool_call_id, "content": content } })]),
        Role::Assistant => ("assistant", content.into_iter().chain(message.tool_calls.into_iter().map(tool_use)).collect()),
        Role::User | Role::System | Role::Developer => ("user", content),
    }
}

fn blocks(content: Content) -> Vec<Value> {
    match content {
        // The API refuses blocks without text.
        Content::Text(text) if text.is_empty() => Vec::new(),
        Content::Text(text) => vec![json!({ "text": text })],
        Content::Parts(parts) => parts.into_iter().filter_map(block).collect(),
    }
}

fn block(part: Part) -> Option<Value> {
    match part {
        Part::Text { text, .. } => (!text.is_empty()).then(|| json!({ "text": text })),
        Part::Image { url, .. } => {
            let format =
                inline_data(&url).and_then(|(kind, _)| kind.strip_prefix("image/")).unwrap_or("png").replace("jpg", "jpeg");
            Some(json!({ "image": { "format": format, "source": source(&url) } }))
        }
        Part::File { file: FileReference { id, url, data, name }, .. } => {
            let url = id.or(url).or(data).unwrap_or_default();
            let name = name.unwrap_or_else(|| DOCUMENT.to_owned());
            let (stem, format) = name.rsplit_once('.').unwrap_or((&name, "pdf"));
            Some(json!({ "document": { "format": format, "name": document_name(stem), "source": source(&url) } }))
        }
        // One of this API's own.
        Part::Other(part) => Some(part),
    }
}

/// The API takes bytes and objects in S3. Another URL is sent as it is, and the service says what it takes.
fn source(url: &str) -> Value {
    match inline_data(url) {
        Some((_, data)) => json!({ "bytes": data }),
        None if url.starts_with("s3://") => json!({ "s3Location": { "uri": url } }),
        None if url.contains("://") => json!({ "url": url }),
        None => json!({ "bytes": url }),
    }
}

/// The API takes letters, digits, single spaces, hyphens, parentheses and brackets in a document's name.
fn document_name(name: &str) -> String {
    let is_taken = |letter: char| letter.is_ascii_alphanumeric() || "-()[]".contains(letter);
    let words = name.split(|letter| !is_taken(letter)).filter(|word| !word.is_empty());
    Some(words.collect::<Vec<_>>().join(" ")).filter(|name| !name.is_empty()).unwrap_or_else(|| DOCUMENT.to_owned())
}

fn tool_use(call: ToolCall) -> Value {
    match call {
        ToolCall::Function { id, name, arguments, .. } => {
            json!({ "toolUse": { "toolUseId": id, "name": name, "input": arguments_object(&arguments) } })
        }
        ToolCall::Other(call) => call,
    }
}
