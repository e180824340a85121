//! The stack: starts everything that the template describes, and stops it in reverse order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use axum::Router;
use longhand::{
    App,
    app::Parts,
    aws::{Meter, SharedHttpClient},
    config::Config,
    hints::Hints,
    providers::parse_providers,
};
use longhand_functions::Function;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    access,
    dynamodb::{Counts, DynamoDb},
    environment::{Connection, Endpoints},
    folder::Folder,
    gateway::{self, Authorizer, Callers},
    key,
    lambda::{self, Hosted, Lambda, queue_api::SharedJobs},
    mail,
    options::Options,
    s3, schedule, server,
    services::Services,
    socket,
    template::{HostedApi, HostedFunction, TEMPLATE, Template},
    triggers,
};

/// The API's stage in the context of requests.
const STAGE: &str = "local";

/// How long running invocations may take when the stack stops. The next stack repeats the events that did not finish.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// The functions' variable for the key that signs read tokens.
const TOKEN_KEY: &str = "LONGHAND_TOKEN_KEY";

/// The functions' variable for the key from which the secrets of webhook endpoints are derived.
const WEBHOOK_KEY: &str = "LONGHAND_WEBHOOK_KEY";

/// The functions' variable for the origin whose pages may call the API. The template sets it by a parameter.
const CORS_ORIGIN: &str = "LONGHAND_CORS_ORIGIN";

/// Makes the function for a `Handler` from its `App`; `None` if there is no such function.
pub type Registry = Arc<dyn Fn(&str, App) -> Option<Function> + Send + Sync>;

/// A running stack. [`shutdown`](Self::shutdown) stops it in order; dropping it stops it without waiting.
pub struct Stack {
    url: String,
    connection: Connection,
    options: Options,
    key: Option<OwnKey>,
    /// The queue of a fleet's jobs.
    jobs: SharedJobs,
    /// Shared by all apps of the stack.
    hints: Hints,
    /// By `Handler`.
    meters: BTreeMap<String, Meter>,
    lambda: Lambda,
    dynamodb: DynamoDb,
    folder: Folder,
    edge: Layer,
    services: Layer,
    _functions: DropGuard,
}

/// The API key that local commands use.
#[derive(Clone)]
pub struct OwnKey {
    /// The key's text.
    pub text: String,
    /// Whether this start created the key.
    pub is_new: bool,
}

/// Tasks that stop together.
struct Layer {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Layer {
    fn new() -> Self {
        Self { stop: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    fn serve(&self, listener: TcpListener, router: Router) {
        server::serve(listener, router, &self.stop, &self.tasks);
    }

    async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Stack {
    /// Starts the product's template with the product's functions.
    ///
    /// # Errors
    /// The data folder is in use or of another version, the address is in use or not a loopback address, the template uses
    /// something that the local stack does not support, or a function's configuration is invalid.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_with(options, TEMPLATE, Arc::new(longhand_functions::function)).await
    }

    /// Starts another template with other functions.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with(mut options: Options, template: &str, registry: Registry) -> Result<Self> {
        let parameters = options.env.get(CORS_ORIGIN).map(|origin| ("CorsOrigin", origin.as_str()));
        let template = Template::read_with(template, &parameters.into_iter().collect())?;
        let api = server::bind_first(options.listen, options.ports_tried).await?;
        let url = server::url(&api)?;
        let folder = Folder::open(&options.data)?;
        for (variable, file) in [(TOKEN_KEY, key::TOKEN_KEY_FILE), (WEBHOOK_KEY, key::WEBHOOK_KEY_FILE)] {
            if !options.env.contains_key(variable) {
                options.env.insert(variable.to_owned(), key::signing_key(folder.path(), file)?);
            }
        }
        let ports = Ports::open(options.expose).await?;
        let connection =
            Connection { endpoints: ports.endpoints()?, key: key::aws_key(folder.path())?, services: Services::default() };
        let dynamodb = DynamoDb::start(&folder, &template.tables, options.durability).await?;
        let mail = access::signed_only(mail::router(folder.mail()), &connection.key);
        let s3 = s3::router(&folder.s3(), &template.buckets, &connection.key)?.merge(mail);
        let stopping = CancellationToken::new();
        let Functions { hosted, hints, meters, lease } =
            open_functions(template.functions, &connection, &options, &registry, &stopping).await?;
        let lambda = Lambda::new(hosted, &folder, options.retry_delay, stopping);
        let (services, jobs) = (Layer::new(), SharedJobs::default());
        ports.serve(
            &dynamodb,
            [s3, lambda::api::router(lambda.clone()), lambda::queue_api::router(lambda.clone(), jobs.clone())],
            &connection,
            template.api.cors_origin.as_deref(),
            &services,
        );
        if !folder.is_in_memory() {
            let listener = socket::bind(&folder.socket())?;
            server::serve_socket(listener, connection.services.by_host(), &services.stop, &services.tasks);
        }
        let (edge, guard) = (Layer::new(), lambda.stop_on_drop());
        let mut stack = Self {
            url,
            connection,
            options,
            key: None,
            jobs,
            hints,
            meters,
            lambda,
            dynamodb,
            folder,
            edge,
            services,
            _functions: guard,
        };
        stack.start_edge(api, template.api, lease).await?;
        stack.announce()?;
        Ok(stack)
    }

    /// Starts everything that invokes functions: triggers, interrupted events, the API and schedules.
    async fn start_edge(&mut self, listener: TcpListener, api: HostedApi, lease: Duration) -> Result<()> {
        let (lambda, edge) = (&self.lambda, &self.edge);
        let source = triggers::Source { dynamodb: &self.dynamodb, positions: &self.folder.triggers() };
        triggers::start(lambda, source, &edge.stop, &edge.tasks).await?;
        lambda.resume()?;
        let (callers, key) = self.callers(&api).await?;
        let router = gateway::router(lambda.host(), STAGE, callers, &api, self.options.clock.clone())?;
        edge.serve(listener, access::local_only(router, api.cors_origin.as_deref()));
        // The leases of a killed stack have expired then, and the sweep looks at its youngest generation.
        schedule::start(lambda, lease * 2, &edge.stop, &edge.tasks);
        self.key = key;
        Ok(())
    }

    /// Who may call the API, and the key of this machine's own commands.
    async fn callers(&self, api: &HostedApi) -> Result<(Callers, Option<OwnKey>)> {
        let Options { authorize, organization, clock, .. } = &self.options;
        if !authorize {
            return Ok((Callers::All(organization.clone()), None));
        }
        let mut authorizers = BTreeMap::new();
        for (name, authorizer) in &api.authorizers {
            authorizers.insert(name.clone(), Authorizer::new(self.lambda.host(), authorizer.clone(), clock.clone())?);
        }
        let default =
            api.authorizer_of(None)?.and_then(|name| authorizers.get(name)).context("template.yaml has no authorizer")?;
        let environment = self.environment(&default.function().definition.handler);
        let app = app(&environment, &self.options, &self.hints, self.parts()).await?;
        let (text, is_new) = key::local_key(&app, self.folder.path(), organization).await?;
        Ok((Callers::Authorized(authorizers), Some(OwnKey { text, is_new })))
    }

    /// The folder of the mails that its functions have sent. It is there once there is one.
    pub fn mail(&self) -> std::path::PathBuf {
        self.folder.mail()
    }

    /// Writes `stack.json`, from which clients read the addresses of this stack and the settings that local commands need. The keys
    /// of providers, of read tokens and of webhooks are left out.
    fn announce(&self) -> Result<()> {
        const SHARED: [&str; 4] = ["AWS_", "GENERATION_", "LONGHAND_", "METADATA_"];
        let mut environment = self.environment("api");
        let providers =
            parse_providers(environment.get("LONGHAND_PROVIDERS").map(String::as_str)).map_err(|error| anyhow!(error))?;
        let mut secrets: Vec<String> = providers.into_values().filter_map(|provider| provider.key_env).collect();
        secrets.extend([TOKEN_KEY, WEBHOOK_KEY].map(str::to_owned));
        environment.retain(|name, _| SHARED.iter().any(|prefix| name.starts_with(prefix)) && !secrets.contains(name));
        self.folder.announce(&json!({
            "url": self.url,
            "socket": self.folder.socket(),
            "queues": [lambda::queue_api::url(&self.connection.endpoints.sqs)],
            "pid": std::process::id(),
            "organization": self.options.organization,
            "key": self.key.as_ref().map(|key| &key.text),
            "environment": environment,
        }))
    }

    /// The write units of all functions since the stack started, for both tables.
    #[must_use]
    pub fn write_units(&self) -> u64 {
        self.meters.values().map(|meter| meter.reading().write_units).sum()
    }

    /// Those of one table.
    #[must_use]
    pub fn write_units_of(&self, table: &str) -> u64 {
        self.meters.values().map(|meter| meter.write_units_of(table)).sum()
    }

    /// The read units of the function with this `Handler` since the stack started.
    #[must_use]
    pub fn read_units(&self, handler: &str) -> f64 {
        self.meters.get(handler).map_or(0.0, |meter| meter.reading().read_units)
    }

    /// What the embedded tables have done since the stack started.
    #[must_use]
    pub fn table_counts(&self) -> Counts {
        self.dynamodb.counts()
    }

    /// The API's address, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The addresses of the embedded services. Only those of S3 and of exposed services have a port; the stack's
    /// [`http_client`](Self::http_client) reaches all.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.connection.endpoints
    }

    /// The client through which the SDK reaches the embedded services in this process.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        self.connection.http_client()
    }

    /// The key that local commands send; `None` if the API needs none.
    #[must_use]
    pub const fn key(&self) -> Option<&OwnKey> {
        self.key.as_ref()
    }

    /// The environment of the function with this `Handler`, with which the deployed binary can run against this stack. Empty if
    /// there is no such function.
    #[must_use]
    pub fn environment(&self, handler: &str) -> BTreeMap<String, String> {
        let hosted = self.lambda.find(handler);
        hosted.map(|hosted| self.connection.environment(&hosted.definition, &self.options.env)).unwrap_or_default()
    }

    /// An `App` with the environment of `api`.
    ///
    /// # Errors
    /// The configuration is invalid.
    pub async fn app(&self) -> Result<App> {
        app(&self.environment("api"), &self.options, &self.hints, self.parts()).await
    }

    /// What an [`App`] needs to reach the embedded services in this process.
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts { http_client: Some(self.http_client()), ..Parts::default() }
    }

    /// The embedded services.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.connection.services
    }

    /// Invokes a function once and returns its response.
    ///
    /// # Errors
    /// There is no such function, or the invocation failed.
    pub async fn invoke(&self, handler: &str, payload: Value) -> Result<Value> {
        let hosted =
            self.lambda.find(handler).with_context(|| format!("template.yaml has no function with the handler {handler}"))?;
        let invocation = self.lambda.invoke(hosted, payload).await;
        match invocation.error {
            None => Ok(invocation.response),
            Some(error) => bail!("{handler} failed: {}", error["errorMessage"].as_str().unwrap_or_default()),
        }
    }

    /// The on-failure records of async invocations and stream batches, oldest first.
    #[expect(clippy::unused_async, reason = "callers must not depend on where the records are stored")]
    pub async fn failures(&self) -> Vec<Value> {
        self.lambda.failures().all()
    }

    /// The URL of the queue of a fleet's jobs, to which nobody sends by default.
    #[must_use]
    pub fn job_queue(&self) -> String {
        lambda::queue_api::jobs_url(&self.connection.endpoints.sqs)
    }

    /// The number of jobs that wait in that queue or are being done, and the bodies of those that came back too often.
    #[must_use]
    pub fn jobs(&self) -> (usize, Vec<String>) {
        self.jobs.lock().map(|jobs| jobs.counts()).unwrap_or_default()
    }

    /// Stops the stack: writers hand over to the next stack on the same data, requests end, then running invocations after a few
    /// seconds, then the services.
    pub async fn shutdown(self) {
        self.folder.withdraw();
        self.lambda.begin_stop();
        self.edge.shutdown().await;
        self.lambda.shutdown(STOP_GRACE).await;
        self.services.shutdown().await;
        self.dynamodb.shutdown().await;
    }
}

/// The ports of the services: S3 has one, for presigned URLs, which is that of SES too; the others have one only where they are exposed.
struct Ports {
    s3: TcpListener,
    /// DynamoDB, Lambda and SQS.
    exposed: Option<[TcpListener; 3]>,
}

impl Ports {
    async fn open(expose: bool) -> Result<Self> {
        let any = || server::bind(server::ANY_PORT);
        Ok(Self { s3: any().await?, exposed: if expose { Some([any().await?, any().await?, any().await?]) } else { None } })
    }

    fn endpoints(&self) -> Result<Endpoints> {
        let endpoints = Endpoints { s3: server::url(&self.s3)?, ..Endpoints::in_process() };
        let Some([dynamodb, lambda, sqs]) = &self.exposed else { return Ok(endpoints) };
        Ok(Endpoints { dynamodb: server::url(dynamodb)?, lambda: server::url(lambda)?, sqs: server::url(sqs)?, ..endpoints })
    }

    /// Serves the routers of DynamoDB, S3, Lambda and SQS in this process, and on their ports. Pages of `cors_origin` may read what
    /// is presigned.
    fn serve(
        self,
        dynamodb: &DynamoDb,
        [s3, lambda, sqs]: [Router; 3],
        Connection { endpoints, key, services }: &Connection,
        cors_origin: Option<&str>,
        layer: &Layer,
    ) {
        dynamodb.add_to(services, &endpoints.dynamodb);
        services.add(&endpoints.s3, s3.clone());
        services.add(&endpoints.lambda, lambda.clone());
        services.add(&endpoints.sqs, sqs.clone());
        // S3 verifies signatures itself, presigned ones too.
        layer.serve(self.s3, access::local_only(s3, cors_origin));
        for (listener, router) in self.exposed.into_iter().flatten().zip([dynamodb.router(), lambda, sqs]) {
            layer.serve(listener, access::signed_only(router, key));
        }
    }
}

/// The functions of a stack before they are hosted.
struct Functions {
    hints: Hints,
    hosted: Vec<Hosted>,
    /// By `Handler`.
    meters: BTreeMap<String, Meter>,
    /// The longest lease of any function.
    lease: Duration,
}

/// Gives every function its own `App` and handler.
async fn open_functions(
    definitions: Vec<HostedFunction>,
    connection: &Connection,
    options: &Options,
    registry: &Registry,
    stopping: &CancellationToken,
) -> Result<Functions> {
    let mut functions = Functions { hosted: Vec::new(), hints: Hints::default(), meters: BTreeMap::new(), lease: Duration::ZERO };
    for definition in definitions {
        let name = definition.id.clone();
        let environment = connection.environment(&definition, &options.env);
        let parts = Parts { stopping: stopping.clone(), ..options.parts.of(&definition.handler, connection.http_client()) };
        let app = app(&environment, options, &functions.hints, parts).await.with_context(|| format!("function {name}"))?;
        functions.meters.insert(definition.handler.clone(), app.meter().clone());
        functions.lease = functions.lease.max(app.config().lease);
        functions.hosted.push(host(definition, app, registry).with_context(|| format!("function {name}"))?);
    }
    Ok(functions)
}

fn host(definition: HostedFunction, app: App, registry: &Registry) -> Result<Hosted> {
    let handler = &definition.handler;
    let function =
        registry(handler, app).ok_or_else(|| anyhow!("template.yaml names the handler `{handler}`, which does not exist"))?;
    if matches!(function, Function::Event(_)) && !definition.routes.is_empty() {
        bail!("template.yaml routes HTTP requests to the handler `{handler}`, which does not handle HTTP");
    }
    Ok(Hosted { definition, function })
}

async fn app(environment: &BTreeMap<String, String>, options: &Options, hints: &Hints, parts: Parts) -> Result<App> {
    let config = Config::from_vars(&|name| environment.get(name).cloned())?;
    Ok(App::from_parts(config, options.clock.clone(), parts).await.with_hints(hints.clone()))
}

#[cfg(test)]
mod tests;
