//! The handlers of entities: each unpacks its arguments, calls a verb, and renders the result.

use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, ETAG};
use longhand::entities::body::{self, Decide, note_of};
use longhand::entities::{Act, EntityView, export};
use longhand::{App, EntityId, EntityQuery, Error};

use super::args::{BodyBytes, PartArgs, QueryArgs, SubjectArgs, if_match};
use super::problem::Problem;
use crate::invocation::request_id;

/// `GET /v1/subjects/{subject}/entities?state=&kind=&parent=&import=&format=&after=&limit=`: a page as JSON, or its entities as a file.
pub async fn list(State(app): State<App>, of: SubjectArgs, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["state", "kind", "parent", "import", "format", "after", "limit"])?;
    let asked = EntityQuery {
        state: parsed(&query, "state", "must be a state")?,
        kind: query.first("kind").map(str::to_owned),
        parent: parsed(&query, "parent", "must be the id of an entity")?,
        import: parsed(&query, "import", "must be the id of an import")?,
        after: parsed(&query, "after", "must be the id of an entity")?,
        limit: query.limit(),
    };
    let format = query.first("format").unwrap_or("json");
    if !["json", "ndjson", "csv"].contains(&format) {
        return Err(Error::invalid("format", "must be `json`, `ndjson` or `csv`").into());
    }
    let page = app.entities(&of.key, &asked).await?;
    let (media_type, file) = match format {
        "ndjson" => ("application/x-ndjson", export::ndjson(&page.data)?),
        "csv" => ("text/csv; charset=utf-8", export::csv(page.data)?),
        _ => return Ok(Json(page).into_response()),
    };
    let disposition = format!("attachment; filename=\"{}.entities.{format}\"", of.key.subject);
    let mut response = ([(CONTENT_TYPE, media_type), (CONTENT_DISPOSITION, &disposition)], file).into_response();
    super::args::add_next(&mut response, page.last_id.filter(|_| page.has_more).as_ref());
    Ok(response)
}

/// A parameter that is parsed, and what it must be.
pub fn parsed<T: FromStr>(query: &QueryArgs, name: &str, expected: &str) -> Result<Option<T>, Error>
where
    T::Err: std::fmt::Display,
{
    let parsed = query.first(name).map(str::parse).transpose();
    parsed.map_err(|error| Error::invalid(name, format!("{expected}: {error}")))
}

/// `GET /v1/subjects/{subject}/entities/{entity}`.
pub async fn get(State(app): State<App>, of: PartArgs<EntityId>, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&[])?;
    Ok(with_etag(app.entity(&of.key, &of.id).await?).into_response())
}

/// `PATCH /v1/subjects/{subject}/entities/{entity}`.
pub async fn edit(
    State(app): State<App>,
    of: PartArgs<EntityId>,
    headers: HeaderMap,
    BodyBytes(body): BodyBytes,
) -> Result<Response, Problem> {
    let (edit, made_from) = (body::edit(&body)?, if_match(&headers)?);
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    Ok(with_etag(app.edit_entity(&of.key, &of.id, &edit, made_from).await?).into_response())
}

/// `POST /v1/subjects/{subject}/entities/approve`.
pub async fn approve(State(app): State<App>, of: SubjectArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    decide(app, of, body::decide(&body, Act::Approve)?).await
}

/// `POST /v1/subjects/{subject}/entities/reject`.
pub async fn reject(State(app): State<App>, of: SubjectArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    decide(app, of, body::decide(&body, Act::Reject)?).await
}

/// `POST /v1/subjects/{subject}/entities/archive`.
pub async fn archive(State(app): State<App>, of: SubjectArgs, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    decide(app, of, body::decide(&body, Act::Archive)?).await
}

/// `POST /v1/subjects/{subject}/entities/{entity}/promote`: approves it with all that belongs to it.
pub async fn promote(State(app): State<App>, of: PartArgs<EntityId>, BodyBytes(body): BodyBytes) -> Result<Response, Problem> {
    let asked = Decide::promote(of.id.clone(), note_of(&body)?);
    app.entity(&of.key, &of.id).await?;
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    Ok(Json(app.decide_entities(&of.key, &asked).await?).into_response())
}

async fn decide(app: App, of: SubjectArgs, asked: Decide) -> Result<Response, Problem> {
    let app = app.for_request(request_id().as_deref()).by(of.caller.key, of.caller.user);
    Ok(Json(app.decide_entities(&of.key, &asked).await?).into_response())
}

/// An entity, with its revision as the `ETag` by which an edit names it.
fn with_etag(entity: EntityView) -> impl IntoResponse {
    ([(ETAG, format!("\"{}\"", entity.revision))], Json(entity))
}
