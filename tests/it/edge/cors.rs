//! Pages of another origin read what the deployment lets them read.

use longhand_local::{Options, Stack};
use longhand_tests::{Harness, environment};
use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap};

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
