//! The configured providers: where each one is, its wire format, and where its key is stored.
//!
//! A base URL is configuration and never part of a request: the key is sent to it.

use std::collections::BTreeMap;

use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Continuation, OwnFinishWords};

/// In a base URL, this stands for the AWS region of the process.
pub const REGION: &str = "{region}";

/// The settings of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Up to and including the version: `https://api.openai.com/v1`. HTTPS, or HTTP on loopback.
    pub base_url: String,
    /// The wire format.
    #[serde(default)]
    pub dialect: Dialect,
    /// How the key is sent.
    #[serde(default)]
    pub auth: Auth,
    /// The environment variable that holds the key, for a local stack. Unset or empty: no key is sent.
    #[serde(default)]
    pub key_env: Option<String>,
    /// The name of the secret in AWS Secrets Manager whose string is the key. Takes precedence over `key_env`.
    #[serde(default)]
    pub key_secret: Option<String>,
    /// The provider's name for the limit on output tokens; most use `max_tokens`.
    #[serde(default = "max_tokens")]
    pub max_tokens_name: String,
    /// How the provider resumes an interrupted answer. Absent: it cannot, and the answer begins again.
    #[serde(default)]
    pub continuation: Option<Continuation>,
    /// Whether it can also resume within a `response_format`: its grammar then accepts the prefix as the beginning. Otherwise such
    /// requests begin again.
    #[serde(default)]
    pub continues_response_format: bool,
    /// Whether requests have `stream_options`, by which most providers report usage. Some refuse the field.
    #[serde(default = "yes")]
    pub stream_options: bool,
    /// Finish reasons that the dialect does not know, and what they mean: `completed`, `max_output_tokens`, `content_filter` or
    /// `failed`.
    #[serde(default)]
    pub finish_reasons: OwnFinishWords,
    /// Models that `GET /v1/models` lists, beside those that have a price. Requests may name others.
    #[serde(default)]
    pub models: Vec<String>,
}

/// The wire format of a provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Dialect {
    /// `chat_completions`: `POST {base_url}/chat/completions`.
    #[default]
    ChatCompletions,
    /// `anthropic`: `POST {base_url}/messages`.
    Anthropic,
    /// `gemini`: `POST {base_url}/models/{model}:streamGenerateContent`.
    Gemini,
    /// `ollama`: `POST {base_url}/api/chat`.
    Ollama,
    /// `responses`: `POST {base_url}/responses`.
    Responses,
    /// `bedrock`: `POST {base_url}/model/{model}/converse-stream`.
    Bedrock,
}

impl TryFrom<Value> for Dialect {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value.as_str() {
            Some("chat_completions") => Ok(Self::ChatCompletions),
            Some("anthropic") => Ok(Self::Anthropic),
            Some("gemini") => Ok(Self::Gemini),
            Some("ollama") => Ok(Self::Ollama),
            Some("responses") => Ok(Self::Responses),
            Some("bedrock") => Ok(Self::Bedrock),
            _ => Err(format!(
                r#"dialect must be "chat_completions", "responses", "anthropic", "bedrock", "gemini" or "ollama", not {value}"#
            )),
        }
    }
}

/// How a provider's key is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Auth {
    /// `"bearer"`: as the bearer token of `Authorization`.
    #[default]
    Bearer,
    /// `{"header":"x-api-key"}`: as the value of that header.
    Header(HeaderName),
    /// `"sigv4"`: requests are signed with AWS credentials (Signature Version 4). A key, if there is one, is sent as a bearer token
    /// instead, as AWS's own SDKs do.
    SigV4,
    /// `"none"`: the provider has no key.
    None,
}

impl TryFrom<Value> for Auth {
    type Error = &'static str;

    // The value is not repeated: it may be a key in the wrong place.
    fn try_from(value: Value) -> Result<Self, &'static str> {
        let header = value.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.get("header")?.as_str());
        match (value.as_str(), header.and_then(|name| name.parse().ok())) {
            (Some("bearer"), _) => Ok(Self::Bearer),
            (Some("sigv4"), _) => Ok(Self::SigV4),
            (Some("none"), _) => Ok(Self::None),
            (_, Some(name)) => Ok(Self::Header(name)),
            _ => Err(r#"auth must be "bearer", "sigv4", "none" or {"header":"<header name>"}"#),
        }
    }
}

const fn yes() -> bool {
    true
}

fn max_tokens() -> String {
    "max_tokens".to_owned()
}

/// The providers that need no configuration, as entries of `LONGHAND_PROVIDERS`.
///
/// `abacus` is `RouteLLM` at its self-serve address (abacus.ai, help page of `RouteLLM`).
fn built_in_providers() -> BTreeMap<String, Value> {
    let providers = json!({
        "abacus": { "base_url": "https://routellm.abacus.ai/v1", "key_env": "ABACUS_API_KEY" },
        "anthropic": {
            "base_url": "https://api.anthropic.com/v1", "key_env": "ANTHROPIC_API_KEY",
            "dialect": "anthropic", "auth": { "header": "x-api-key" },
        },
        "bedrock": {
            "base_url": "https://bedrock-runtime.{region}.amazonaws.com", "key_env": "AWS_BEARER_TOKEN_BEDROCK",
            "dialect": "bedrock", "auth": "sigv4",
        },
        "gemini": {
            "base_url": "https://generativelanguage.googleapis.com/v1beta", "key_env": "GEMINI_API_KEY",
            "dialect": "gemini", "auth": { "header": "x-goog-api-key" },
        },
        "ollama": { "base_url": "http://127.0.0.1:11434", "dialect": "ollama", "auth": "none" },
        "openai": {
            "base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY", "max_tokens_name": "max_completion_tokens",
        },
        "openai-background": {
            "base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY",
            "dialect": "responses", "continuation": "retrieve",
        },
        "openai-responses": { "base_url": "https://api.openai.com/v1", "key_env": "OPENAI_API_KEY", "dialect": "responses" },
    });
    providers.as_object().cloned().unwrap_or_default().into_iter().collect()
}

/// Gives an entry that has the name of a built-in provider, and no dialect of its own, the dialect of that provider, and what goes
/// with it. Its keys are not taken over: they would be sent to another address.
fn inherit(entry: &mut Value, built_in: &Value) {
    let Some(own) = entry.as_object_mut().filter(|own| !own.contains_key("dialect")) else { return };
    let has_key = own.contains_key("key_env") || own.contains_key("key_secret");
    for name in ["dialect", "auth", "max_tokens_name", "continuation"] {
        let is_useful = !(name == "auth" && built_in[name] == "none" && has_key);
        if let Some(value) = built_in.get(name).filter(|_| is_useful) {
            own.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// Parses `LONGHAND_PROVIDERS`, a JSON object from names to settings, and adds the built-in providers that it does not name.
///
/// # Errors
/// One sentence that names the entry and what was expected.
pub fn parse_providers(json: Option<&str>) -> Result<BTreeMap<String, ProviderSettings>, String> {
    let mut entries = built_in_providers();
    let own: BTreeMap<String, Value> = match json.filter(|json| !json.trim().is_empty()) {
        None => BTreeMap::new(),
        Some(json) => serde_json::from_str(json).map_err(|error| {
            format!(
                r#"LONGHAND_PROVIDERS must be a JSON object like {{"name":{{"base_url":"https://…","key_secret":"…"}}}}: {error}"#
            )
        })?,
    };
    for (name, mut entry) in own {
        if let Some(built_in) = entries.get(&name) {
            inherit(&mut entry, built_in);
        }
        entries.insert(name, entry);
    }
    let mut providers = BTreeMap::new();
    for (name, entry) in entries {
        let settings: ProviderSettings =
            serde_json::from_value(entry).map_err(|error| format!("LONGHAND_PROVIDERS: entry {name:?}: {error}"))?;
        check_base_url(&name, &settings.base_url)?;
        if settings.auth == Auth::None && (settings.key_secret.is_some() || settings.key_env.is_some()) {
            return Err(format!(
                r#"LONGHAND_PROVIDERS: entry {name:?}: auth "none" sends no key, so key_secret and key_env must be absent"#
            ));
        }
        let expected = match settings.continuation {
            None => settings.dialect,
            Some(Continuation::Retrieve) => Dialect::Responses,
            Some(_) => Dialect::ChatCompletions,
        };
        if settings.dialect != expected {
            return Err(format!(
                r#"LONGHAND_PROVIDERS: entry {name:?}: continuation "retrieve" is for the dialect "responses" only, and every other one for "chat_completions" only"#
            ));
        }
        providers.insert(name, settings);
    }
    Ok(providers)
}

fn check_base_url(name: &str, base_url: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(&base_url.replace(REGION, "us-east-1"))
        .map_err(|error| format!("LONGHAND_PROVIDERS: base_url of {name:?} must be a URL, not {base_url:?} ({error})"))?;
    let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(format!(
            "LONGHAND_PROVIDERS: base_url of {name:?} must be https, or http on loopback, not {base_url:?}: the key is sent there"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(entry: &str) -> String {
        parse_providers(Some(&format!(r#"{{"x":{entry}}}"#))).unwrap_err()
    }

    #[test]
    fn base_url_is_encrypted_or_on_loopback() {
        assert!(error(r#"{"base_url":"http://example.com/v1"}"#).contains("must be https"));
        assert!(parse_providers(Some(r#"{"x":{"base_url":"http://127.0.0.1:4030/v1"}}"#)).is_ok());
    }

    #[test]
    fn settings_have_defaults() {
        let providers = parse_providers(Some(r#"{"x":{"base_url":"https://x/v1","key_secret":"prod/x"}}"#)).unwrap();
        assert_eq!(providers["x"].key_secret.as_deref(), Some("prod/x"));
        assert_eq!((providers["x"].dialect, &providers["x"].auth), (Dialect::ChatCompletions, &Auth::Bearer));
        assert_eq!(providers["abacus"].key_env.as_deref(), Some("ABACUS_API_KEY"));
    }

    #[test]
    fn built_in_providers_are_settings() {
        let providers = parse_providers(None).unwrap();
        assert_eq!(
            providers.keys().collect::<Vec<_>>(),
            ["abacus", "anthropic", "bedrock", "gemini", "ollama", "openai", "openai-background", "openai-responses"]
        );
        assert_eq!(providers["openai"].max_tokens_name, "max_completion_tokens");
        assert_eq!((providers["ollama"].key_env.as_deref(), &providers["ollama"].auth), (None, &Auth::None));
        assert_eq!(providers["gemini"].dialect, Dialect::Gemini);
    }

    #[test]
    fn entry_named_like_a_built_in_provider_speaks_its_dialect() {
        let parse = |entry: &str| parse_providers(Some(entry)).unwrap();
        let proxy = parse(r#"{"anthropic":{"base_url":"https://proxy/v1"}}"#).remove("anthropic").unwrap();
        assert_eq!((proxy.base_url.as_str(), proxy.dialect), ("https://proxy/v1", Dialect::Anthropic));
        assert_eq!(proxy.auth, Auth::Header(HeaderName::from_static("x-api-key")));
        assert_eq!(proxy.key_env, None, "a key goes nowhere that its owner has not named");
        let openai = parse(r#"{"openai":{"base_url":"https://proxy/v1","key_env":"K"}}"#).remove("openai").unwrap();
        assert_eq!(openai.max_tokens_name, "max_completion_tokens");
        let own = r#"{"openai":{"base_url":"https://proxy/v1","max_tokens_name":"max_tokens"}}"#;
        assert_eq!(parse(own)["openai"].max_tokens_name, "max_tokens");
        let other = parse(r#"{"gemini":{"base_url":"https://proxy/v1","dialect":"chat_completions"}}"#).remove("gemini").unwrap();
        assert_eq!((other.dialect, other.auth), (Dialect::ChatCompletions, Auth::Bearer));
        let remote = parse(r#"{"ollama":{"base_url":"https://ollama.example","key_env":"K"}}"#).remove("ollama").unwrap();
        assert_eq!((remote.dialect, remote.auth), (Dialect::Ollama, Auth::Bearer));
    }

    #[test]
    fn dialect_and_auth_are_parsed() {
        for (auth, expected) in [
            (r#""bearer""#, Auth::Bearer),
            (r#""none""#, Auth::None),
            (r#"{"header":"X-Api-Key"}"#, Auth::Header(HeaderName::from_static("x-api-key"))),
        ] {
            let entry = format!(r#"{{"x":{{"base_url":"https://x/v1","dialect":"chat_completions","auth":{auth}}}}}"#);
            assert_eq!(parse_providers(Some(&entry)).unwrap()["x"].auth, expected);
        }
    }

    #[test]
    fn wrong_entry_is_named_with_what_was_expected() {
        let dialect = error(r#"{"base_url":"https://x/v1","dialect":"claude"}"#);
        assert_eq!(
            dialect,
            r#"LONGHAND_PROVIDERS: entry "x": dialect must be "chat_completions", "responses", "anthropic", "bedrock", "gemini" or "ollama", not "claude""#
        );
        let continuation = error(r#"{"base_url":"https://x/v1","dialect":"anthropic","continuation":"trailing_assistant"}"#);
        assert!(continuation.contains(r#""responses" only, and every other one for "chat_completions" only"#), "{continuation}");
        assert_eq!(error(r#"{"base_url":"https://x/v1","continuation":"retrieve"}"#), continuation);
        for auth in [r#""sk-secret""#, "7", "{}", r#"{"header":"a b"}"#, r#"{"header":"a","x":1}"#, r#"{"header":7}"#] {
            let message = error(&format!(r#"{{"base_url":"https://x/v1","auth":{auth}}}"#));
            assert_eq!(
                message,
                r#"LONGHAND_PROVIDERS: entry "x": auth must be "bearer", "sigv4", "none" or {"header":"<header name>"}"#
            );
        }
        assert!(error(r#"{"base_url":"https://x/v1","auth":"none","key_env":"X"}"#).contains("must be absent"));
        assert!(error(r#"{"base_url":"https://x/v1","key":"sk"}"#).contains("unknown field `key`"));
        assert!(error("7").starts_with(r#"LONGHAND_PROVIDERS: entry "x": invalid type"#));
    }
}
