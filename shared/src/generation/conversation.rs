//! A conversation in types, for dialects to render. Built losslessly from messages in the shape of chat completions and from input
//! items of the Responses API: what has no typed place stays in `extra` or `Other`.

mod items;

use serde_json::{Map, Value};

/// The fields of a caller's object that have no typed place, in the caller's order. A field with a typed place is null here, which
/// keeps its position.
pub type Extra = Map<String, Value>;

/// What a model is given to continue, oldest entry first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    /// The entries.
    pub entries: Vec<Entry>,
}

/// One entry of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// A message.
    Message(Message),
    /// A tool call of the assistant outside any message, as the Responses API has them.
    ToolCall(ToolCall),
    /// Reasoning of the assistant outside any message, as the Responses API has it.
    Reasoning(Reasoning),
}

/// The author of a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// The operator of the application.
    System,
    /// The same, under the newer name that OpenAI gives it.
    Developer,
    /// The person.
    #[default]
    User,
    /// The model.
    Assistant,
    /// A tool: the message is the result of a call.
    Tool,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// Its author. A role of another name stays in `extra`.
    pub role: Role,
    /// Its content; `None` where it has none, as beside tool calls.
    pub content: Option<Content>,
    /// The reasoning before an assistant's message (`reasoning_content`).
    pub reasoning: Option<String>,
    /// The tools that an assistant's message calls.
    pub tool_calls: Vec<ToolCall>,
    /// The id of the call whose result a tool's message is.
    pub tool_call_id: Option<String>,
    /// Everything else.
    pub extra: Extra,
}

/// The content of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text.
    Text(String),
    /// Text, images and files.
    Parts(Vec<Part>),
}

/// One part of a message's content.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
        /// Everything else, such as `cache_control`.
        extra: Extra,
    },
    /// An image.
    Image {
        /// Its URL, which may be a `data:` URL.
        url: String,
        /// Everything else, with `detail` in the object `image_url`.
        extra: Extra,
    },
    /// A file.
    File {
        /// Where it is.
        file: FileReference,
        /// Everything else.
        extra: Extra,
    },
    /// A part of another kind, as the caller wrote it.
    Other(Value),
}

/// Where a file is. A caller gives one of `id`, `url` and `data`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileReference {
    /// The id of a file stored at the provider (`file_id`).
    pub id: Option<String>,
    /// A URL (`file_url`).
    pub url: Option<String>,
    /// The bytes as a `data:` URL or in base64 (`file_data`).
    pub data: Option<String>,
    /// The file's name (`filename`).
    pub name: Option<String>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolCall {
    /// A call of a function.
    Function {
        /// The id that the result refers to.
        id: String,
        /// The function's name.
        name: String,
        /// The arguments: JSON text, as the model wrote it.
        arguments: String,
        /// Everything else.
        extra: Extra,
    },
    /// A call of another kind, as the caller wrote it.
    Other(Value),
}

/// Reasoning outside any message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reasoning {
    /// The text, or the summary where there is no text.
    pub text: String,
    /// The item of the Responses API, whole; with `encrypted_content`, if it has that.
    pub item: Extra,
}

impl Conversation {
    /// Whether the last message or tool call is the assistant's.
    #[must_use]
    pub fn ends_with_assistant(&self) -> bool {
        let last = self.entries.iter().rev().find(|entry| !matches!(entry, Entry::Reasoning(_)));
        last.is_some_and(|entry| match entry {
            Entry::Message(message) => message.role == Role::Assistant,
            Entry::ToolCall(_) | Entry::Reasoning(_) => true,
        })
    }
}

impl Conversation {
    /// What the operator says, wherever it stands, for a dialect that has one place for it.
    #[must_use]
    pub fn system_text(&self) -> String {
        let texts = self.entries.iter().filter_map(|entry| match entry {
            Entry::Message(message) if message.role.is_system() => message.content.as_ref().map(Content::text),
            _ => None,
        });
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
    }
}

impl Content {
    /// Its text; that of several parts, in lines.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                let text = |part: &Part| if let Part::Text { text, .. } = part { Some(text.as_str().to_owned()) } else { None };
                parts.iter().filter_map(text).collect::<Vec<_>>().join("\n")
            }
        }
    }
}

impl Role {
    /// Whether the operator of the application speaks.
    #[must_use]
    pub const fn is_system(self) -> bool {
        matches!(self, Self::System | Self::Developer)
    }

    /// The role's name in chat completions and in the Responses API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Developer => "developer",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::System, Self::Developer, Self::User, Self::Assistant, Self::Tool].into_iter().find(|role| role.as_str() == name)
    }
}

impl Message {
    /// A message of text alone.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, content: Some(Content::Text(text.into())), ..Self::default() }
    }

    /// Reads a message in the shape of chat completions.
    #[must_use]
    pub fn from_chat(message: Value) -> Self {
        let mut extra = into_object(message);
        let role = extra.get("role").and_then(Value::as_str).and_then(Role::from_name);
        if role.is_some() {
            take_text(&mut extra, "role");
        }
        let text = take_text(&mut extra, "content").map(Content::Text);
        let parts = |list: Vec<Value>| Content::Parts(list.into_iter().map(Part::from_chat).collect());
        Self {
            role: role.unwrap_or_default(),
            content: text.or_else(|| take_list(&mut extra, "content").map(parts)),
            reasoning: take_text(&mut extra, "reasoning_content"),
            tool_calls: take_list(&mut extra, "tool_calls").into_iter().flatten().map(ToolCall::from_chat).collect(),
            tool_call_id: take_text(&mut extra, "tool_call_id"),
            extra,
        }
    }
}

impl Part {
    /// Reads a part in the shape of chat completions.
    #[must_use]
    pub fn from_chat(part: Value) -> Self {
        match part["type"].as_str() {
            Some("text") if part["text"].is_string() => {
                let mut extra = into_object(part);
                Self::Text { text: take_text(&mut extra, "text").unwrap_or_default(), extra }
            }
            Some("image_url") if part["image_url"]["url"].is_string() => {
                let mut extra = into_object(part);
                let url = object_in(&mut extra, "image_url").and_then(|image| take_text(image, "url"));
                Self::Image { url: url.unwrap_or_default(), extra }
            }
            Some("file") if part["file"].is_object() => {
                let mut extra = into_object(part);
                let mut take = |name| object_in(&mut extra, "file").and_then(|file| take_text(file, name));
                let [id, url, data, name] = ["file_id", "file_url", "file_data", "filename"].map(&mut take);
                Self::File { file: FileReference { id, url, data, name }, extra }
            }
            _ => Self::Other(part),
        }
    }
}

impl ToolCall {
    /// Reads a tool call in the shape of chat completions.
    #[must_use]
    pub fn from_chat(call: Value) -> Self {
        let is_function = call.get("type").is_none_or(|kind| kind == "function");
        let texts = [&call["id"], &call["function"]["name"], &call["function"]["arguments"]];
        if !is_function || !texts.into_iter().all(Value::is_string) {
            return Self::Other(call);
        }
        let mut extra = into_object(call);
        let id = take_text(&mut extra, "id").unwrap_or_default();
        let mut take =
            |name| object_in(&mut extra, "function").and_then(|function| take_text(function, name)).unwrap_or_default();
        let [name, arguments] = ["name", "arguments"].map(&mut take);
        Self::Function { id, name, arguments, extra }
    }
}

fn into_object(value: Value) -> Extra {
    if let Value::Object(fields) = value { fields } else { Map::new() }
}

/// The object in a field, empty where the field was absent; `None` if the field holds another type.
pub(crate) fn object_in<'a>(fields: &'a mut Extra, name: &str) -> Option<&'a mut Extra> {
    fields.entry(name).or_insert_with(|| Map::new().into()).as_object_mut()
}

/// Takes text out of a field and leaves null. Another type stays where it is.
fn take_text(fields: &mut Extra, name: &str) -> Option<String> {
    match fields.get_mut(name).filter(|field| field.is_string())?.take() {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Takes a list that is not empty out of a field and leaves null. Anything else stays where it is.
fn take_list(fields: &mut Extra, name: &str) -> Option<Vec<Value>> {
    match fields.get_mut(name).filter(|field| field.as_array().is_some_and(|list| !list.is_empty()))?.take() {
        Value::Array(list) => Some(list),
        _ => None,
    }
}
