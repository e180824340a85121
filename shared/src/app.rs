//! [`App`]: the configuration, the clock and the clients. Its methods, which handlers call, are in `verbs/`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::access::read_token::SigningKey;
use crate::aws::{
    Blobs, Buffer, Clients, Invoker, Mailer, Meter, Queues, Records, Secrets, Settings, SharedHttpClient, Signer, Version,
};
use crate::clock::Clock;
use crate::config::{Config, MasterKeyAt, TokenKey};
use crate::documents::DocumentKey;
use crate::error::Error;
use crate::generation::request::Request;
use crate::hints::Hints;
use crate::ids::{KeyId, Organization, UserId};
use crate::limits;
use crate::log::waiting::Waiting;
use crate::notifications::address::Doors;
use crate::notifications::signature::MasterKey;
use crate::pipelines::Pipeline;
use crate::providers::{Auth, Continuation, HttpProvider, Provider, REGION, Refusals, Sign, can_be_continued};
use crate::receivers::Receivers;

/// Versions of pipelines by their numbers.
type KeptPipelines = HashMap<(DocumentKey, u64), Arc<Pipeline>>;

/// The product's operations, as methods. Clones share the clients, the clock and the counters.
#[derive(Clone)]
pub struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) buffer: Buffer,
    pub(crate) records: Records,
    pub(crate) blobs: Blobs,
    pub(crate) invoker: Invoker,
    pub(crate) hints: Hints,
    pub(crate) refusals: Refusals,
    pub(crate) waiting: Waiting,
    /// What organizations have set, and until when it is taken as it is.
    pub(crate) settings: Arc<Mutex<HashMap<Organization, (i64, Settings)>>>,
    pub(crate) receivers: Receivers,
    /// Published versions of pipelines, which never change.
    pub(crate) pipelines: Arc<Mutex<KeptPipelines>>,
    pub(crate) mailer: Mailer,
    secrets: Secrets,
    signer: Signer,
    http: Arc<OnceLock<reqwest::Client>>,
    meter: Meter,
    pub(crate) request_id: Option<Arc<str>>,
    pub(crate) caller: Option<KeyId>,
    pub(crate) user: Option<UserId>,
    wrap_provider: Option<WrapProvider>,
    pub(crate) stopping: CancellationToken,
}

/// Puts another provider in front of one.
pub type WrapProvider = Arc<dyn Fn(Arc<dyn Provider>) -> Arc<dyn Provider> + Send + Sync>;

/// What an [`App`] reaches the network through. The default is what the product runs with.
#[derive(Clone, Default)]
pub struct Parts {
    /// Sends every request to AWS. `None`: the SDK's own client.
    pub http_client: Option<SharedHttpClient>,
    /// Wraps each provider before it is used.
    pub wrap_provider: Option<WrapProvider>,
    /// Cancelled when this process is about to end: writers then hand over, and no attempt is spent.
    pub stopping: CancellationToken,
}

impl App {
    /// Builds the clients. Nothing is sent yet.
    pub async fn new(config: Config, clock: Clock) -> Self {
        Self::from_parts(config, clock, Parts::default()).await
    }

    /// Like [`new`](Self::new), with these parts in place of the defaults.
    pub async fn from_parts(config: Config, clock: Clock, parts: Parts) -> Self {
        // Boxed: the SDK's future is large, and would make the caller's as large.
        let clients = Box::pin(Clients::new(&config.aws, parts.http_client.clone())).await;
        let stream_queue = match &config.stream_queue {
            Some(url) => Some((Box::pin(Queues::new(&config.aws, parts.http_client)).await, url.clone())),
            None => None,
        };
        let invoker = Invoker::new(clients.lambda, config.stream_function.clone(), config.deliver_function.clone());
        let meter = Meter::default();
        Self {
            buffer: Buffer::new(clients.dynamodb.clone(), config.buffer_table.clone(), clock.clone(), meter.clone()),
            records: Records::new(clients.dynamodb, config.records_table.clone(), meter.clone()),
            blobs: Blobs::new(clients.s3, config.bucket.clone()),
            hints: Hints::default(),
            invoker: invoker.with_stream_queue(stream_queue),
            refusals: Refusals::default(),
            waiting: Waiting::default(),
            settings: Arc::default(),
            pipelines: Arc::default(),
            receivers: Receivers::new(Doors { loopback: config.loopback_receivers, any_port: false }, config.delivery_timeout),
            mailer: Mailer::new(config.aws.clone()),
            secrets: Secrets::new(clients.secrets_manager, clock.clone()),
            signer: Signer::default(),
            config: Arc::new(config),
            clock,
            http: Arc::default(),
            meter,
            request_id: None,
            caller: None,
            user: None,
            wrap_provider: parts.wrap_provider,
            stopping: parts.stopping,
        }
    }

    /// The same for one request: log lines of the work that it starts carry this request id.
    #[must_use]
    pub fn for_request(self, id: Option<&str>) -> Self {
        Self { request_id: id.map(Into::into), ..self }
    }

    /// The same for a caller with this API key, who is this user: what it makes names the key, and of its end this user is told, where the
    /// request names no other.
    #[must_use]
    pub fn by(self, key: Option<KeyId>, user: Option<UserId>) -> Self {
        Self { caller: key, user, ..self }
    }

    /// The same, sharing hints with the other apps of this process that use the same tables. An app has a hub of its own at first.
    #[must_use]
    pub fn with_hints(self, hints: Hints) -> Self {
        Self { hints, ..self }
    }

    /// The hub that this app shares its hints through.
    #[must_use]
    pub const fn hints(&self) -> &Hints {
        &self.hints
    }

    /// The same with a meter of its own.
    pub(crate) fn metered(&self) -> Self {
        let meter = self.meter.part();
        let (mut buffer, mut records) = (self.buffer.clone(), self.records.clone());
        buffer.meter = meter.clone();
        records.meter = meter.clone();
        Self { buffer, records, meter, ..self.clone() }
    }

    /// The write and read units that DynamoDB has charged this app so far.
    #[must_use]
    pub const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// The time, in milliseconds since the epoch.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The client is built at its first use: loading the TLS roots takes most of a cold start, and only `start` and `stream` need them.
    fn provider_client(&self) -> Result<reqwest::Client, Error> {
        if let Some(client) = self.http.get() {
            return Ok(client.clone());
        }
        // A redirect would send the key and the prompt to an address that is not configured.
        let client = reqwest::Client::builder()
            .connect_timeout(self.config.timeouts.connect)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Configuration(format!("the HTTP client for providers cannot be built: {error}")))?;
        Ok(self.http.get_or_init(|| client).clone())
    }

    /// The keys of read tokens: first the one that signs, then the secret's previous version, from before its rotation.
    /// `again`: a token matched neither key, so the secret is read again unless it was read just now.
    pub(crate) async fn signing_keys(&self, again: bool) -> Result<Vec<SigningKey>, Error> {
        let secret = match &self.config.token_key {
            None => return Ok(Vec::new()),
            Some(TokenKey::Text(key)) => return Ok(vec![key.clone()]),
            Some(TokenKey::Secret(secret)) => secret,
        };
        let age_max = if again { limits::SECRET_AGE_SUSPECTED_MAX } else { limits::TOKEN_KEY_AGE_MAX };
        let mut keys = vec![self.secrets.get_version(secret, Version::Current, age_max).await?];
        keys.push(self.secrets.get_version(secret, Version::Previous, age_max).await?);
        Ok(keys.into_iter().flatten().map(SigningKey::new).collect())
    }

    /// The key from which the secrets of endpoints are derived.
    pub(crate) async fn webhook_key(&self) -> Result<MasterKey, Error> {
        match &self.config.webhook_key {
            None => Err(Error::Configuration("LONGHAND_WEBHOOK_SECRET or LONGHAND_WEBHOOK_KEY is required".into())),
            Some(MasterKeyAt::Text(key)) => Ok(key.clone()),
            Some(MasterKeyAt::Secret(secret)) => self.secrets.get(secret, limits::WEBHOOK_KEY_AGE_MAX).await.map(MasterKey::new),
        }
    }

    /// The client of the provider of this name, with its key.
    pub(crate) async fn provider(&self, name: &str) -> Result<Arc<dyn Provider>, Error> {
        let unknown = || Error::Configuration(format!("no provider {name:?} is configured for this function"));
        let settings = self.config.providers.get(name).ok_or_else(unknown)?;
        let key = self.provider_key(name, false).await?;
        let mut settings = settings.clone();
        if settings.base_url.contains(REGION) {
            settings.base_url = settings.base_url.replace(REGION, &self.signer.region().await?);
        }
        let is_signed = settings.auth == Auth::SigV4 && key.is_none();
        let signer = is_signed.then(|| Arc::new(self.signer.clone()) as Arc<dyn Sign>);
        let provider: Arc<dyn Provider> = Arc::new(HttpProvider { client: self.provider_client()?, key, settings, signer });
        Ok(match &self.wrap_provider {
            None => provider,
            Some(wrap) => wrap(provider),
        })
    }

    /// The key of the provider of this name, if it has one. `again`: it was refused, so a secret is read again, unless it was read just
    /// now.
    pub(crate) async fn provider_key(&self, name: &str, again: bool) -> Result<Option<String>, Error> {
        let settings = self.config.providers.get(name);
        Ok(match settings.map(|settings| (&settings.key_secret, &settings.key_env)) {
            Some((Some(secret), _)) => Some(
                self.secrets
                    .get(secret, if again { limits::SECRET_AGE_SUSPECTED_MAX } else { limits::PROVIDER_KEY_AGE_MAX })
                    .await?,
            ),
            Some((None, Some(variable))) => self.config.provider_keys.get(variable).map(str::to_owned),
            Some((None, None)) | None => None,
        })
    }

    /// Whether the provider that a request names can continue a text of its answer.
    pub(crate) fn can_continue(&self, request: &Request) -> bool {
        let takes_text = |continuation| continuation != Continuation::Retrieve;
        let settings = self.config.providers.get(&request.provider);
        settings
            .filter(|settings| settings.continuation.is_some_and(takes_text))
            .is_some_and(|settings| can_be_continued(request, settings.continues_response_format) && !self.refusals.has(request))
    }

    /// Whether the provider of this name keeps responses, so that they can be read on.
    pub(crate) fn retrieves(&self, provider: &str) -> bool {
        let settings = self.config.providers.get(provider);
        settings.is_some_and(|settings| settings.continuation == Some(Continuation::Retrieve))
    }
}
