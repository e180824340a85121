//! Stacks with test functions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::FutureExt;
use lambda_runtime::{Error, LambdaEvent};
use longhand_functions::Function;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::{Data, Options, Registry, Stack};

/// The values that a test function recorded, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<Value>>>);

impl Seen {
    pub fn add(&self, value: Value) -> usize {
        let mut seen = self.0.lock().unwrap();
        seen.push(value);
        seen.len()
    }

    pub fn all(&self) -> Vec<Value> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Clone, Default)]
pub struct Functions(BTreeMap<String, Function>);

impl Functions {
    /// Adds a function that passes each event to `handler`.
    pub fn event(self, name: &str, handler: impl Fn(LambdaEvent<Value>) -> Result<Value, Error> + Send + Sync + 'static) -> Self {
        self.later(name, move |event| futures::future::ready(handler(event)))
    }

    pub fn later<F>(mut self, name: &str, handler: impl Fn(LambdaEvent<Value>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, Error>> + Send + 'static,
    {
        self.0.insert(name.to_owned(), Function::Event(Arc::new(move |event| handler(event).boxed())));
        self
    }

    pub fn http(mut self, name: &str, router: axum::Router) -> Self {
        self.0.insert(name.to_owned(), Function::Http(router));
        self
    }

    pub fn registry(self) -> Registry {
        Arc::new(move |name, _| self.0.get(name).cloned())
    }
}

/// Options with the required variables, and retries after a millisecond.
pub fn options(data: Data) -> Options {
    let required = ["LONGHAND_BUFFER_TABLE", "LONGHAND_RECORDS_TABLE", "LONGHAND_BUCKET"];
    let env = required.map(|name| (name.to_owned(), "unused".to_owned())).into();
    Options { data, env, retry_delay: Duration::from_millis(1), ..Options::default() }
}

/// A stack of `functions`.
pub async fn stack(template: &str, functions: Functions, data: Data) -> Stack {
    Stack::start_with(options(data), template, functions.registry()).await.unwrap()
}

/// Waits until `condition` holds.
pub async fn until(condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.unwrap();
}
