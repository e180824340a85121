//! The handlers of `/v1/importers`: each unpacks its arguments, calls a verb, and renders the result.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{StatusCode, Uri};
use longhand::documents::{DocumentName, DocumentRef};
use longhand::importers::body;
use longhand::{App, Error, GenerationKey};

use super::args::{BodyBytes, OneArgs, QueryArgs};
use super::caller::Caller;
use super::entities::parsed;
use super::problem::Problem;

/// The importer that a path names.
fn name(named: &str) -> Result<DocumentName, Error> {
    named.parse().map_err(|_| Error::ImporterNotFound(named.to_owned()))
}

/// `GET /v1/importers?after=&limit=`.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["after", "limit"])?;
    let after: Option<DocumentName> = parsed(&query, "after", "must be an importer's name")?;
    Ok(Json(app.list_importers(&caller.organization, after.as_ref(), query.limit()).await?).into_response())
}

/// `GET /v1/importers/{id}`: the newest version.
pub async fn get(State(app): State<App>, of: OneArgs<String>, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    let newest = DocumentRef { name: name(&of.id)?, version: None };
    Ok(Json(app.importer_view(&of.caller.organization, &newest).await?).into_response())
}

/// `GET /v1/importers/{id}/versions/{number}`.
pub async fn version(State(app): State<App>, of: OneArgs<String>, uri: Uri, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    // As it stands in the path: what is no number names nothing.
    let named = format!("{}@{}", of.id, uri.path().split('/').nth(5).unwrap_or_default());
    let pinned: DocumentRef = named.parse().map_err(|_| Error::ImporterNotFound(named))?;
    Ok(Json(app.importer_view(&of.caller.organization, &pinned).await?).into_response())
}

/// `PUT /v1/importers/{id}`: 201 for a new version, 200 where the document is the newest one already.
pub async fn publish(State(app): State<App>, of: OneArgs<String>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let (name, document) = (name(&of.id)?, body::document(&body)?);
    let published = app.by(of.caller.key, of.caller.user).publish_importer(&of.caller.organization, &name, &document).await?;
    if !published.is_new {
        return Ok(Json(published.importer).into_response());
    }
    let number = published.importer.version.unwrap_or_default();
    Ok((StatusCode::CREATED, [(LOCATION, format!("{name}/versions/{number}"))], Json(published.importer)).into_response())
}

/// `POST /v1/importers/{id}/check`: what publishing would do, and what would become of a generation.
pub async fn check(State(app): State<App>, of: OneArgs<String>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let (name, asked) = (name(&of.id)?, body::check(&body)?);
    let organization = &of.caller.organization;
    let generation = asked.generation.map(|generation| GenerationKey::new(organization.clone(), generation));
    let checked = app.check_importer(organization, &name, &asked.document, generation.as_ref(), asked.subject).await?;
    Ok(Json(checked).into_response())
}
