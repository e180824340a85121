//! The settings of one function. The only file that reads the environment.
//!
//! `template.yaml` sets them on AWS; the local stack reads them from there.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::acceptance::redact::{DEFAULT_PATTERNS, Redaction};
use crate::access::read_token::SigningKey;
use crate::error::Error;
use crate::generation::request::{RequestRules, Validation};
use crate::log::flush::Windows;
use crate::notifications::mail;
use crate::notifications::signature::MasterKey;
use crate::providers::{Dialect, ProviderSettings, Timeouts, parse_providers};
use crate::quota::Quota;
use crate::quota::prices::Prices;

/// The settings of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `LONGHAND_BUFFER_TABLE`: the table of chunks and meta. Required.
    pub buffer_table: String,
    /// `LONGHAND_RECORDS_TABLE`: the table of what lasts. Required.
    pub records_table: String,
    /// `LONGHAND_BUCKET`: the bucket of results. Required.
    pub bucket: String,
    /// `LONGHAND_STREAM_FUNCTION`: name or ARN of `stream`, for the functions that invoke it.
    pub stream_function: Option<String>,
    /// `LONGHAND_STREAM_QUEUE`: URL of the queue of a fleet's jobs; jobs of `stream` are sent to it, and `stream` is not invoked.
    pub stream_queue: Option<String>,
    /// `LONGHAND_DELIVER_FUNCTION`: name or ARN of `deliver`, for the functions that invoke it.
    pub deliver_function: Option<String>,
    /// `GENERATION_CHUNK_TTL`, seconds, default 86400, at least 3600 and half an hour more than a generation may take: how long the buffer lives, from its first item
    /// on. The same moment for all its items, so that a log vanishes whole.
    pub chunk_ttl: Duration,
    /// `LONGHAND_WATCHED_WINDOW_MS`, default 150, and `LONGHAND_UNWATCHED_WINDOW_MS`, default 4000.
    pub windows: Windows,
    /// `LONGHAND_LEASE_SECONDS`, default 30: a writer that has stored nothing for this long is presumed dead.
    pub lease: Duration,
    /// `LONGHAND_MAX_ATTEMPTS`, default 3: the attempts of a generation whose request sets none.
    pub max_attempts: u32,
    /// `LONGHAND_MAX_OUTPUT_BYTES`, default 32 MiB: the largest output of a generation.
    pub max_output_bytes: u64,
    /// `LONGHAND_MAX_ATTACHED`: the starts of the whole deployment that may stay attached at once; 0 (default): any number.
    pub max_attached: Option<u32>,
    /// The quota of an organization that has none of its own: `LONGHAND_MAX_RUNNING`, default 100, and
    /// `LONGHAND_MAX_GENERATIONS_PER_DAY`, `LONGHAND_MAX_OUTPUT_BYTES_PER_DAY` and `LONGHAND_MAX_SPEND_PER_DAY` (micro-dollars),
    /// which are unlimited by default.
    pub quota: Quota,
    /// `LONGHAND_PRICES`, JSON: the prices of models.
    pub prices: Prices,
    /// `LONGHAND_CONNECT_TIMEOUT_MS` 10000, `LONGHAND_FIRST_BYTE_TIMEOUT_MS` 120000, `LONGHAND_IDLE_TIMEOUT_MS` 60000 and
    /// `LONGHAND_GENERATION_TIMEOUT_MS` 1800000.
    pub timeouts: Timeouts,
    /// `LONGHAND_LONG_POLL_MS` 20000, `LONGHAND_SSE_KEEP_ALIVE_MS` 15000 and `LONGHAND_SSE_CONNECTION_MS` 90000: the waits of
    /// `/v1/stream`, and the last one of `/events`. Tests shorten them.
    pub live: LiveTimes,
    /// `LONGHAND_CORS_ORIGIN`: the origin, like `https://app.example`, whose pages may read responses; `*` for all, `none`
    /// (default) for none.
    pub cors_origin: Option<String>,
    /// `LONGHAND_EMBED_ORIGIN`: the origin, like `https://app.example`, whose pages may show the console's page of one run in a frame; `*` for
    /// all, `none` (default) for none.
    pub embed_origin: Option<String>,
    /// `METADATA_VALIDATION_STRICT`, `1` or `true`: validation is strict unless the request sets `validation`.
    pub validation: Validation,
    /// `LONGHAND_IMPORT_GENERATION`, `true` or `false` (default): whether answers are imported.
    pub import_generation: bool,
    /// `LONGHAND_VALIDATE_LLM_RESPONSE`, `true` (default) or `false`: whether an answer must be valid to be imported. Otherwise what can be
    /// imported is.
    pub validate_llm_response: bool,
    /// `LONGHAND_REDACT_PATTERNS`, a JSON list of regular expressions: what is removed from accepted prompts before they are shown.
    pub redaction: Redaction,
    /// `LONGHAND_RETENTION_DAYS`: how long `longhand retention` keeps an ended generation; unset: for ever.
    pub retention: Option<Duration>,
    /// `LONGHAND_BATCH_RETENTION_DAYS`, default 90: how long `longhand retention --batches` keeps an ended batch; 0, which is `None`: for ever.
    pub batch_retention: Option<Duration>,
    /// `LONGHAND_PROVIDERS`, JSON, besides the built-in providers.
    pub providers: BTreeMap<String, ProviderSettings>,
    /// The keys found in the environment under the names that `providers` gives. Never printed.
    pub provider_keys: ProviderKeys,
    /// The key that signs read tokens; `None`: read tokens are disabled.
    pub token_key: Option<TokenKey>,
    /// The key from which the secrets of webhook endpoints are derived; `None`: there can be no endpoints.
    pub webhook_key: Option<MasterKeyAt>,
    /// `LONGHAND_WEBHOOK_LOOPBACK`, `true` or `false` (default): whether endpoints may be on loopback addresses, without TLS. For a laptop.
    pub loopback_receivers: bool,
    /// `LONGHAND_EMAIL_SENDER`: the address that e-mail is sent from; `None`: none is sent.
    pub email_sender: Option<String>,
    /// `LONGHAND_WEBHOOK_TIMEOUT_MS`, default 15000: how long a receiver may take to answer.
    pub delivery_timeout: Duration,
    /// Region, endpoints and credentials of AWS.
    pub aws: AwsConfig,
}

/// Where the key is from which the secrets of webhook endpoints are derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeyAt {
    /// `LONGHAND_WEBHOOK_KEY`: the key itself.
    Text(MasterKey),
    /// `LONGHAND_WEBHOOK_SECRET`: name or ARN of the secret.
    Secret(String),
}

/// Where the key that signs read tokens is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenKey {
    /// `LONGHAND_TOKEN_KEY`: the key itself.
    Text(SigningKey),
    /// `LONGHAND_TOKEN_SECRET`: name or ARN of the secret.
    Secret(String),
}

/// Time limits of live readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveTimes {
    /// The longest wait of a long poll.
    pub long_poll: Duration,
    /// Between keep-alive events on an idle connection.
    pub keep_alive: Duration,
    /// A connection is closed after this; the client reconnects at the same offset.
    pub connection: Duration,
}

/// The AWS SDK's own variables, so that two stacks in one process can have their own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AwsConfig {
    /// `AWS_REGION`.
    pub region: Option<String>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`.
    pub dynamodb_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_S3`.
    pub s3_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_LAMBDA`.
    pub lambda_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
    pub secrets_manager_endpoint: Option<String>,
    /// `AWS_ENDPOINT_URL_SESV2`.
    pub sesv2_endpoint: Option<String>,
    /// `AWS_MAX_ATTEMPTS`: tries of one call in all.
    pub max_attempts: Option<u32>,
    /// `AWS_ENDPOINT_URL_SQS`.
    pub sqs_endpoint: Option<String>,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. `None`: the SDK's default chain.
    pub credentials: Option<(String, String, Option<String>)>,
}

/// The domain of services in this process, which no resolver knows (RFC 6761).
pub const IN_PROCESS_DOMAIN: &str = "invalid";

impl AwsConfig {
    /// Whether DynamoDB is in this process. Then no request to it can leave the process, and none needs a signature.
    pub(crate) fn has_dynamodb_in_process(&self) -> bool {
        let domain = self.dynamodb_endpoint.as_deref().and_then(|url| url.rsplit_once('.'));
        domain.is_some_and(|(_, domain)| domain == IN_PROCESS_DOMAIN)
    }

    /// Whether every service has an explicit endpoint without TLS.
    pub(crate) fn is_plain_http(&self) -> bool {
        let endpoints = [&self.dynamodb_endpoint, &self.s3_endpoint, &self.lambda_endpoint];
        let plain = |endpoint: &Option<String>| endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
        let secrets = &self.secrets_manager_endpoint;
        endpoints.into_iter().all(plain) && (secrets.is_none() || plain(secrets))
    }
}

impl std::fmt::Debug for AwsConfig {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AwsConfig")
            .field("region", &self.region)
            .field("dynamodb_endpoint", &self.dynamodb_endpoint)
            .field("s3_endpoint", &self.s3_endpoint)
            .field("lambda_endpoint", &self.lambda_endpoint)
            .finish_non_exhaustive()
    }
}

/// Keys by environment variable.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProviderKeys(BTreeMap<String, String>);

impl ProviderKeys {
    /// The key in that variable.
    #[must_use]
    pub fn get(&self, variable: &str) -> Option<&str> {
        self.0.get(variable).map(String::as_str)
    }
}

impl std::fmt::Debug for ProviderKeys {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// The variables that a process reads before it has a [`Config`], and their defaults; an empty default means unset.
pub const PROCESS_VARIABLES: [(&str, &str); 4] = [HANDLER, RESPONSE_STREAMING, LOG, METRICS_NAMESPACE];

const HANDLER: (&str, &str) = ("_HANDLER", "");
const RESPONSE_STREAMING: (&str, &str) = ("LONGHAND_RESPONSE_STREAMING", "true");
const LOG: (&str, &str) = ("LONGHAND_LOG", "info");
const METRICS_NAMESPACE: (&str, &str) = ("LONGHAND_METRICS_NAMESPACE", "");

/// Which function this process is: `_HANDLER`, which Lambda sets from the function's `Handler`
/// (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html>).
#[must_use]
pub fn handler() -> Option<String> {
    Some(process_variable(HANDLER)).filter(|handler| !handler.is_empty())
}

/// Whether responses leave in the framing of Lambda's response streaming: `LONGHAND_RESPONSE_STREAMING`, default `true`. `false`
/// is for emulators of API Gateway that do not support it; each response is then buffered whole.
#[must_use]
pub fn response_streaming() -> bool {
    process_variable(RESPONSE_STREAMING) != "false"
}

/// The log filter: `LONGHAND_LOG`, in `tracing_subscriber`'s syntax, default `info`.
#[must_use]
pub fn log_filter() -> String {
    process_variable(LOG)
}

/// The CloudWatch namespace of the metrics: `LONGHAND_METRICS_NAMESPACE`. Unset: log lines carry no metrics.
#[must_use]
pub fn metrics_namespace() -> Option<String> {
    Some(process_variable(METRICS_NAMESPACE)).filter(|namespace| !namespace.is_empty())
}

fn process_variable((name, default): (&str, &str)) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

impl Config {
    /// The facts that a request is checked against.
    #[must_use]
    pub fn request_rules(&self) -> RequestRules<'_> {
        RequestRules {
            providers: self.providers.keys().map(String::as_str).collect(),
            responses_providers: self
                .providers
                .iter()
                .filter(|(_, settings)| settings.dialect == Dialect::Responses)
                .map(|(name, _)| name.as_str())
                .collect(),
            max_output_bytes: self.max_output_bytes,
            timeout_seconds: self.timeouts.generation.as_secs(),
        }
    }

    /// Reads the process's environment.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the variable and what was expected.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_vars(&|name| std::env::var(name).ok())
    }

    /// Reads the settings through `var`. A variable that is empty counts as unset.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the variable and what was expected.
    pub fn from_vars(var: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let vars = Vars(var);
        let generation = vars.millis("LONGHAND_GENERATION_TIMEOUT_MS", 1_800_000, 1)?;
        // A log must outlive its writer, and then its compaction.
        let chunk_ttl_min = generation.as_secs().saturating_add(1_800).max(3_600);
        let providers = parse_providers(vars.text("LONGHAND_PROVIDERS").as_deref()).map_err(Error::Configuration)?;
        let keys = providers.values().filter_map(|provider| provider.key_env.clone());
        let provider_keys = ProviderKeys(keys.filter_map(|name| vars.text(&name).map(|key| (name, key))).collect());
        Ok(Self {
            buffer_table: vars.required("LONGHAND_BUFFER_TABLE")?,
            records_table: vars.required("LONGHAND_RECORDS_TABLE")?,
            bucket: vars.required("LONGHAND_BUCKET")?,
            stream_function: vars.text("LONGHAND_STREAM_FUNCTION"),
            stream_queue: vars.text("LONGHAND_STREAM_QUEUE"),
            deliver_function: vars.text("LONGHAND_DELIVER_FUNCTION"),
            chunk_ttl: Duration::from_secs(vars.number("GENERATION_CHUNK_TTL", 86_400, chunk_ttl_min)?),
            windows: Windows {
                watched: vars.millis("LONGHAND_WATCHED_WINDOW_MS", 150, 0)?,
                unwatched: vars.millis("LONGHAND_UNWATCHED_WINDOW_MS", 4_000, 1)?,
            },
            lease: Duration::from_secs(vars.number("LONGHAND_LEASE_SECONDS", 30, 1)?),
            max_attempts: u32::try_from(vars.number("LONGHAND_MAX_ATTEMPTS", 3, 1)?).unwrap_or(u32::MAX),
            max_output_bytes: vars.number("LONGHAND_MAX_OUTPUT_BYTES", 32 * 1024 * 1024, 1)?,
            max_attached: u32::try_from(vars.number("LONGHAND_MAX_ATTACHED", 0, 0)?).ok().filter(|most| *most > 0),
            quota: quota(&vars)?,
            prices: Prices::parse(vars.text("LONGHAND_PRICES").as_deref()).map_err(Error::Configuration)?,
            timeouts: Timeouts {
                connect: vars.millis("LONGHAND_CONNECT_TIMEOUT_MS", 10_000, 1)?,
                first_byte: vars.millis("LONGHAND_FIRST_BYTE_TIMEOUT_MS", 120_000, 1)?,
                idle: vars.millis("LONGHAND_IDLE_TIMEOUT_MS", 60_000, 1)?,
                generation,
            },
            live: LiveTimes {
                long_poll: vars.millis("LONGHAND_LONG_POLL_MS", 20_000, 1)?,
                keep_alive: vars.millis("LONGHAND_SSE_KEEP_ALIVE_MS", 15_000, 1)?,
                connection: vars.millis("LONGHAND_SSE_CONNECTION_MS", 90_000, 1)?,
            },
            cors_origin: vars.origin("LONGHAND_CORS_ORIGIN")?,
            embed_origin: vars.origin("LONGHAND_EMBED_ORIGIN")?,
            validation: vars.validation("METADATA_VALIDATION_STRICT")?,
            import_generation: vars.switch("LONGHAND_IMPORT_GENERATION")?,
            validate_llm_response: vars.text("LONGHAND_VALIDATE_LLM_RESPONSE").is_none()
                || vars.switch("LONGHAND_VALIDATE_LLM_RESPONSE")?,
            redaction: vars.redaction("LONGHAND_REDACT_PATTERNS")?,
            retention: vars.number_if("LONGHAND_RETENTION_DAYS", 1)?.map(days),
            batch_retention: Some(vars.number("LONGHAND_BATCH_RETENTION_DAYS", 90, 0)?).filter(|kept| *kept > 0).map(days),
            providers,
            provider_keys,
            token_key: token_key(&vars),
            webhook_key: match vars.text("LONGHAND_WEBHOOK_KEY") {
                Some(key) => Some(MasterKeyAt::Text(MasterKey::new(key))),
                None => vars.text("LONGHAND_WEBHOOK_SECRET").map(MasterKeyAt::Secret),
            },
            loopback_receivers: vars.switch("LONGHAND_WEBHOOK_LOOPBACK")?,
            email_sender: vars.address("LONGHAND_EMAIL_SENDER")?,
            delivery_timeout: vars.millis("LONGHAND_WEBHOOK_TIMEOUT_MS", 15_000, 1)?,
            aws: aws(&vars)?,
        })
    }
}

fn quota(vars: &Vars<'_>) -> Result<Quota, Error> {
    Ok(Quota {
        running: Some(vars.number("LONGHAND_MAX_RUNNING", 100, 1)?),
        runs: Some(vars.number("LONGHAND_MAX_RUNS", 2, 1)?),
        generations_per_day: vars.number_if("LONGHAND_MAX_GENERATIONS_PER_DAY", 1)?,
        output_bytes_per_day: vars.number_if("LONGHAND_MAX_OUTPUT_BYTES_PER_DAY", 1)?,
        spend_per_day: vars.number_if("LONGHAND_MAX_SPEND_PER_DAY", 1)?,
    })
}

fn token_key(vars: &Vars<'_>) -> Option<TokenKey> {
    let own = vars.text("LONGHAND_TOKEN_KEY").map(|key| TokenKey::Text(SigningKey::new(key)));
    own.or_else(|| vars.text("LONGHAND_TOKEN_SECRET").map(TokenKey::Secret))
}

fn days(number: u64) -> Duration {
    Duration::from_hours(24).saturating_mul(u32::try_from(number).unwrap_or(u32::MAX))
}

fn aws(vars: &Vars<'_>) -> Result<AwsConfig, Error> {
    let credentials = vars.text("AWS_ACCESS_KEY_ID").zip(vars.text("AWS_SECRET_ACCESS_KEY"));
    let max_attempts = vars.number_if("AWS_MAX_ATTEMPTS", 1)?.map(|tries| u32::try_from(tries).unwrap_or(u32::MAX));
    Ok(AwsConfig {
        region: vars.text("AWS_REGION"),
        dynamodb_endpoint: vars.text("AWS_ENDPOINT_URL_DYNAMODB"),
        s3_endpoint: vars.text("AWS_ENDPOINT_URL_S3"),
        lambda_endpoint: vars.text("AWS_ENDPOINT_URL_LAMBDA"),
        secrets_manager_endpoint: vars.text("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
        sqs_endpoint: vars.text("AWS_ENDPOINT_URL_SQS"),
        sesv2_endpoint: vars.text("AWS_ENDPOINT_URL_SESV2"),
        credentials: credentials.map(|(id, secret)| (id, secret, vars.text("AWS_SESSION_TOKEN"))),
        max_attempts,
    })
}

struct Vars<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Vars<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.trim().is_empty())
    }

    fn required(&self, name: &str) -> Result<String, Error> {
        self.text(name).ok_or_else(|| Error::Configuration(format!("the environment variable {name} is required")))
    }

    fn number(&self, name: &str, default: u64, least: u64) -> Result<u64, Error> {
        Ok(self.number_if(name, least)?.unwrap_or(default))
    }

    fn number_if(&self, name: &str, least: u64) -> Result<Option<u64>, Error> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.trim().parse().ok().filter(|number| *number >= least);
        let wrong = || Error::Configuration(format!("{name} must be a whole number of at least {least}, not {text:?}"));
        number.map(Some).ok_or_else(wrong)
    }

    fn millis(&self, name: &str, default: u64, least: u64) -> Result<Duration, Error> {
        self.number(name, default, least).map(Duration::from_millis)
    }

    fn origin(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(text) = self.text(name).filter(|text| text != "none") else { return Ok(None) };
        let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let is_host = |host: &str| !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if text == "*" || host.is_some_and(is_host) {
            return Ok(Some(text));
        }
        Err(Error::Configuration(format!("{name} must be an origin like https://app.example, `*` or `none`, not {text:?}")))
    }

    fn redaction(&self, name: &str) -> Result<Redaction, Error> {
        let text = self.text(name);
        let patterns = text.as_deref().unwrap_or(DEFAULT_PATTERNS);
        Redaction::parse(patterns).map_err(|why| Error::Configuration(format!("{name} {why}")))
    }

    fn address(&self, name: &str) -> Result<Option<String>, Error> {
        let Some(text) = self.text(name) else { return Ok(None) };
        mail::address(&text).map_err(|why| Error::Configuration(format!("{name} {why}")))?;
        Ok(Some(text))
    }

    fn switch(&self, name: &str) -> Result<bool, Error> {
        match self.text(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Error::Configuration(format!("{name} must be true or false, not {other:?}"))),
        }
    }

    fn validation(&self, name: &str) -> Result<Validation, Error> {
        match self.text(name).as_deref() {
            None | Some("0" | "false") => Ok(Validation::Soft),
            Some("1" | "true") => Ok(Validation::Strict),
            Some(other) => Err(Error::Configuration(format!("{name} must be 1, true, 0 or false, not {other:?}"))),
        }
    }
}
