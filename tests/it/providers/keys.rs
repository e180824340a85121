//! How a provider's key is sent, and what happens without one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use longhand::Clock;
use longhand_local::{Options, Playback, Script};
use longhand_tests::hostile::{Hostile, Script as HostileScript, wire};
use longhand_tests::sensitive::play;
use longhand_tests::{Harness, environment};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn missing_secret_fails_the_generation_at_once() {
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
    assert_eq!(playback.stats().requests, 0, "nothing is sent without a key");
    harness.finish().await;
}

/// A secret is cached for half an hour, but no generation fails with a key that was rotated since.
#[tokio::test(flavor = "multi_thread")]
async fn rotated_key_is_read_again_where_the_old_one_is_refused() {
    let refused = || HostileScript::plain("401 Unauthorized", "application/json", r#"{"error":{"message":"wrong key"}}"#);
    let said = || HostileScript::stream([wire::whole(&["Uno"])]);
    let hostile = Hostile::start([("test", vec![said(), refused(), said(), refused()])]).await;
    let versions = Arc::new(Mutex::new(vec!["one"]));
    let secrets = crate::access::tokens::secrets_manager(Arc::clone(&versions)).await;
    let providers = json!({ "test": { "base_url": hostile.base_url("test"), "key_secret": "longhand/test" } }).to_string();
    let env = [("LONGHAND_PROVIDERS", providers.as_str()), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", &secrets)];
    let clock = Clock::manual();
    let options = Options { env: environment("", &env), clock: clock.clone(), ..Options::default() };
    let harness = Harness::with(options).await;
    for (version, status, attempts) in [("one", "completed", 1), ("two", "completed", 1), ("two", "failed", 1)] {
        *versions.lock().unwrap() = vec![version];
        clock.advance(Duration::from_secs(11));
        let id = harness.start_generation(json!({})).await;
        let record = harness.ended(&id).await;
        assert_eq!((&record["status"], &record["attempts"]), (&json!(status), &json!(attempts)), "{record}");
    }
    let keys: Vec<_> = hostile.seen("test").keys.into_iter().flatten().collect();
    assert_eq!(keys, ["Bearer one", "Bearer one", "Bearer two", "Bearer two"]);
    harness.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_is_sent_as_configured() {
    const KEY: &str = "sk-test-0123456789";
    let cases = [
        ("default", json!(null), Some(format!("Bearer {KEY}"))),
        ("bearer", json!("bearer"), Some(format!("Bearer {KEY}"))),
        ("header", json!({ "header": "X-Api-Key" }), Some(KEY.to_owned())),
        ("none", json!("none"), None),
    ];
    let hostile =
        Hostile::start(cases.iter().map(|(name, ..)| (*name, vec![HostileScript::stream([wire::whole(&["Uno"])])]))).await;
    let mut providers = json!({});
    for (name, auth, key) in &cases {
        providers[name] = json!({ "base_url": hostile.base_url(name) });
        if !auth.is_null() {
            providers[name]["auth"] = auth.clone();
        }
        if key.is_some() {
            providers[name]["key_env"] = "HOSTILE_API_KEY".into();
        }
    }
    let env = [("LONGHAND_PROVIDERS", providers.to_string()), ("HOSTILE_API_KEY", KEY.to_owned())];
    let harness = Harness::start("http://127.0.0.1:9", &env.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    for (name, _, key) in &cases {
        let id = harness.start_generation(json!({ "provider": name })).await;
        assert_eq!(harness.ended(&id).await["status"], "completed", "{name}");
        assert_eq!(&hostile.seen(name).keys, std::slice::from_ref(key), "{name}");
    }
    harness.finish().await;
}
