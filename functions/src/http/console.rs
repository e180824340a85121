//! `/console`: the web console's files, which are part of the binary. They hold nothing of any organization, so they need no key: the pages
//! send one to the routes of the API.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use longhand::{App, config};
use sha2::{Digest, Sha256};

use super::problem;

mod sent;

/// The folder in the page's addresses of its files; the page names the build in its place.
const FOLDER: &str = "files/";
/// Hexadecimal digits of the build: a change of any file changes it.
const BUILD_DIGITS: usize = 16;

macro_rules! files {
    ($($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../../console/files/", $name)))),*]
    };
}

/// The page, which every address of the console shows.
const PAGE: &str = include_str!("../../../console/index.html");
/// Every file of `console/files`.
const FILES: &[(&str, &[u8])] = files! {
    "api.js"
    "app.js"
    "calls.js"
    "dom.js"
    "entity_tree.js"
    "form_model.js"
    "format.js"
    "generation_log.js"
    "i18n.js"
    "icon.svg"
    "json_view.js"
    "list_rows.js"
    "lists.js"
    "live.js"
    "memory.js"
    "page_access.js"
    "page_batch.js"
    "page_batches.js"
    "page_entities.js"
    "page_generation.js"
    "page_generations.js"
    "page_inbox.js"
    "page_overview.js"
    "page_pipeline.js"
    "page_pipelines.js"
    "page_run.js"
    "page_runs.js"
    "page_subject.js"
    "page_subjects.js"
    "page_usage.js"
    "page_webhook.js"
    "page_webhooks.js"
    "partial_json.js"
    "quota_view.js"
    "session.js"
    "spanish.js"
    "sse.js"
    "style.css"
    "text_view.js"
    "ui.js"
    "waterfall.js"
    "words.js"
};

/// A file, as it is sent.
struct File {
    name: &'static str,
    body: Bytes,
    gzip: Bytes,
}

/// All of the console, compressed once in each process.
struct Console {
    /// The first digits of the hash of all files.
    build: String,
    page: File,
    files: Vec<File>,
}

static CONSOLE: LazyLock<Console> = LazyLock::new(|| {
    let mut hash = Sha256::new();
    hash.update(PAGE);
    for (name, body) in FILES {
        hash.update(name);
        hash.update(body);
    }
    let mut build = format!("{:x}", hash.finalize());
    build.truncate(BUILD_DIGITS);
    let page = PAGE.replace(&format!("\"{FOLDER}"), &format!("\"{build}/"));
    let files = FILES.iter().map(|(name, body)| File::new(name, sent(name, body)));
    Console { page: File::new("index.html", page.into()), files: files.collect(), build }
});

/// A file as it is sent.
fn sent(name: &str, body: &'static [u8]) -> Bytes {
    let text = str::from_utf8(body).unwrap_or_default();
    match name.rsplit('.').next() {
        Some("js") => sent::program(text).into(),
        Some("css") => sent::style(text).into(),
        _ => Bytes::from_static(body),
    }
}

impl File {
    fn new(name: &'static str, body: Bytes) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(&body).and_then(|()| encoder.finish());
        // Writing to memory does not fail.
        Self { name, gzip: gzip.unwrap_or_default().into(), body }
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "application/octet-stream",
        }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        let takes = |value: &HeaderValue| value.to_str().is_ok_and(|value| value.contains("gzip"));
        // What is not streamed passes API Gateway as text.
        let is_gzip = config::response_streaming() && request.get_all(ACCEPT_ENCODING).iter().any(takes);
        let body = if is_gzip { &self.gzip } else { &self.body };
        let headers = [(CONTENT_TYPE, self.content_type()), (VARY, "accept-encoding")];
        let mut response = (headers, body.clone()).into_response();
        if is_gzip {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// `GET /console`, with or without a slash at its end: to the page. A browser keeps the fragment, with the token.
pub async fn redirect(uri: Uri) -> Response {
    let to = if uri.path().ends_with('/') { "index.html" } else { "console/index.html" };
    (StatusCode::FOUND, [(LOCATION, to), (CACHE_CONTROL, "no-store")]).into_response()
}

/// `GET /console/index.html`: the page, which is asked for again each time, and answered with 304 unless it changed.
pub async fn page(State(app): State<App>, uri: Uri, request: HeaderMap) -> Response {
    // The page reads it so too: anything else is the whole console, which no other page shows.
    let is_embedded = uri.query() == Some("embed=1");
    let ancestors = app.config().embed_origin.as_deref().filter(|_| is_embedded);
    let tag = format!("\"{}\"", CONSOLE.build);
    let is_known = request.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let response = if is_known { StatusCode::NOT_MODIFIED.into_response() } else { CONSOLE.page.answer(&request) };
    secured(response, &tag, "no-cache", ancestors)
}

/// `GET /console/{build}/{file}`: a file of this build, which never changes. That of another build is absent, so that a page never mixes two.
pub async fn file(Path((build, name)): Path<(String, String)>, uri: Uri, request: HeaderMap) -> Response {
    let file = CONSOLE.files.iter().find(|file| file.name == name).filter(|_| build == CONSOLE.build);
    let Some(file) = file else { return problem::no_route(uri).await };
    let tag = format!("\"{}\"", CONSOLE.build);
    secured(file.answer(&request), &tag, "public, max-age=31536000, immutable", None)
}

/// The response with the rules that a browser applies to it: it runs, styles and asks what comes from here, and makes no markup from text.
fn secured(mut response: Response, tag: &str, cache: &'static str, ancestors: Option<&str>) -> Response {
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors {}; require-trusted-types-for 'script'; trusted-types 'none'",
        ancestors.unwrap_or("'none'")
    );
    let values: [(HeaderName, &str); 7] = [
        (CONTENT_SECURITY_POLICY, &policy),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
        (CACHE_CONTROL, cache),
        (ETAG, tag),
    ];
    for (name, value) in values {
        response.headers_mut().extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;

    #[test]
    fn table_has_every_file_of_the_folder() {
        let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../console/files")).unwrap();
        let found: BTreeSet<String> = folder.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>(), found);
    }

    #[test]
    fn page_names_files_of_this_build_only() {
        let page = String::from_utf8(CONSOLE.page.body.to_vec()).unwrap();
        assert!(page.contains(&format!("\"{}/app.js\"", CONSOLE.build)), "{page}");
        assert!(!page.contains(FOLDER), "{page}");
        for address in page.split('"').filter_map(|text| text.strip_prefix(&format!("{}/", CONSOLE.build))) {
            assert!(CONSOLE.files.iter().any(|file| file.name == address), "{address}");
        }
    }

    /// All that a reader of English ever loads; so much arrives within a second over a line of 500 kbit/s.
    #[test]
    fn console_is_small() {
        let files = CONSOLE.files.iter().chain([&CONSOLE.page]).filter(|file| file.name != "spanish.js");
        let bytes: usize = files.map(|file| file.gzip.len()).sum();
        eprintln!("{bytes} bytes, compressed");
        assert!(bytes < 60_000, "{bytes} bytes, compressed");
    }

    #[test]
    fn no_text_of_a_program_spans_lines() {
        for (name, body) in FILES.iter().filter(|(name, _)| name.rsplit('.').next() == Some("js")) {
            let spans = |line: &&str| line.matches('`').count() % 2 == 1;
            assert_eq!(str::from_utf8(body).unwrap().lines().find(spans), None, "{name}: a text spans lines");
        }
    }

    #[test]
    fn sources_make_no_markup() {
        for (name, body) in FILES {
            let text = String::from_utf8_lossy(body);
            for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc"]
            {
                assert!(!text.contains(forbidden), "{name} has {forbidden}");
            }
        }
    }
}
