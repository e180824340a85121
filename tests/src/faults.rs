//! Faults at the functions' outside calls: a plan maps a call, by its number in the order of time, to a fault.

use std::collections::BTreeMap;
use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use longhand::app::Parts;
use longhand::aws::SharedHttpClient;
use longhand::hints::Hints;
use longhand::{App, Clock, Config};
use longhand_functions::Function;
use longhand_local::{PartsOf, Registry};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::tap::{self, Action, Call, Fault, Tap};

/// The fault that a call meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// The connection breaks before it takes effect.
    Refused,
    /// The service throttles it.
    Throttled,
    /// The service answers with a server error.
    ServerError,
    /// It takes effect, and the answer is lost.
    AnswerLost,
    /// It takes effect only after the lease has run out and another invocation has taken over.
    Late,
    /// It takes effect, and the answer comes only after that.
    AnswerLate,
    /// The function's process ends before it takes effect.
    Killed,
    /// The function's process ends once it has taken effect.
    KilledAfter,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Refused,
        Self::Throttled,
        Self::ServerError,
        Self::AnswerLost,
        Self::Late,
        Self::AnswerLate,
        Self::Killed,
        Self::KilledAfter,
    ];
}

/// A call that was made or refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The function that made it, by its handler's name.
    pub function: String,
    /// The call.
    pub call: Call,
    /// The fault that it met.
    pub met: Option<Mode>,
}

impl fmt::Display for Made {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.function, self.call)
    }
}

/// A plan, and the calls made under it. Clones share both.
#[derive(Clone)]
pub struct Faults(Arc<Inner>);

type Meanwhile = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

type Plan = Box<dyn Fn(usize, &str, &Call) -> Option<Mode> + Send + Sync>;

struct Inner {
    plan: Plan,
    made: Mutex<Vec<Made>>,
    lives: Mutex<BTreeMap<String, CancellationToken>>,
    running: AtomicUsize,
    /// The client of the services of the stack that runs now.
    services: Mutex<Option<SharedHttpClient>>,
    meanwhile: OnceLock<Meanwhile>,
}

impl Faults {
    /// Call number `n`, from 0, meets `plan[n]`.
    #[must_use]
    pub fn new(plan: impl IntoIterator<Item = (usize, Mode)>) -> Self {
        let plan: BTreeMap<usize, Mode> = plan.into_iter().collect();
        Self::deciding(move |number, _, _| plan.get(&number).copied())
    }

    /// `plan` maps each call to a fault, from its number, its function, and the call.
    #[must_use]
    pub fn deciding(plan: impl Fn(usize, &str, &Call) -> Option<Mode> + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            plan: Box::new(plan),
            made: Mutex::default(),
            lives: Mutex::default(),
            running: AtomicUsize::new(0),
            services: Mutex::default(),
            meanwhile: OnceLock::new(),
        }))
    }

    /// Sets the work that is done while a call is late.
    pub fn meanwhile<F>(&self, happens: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let _ = self.0.meanwhile.set(Box::new(move || happens().boxed()));
    }

    /// The parts of a stack whose calls meet the plan.
    #[must_use]
    pub fn parts(&self) -> PartsOf {
        let faults = self.clone();
        PartsOf::new(move |handler, services| {
            *locked(&faults.0.services) = Some(services.clone());
            let parts = Parts { http_client: Some(services), ..Parts::default() };
            tap::in_front_of(parts, Arc::new(faults.function_tap(handler)))
        })
    }

    /// The product's functions; the end of a process ends its invocations. `clock` is the stack's.
    #[must_use]
    pub fn registry(&self, clock: &Clock) -> Registry {
        let (faults, clock) = (self.clone(), clock.clone());
        Arc::new(move |name, app| {
            let (config, hints) = (app.config().clone(), app.hints().clone());
            longhand_functions::function(name, app).map(|function| faults.mortal(name, function, config, &clock, hints))
        })
    }

    /// Every call so far, in order.
    #[must_use]
    pub fn made(&self) -> Vec<Made> {
        locked(&self.0.made).clone()
    }

    /// Whether no invocation is running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.running.load(Ordering::SeqCst) == 0
    }

    /// Wraps the function so that its invocations end with the process.
    fn mortal(&self, name: &str, function: Function, config: Config, clock: &Clock, hints: Hints) -> Function {
        match function {
            Function::Http(router) => Function::Http(self.mortal_router(name, router)),
            Function::HttpStream(_) => Function::HttpStream(self.mortal_streams(name, config, clock.clone(), hints)),
            Function::Event(handler) => {
                let (faults, name) = (self.clone(), name.to_owned());
                Function::Event(Arc::new(move |event| {
                    let (life, answer) = (faults.begin(&name), handler(event));
                    let ended = || Err("the function's process ended".into());
                    async move { life.token.run_until_cancelled(answer).await.unwrap_or_else(ended) }.boxed()
                }))
            }
        }
    }

    fn mortal_router(&self, name: &str, router: Router) -> Router {
        let (faults, name) = (self.clone(), name.to_owned());
        router.layer(middleware::from_fn(move |request: Request, next: Next| {
            let life = faults.begin(&name);
            let ended = || StatusCode::BAD_GATEWAY.into_response();
            async move { life.token.run_until_cancelled(next.run(request)).await.unwrap_or_else(ended) }
        }))
    }

    /// A function that may work on after its answer, in other tasks. So each of its processes has its own app, whose calls are
    /// no longer sent once the process has ended.
    fn mortal_streams(&self, name: &str, config: Config, clock: Clock, hints: Hints) -> Router {
        let (faults, name, process) = (self.clone(), name.to_owned(), Arc::new(tokio::sync::Mutex::new(None::<Process>)));
        Router::new().fallback(move |request: Request| {
            let (faults, name, process) = (faults.clone(), name.clone(), Arc::clone(&process));
            let (config, clock, hints) = (config.clone(), clock.clone(), hints.clone());
            async move {
                let life = faults.begin(&name);
                let router = {
                    let mut process = process.lock().await;
                    match &*process {
                        Some(process) if !process.token.is_cancelled() => process.router.clone(),
                        _ => {
                            let tap = FunctionTap { process: Some(life.token.clone()), ..faults.function_tap(&name) };
                            let http_client = locked(&faults.0.services).clone();
                            let parts = tap::in_front_of(Parts { http_client, ..Parts::default() }, Arc::new(tap));
                            let app = App::from_parts(config, clock, parts).await.with_hints(hints);
                            let router = longhand_functions::function(&name, app).and_then(|made| made.router().cloned());
                            let router = router.expect("a function that answers HTTP");
                            *process = Some(Process { token: life.token.clone(), router: router.clone() });
                            router
                        }
                    }
                };
                match life.token.run_until_cancelled(router.oneshot(request)).await {
                    Some(Ok(answer)) => life.with_body(answer),
                    None => StatusCode::BAD_GATEWAY.into_response(),
                }
            }
        })
    }

    fn function_tap(&self, function: &str) -> FunctionTap {
        FunctionTap { function: function.to_owned(), faults: self.clone(), process: None }
    }

    fn begin(&self, function: &str) -> Life {
        let token = locked(&self.0.lives).entry(function.to_owned()).or_default().clone();
        self.0.running.fetch_add(1, Ordering::SeqCst);
        Life { token, inner: Arc::clone(&self.0) }
    }

    /// Ends the function's process, with all that runs in it. The next invocation finds a new one.
    fn kill(&self, function: &str) {
        if let Some(token) = locked(&self.0.lives).insert(function.to_owned(), CancellationToken::new()) {
            token.cancel();
        }
    }

    async fn meanwhile_happens(&self) {
        if let Some(happens) = self.0.meanwhile.get() {
            happens().await;
        }
    }

    fn action(&self, function: &str, call: Call) -> BoxFuture<'static, Action> {
        let (throttled, failed) = answers(&call);
        let mode = {
            let mut made = locked(&self.0.made);
            let met = (self.0.plan)(made.len(), function, &call);
            made.push(Made { function: function.to_owned(), call, met });
            met
        };
        let Some(mode) = mode else { return futures::future::ready(Action::Pass).boxed() };
        let (faults, function) = (self.clone(), function.to_owned());
        async move {
            match mode {
                Mode::Refused => Action::Refuse(Fault::Broken),
                Mode::Throttled => Action::Refuse(throttled),
                Mode::ServerError => Action::Refuse(failed),
                Mode::AnswerLost => Action::Hold { until: futures::future::ready(()).boxed(), lost: true },
                Mode::Late => {
                    faults.meanwhile_happens().await;
                    Action::Pass
                }
                Mode::AnswerLate => Action::Hold { until: async move { faults.meanwhile_happens().await }.boxed(), lost: false },
                Mode::Killed => {
                    faults.kill(&function);
                    pending().await
                }
                Mode::KilledAfter => {
                    let until = async move {
                        faults.kill(&function);
                        pending::<()>().await;
                    };
                    Action::Hold { until: until.boxed(), lost: true }
                }
            }
        }
        .boxed()
    }
}

/// One running invocation.
struct Life {
    token: CancellationToken,
    inner: Arc<Inner>,
}

impl Life {
    /// Breaks the answer off when the invocation ends.
    fn with_body(self, answer: Response) -> Response {
        let ended = self.token.clone().cancelled_owned();
        answer.map(|body| {
            let frames = body.into_data_stream().take_until(ended);
            Body::from_stream(frames.inspect(move |_| {
                let _runs = &self;
            }))
        })
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.inner.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "faults, behind {} calls", locked(&self.0.made).len())
    }
}

/// A function's process, which lives on between its invocations.
struct Process {
    token: CancellationToken,
    router: Router,
}

struct FunctionTap {
    function: String,
    faults: Faults,
    /// Ends the calls when it ends. `None`: the calls end with their invocation.
    process: Option<CancellationToken>,
}

impl fmt::Debug for FunctionTap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the tap of {}", self.function)
    }
}

impl Tap for FunctionTap {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        match &self.process {
            Some(process) if process.is_cancelled() => pending().boxed(),
            _ => self.faults.action(&self.function, call),
        }
    }
}

/// The answers of a service that throttles, and of one that fails.
fn answers(call: &Call) -> (Fault, Fault) {
    let answer = |status, body: &str| Fault::Answer { status, body: body.to_owned() };
    let dynamodb = |kind: &str| format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{kind}","message":"not now"}}"#);
    match call.service {
        "dynamodb" if call.operation.starts_with("Transact") => {
            (answer(400, &dynamodb("TransactionConflictException")), answer(500, &dynamodb("InternalServerError")))
        }
        "dynamodb" => {
            (answer(400, &dynamodb("ProvisionedThroughputExceededException")), answer(500, &dynamodb("InternalServerError")))
        }
        "s3" => (
            answer(503, "<Error><Code>SlowDown</Code><Message>not now</Message></Error>"),
            answer(500, "<Error><Code>InternalError</Code><Message>not now</Message></Error>"),
        ),
        _ => {
            (answer(429, r#"{"__type":"TooManyRequestsException","message":"not now"}"#), answer(500, r#"{"message":"not now"}"#))
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
