//! The body of a request, from a file and the flags.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{ArgGroup, Args, ValueEnum};
use longhand::UserId;
use longhand::generation::request::GZIP_MAGIC;
use serde_json::{Map, Value, json};

use crate::failure;
use crate::options::key_value;

const STDIN: &str = "-";

/// The request to the model. A flag replaces the same field of a request file.
#[derive(Args, Clone, Debug)]
#[command(group = ArgGroup::new("input").required(true).args(["prompt", "file"]))]
pub struct RequestArgs {
    /// The prompt; `-` reads it from stdin
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A whole request as JSON; `-` reads it from stdin
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// The model, as the provider names it
    #[arg(long)]
    model: Option<String>,
    /// Instructions to the model
    #[arg(long, value_name = "TEXT")]
    instructions: Option<String>,
    /// Randomness, from 0
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// The most tokens that the model may write
    #[arg(long, value_name = "NUMBER")]
    max_output_tokens: Option<u64>,
    /// A JSON file with a `response_format` as in chat completions
    #[arg(long, value_name = "PATH")]
    response_format: Option<PathBuf>,
    /// What the generation is about; once completed, it is the subject's next version
    #[arg(long)]
    subject: Option<String>,
    /// Tell these users of the end, in the lists that `longhand notifications` shows; without a name, the key's own user
    #[arg(long, value_name = "USER", num_args = 0.., value_delimiter = ',')]
    notify: Option<Vec<UserId>>,
    /// An entry of the request's metadata; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    metadata: Vec<(String, String)>,
    /// A result that is not valid is kept with its errors (soft), or fails the generation (strict)
    #[arg(long, value_enum)]
    validation: Option<Validation>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Validation {
    Soft,
    Strict,
}

impl RequestArgs {
    pub fn body(&self, provider: Option<&str>) -> anyhow::Result<Value> {
        let mut body = match &self.file {
            Some(path) => object(path)?,
            None => Map::new(),
        };
        let prompt = match self.prompt.as_deref() {
            Some(STDIN) => Some(read(Path::new(STDIN))?),
            prompt => prompt.map(str::to_owned),
        };
        let response_format = self.response_format.as_deref().map(object).transpose()?;
        let validation = self.validation.map(|validation| match validation {
            Validation::Soft => "soft",
            Validation::Strict => "strict",
        });
        // Whether endpoints are told stays as a file has it.
        let notify = self.notify.as_ref().map(|users| {
            let mut notify = body.get("notify").and_then(Value::as_object).cloned().unwrap_or_default();
            match users.as_slice() {
                [] => drop(notify.remove("users")),
                users => drop(notify.insert("users".to_owned(), json!(users))),
            }
            notify
        });
        let flags = [
            ("provider", json!(provider)),
            ("model", json!(self.model)),
            ("prompt", json!(prompt)),
            ("instructions", json!(self.instructions)),
            ("temperature", json!(self.temperature)),
            ("max_output_tokens", json!(self.max_output_tokens)),
            ("response_format", json!(response_format)),
            ("subject", json!(self.subject)),
            ("notify", json!(notify)),
            ("validation", json!(validation)),
        ];
        let given = flags.into_iter().filter(|(_, value)| !value.is_null());
        body.extend(given.map(|(name, value)| (name.to_owned(), value)));
        if !self.metadata.is_empty() {
            let own = body.entry("metadata").or_insert_with(|| json!({}));
            for (name, value) in &self.metadata {
                own[name.as_str()] = json!(value);
            }
        }
        Ok(Value::Object(body))
    }
}

fn object(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let text = read(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let name = if path == Path::new(STDIN) { "stdin".to_owned() } else { path.display().to_string() };
    serde_json::from_str(text).map_err(|error| failure::usage(format!("{name}: expected a JSON object ({error})")))
}

/// The text of a file, or of stdin for `-`.
pub fn read(path: &Path) -> anyhow::Result<String> {
    if path != Path::new(STDIN) {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        if bytes.starts_with(GZIP_MAGIC) {
            return Err(failure::usage(format!("{}: expected text, and it is compressed by gzip", path.display())));
        }
        return String::from_utf8(bytes).map_err(|_| failure::usage(format!("{}: expected UTF-8", path.display())));
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("cannot read stdin")?;
    Ok(text)
}
