//! The handler of `/v1/usage`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use longhand::App;

use super::args::QueryArgs;
use super::caller::Caller;
use super::problem::Problem;

/// `GET /v1/usage?from=&to=&by=`.
pub async fn usage(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["from", "to", "by"])?;
    let [from, to, by] = ["from", "to", "by"].map(|name| query.first(name));
    Ok(Json(app.usage(&caller.organization, from, to, by).await?).into_response())
}
