//! Names and values of settings: what the template sets, the code reads, with the same bounds and defaults.

use std::collections::{BTreeMap, BTreeSet};

use longhand::Config;
use longhand::providers::Auth;
use longhand_local::TEMPLATE;

use super::{hosted, tree, values_after};
use crate::documents::configuration::read_by_functions;

/// What a deployment has no parameter for: the code's defaults are right on AWS.
const NOT_SET: [&str; 11] = [
    "LONGHAND_LEASE_SECONDS",
    "LONGHAND_RETENTION_DAYS",
    "LONGHAND_CONNECT_TIMEOUT_MS",
    "LONGHAND_LONG_POLL_MS",
    "LONGHAND_SSE_KEEP_ALIVE_MS",
    "LONGHAND_SSE_CONNECTION_MS",
    // On AWS it is a secret; here it lies in the data folder.
    "LONGHAND_TOKEN_KEY",
    "LONGHAND_WEBHOOK_KEY",
    // Only of a fleet.
    "LONGHAND_STREAM_QUEUE",
    // Only of a laptop.
    "LONGHAND_WEBHOOK_LOOPBACK",
    "LONGHAND_WEBHOOK_TIMEOUT_MS",
];

#[test]
fn template_variables_match_code() {
    let asked = read_by_functions();
    let read: BTreeSet<&str> = asked.iter().filter_map(|name| name.strip_prefix("LONGHAND_")).collect();
    let set = values_after(TEMPLATE, " LONGHAND_");
    assert!(set.len() > 10, "{set:?}");
    let unread: Vec<_> = set.difference(&read).collect();
    assert!(unread.is_empty(), "set, and not read: {unread:?}");
    let unset: Vec<String> = read.difference(&set).map(|name| format!("LONGHAND_{name}")).collect();
    let unset: Vec<&String> = unset.iter().filter(|name| !NOT_SET.contains(&name.as_str())).collect();
    assert!(unset.is_empty(), "read, and never set: {unset:?}");
}

/// The settings of an environment, as the code understands them.
fn config(environment: &BTreeMap<String, String>) -> Config {
    Config::from_vars(&|name| environment.get(name).cloned()).unwrap()
}

#[test]
fn template_defaults_match_code() {
    let required = ["LONGHAND_BUFFER_TABLE", "LONGHAND_RECORDS_TABLE", "LONGHAND_BUCKET"];
    let bare = config(&required.map(|name| (name.to_owned(), "x".to_owned())).into());
    for function in hosted().functions {
        let of_template = config(&function.environment);
        assert_eq!(of_template.chunk_ttl, bare.chunk_ttl);
        assert_eq!(of_template.windows, bare.windows);
        assert_eq!(of_template.timeouts, bare.timeouts);
        assert_eq!(of_template.max_attempts, bare.max_attempts);
        assert_eq!(of_template.max_output_bytes, bare.max_output_bytes);
        assert_eq!((of_template.quota, &of_template.prices), (bare.quota, &bare.prices));
        assert_eq!(of_template.validation, bare.validation);
        assert_eq!((&of_template.cors_origin, &of_template.embed_origin), (&bare.cors_origin, &bare.embed_origin));
        let names = |config: &Config| config.providers.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&of_template), names(&bare));
    }
}

#[test]
fn provider_keys_are_readable_secrets() {
    let prefix = tree()["Parameters"]["SecretPrefix"]["Default"].as_str().unwrap().to_owned();
    for function in hosted().functions {
        for (name, provider) in config(&function.environment).providers {
            if matches!(provider.auth, Auth::None | Auth::SigV4) {
                continue;
            }
            let secret = provider.key_secret.unwrap_or_default();
            assert!(secret.starts_with(&prefix), "{name}: {secret:?} is not below {prefix:?}");
        }
    }
}

#[test]
fn timeouts_fit_lambda() {
    const LAMBDA_SECONDS_MAX: u64 = 900;
    const API_GATEWAY_SECONDS_MAX: u64 = 29;
    for function in hosted().functions {
        assert!(function.timeout_seconds <= LAMBDA_SECONDS_MAX, "{}", function.id);
        let streams = function.environment.contains_key("LONGHAND_RESPONSE_STREAMING");
        assert!(function.routes.is_empty() || streams || function.timeout_seconds <= API_GATEWAY_SECONDS_MAX, "{}", function.id);
        if function.handler == "stream" {
            assert_eq!(function.timeout_seconds, LAMBDA_SECONDS_MAX);
            // A provider that is silent for as long as it may must not run into Lambda's own limit.
            let timeouts = config(&function.environment).timeouts;
            assert!(timeouts.first_byte.as_secs() < LAMBDA_SECONDS_MAX && timeouts.idle.as_secs() < LAMBDA_SECONDS_MAX);
        }
    }
}
