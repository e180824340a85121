//! The stack: everything that the template asks for, started in order, stopped in order.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use longhand::{App, aws::Meter, config::Config, providers::parse_providers};
use longhand_functions::Function;
use serde_json::{Value, json};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    dynamodb::DynamoDb,
    environment::{self, Endpoints},
    folder::Folder,
    gateway::{self, Authorizer, Callers},
    key,
    lambda::{self, Hosted, Lambda},
    options::Options,
    s3, schedule, server,
    template::{HostedAuthorizer, HostedFunction, TEMPLATE, Template},
    triggers,
};

/// Invocations that run when the stack stops get this long; what an event still owes is done by the next stack.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The functions' setting for the key that read tokens are signed with.
const TOKEN_KEY: &str = "LONGHAND_TOKEN_KEY";

/// Gives the function of a `Handler`, over an `App` of its own; `None` if it knows no such function.
pub type Registry = Arc<dyn Fn(&str, App) -> Option<Function> + Send + Sync>;

/// A running stack. [`shutdown`](Self::shutdown) stops it in good order; dropping it stops it without waiting.
pub struct Stack {
    url: String,
    endpoints: Endpoints,
    options: Options,
    key: Option<OwnKey>,
    /// By the functions' handlers.
    meters: BTreeMap<String, Meter>,
    lambda: Lambda,
    dynamodb: DynamoDb,
    folder: Folder,
    edge: Layer,
    services: Layer,
    _functions: DropGuard,
}

/// The key of this machine's own commands.
#[derive(Clone)]
pub struct OwnKey {
    /// It.
    pub text: String,
    /// Whether it was made by this start.
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
    /// The data folder is in use or of another version, the address is taken or not a loopback one, the template asks
    /// for something that has no local twin, or a function's configuration is wrong.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_with(options, TEMPLATE, Arc::new(longhand_functions::function)).await
    }

    /// Starts another template with other functions.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn start_with(mut options: Options, template: &str, registry: Registry) -> Result<Self> {
        let template = Template::read(template)?;
        let api = server::bind(options.listen).await?;
        let folder = Folder::open(&options.data)?;
        if !options.env.contains_key(TOKEN_KEY) {
            options.env.insert(TOKEN_KEY.to_owned(), key::of_tokens(folder.path())?);
        }
        let dynamodb = DynamoDb::start(&folder, &template.tables).await?;
        let s3 = server::bind(server::ANY_PORT).await?;
        let invoke = server::bind(server::ANY_PORT).await?;
        let queue = server::bind(server::ANY_PORT).await?;
        let endpoints = Endpoints {
            dynamodb: dynamodb.endpoint().to_owned(),
            s3: server::url(&s3)?,
            lambda: server::url(&invoke)?,
            sqs: server::url(&queue)?,
        };
        let (edge, services) = (Layer::new(), Layer::new());
        server::serve(s3, s3::router(&folder.s3(), &template.buckets)?, &services.stop, &services.tasks);

        let (mut functions, mut meters, mut lease) = (Vec::new(), BTreeMap::new(), Duration::ZERO);
        for definition in template.functions {
            let name = definition.id.clone();
            let environment = environment::of(&definition, &endpoints, &options.env);
            let app = app(&environment, &options, Some(&definition.handler)).await.with_context(|| format!("function {name}"))?;
            meters.insert(definition.handler.clone(), app.meter().clone());
            lease = lease.max(app.config().lease);
            functions.push(host(definition, app, &registry).with_context(|| format!("function {name}"))?);
        }
        let lambda = Lambda::new(functions, &folder, options.retry_delay);
        server::serve(invoke, lambda::api::router(lambda.clone()), &services.stop, &services.tasks);
        server::serve(queue, lambda::queue_api::router(lambda.clone()), &services.stop, &services.tasks);

        let url = server::url(&api)?;
        let streams = environment::streams(&endpoints.dynamodb);
        triggers::start(&lambda, &streams, &folder.triggers(), &edge.stop, &edge.tasks).await?;
        lambda.resume()?;
        let (callers, key) = callers(&lambda, &options, template.api.authorizer, &endpoints, &folder).await?;
        server::serve(
            api,
            gateway::router(&lambda, callers, template.api.answers, options.clock.clone()),
            &edge.stop,
            &edge.tasks,
        );
        schedule::start(&lambda, lease, &edge.stop, &edge.tasks);
        let guard = lambda.stop_on_drop();
        let stack = Self { url, endpoints, options, key, meters, lambda, dynamodb, folder, edge, services, _functions: guard };
        stack.announce()?;
        Ok(stack)
    }

    /// Tells other commands where this stack is, and the settings that a person's own verbs need. Neither a provider's key
    /// nor that of the tokens is among them.
    fn announce(&self) -> Result<()> {
        const SHARED: [&str; 4] = ["AWS_", "GENERATION_", "LONGHAND_", "METADATA_"];
        let mut environment = self.environment("api");
        let keys = parse_providers(environment.get("LONGHAND_PROVIDERS").map(String::as_str)).map_err(|error| anyhow!(error))?;
        let mut keys: Vec<String> = keys.into_values().filter_map(|provider| provider.key_env).collect();
        keys.push(TOKEN_KEY.to_owned());
        environment.retain(|name, _| SHARED.iter().any(|prefix| name.starts_with(prefix)) && !keys.contains(name));
        self.folder.announce(&json!({
            "url": self.url,
            "dynamodb": self.endpoints.dynamodb,
            "s3": self.endpoints.s3,
            "lambda": self.endpoints.lambda,
            "queues": [lambda::queue_api::url(&self.endpoints.sqs)],
            "pid": std::process::id(),
            "organization": self.options.organization,
            "key": self.key.as_ref().map(|key| &key.text),
            "environment": environment,
        }))
    }

    /// Write units that the functions of this stack have been charged since it started, buffer and records together.
    #[must_use]
    pub fn write_units(&self) -> u64 {
        self.meters.values().map(|meter| meter.reading().write_units).sum()
    }

    /// Read units that the function of this handler has been charged since the stack started.
    #[must_use]
    pub fn read_units(&self, handler: &str) -> f64 {
        self.meters.get(handler).map_or(0.0, |meter| meter.reading().read_units)
    }

    /// The API's address, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Addresses of the embedded services.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The key that this machine's own commands show; `None`: none is asked for.
    #[must_use]
    pub const fn key(&self) -> Option<&OwnKey> {
        self.key.as_ref()
    }

    /// The whole environment of the function with this `Handler`, with which the real binary runs outside against this
    /// stack. Empty if there is none.
    #[must_use]
    pub fn environment(&self, handler: &str) -> BTreeMap<String, String> {
        let hosted = self.lambda.find(handler);
        hosted.map(|hosted| environment::of(&hosted.definition, &self.endpoints, &self.options.env)).unwrap_or_default()
    }

    /// An `App` with the environment of `api`.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub async fn app(&self) -> Result<App> {
        app(&self.environment("api"), &self.options, None).await
    }

    /// Invokes a function once and waits for its answer.
    ///
    /// # Errors
    /// There is no such function, or the invocation failed.
    pub async fn invoke(&self, handler: &str, payload: Value) -> Result<Value> {
        let hosted =
            self.lambda.find(handler).with_context(|| format!("template.yaml has no function with the handler {handler}"))?;
        let invocation = self.lambda.invoke(hosted, payload).await;
        match invocation.error {
            None => Ok(invocation.answer),
            Some(error) => bail!("{handler} failed: {}", error["errorMessage"].as_str().unwrap_or_default()),
        }
    }

    /// The on-failure records of async invocations and stream triggers that were given up, oldest first.
    #[expect(clippy::unused_async, reason = "callers must not depend on where the records are kept")]
    pub async fn failures(&self) -> Vec<Value> {
        self.lambda.failures().all()
    }

    /// Stops everything: no new requests, a few seconds for what runs, then the services.
    pub async fn shutdown(self) {
        self.folder.withdraw();
        self.edge.shutdown().await;
        self.lambda.shutdown(STOP_PATIENCE).await;
        self.services.shutdown().await;
        self.dynamodb.shutdown().await;
    }
}

async fn callers(
    lambda: &Lambda,
    options: &Options,
    authorizer: Option<HostedAuthorizer>,
    endpoints: &Endpoints,
    folder: &Folder,
) -> Result<(Callers, Option<OwnKey>)> {
    if !options.authorize {
        return Ok((Callers::All(options.organization.clone()), None));
    }
    let authorizer = Authorizer::new(lambda, authorizer.context("template.yaml has no authorizer")?, options.clock.clone())?;
    let function = &authorizer.function().definition;
    let app = app(&environment::of(function, endpoints, &options.env), options, None).await?;
    let (text, is_new) = key::own(&app, folder.path(), &options.organization).await?;
    Ok((Callers::Authorized(Box::new(authorizer)), Some(OwnKey { text, is_new })))
}

fn host(definition: HostedFunction, app: App, registry: &Registry) -> Result<Hosted> {
    let handler = &definition.handler;
    let function = registry(handler, app)
        .ok_or_else(|| anyhow!("there is no function with the handler `{handler}` that template.yaml asks for"))?;
    if matches!(function, Function::Event(_)) && !definition.routes.is_empty() {
        bail!("template.yaml routes HTTP requests to it, and the handler `{handler}` does not answer HTTP");
    }
    Ok(Hosted { definition, function })
}

/// `handler`: the function whose parts the app gets; `None`: the default ones.
async fn app(environment: &BTreeMap<String, String>, options: &Options, handler: Option<&str>) -> Result<App> {
    let config = Config::from_vars(&|name| environment.get(name).cloned())?;
    let parts = handler.map(|handler| options.parts.of(handler)).unwrap_or_default();
    Ok(App::from_parts(config, options.clock.clone(), parts).await)
}

#[cfg(test)]
mod tests;
