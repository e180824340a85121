//! The key that a provider is asked with, where it cannot be had.

use std::sync::{Arc, Mutex};

use longhand_local::{Options, Playback, Script};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_whose_providers_key_is_in_no_secret_fails_at_once_and_says_so() {
    let playback: Playback = play(Script::new(["hola"])).unwrap();
    let secrets = crate::access::tokens::secrets_manager(Arc::new(Mutex::new(Vec::new()))).await;
    let providers = json!({ "test": { "base_url": playback.base_url(), "key_secret": "longhand/none" } }).to_string();
    let env = [("LONGHAND_PROVIDERS", providers.as_str()), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets)];
    let harness = Harness::with(Options { env: environment("", &env), ..Options::default() }).await;
    let id = harness.start_generation(json!({})).await;
    let record = harness.ended(&id).await;
    assert_eq!(record["error"]["code"], "provider_not_configured", "{record}");
    let message = record["error"]["message"].as_str().unwrap();
    assert_eq!(message, "a secret of this deployment cannot be read: ResourceNotFoundException");
    assert_eq!(playback.stats().requests, 0, "nobody is asked without a key");
    harness.finish().await;
}
