//! The console's files: who gets them, how they are kept, and what a browser may do with them.

use longhand_local::Options;
use longhand_tests::{Harness, environment};
use reqwest::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};

const NOWHERE: &str = "http://127.0.0.1:9/v1";

async fn harness(env: &[(&str, &str)]) -> Harness {
    Harness::with(Options { authorize: true, env: environment(NOWHERE, env), ..Options::default() }).await
}

/// A client without a key, which follows nothing.
fn browser() -> Client {
    Client::builder().redirect(Policy::none()).build().unwrap()
}

fn header(response: &Response, name: impl reqwest::header::AsHeaderName) -> String {
    response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[tokio::test]
async fn page_and_its_files_need_no_key_and_are_kept_by_build() {
    let harness = harness(&[]).await;
    let (browser, url) = (browser(), |path: &str| harness.url_of(path));
    for (path, to) in [("/console", "console/index.html"), ("/console/", "index.html")] {
        let response = browser.get(url(path)).send().await.unwrap();
        assert_eq!((response.status(), header(&response, LOCATION).as_str()), (StatusCode::FOUND, to), "{path}");
    }
    let page = browser.get(url("/console/index.html")).send().await.unwrap();
    assert_eq!((page.status(), header(&page, CONTENT_TYPE).as_str()), (StatusCode::OK, "text/html; charset=utf-8"));
    assert_eq!(header(&page, CACHE_CONTROL), "no-cache");
    let tag = header(&page, ETAG);
    let again = browser.get(url("/console/index.html")).header(IF_NONE_MATCH, &tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    let build = tag.trim_matches('"');
    let text = page.text().await.unwrap();
    assert!(text.contains(&format!("\"{build}/app.js\"")), "{text}");
    let script = browser.get(url(&format!("/console/{build}/app.js"))).send().await.unwrap();
    assert_eq!((script.status(), header(&script, CONTENT_TYPE).as_str()), (StatusCode::OK, "text/javascript; charset=utf-8"));
    assert_eq!(header(&script, CACHE_CONTROL), "public, max-age=31536000, immutable");
    let gzip = browser.get(url(&format!("/console/{build}/app.js"))).header(ACCEPT_ENCODING, "br, gzip").send().await.unwrap();
    assert_eq!(header(&gzip, CONTENT_ENCODING), "gzip");
    let (plain, gzip) = (script.bytes().await.unwrap(), gzip.bytes().await.unwrap());
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*gzip), &mut unpacked).unwrap();
    assert!(unpacked == plain && gzip.len() < plain.len());
    for absent in ["/console/app.js", "/console/0123456789abcdef/app.js", &format!("/console/{build}/none.js"), "/console/../key"]
    {
        assert_eq!(browser.get(url(absent)).send().await.unwrap().status(), StatusCode::NOT_FOUND, "{absent}");
    }
    assert_eq!(browser.post(url("/console/index.html")).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    harness.finish().await;
}

#[tokio::test]
async fn browser_runs_nothing_but_the_consoles_own_files() {
    let harness = harness(&[]).await;
    let page = browser().get(harness.url_of("/console/index.html?embed=1")).send().await.unwrap();
    let policy = header(&page, CONTENT_SECURITY_POLICY);
    let expected = [
        "default-src 'none'",
        "script-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    ];
    for rule in expected {
        assert!(policy.split("; ").any(|found| found == rule), "{rule}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!((header(&page, X_CONTENT_TYPE_OPTIONS), header(&page, REFERRER_POLICY)), ("nosniff".into(), "no-referrer".into()));
    harness.finish().await;
}

#[tokio::test]
async fn other_pages_show_a_run_in_a_frame_only_where_allowed() {
    let harness = harness(&[("LONGHAND_EMBED_ORIGIN", "https://app.example")]).await;
    for (path, expected) in [
        ("/console/index.html?embed=1", "frame-ancestors https://app.example;"),
        ("/console/index.html", "frame-ancestors 'none';"),
        ("/console/index.html?embed=10", "frame-ancestors 'none';"),
        ("/console/index.html?embed=0&embed=1", "frame-ancestors 'none';"),
        ("/console/index.html?embed=1&a=1", "frame-ancestors 'none';"),
        ("/console/index.html?embed=%31", "frame-ancestors 'none';"),
    ] {
        let page = browser().get(harness.url_of(path)).send().await.unwrap();
        let policy = header(&page, CONTENT_SECURITY_POLICY);
        assert!(policy.contains(expected), "{path}: {policy}");
    }
    harness.finish().await;
}
