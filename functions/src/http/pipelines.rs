//! The handlers of `/v1/pipelines`: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{StatusCode, Uri};
use longhand::pipelines::{PipelineName, PipelineRef, body};
use longhand::{App, Error};

use super::args::{BodyBytes, OneArgs, QueryArgs};
use super::caller::Caller;
use super::problem::Problem;

/// The pipeline that a path names.
fn name(named: &str) -> Result<PipelineName, Error> {
    named.parse().map_err(|_| Error::PipelineNotFound(named.to_owned()))
}

/// `GET /v1/pipelines?after=&limit=`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["after", "limit"])?;
    let after = query.first("after").map(str::parse).transpose();
    let after = after.map_err(|error| Error::invalid("after", format!("must be a pipeline's name: {error}")))?;
    Ok(Json(app.list_pipelines(&caller.organization, after.as_ref(), query.limit()).await?).into_response())
}

/// `GET /v1/pipelines/{id}`: the newest version.
pub async fn get(State(app): State<App>, of: OneArgs<String>, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    let newest = PipelineRef { name: name(&of.id)?, version: None };
    Ok(Json(app.pipeline_view(&of.caller.organization, &newest).await?).into_response())
}

/// `GET /v1/pipelines/{id}/versions/{number}`.
pub async fn version(State(app): State<App>, of: OneArgs<String>, uri: Uri, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    // As it stands in the path: what is no number names nothing.
    let named = format!("{}@{}", of.id, uri.path().split('/').nth(5).unwrap_or_default());
    let pinned: PipelineRef = named.parse().map_err(|_| Error::PipelineNotFound(named))?;
    Ok(Json(app.pipeline_view(&of.caller.organization, &pinned).await?).into_response())
}

/// `PUT /v1/pipelines/{id}`: 201 for a new version, 200 where the document is the newest one already.
pub async fn publish(State(app): State<App>, of: OneArgs<String>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let (name, document) = (name(&of.id)?, body::document(&body)?);
    let published = app.by(of.caller.key, of.caller.user).publish_pipeline(&of.caller.organization, &name, &document).await?;
    if !published.is_new {
        return Ok(Json(published.pipeline).into_response());
    }
    let location = [(LOCATION, format!("{name}/versions/{}", published.pipeline.version))];
    Ok((StatusCode::CREATED, location, Json(published.pipeline)).into_response())
}

/// `POST /v1/pipelines/{id}/check`: what publishing would do.
pub async fn check(State(app): State<App>, of: OneArgs<String>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let (name, asked) = (name(&of.id)?, body::check(&body)?);
    let organization = &of.caller.organization;
    Ok(Json(app.check_pipeline(organization, &name, &asked.document, asked.input, &asked.outputs).await?).into_response())
}
