//! The list of models.

use longhand_tests::Harness;
use reqwest::StatusCode;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn models_are_those_of_the_settings_and_of_the_prices() {
    let providers = json!({
        "near": { "base_url": "http://127.0.0.1:9/v1", "models": ["b", "a/with-slash"] },
        "far": { "base_url": "http://127.0.0.1:9/v1" },
    });
    let prices = json!({
        "near": { "b": { "input": 1, "output": 2 }, "c": { "input": 1, "output": 2 }, "*": { "input": 3, "output": 4 } },
        "gone": { "d": { "input": 1, "output": 2 } },
    });
    let env = [("LONGHAND_PROVIDERS", providers.to_string()), ("LONGHAND_PRICES", prices.to_string())];
    let harness = Harness::start("http://127.0.0.1:9", &env.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    let get = async |path: &str| {
        let answer = harness.http.get(format!("{}/v1/models{path}", harness.stack.url())).send().await.unwrap();
        (answer.status(), answer.json::<Value>().await.unwrap())
    };
    let (status, list) = get("").await;
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!((status, &list["object"]), (StatusCode::OK, &json!("list")));
    assert_eq!(ids, ["near/a/with-slash", "near/b", "near/c"], "not of a provider that is not configured, and not the wildcard");
    let model = json!({ "id": "near/a/with-slash", "object": "model", "created": 0, "owned_by": "near" });
    assert_eq!(get("/near%2Fa%2Fwith-slash").await, (StatusCode::OK, model));
    let (status, error) = get("/near%2Fd").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let expected = json!({
        "message": "The model 'near/d' is not listed; `GET /v1/models` lists those that are.",
        "type": "invalid_request_error", "param": "model", "code": "model_not_found",
    });
    assert_eq!(error["error"], expected);
    harness.finish().await;
}
