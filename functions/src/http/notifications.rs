//! The handlers of `/v1/notifications`: each unpacks its arguments, calls a verb, and renders the result.
//!
//! The list is the caller's own; `user` names another's, for callers with the scope `admin`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use longhand::notifications::body;
use longhand::{App, Error, InboxTokenRequest};
use serde_json::json;

use super::args::{BodyBytes, QueryArgs};
use super::caller::Caller;
use super::problem::Problem;

/// `GET /v1/notifications?unread=&after=&limit=&user=`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["unread", "after", "limit", "user"])?;
    let user = caller.user(query.first("user"))?;
    let after = query.first("after").map(str::parse).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("must be a notification's id: {error}")))?;
    let unread = match query.first("unread") {
        None | Some("false") => false,
        Some("" | "true") => true,
        Some(_) => return Err(Error::invalid("unread", "must be true or false").into()),
    };
    Ok(Json(app.inbox(&caller.organization, &user, unread, after, query.limit()).await?).into_response())
}

/// `DELETE /v1/notifications?user=`: all that is kept of a user.
pub async fn delete(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["user"])?;
    let user = caller.user(query.first("user"))?;
    let rows = app.delete_inbox(&caller.organization, &user).await?;
    Ok(Json(json!({ "user": user, "object": "notifications", "deleted": true, "rows": rows })).into_response())
}

/// `POST /v1/notifications/read?user=`, with `ids` or `all`.
pub async fn mark_read(
    State(app): State<App>,
    caller: Caller,
    query: QueryArgs,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    query.only(&["user"])?;
    let (user, which) = (caller.user(query.first("user"))?, body::which_read(&body)?);
    Ok(Json(app.mark_read(&caller.organization, &user, which).await?).into_response())
}

/// `POST /v1/notifications/tokens`, with `user` and `expires_in`, or without a body.
pub async fn create_token(State(app): State<App>, caller: Caller, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let request = InboxTokenRequest::parse(&body)?;
    let user = caller.user_at("/user", request.user.clone())?;
    let token = app.create_inbox_token(&caller.organization, user, caller.key, &request).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(token)).into_response())
}

/// `GET /v1/notifications/preferences?user=`.
pub async fn preferences(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["user"])?;
    let user = caller.user(query.first("user"))?;
    Ok(Json(app.preferences(&caller.organization, &user).await?).into_response())
}

/// `PUT /v1/notifications/preferences?user=`, with `inbox`.
pub async fn set_preferences(
    State(app): State<App>,
    caller: Caller,
    query: QueryArgs,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    query.only(&["user"])?;
    let (user, wanted) = (caller.user(query.first("user"))?, body::preferences(&body)?);
    Ok(Json(app.set_preferences(&caller.organization, &user, wanted).await?).into_response())
}
