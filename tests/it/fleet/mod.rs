//! A fleet: the API and the writers in processes of their own, over the embedded services.

mod deployment;
mod serving;
mod working;

use std::collections::BTreeMap;

use longhand::app::Parts;
use longhand::{App, Clock, Config};
use longhand_tests::Harness;
use tokio_util::sync::CancellationToken;

/// The product as a process of a fleet has it: the settings of all functions of the API, and the queue.
async fn app(harness: &Harness, stopping: &CancellationToken) -> App {
    let mut environment: BTreeMap<String, String> = ["stream", "start", "tail", "api", "authorize"]
        .into_iter()
        .flat_map(|handler| harness.stack.environment(handler))
        .collect();
    environment.insert("LONGHAND_STREAM_QUEUE".to_owned(), harness.stack.job_queue());
    // No function takes a job from the queue's workers.
    environment.insert("LONGHAND_STREAM_FUNCTION".to_owned(), "nobody".to_owned());
    let config = Config::from_vars(&|name| environment.get(name).cloned()).unwrap();
    let parts = Parts { stopping: stopping.clone(), ..harness.stack.parts() };
    App::from_parts(config, Clock::system(), parts).await
}
