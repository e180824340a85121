//! The input of a response as a list of items, and pages of it.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Value, json};

use super::ids::{ItemKind, ResponseId};
use crate::error::Error;
use crate::generation::request::Request;

/// Items in one page.
const LIMIT_MAX: usize = 100;
/// Items in one page by default.
const LIMIT_DEFAULT: usize = 20;

/// The order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InputOrder {
    /// The oldest first.
    Ascending,
    /// The newest first.
    #[default]
    Descending,
}

/// Selects a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputQuery {
    /// 1 to 100, default 20.
    pub limit: Option<usize>,
    /// The order; default: the newest first.
    pub order: InputOrder,
    /// The id of the item before the page.
    pub after: Option<String>,
}

/// A page of input items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InputPage {
    /// Always `list`.
    pub object: &'static str,
    /// The items.
    pub data: Vec<Value>,
    /// The id of the first item.
    pub first_id: Option<Value>,
    /// The id of the last item: `after` of the next page.
    pub last_id: Option<Value>,
    /// Whether there is a next page.
    pub has_more: bool,
}

impl InputPage {
    /// Returns one page of `items`, which are in the order of the request.
    ///
    /// # Errors
    /// [`Error::Refused`]: the limit is out of bounds, or `after` is not an item's id.
    pub(crate) fn cut(mut items: Vec<Value>, query: &InputQuery) -> Result<Self, Error> {
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::refused(format!("'limit' must be from 1 to {LIMIT_MAX}."), Some("limit"), None));
        }
        if query.order == InputOrder::Descending {
            items.reverse();
        }
        let begin = match &query.after {
            None => 0,
            Some(after) => match items.iter().position(|item| item["id"] == **after) {
                Some(place) => place + 1,
                None => return Err(Error::refused(format!("There is no input item '{after}'."), Some("after"), None)),
            },
        };
        let mut data = items.split_off(begin);
        let has_more = data.len() > limit;
        data.truncate(limit);
        let id = |item: Option<&Value>| item.map(|item| item["id"].clone());
        Ok(Self { object: "list", first_id: id(data.first()), last_id: id(data.last()), data, has_more })
    }
}

/// The input as items in the order of the request, each with a unique id.
pub(crate) fn input_items(id: &ResponseId, request: &Request) -> Vec<Value> {
    let items = request.responses.as_deref().and_then(|responses| responses.input.clone());
    let given = items.or_else(|| request.messages.clone()).unwrap_or_default();
    let prompt = request.prompt.iter().map(|text| json!({ "role": "user", "content": text }));
    let mut taken = HashSet::new();
    given
        .into_iter()
        .chain(prompt)
        .enumerate()
        .map(|(index, item)| {
            let own = item["id"].as_str().filter(|own| !own.is_empty() && !taken.contains(*own)).map(str::to_owned);
            let item_id = own.unwrap_or_else(|| id.item(ItemKind::Input, index));
            let listed = listed(&item_id, item);
            taken.insert(item_id);
            listed
        })
        .collect()
}

fn listed(id: &str, mut item: Value) -> Value {
    let kind = item["type"].as_str().unwrap_or("message").to_owned();
    let mut listed = json!({ "id": id, "type": kind });
    if kind == "message" {
        let part = if item["role"] == "assistant" { "output_text" } else { "input_text" };
        item["content"] = parts(&item["content"], part);
    }
    if kind != "reasoning" && item["status"].is_null() {
        item["status"] = "completed".into();
    }
    for (name, value) in item.as_object().into_iter().flatten().filter(|(name, _)| !["id", "type"].contains(&name.as_str())) {
        listed[name] = value.clone();
    }
    listed
}

fn parts(content: &Value, kind: &str) -> Value {
    let text = |text: &Value| match kind {
        "output_text" => json!({ "type": kind, "text": text, "annotations": [] }),
        _ => json!({ "type": kind, "text": text }),
    };
    match content {
        Value::Array(parts) => {
            parts.iter().map(|part| if part["type"] == "text" { text(&part["text"]) } else { part.clone() }).collect()
        }
        Value::Null => json!([]),
        content => json!([text(content)]),
    }
}
