//! The process's environment. No other module of this command reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use longhand::providers::parse_providers;
use serde_json::Value;

/// The variable with the providers, as JSON.
pub const PROVIDERS: &str = "LONGHAND_PROVIDERS";

/// The variables in place of `--data`, `--url` and `--port`.
pub const DATA: &str = "LONGHAND_DATA";
pub const URL: &str = "LONGHAND_URL";
pub const PORT: &str = "LONGHAND_PORT";

/// The variable in place of `--queue`.
pub const STREAM_QUEUE: &str = "LONGHAND_STREAM_QUEUE";

/// The variable with the API key for `--url`.
pub const API_KEY: &str = "LONGHAND_API_KEY";

/// This command's file, to start it another time.
///
/// # Errors
/// The system does not tell.
pub fn program() -> std::io::Result<std::path::PathBuf> {
    env::current_exe()
}

/// Variables that are passed on to a stack that this command starts.
const SETTINGS: [&str; 25] = [
    "GENERATION_CHUNK_TTL",
    "LONGHAND_BATCH_RETENTION_DAYS",
    "LONGHAND_CONNECT_TIMEOUT_MS",
    "LONGHAND_CORS_ORIGIN",
    "LONGHAND_EMBED_ORIGIN",
    "LONGHAND_FIRST_BYTE_TIMEOUT_MS",
    "LONGHAND_GENERATION_TIMEOUT_MS",
    "LONGHAND_IDLE_TIMEOUT_MS",
    "LONGHAND_IMPORT_GENERATION",
    "LONGHAND_LEASE_SECONDS",
    "LONGHAND_MAX_ATTACHED",
    "LONGHAND_MAX_ATTEMPTS",
    "LONGHAND_MAX_GENERATIONS_PER_DAY",
    "LONGHAND_MAX_OUTPUT_BYTES",
    "LONGHAND_MAX_OUTPUT_BYTES_PER_DAY",
    "LONGHAND_MAX_RUNNING",
    "LONGHAND_MAX_RUNS",
    "LONGHAND_MAX_SPEND_PER_DAY",
    "LONGHAND_PRICES",
    "LONGHAND_REDACT_PATTERNS",
    "LONGHAND_RETENTION_DAYS",
    "LONGHAND_UNWATCHED_WINDOW_MS",
    "LONGHAND_VALIDATE_LLM_RESPONSE",
    "LONGHAND_WATCHED_WINDOW_MS",
    "METADATA_VALIDATION_STRICT",
];

/// The variable that turns colours off (<https://no-color.org>).
const NO_COLOR: &str = "NO_COLOR";

/// Every variable that this command reads by a name of its own; the providers' settings may name further ones.
pub fn variables() -> BTreeSet<String> {
    let own = SETTINGS.into_iter().chain([PROVIDERS, API_KEY, DATA, URL, PORT, STREAM_QUEUE, NO_COLOR]);
    own.map(str::to_owned).chain(built_in_keys()).collect()
}

/// The variables with the keys of the built-in providers.
fn built_in_keys() -> BTreeSet<String> {
    let providers = parse_providers(None).unwrap_or_default();
    providers.into_values().filter_map(|provider| provider.key_env).collect()
}

/// A variable, if it is set and not empty.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The environment for the functions of an embedded stack: settings, providers and their keys, as far as they are set here.
pub fn settings() -> BTreeMap<String, String> {
    let providers = variable(PROVIDERS).and_then(|providers| serde_json::from_str(&providers).ok());
    let providers: BTreeMap<String, Value> = providers.unwrap_or_default();
    let keys = providers.values().filter_map(|provider| provider.get("key_env")?.as_str());
    let names = SETTINGS.into_iter().chain([PROVIDERS]).chain(keys).map(str::to_owned).chain(built_in_keys());
    names.filter_map(|name| variable(&name).map(|value| (name, value))).collect()
}

/// Whether output is to have no colours.
pub fn no_color() -> bool {
    variable(NO_COLOR).is_some()
}
