//! Which providers a deployment knows, where they are, and where their keys lie.
//!
//! A base URL is configuration and never part of a request: the key would be sent wherever the request says.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Continuation;

/// A provider as a deployment knows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// Up to and including the version: `https://api.openai.com/v1`. HTTPS, or HTTP on loopback.
    pub base_url: String,
    /// The environment variable that holds the key: for a laptop. Unset or empty: no key is sent.
    #[serde(default)]
    pub key_env: Option<String>,
    /// The name of the secret in AWS Secrets Manager whose string is the key. It wins over `key_env`.
    #[serde(default)]
    pub key_secret: Option<String>,
    /// What the provider calls the limit on output tokens: most say `max_tokens`.
    #[serde(default = "max_tokens")]
    pub max_tokens_name: String,
    /// How it goes on with an answer that was interrupted. Absent: it cannot, and begins again.
    #[serde(default)]
    pub continuation: Option<Continuation>,
    /// Whether it goes on within a `response_format` too: its grammar takes the prefix for the beginning. Where that is not so
    /// the format would begin anew in the middle, so such requests begin again.
    #[serde(default)]
    pub continues_response_format: bool,
}

fn max_tokens() -> String {
    "max_tokens".to_owned()
}

/// The providers known without configuration; keys from `{NAME}_API_KEY`.
///
/// `abacus` is `RouteLLM` on its self-serve address (abacus.ai, help page of `RouteLLM`).
#[must_use]
pub fn presets() -> BTreeMap<String, ProviderSettings> {
    let preset = |name: &str, base_url: &str, max_tokens_name: &str| {
        let settings = ProviderSettings {
            base_url: base_url.to_owned(),
            key_env: Some(format!("{}_API_KEY", name.to_ascii_uppercase())),
            key_secret: None,
            max_tokens_name: max_tokens_name.to_owned(),
            continuation: None,
            continues_response_format: false,
        };
        (name.to_owned(), settings)
    };
    let abacus = preset("abacus", "https://routellm.abacus.ai/v1", "max_tokens");
    let openai = preset("openai", "https://api.openai.com/v1", "max_completion_tokens");
    [abacus, openai].into()
}

/// Reads `LONGHAND_PROVIDERS`, a JSON object from names to settings, over the presets.
///
/// # Errors
/// One sentence that names the entry and what was expected.
pub fn parse_providers(json: Option<&str>) -> Result<BTreeMap<String, ProviderSettings>, String> {
    let mut providers = presets();
    if let Some(json) = json.filter(|json| !json.trim().is_empty()) {
        let given: BTreeMap<String, ProviderSettings> = serde_json::from_str(json).map_err(|error| {
            format!(
                r#"LONGHAND_PROVIDERS must be a JSON object like {{"name":{{"base_url":"https://…","key_secret":"…"}}}}: {error}"#
            )
        })?;
        for (name, settings) in given {
            check_base_url(&name, &settings.base_url)?;
            providers.insert(name, settings);
        }
    }
    Ok(providers)
}

fn check_base_url(name: &str, base_url: &str) -> Result<(), String> {
    let url = reqwest::Url::parse(base_url)
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

    #[test]
    fn a_key_never_travels_in_the_clear() {
        assert!(parse_providers(Some(r#"{"x":{"base_url":"http://example.com/v1"}}"#)).unwrap_err().contains("must be https"));
        assert!(parse_providers(Some(r#"{"x":{"base_url":"http://127.0.0.1:4030/v1"}}"#)).is_ok());
    }

    #[test]
    fn settings_say_where_the_key_lies() {
        let providers = parse_providers(Some(r#"{"x":{"base_url":"https://x/v1","key_secret":"prod/x"}}"#)).unwrap();
        assert_eq!(providers["x"].key_secret.as_deref(), Some("prod/x"));
        assert_eq!(providers["abacus"].key_env.as_deref(), Some("ABACUS_API_KEY"));
    }
}
