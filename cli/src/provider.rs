//! A provider named on the command line, as settings of the stack that is started for it.

use std::collections::BTreeMap;

use clap::Args;
use longhand::providers::parse_providers;
use longhand_client::{Url, is_loopback};
use serde_json::{Map, Value, json};

use crate::environment::{self, PROVIDERS};
use crate::failure;

const DIALECTS: [&str; 6] = ["chat_completions", "responses", "anthropic", "bedrock", "gemini", "ollama"];
const CONTINUATIONS: [&str; 4] = ["trailing_assistant", "continue_final_message", "prefix_flag", "retrieve"];

/// The provider that is called.
#[derive(Args, Clone, Debug)]
pub struct ProviderArgs {
    #[arg(long, value_name = "NAME", value_parser = name, help = "The provider's name; its key is read from NAME_API_KEY")]
    pub provider: Option<String>,
    #[arg(long, requires = "provider", value_parser = base_url, help = "Its base URL, such as https://api.openai.com/v1")]
    pub base_url: Option<Url>,
    #[arg(long, requires = "base_url", value_name = "DIALECT", value_parser = DIALECTS)]
    #[arg(help = "Its wire format; chat_completions, unless the name is that of a built-in provider")]
    pub dialect: Option<String>,
    #[arg(long, requires = "base_url", value_name = "HOW", value_parser = CONTINUATIONS)]
    #[arg(
        help = "How it continues an answer that was interrupted: the first for llama.cpp, the second for vLLM, the third for DeepSeek and Mistral, the last for the dialect `responses`"
    )]
    pub continuation: Option<String>,
}

impl ProviderArgs {
    /// Warns where requests to the provider, or to `openai` where none is named, will have no key.
    pub fn warn_without_key(&self) -> anyhow::Result<()> {
        let name = self.provider.as_deref().unwrap_or("openai");
        let environment = self.environment()?;
        let providers = parse_providers(environment.get(PROVIDERS).map(String::as_str)).map_err(failure::usage)?;
        let key = providers.get(name).and_then(|settings| settings.key_env.clone());
        if let Some(key) = key.filter(|key| !environment.contains_key(key)) {
            eprintln!("\nwarning: {key} is not set, so requests to {name} have no key; set it and start again.");
        }
        Ok(())
    }

    /// The environment for a stack's functions: the settings of this process, with this provider and its key.
    pub fn environment(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut environment = environment::settings();
        let Some(name) = &self.provider else { return Ok(environment) };
        let key_name = key_name(name);
        let known = parse_providers(environment.get(PROVIDERS).map(String::as_str)).map_err(failure::usage)?;
        if self.base_url.is_none() && !known.contains_key(name) {
            let known = known.into_keys().collect::<Vec<_>>().join(", ");
            return Err(failure::usage(format!("--provider {name}: expected one of {known}, or a --base-url")));
        }
        if let Some(base_url) = &self.base_url {
            let providers = self.with_provider(environment.get(PROVIDERS), name, base_url)?;
            environment.insert(PROVIDERS.to_owned(), providers);
        }
        match (environment::variable(&key_name), &self.base_url) {
            (Some(key), _) => drop(environment.insert(key_name, key)),
            (None, Some(base_url)) if !is_loopback(base_url) => {
                let message = format!("expected the environment variable {key_name} to hold the key for {base_url}");
                return Err(failure::usage(message));
            }
            (None, _) => {}
        }
        Ok(environment)
    }

    /// These providers, with this one at `base_url`.
    fn with_provider(&self, providers: Option<&String>, name: &str, base_url: &Url) -> anyhow::Result<String> {
        let providers = providers.map_or(Ok(Map::new()), |providers| serde_json::from_str(providers));
        let mut providers =
            providers.map_err(|error| failure::usage(format!("{PROVIDERS}: expected a JSON object ({error})")))?;
        let base_url = base_url.as_str().trim_end_matches('/');
        let mut settings = json!({ "base_url": base_url, "key_env": key_name(name) });
        for (field, value) in [("dialect", &self.dialect), ("continuation", &self.continuation)] {
            if let Some(value) = value {
                settings[field] = value.as_str().into();
            }
        }
        providers.insert(name.to_owned(), settings);
        let providers = Value::Object(providers).to_string();
        parse_providers(Some(&providers)).map_err(failure::usage)?;
        Ok(providers)
    }
}

/// The variable that holds a provider's key, such as `MY_LLM_API_KEY` for `my-llm`.
pub fn key_name(provider: &str) -> String {
    format!("{}_API_KEY", provider.to_ascii_uppercase().replace('-', "_"))
}

fn name(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    if text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err("expected lower-case letters, digits, `-` and `_`, such as openai".to_owned())
}

fn base_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| format!("expected a URL such as https://api.openai.com/v1, not {text:?}"))?;
    match url.scheme() {
        "https" if url.has_host() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err("expected https:// (http:// would send the key unprotected; it is for this machine only)".to_owned()),
        _ => Err("expected a URL that begins with https://".to_owned()),
    }
}
