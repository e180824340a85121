//! The handler of `/v1/audit`.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use longhand::{App, AuditQuery, Error, Order};

use super::args::{QueryArgs, add_next};
use super::caller::Caller;
use super::entities::parsed;
use super::problem::Problem;

/// `GET /v1/audit?action=&subject=&object=&order=&format=&after=&limit=`: a page as JSON, or its entries as lines of JSON.
pub async fn list(State(app): State<App>, caller: Caller, query: QueryArgs) -> Result<Response, Problem> {
    query.only(&["action", "subject", "object", "order", "format", "after", "limit"])?;
    let order = match query.first("order") {
        None | Some("desc") => Order::Descending,
        Some("asc") => Order::Ascending,
        Some(_) => return Err(Error::invalid("order", "must be `desc` (newest first) or `asc`").into()),
    };
    let asked = AuditQuery {
        action: parsed(&query, "action", "must be an action")?,
        subject: parsed(&query, "subject", "must be a subject")?,
        object: query.first("object").map(str::to_owned),
        after: parsed(&query, "after", "must be the id of an entry")?,
        order,
        limit: query.limit(),
    };
    let format = query.first("format").unwrap_or("json");
    if !["json", "ndjson"].contains(&format) {
        return Err(Error::invalid("format", "must be `json` or `ndjson`").into());
    }
    let page = app.audit(&caller.organization, &asked).await?;
    if format == "json" {
        return Ok(Json(page).into_response());
    }
    let mut lines = Vec::new();
    for entry in &page.data {
        serde_json::to_writer(&mut lines, entry).map_err(|error| Error::Internal(error.to_string()))?;
        lines.push(b'\n');
    }
    let headers = [(CONTENT_TYPE, "application/x-ndjson"), (CONTENT_DISPOSITION, "attachment; filename=\"audit.ndjson\"")];
    let mut response = (headers, lines).into_response();
    add_next(&mut response, page.last_id.filter(|_| page.has_more).as_ref());
    Ok(response)
}
