//! The embedded SES: one call of it, which puts each mail into a folder as a file of the form that mail programs open (RFC 5322).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use jiff::Timestamp;
use mail_builder::{MessageBuilder, headers::text::Text};
use serde::Deserialize;
use serde_json::json;
use ulid::Ulid;

/// AWS's limit for a message.
const BYTES_MAX: usize = 10 * 1024 * 1024;

/// The body of `SendEmail`, as far as the product uses it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Request {
    from_email_address: String,
    destination: Destination,
    content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Destination {
    to_addresses: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Content {
    simple: Simple,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Simple {
    subject: Data,
    body: Body,
    #[serde(default)]
    headers: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Body {
    text: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Data {
    data: String,
    #[serde(rename = "Charset")]
    _charset: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Header {
    name: String,
    value: String,
}

/// `POST /v2/email/outbound-emails`, for mails that go to `folder`.
pub fn router(folder: PathBuf) -> Router {
    Router::new()
        .route("/v2/email/outbound-emails", post(send))
        .layer(DefaultBodyLimit::max(BYTES_MAX))
        .with_state(Arc::new(folder))
}

async fn send(State(folder): State<Arc<PathBuf>>, Json(request): Json<Request>) -> Response {
    let id = Ulid::generate().to_string().to_ascii_lowercase();
    match message(&request, &id).and_then(|message| write(&folder, &id, &message)) {
        Ok(()) => Json(json!({ "MessageId": id })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "a mail could not be written");
            (StatusCode::INTERNAL_SERVER_ERROR, Json(json!({ "message": "The mail could not be written." }))).into_response()
        }
    }
}

/// The bytes of a mail: what is not ASCII is encoded.
fn message(request: &Request, id: &str) -> std::io::Result<Vec<u8>> {
    let Simple { subject, body, headers } = &request.content.simple;
    let domain = request.from_email_address.rsplit('@').next().unwrap_or_default();
    let to: Vec<&str> = request.destination.to_addresses.iter().map(String::as_str).collect();
    let mut message = MessageBuilder::new()
        .from(request.from_email_address.as_str())
        .to(to)
        .subject(subject.data.as_str())
        .date(Timestamp::now().as_second())
        .message_id(format!("{id}@{domain}"))
        .text_body(body.text.data.as_str());
    for header in headers {
        message = message.header(header.name.as_str(), Text::new(header.value.as_str()));
    }
    message.write_to_vec()
}

/// Sorted by name, mails are sorted by time.
fn write(folder: &Path, id: &str, message: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!(".{id}"));
    fs::write(&unfinished, message)?;
    fs::rename(unfinished, folder.join(format!("{id}.eml")))
}
