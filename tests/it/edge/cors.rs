//! Pages of another origin read what the deployment lets them read.

use longhand_local::{Options, Stack};
use longhand_tests::{Harness, environment};
use reqwest::Method;
use reqwest::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, ORIGIN,
};

const NOWHERE: &str = "http://127.0.0.1:9";

/// The headers of an answer of each HTTP function, and of a refusal.
async fn answers(harness: &Harness) -> Vec<HeaderMap> {
    let url = harness.stack.url();
    let gets = ["/v1/generations", "/v1/generations/gen_1", "/v1/generations/gen_1/events", "/v1/responses/resp_1"];
    let mut headers = vec![harness.api.http.post(format!("{url}/v1/generations")).body("{").send().await.unwrap()];
    for path in gets {
        headers.push(harness.api.http.get(format!("{url}{path}")).send().await.unwrap());
    }
    headers.into_iter().map(|answer| answer.headers().clone()).collect()
}

#[tokio::test]
async fn answers_name_the_allowed_origin() {
    let harness = Harness::start(NOWHERE, &[("LONGHAND_CORS_ORIGIN", "https://app.example")]).await;
    for headers in answers(&harness).await {
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
        assert_eq!(headers[ACCESS_CONTROL_EXPOSE_HEADERS], "*");
    }
    harness.finish().await;
}

#[tokio::test]
async fn no_origin_by_default() {
    let harness = Harness::start(NOWHERE, &[]).await;
    for headers in answers(&harness).await {
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{headers:?}");
    }
    harness.finish().await;
}

#[tokio::test]
async fn invalid_origin_is_refused() {
    for wrong in ["app.example", "https://", "https://app.example/", "https://app.example/page", "null"] {
        let env = environment(NOWHERE, &[("LONGHAND_CORS_ORIGIN", wrong)]);
        let refused = Stack::start(Options { env, ..Options::default() }).await.map(|_| ()).unwrap_err();
        let message = format!("{refused:#}");
        assert!(message.contains("LONGHAND_CORS_ORIGIN must be an origin like https://app.example"), "{message}");
    }
}

/// As a page does: a preflight, and then the request with its key. Pages elsewhere are refused.
#[tokio::test]
async fn page_of_the_allowed_origin_calls_the_laptop() {
    let harness = Harness::start(NOWHERE, &[("LONGHAND_CORS_ORIGIN", "https://app.example")]).await;
    let url = format!("{}/v1/generations", harness.stack.url());
    let preflight = async |origin: &str| {
        let options = harness.api.http.request(Method::OPTIONS, &url).header(ORIGIN, origin);
        let options = options.header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        options.header(ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type").send().await.unwrap()
    };
    let allowed = preflight("https://app.example").await;
    assert_eq!(allowed.status(), 200);
    assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
    assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_METHODS], "POST");
    assert_eq!(allowed.headers()[ACCESS_CONTROL_ALLOW_HEADERS], "authorization,content-type");
    assert_eq!(preflight("https://evil.example").await.status(), 403);
    for (origin, status) in [("https://app.example", 200), ("https://evil.example", 403)] {
        let answer = harness.api.http.get(&url).header(ORIGIN, origin).send().await.unwrap();
        assert_eq!(answer.status(), status, "{origin}");
        assert!(answer.headers().get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter().all(|allowed| allowed == "https://app.example"));
    }
    harness.finish().await;
}

/// A refusal that the gateway gives has no header for pages, unless an origin is allowed.
#[tokio::test]
async fn gateway_responses_name_the_origin_or_none() {
    for (origin, env) in [(None, vec![]), (Some("https://app.example"), vec![("LONGHAND_CORS_ORIGIN", "https://app.example")])] {
        let options = Options { env: environment(NOWHERE, &env), authorize: true, ..Options::default() };
        let harness = Harness::with(options).await;
        let answer = harness.api.http.get(format!("{}/v1/generations", harness.stack.url())).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|origin| origin.to_str().unwrap()), origin);
        harness.finish().await;
    }
}
