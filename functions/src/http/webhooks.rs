//! The handlers of `/v1/webhooks` and `/v1/deliveries`: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::LOCATION;
use longhand::notifications::address::Doors;
use longhand::notifications::body;
use longhand::notifications::delivery::DeliveryStatus;
use longhand::{App, EndpointId, Error};
use serde_json::json;

use super::args::{BodyBytes, OneArgs, QueryArgs};
use super::caller::Caller;
use super::problem::Problem;

/// The endpoint that a path names.
fn endpoint(named: &str) -> Result<EndpointId, Error> {
    named.parse().map_err(|_| Error::EndpointNotFound(named.to_owned()))
}

fn doors(app: &App) -> Doors {
    Doors { loopback: app.config().loopback_receivers, any_port: false }
}

/// `GET /v1/webhooks`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.list_endpoints(&caller.organization).await?).into_response())
}

/// `POST /v1/webhooks`. The answer has the secret.
pub async fn create(State(app): State<App>, caller: Caller, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let new = body::new_endpoint(&body, doors(&app), app.config().email_sender.is_some())?;
    let created = app.by(caller.key, caller.user).create_endpoint(&caller.organization, new).await?;
    let location = [(LOCATION, format!("webhooks/{}", created.id))];
    Ok((StatusCode::CREATED, location, Json(created)).into_response())
}

/// `GET /v1/webhooks/{id}`.
pub async fn get(State(app): State<App>, of: OneArgs<String>, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(Json(app.endpoint_view(&of.caller.organization, &endpoint(&of.id)?).await?).into_response())
}

/// `PATCH /v1/webhooks/{id}`.
pub async fn change(State(app): State<App>, of: OneArgs<String>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let (organization, id) = (&of.caller.organization, endpoint(&of.id)?);
    let held = app.endpoint_view(organization, &id).await?;
    let change = body::endpoint_change(&body, doors(&app), held.kind, held.dialect)?;
    Ok(Json(app.change_endpoint(organization, &id, &change).await?).into_response())
}

/// `DELETE /v1/webhooks/{id}`.
pub async fn delete(State(app): State<App>, of: OneArgs<String>) -> Result<Response, Problem> {
    let id = endpoint(&of.id)?;
    app.delete_endpoint(&of.caller.organization, &id).await?;
    Ok(Json(json!({ "id": id, "object": "webhook", "deleted": true })).into_response())
}

/// `POST /v1/webhooks/{id}/rotate`. The body is not read; the answer has the new secret.
pub async fn rotate(State(app): State<App>, of: OneArgs<String>) -> Result<Response, Problem> {
    Ok(Json(app.rotate_secret(&of.caller.organization, &endpoint(&of.id)?).await?).into_response())
}

/// `POST /v1/webhooks/{id}/test`. The body is not read.
pub async fn test(State(app): State<App>, of: OneArgs<String>) -> Result<Response, Problem> {
    let sent = app.test_endpoint(&of.caller.organization, &endpoint(&of.id)?).await?;
    Ok((StatusCode::ACCEPTED, Json(sent)).into_response())
}

/// `POST /v1/webhooks/{id}/recover`, with `since`.
pub async fn recover(State(app): State<App>, of: OneArgs<String>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let (organization, id) = (&of.caller.organization, endpoint(&of.id)?);
    app.endpoint_view(organization, &id).await?;
    let recovered = app.recover(organization, &id, body::since(&body)?).await?;
    Ok((StatusCode::ACCEPTED, Json(recovered)).into_response())
}

/// `GET /v1/webhooks/{id}/deliveries?status=&after=&limit=`.
pub async fn deliveries(State(app): State<App>, of: OneArgs<String>, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["status", "after", "limit"])?;
    let after = query.first("after").map(str::parse).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("must be a delivery's id: {error}")))?;
    let status = query.first("status").map(|text| DeliveryStatus::ALL.into_iter().find(|status| status.as_str() == text));
    let unknown = || Error::invalid("status", "must be pending, succeeded or failed");
    let status = status.map(|status| status.ok_or_else(unknown)).transpose()?;
    let page = app.deliveries(&of.caller.organization, &endpoint(&of.id)?, status, after, query.limit()).await?;
    Ok(Json(page).into_response())
}

/// `POST /v1/deliveries/{id}/resend`. The body is not read.
pub async fn resend(State(app): State<App>, of: OneArgs<String>) -> Result<Response, Problem> {
    let id = of.id.parse().map_err(|_| Error::DeliveryNotFound(of.id))?;
    Ok((StatusCode::ACCEPTED, Json(app.resend(&of.caller.organization, &id).await?)).into_response())
}
