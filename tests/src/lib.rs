//! What the integration tests share: a stack, a client of its HTTP edge, and providers on loopback, well-behaved and hostile.
#![expect(clippy::expect_used, clippy::panic, clippy::missing_panics_doc, reason = "a helper of tests fails the test")]

pub mod author;
pub mod calls;
mod checked;
pub mod contract;
mod deployment;
pub mod documents;
pub mod faults;
pub mod hostile;
pub mod keeper;
pub mod logs;
pub mod pacer;
pub mod proxy;
pub mod receiver;
pub mod sampling;
pub mod sensitive;
pub mod serial;
pub mod tap;
mod template;
pub mod walk;

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use longhand::aws::Clients;
use longhand::{App, Clock, Compaction, Config, Error, GenerationKey};
use longhand_local::{Options, Playback, Registry, Script, Stack};
use serde_json::{Value, json};

pub use checked::{Api, read_live};
pub use deployment::Deployment;
pub use sampling::seed;
use sensitive::Kind;
pub use template::{template_without, with_writer_timeout};

/// How long a test waits for what must come. No assertion is about time; this only turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A running stack and a client of its API.
pub struct Harness {
    /// The stack.
    pub stack: Stack,
    /// The client.
    pub api: Api,
}

impl Deref for Harness {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

impl Harness {
    /// A stack in memory that knows the provider `test` at `base_url`, with `env` over the template's environment.
    pub async fn start(base_url: &str, env: &[(&str, &str)]) -> Self {
        Self::with(Options { env: environment(base_url, env), ..Options::default() }).await
    }

    /// A stack with these options.
    pub async fn with(options: Options) -> Self {
        Self::without(&[], options).await
    }

    /// A stack with these options, whose template has lost the events of these names: `Ended` triggers `compact`,
    /// `EveryMinute` triggers `sweep`.
    pub async fn without(events: &[&str], options: Options) -> Self {
        let registry: Registry = Arc::new(longhand_functions::function);
        Self::over(start_stack(options, &template_without(events), registry).await)
    }

    /// This stack, with its own key if it asks for one.
    #[must_use]
    pub fn over(stack: Stack) -> Self {
        let open = Api::open(stack.url());
        let token_key = stack.environment("api").remove("LONGHAND_TOKEN_KEY");
        sensitive::record(Kind::Secret, &token_key.unwrap_or_default());
        Self { api: stack.key().map_or(open, |key| Api::open(stack.url()).with_key(&key.text)), stack }
    }

    /// A stack, and a provider that plays `script`.
    pub async fn playing(script: Script, env: &[(&str, &str)]) -> (Self, Playback) {
        let playback = sensitive::play(script).expect("the provider starts");
        (Self::start(playback.base_url(), env).await, playback)
    }

    /// What this function is configured with.
    pub fn config(&self, function: &str) -> Config {
        let environment = self.stack.environment(function);
        Config::from_vars(&|name| environment.get(name).cloned()).expect("a function's environment")
    }

    /// What `start` is configured with, but that its invokes of `stream` are lost.
    pub fn config_of_lost_invokes(&self) -> Config {
        let mut environment = self.stack.environment("start");
        environment.insert("LONGHAND_STREAM_FUNCTION".into(), "nobody".into());
        Config::from_vars(&|name| environment.get(name).cloned()).expect("a function's environment")
    }

    /// The SDK's clients of the stack's services.
    pub async fn clients(&self) -> Clients {
        Clients::new(&self.config("api").aws, Some(self.stack.http_client())).await
    }

    /// All rows of a table but those of statistics: a generation stays counted when nothing else is left of it.
    pub async fn rows_of_generations(&self, table: &str) -> Vec<HashMap<String, AttributeValue>> {
        let scanned = self.clients().await.dynamodb.scan().table_name(table).send().await.expect("the table is read");
        let is_tally = |row: &HashMap<String, AttributeValue>| row["pk"].as_s().is_ok_and(|pk| pk.ends_with("#statistics"));
        scanned.items.unwrap_or_default().into_iter().filter(|row| !is_tally(row)).collect()
    }

    /// An app with these settings, over the stack's services.
    pub async fn app(&self, config: Config, clock: Clock) -> App {
        App::from_parts(config, clock, self.stack.parts()).await
    }

    /// Stops the stack. Nothing may have been given up.
    pub async fn finish(self) {
        let failures = self.stack.failures().await;
        assert!(failures.is_empty(), "given up: {failures:#?}");
        self.stack.shutdown().await;
    }
}

/// Printable characters that hardly compress, and that JSON has as they are: the same for the same number of them.
#[must_use]
pub fn noise(bytes: usize) -> String {
    let mut dice = fastrand::Rng::with_seed(1);
    let other_than = |character: char| if character == '\\' { ' ' } else { character };
    (0..bytes).map(|_| other_than(dice.char('#'..='~'))).collect()
}

/// Starts a stack, whose calls are recorded where the suite's are.
pub async fn start_stack(mut options: Options, template: &str, registry: Registry) -> Stack {
    logs::record();
    if let Some(recorder) = calls::Recorder::of_suite() {
        options.parts = recorder.in_front_of(options.parts, &options.env);
    }
    Stack::start_with(options, template, registry).await.expect("the stack starts")
}

/// A generation of the local stack's own organization.
pub fn key_of(id: &(impl ToString + ?Sized)) -> GenerationKey {
    GenerationKey::new("local".parse().expect("an organization"), id.to_string().parse().expect("a generation's id"))
}

/// Compacts a generation as soon as its log has ended.
pub async fn compact_ended(app: &App, key: &GenerationKey, by: &str) -> Compaction {
    loop {
        match app.compact(key, by).await {
            Ok(compaction) => return compaction,
            Err(Error::NotEnded(..)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
}

/// The functions' environment with the provider `test` at `base_url`.
pub fn environment(base_url: &str, env: &[(&str, &str)]) -> BTreeMap<String, String> {
    let providers = json!({ "test": { "base_url": base_url } }).to_string();
    let own = [("LONGHAND_PROVIDERS".to_owned(), providers)];
    own.into_iter().chain(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

/// The log's invariants, on the events that a reader gets: numbers without gaps, one terminal event, and that one last.
pub fn assert_whole(events: &[Value]) {
    const TERMINAL: [&str; 4] = ["completed", "incomplete", "failed", "cancelled"];
    let seqs: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert_eq!(seqs, (0..events.len() as u64).collect::<Vec<_>>());
    let ends: Vec<usize> =
        (0..events.len()).filter(|place| TERMINAL.contains(&events[*place]["type"].as_str().unwrap_or_default())).collect();
    assert_eq!(ends, [events.len() - 1], "{events:#?}");
}
