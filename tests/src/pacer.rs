//! A pacer: a writer's deltas arrive in injected time, and nothing depends on how fast the machine is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use longhand::Clock;
use longhand::app::Parts;
use longhand::generation::request::Request;
use longhand::providers::{Delta, DeltaStream, Provider, ProviderError, Resume};
use longhand_local::PartsOf;

use crate::tap::{Action, Call, Tap, in_front_of};

/// Turns of the scheduler in which every other task of a runtime with one thread does what it can do without waiting.
const TURNS: usize = 64;

/// Moves a [`Clock::manual`] on by `gap` before each delta, once everything that the writer does about the last one is done.
///
/// The test must run on a runtime with one thread (`#[tokio::test]`).
#[derive(Clone, Debug)]
pub struct Pacer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    gap: Duration,
    calls: Mutex<Vec<Call>>,
    in_flight: AtomicUsize,
}

impl Pacer {
    /// A pacer for deltas that arrive every `gap` of `clock`.
    #[must_use]
    pub fn new(clock: &Clock, gap: Duration) -> Self {
        Self(Arc::new(Inner { clock: clock.clone(), gap, calls: Mutex::default(), in_flight: AtomicUsize::new(0) }))
    }

    /// The parts of a stack whose `stream` function is paced.
    #[must_use]
    pub fn parts(&self) -> PartsOf {
        let pacer = self.clone();
        PartsOf::new(move |handler, services| {
            let parts = Parts { http_client: Some(services), ..Parts::default() };
            if handler == "stream" { pacer.paced(parts) } else { parts }
        })
    }

    fn paced(&self, parts: Parts) -> Parts {
        let pacer = self.clone();
        let wrap = move |provider| -> Arc<dyn Provider> { Arc::new(PacedProvider { provider, pacer: pacer.clone() }) };
        in_front_of(Parts { wrap_provider: Some(Arc::new(wrap)), ..parts }, Arc::new(self.clone()))
    }

    /// Calls of the writer's function with this operation on this table so far.
    #[must_use]
    pub fn calls(&self, operation: &str, table: &str) -> usize {
        let calls = self.0.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.operation == operation && call.resource == table).count()
    }

    /// Waits until the writer waits for a delta, and for no call.
    pub async fn settled(&self) {
        loop {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            if self.0.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Tap for Pacer {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        if call.service != "provider" {
            self.0.in_flight.fetch_add(1, Ordering::SeqCst);
            self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        }
        futures::future::ready(Action::Pass).boxed()
    }

    fn answered(&self, _call: &Call, _status: u16) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

struct PacedProvider {
    provider: Arc<dyn Provider>,
    pacer: Pacer,
}

impl Provider for PacedProvider {
    fn open<'a>(&'a self, request: &'a Request, resume: &'a Resume) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
        Box::pin(async move { Ok(self.pacer.clone().pace(self.provider.open(request, resume).await?)) })
    }

    fn cancel<'a>(&'a self, response_id: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.provider.cancel(response_id)
    }
}

impl Pacer {
    /// `stream`, delta by delta.
    fn pace(self, stream: DeltaStream) -> DeltaStream {
        let single = stream.flat_map(|read| {
            let deltas: Vec<Result<Delta, ProviderError>> = match read {
                Ok(deltas) => deltas.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            futures::stream::iter(deltas)
        });
        let paced = single.then(move |delta| {
            let pacer = self.clone();
            async move {
                if delta.as_ref().is_ok_and(|delta| delta.text_bytes() > 0) {
                    pacer.settled().await;
                    pacer.0.clock.advance(pacer.0.gap);
                }
                delta.map(|delta| vec![delta])
            }
        });
        paced.boxed()
    }
}
