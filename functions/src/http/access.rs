//! The handlers of `/v1/credential`, `/v1/tokens` and `/v1/quota`: what a caller may do, and what its organization may use.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CACHE_CONTROL;
use longhand::clock::rfc3339;
use longhand::{App, OrganizationTokenRequest};
use serde_json::json;

use super::args::{BodyBytes, QueryArgs};
use super::caller::Caller;
use super::problem::Problem;

/// `GET /v1/credential`: what the credential of this request grants.
pub async fn credential(caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    let kind = match &caller.key {
        _ if caller.is_token => "token",
        Some(_) => "key",
        None => "none",
    };
    let credential = json!({
        "object": "credential",
        "kind": kind,
        "organization": caller.organization,
        "scopes": caller.scopes,
        "key": caller.key,
        "user": caller.user,
        "expires_at": caller.valid_until.map(rfc3339),
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(credential)).into_response())
}

/// `POST /v1/tokens`, with `scope` and `expires_in`.
pub async fn create_token(State(app): State<App>, caller: Caller, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let request = OrganizationTokenRequest::parse(&body)?;
    let token = app.create_organization_token(&caller.organization, caller.key, request).await?;
    Ok((StatusCode::CREATED, [(CACHE_CONTROL, "no-store")], Json(token)).into_response())
}

/// `GET /v1/quota`: what the organization may use, and has used today.
pub async fn quota(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    let view = app.quota_view(&caller.organization).await?;
    Ok(Json(json!({ "object": "quota", "quota": view.quota, "day": view.day, "used": view.used })).into_response())
}
