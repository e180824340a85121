//! `/v1/models`: the models that are known by name, for `OpenAI`'s clients.

use axum::Json;
use axum::extract::State;
use longhand::{App, Model};
use serde_json::{Value, json};

use super::args::OneArgs;
use super::caller::Caller;
use super::problem::Problem;

/// `GET /v1/models`.
pub async fn list(State(app): State<App>, _: Caller) -> Json<Value> {
    Json(json!({ "object": "list", "data": app.models() }))
}

/// `GET /v1/models/{model}`. The slash of an id is percent-encoded, as the official clients do it.
pub async fn get(State(app): State<App>, OneArgs { id, .. }: OneArgs<String>) -> Result<Json<Model>, Problem> {
    Ok(Json(app.model(&id)?))
}
