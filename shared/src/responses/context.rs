//! What a create request takes from earlier responses: the conversation of `previous_response_id`, and the output items that an
//! `item_reference` names.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::ids::ResponseId;
use crate::error::Error;

/// Responses that one request may refer to. Each is read whole.
const RESPONSES_MAX: usize = 32;

/// An earlier response.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Referred {
    /// Its input items.
    pub input: Vec<Value>,
    /// Its output items.
    pub output: Vec<Value>,
}

/// Whether the fields of a body refer to an earlier response.
#[must_use]
pub fn refers_to_responses(given: &Map<String, Value>) -> bool {
    given.get("previous_response_id").is_some_and(Value::is_string) || references(given).next().is_some()
}

/// The items that are references.
fn references(given: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    given.get("input").and_then(Value::as_array).into_iter().flatten().filter(|item| item["type"] == "item_reference")
}

/// The responses that the fields of a body refer to.
///
/// # Errors
/// [`Error::Refused`]: an id cannot be one of this server, or there are more than 32.
pub(crate) fn referred_responses(given: &Map<String, Value>) -> Result<Vec<ResponseId>, Error> {
    let mut found: Vec<ResponseId> = previous(given)?.into_iter().collect();
    for item in references(given) {
        let id = item["id"].as_str().unwrap_or_default();
        let response = ResponseId::of_item(id).ok_or_else(|| no_item(id))?;
        if !found.contains(&response) {
            found.push(response);
        }
    }
    if found.len() > RESPONSES_MAX {
        let message = format!("'input' refers to items of more than {RESPONSES_MAX} responses: send them whole.");
        return Err(Error::refused(message, Some("input"), None));
    }
    Ok(found)
}

fn previous(given: &Map<String, Value>) -> Result<Option<ResponseId>, Error> {
    let Some(id) = given.get("previous_response_id").and_then(Value::as_str) else { return Ok(None) };
    id.parse().map(Some).map_err(|_| no_previous(id))
}

/// The refusal of a response that does not exist, was deleted, or belongs to another organization.
pub(crate) fn no_previous(id: &str) -> Error {
    let message = format!("Previous response with id '{id}' not found: 'previous_response_id' names none.");
    Error::refused(message, Some("previous_response_id"), Some("previous_response_not_found"))
}

/// The same of an item.
pub(crate) fn no_item(id: &str) -> Error {
    Error::refused(format!("Item with id '{id}' not found: 'input' refers to it."), Some("input"), None)
}

/// The fields of a body with the whole conversation as its input, in the order in which it was spoken. `responses`: those that
/// [`referred_responses`] names and that exist.
///
/// # Errors
/// [`Error::Refused`]: one of them does not exist, or has no such item.
pub(crate) fn with_context(
    mut given: Map<String, Value>,
    responses: &BTreeMap<String, Referred>,
) -> Result<Map<String, Value>, Error> {
    let mut items = Vec::new();
    if let Some(id) = previous(&given)? {
        let id = id.to_string();
        let previous = responses.get(&id).ok_or_else(|| no_previous(&id))?;
        items.extend(previous.input.iter().chain(&previous.output).cloned());
    }
    match given.remove("input") {
        Some(Value::Array(own)) => {
            for item in own {
                items.push(if item["type"] == "item_reference" { find(&item, responses)? } else { item });
            }
        }
        Some(Value::String(text)) => items.push(json!({ "role": "user", "content": text })),
        // What is no input is refused where the rest of the body is checked.
        Some(other) => {
            given.insert("input".to_owned(), other);
            return Ok(given);
        }
        None => {}
    }
    given.insert("input".to_owned(), items.into());
    Ok(given)
}

fn find(reference: &Value, responses: &BTreeMap<String, Referred>) -> Result<Value, Error> {
    let id = reference["id"].as_str().unwrap_or_default();
    let response = ResponseId::of_item(id).and_then(|response| responses.get(&response.to_string()));
    response.and_then(|response| response.output.iter().find(|item| item["id"] == id)).cloned().ok_or_else(|| no_item(id))
}
