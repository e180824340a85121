//! Async invokes of the functions; in a fleet, messages to the queue of its jobs.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde::Serialize;

use super::clients::{aws_error, unexpected};
use super::queues::Queues;
use crate::error::Error;
use crate::generation::job::{RideJob, StreamJob};
use crate::notifications::delivery::DeliverJob;

/// Has jobs of `stream` and `deliver` done.
#[derive(Debug, Clone)]
pub struct Invoker {
    lambda: Client,
    stream_function: Option<String>,
    deliver_function: Option<String>,
    stream_queue: Option<(Queues, String)>,
}

impl Invoker {
    /// `stream_function` and `deliver_function`: their names or ARNs.
    #[must_use]
    pub const fn new(lambda: Client, stream_function: Option<String>, deliver_function: Option<String>) -> Self {
        Self { lambda, stream_function, deliver_function, stream_queue: None }
    }

    /// The same, except that jobs of `stream` become messages of the queue at this URL, and `stream` is not invoked.
    #[must_use]
    pub fn with_stream_queue(self, queue: Option<(Queues, String)>) -> Self {
        Self { stream_queue: queue, ..self }
    }

    /// Queues the job, at Lambda or for a fleet. Either may run it more than once.
    ///
    /// # Errors
    /// [`Error::Configuration`] where neither `stream_function` nor a queue is configured; [`Error::Aws`].
    pub async fn stream(&self, job: &StreamJob) -> Result<(), Error> {
        self.invoke_stream(job).await
    }

    /// The same with a ride.
    ///
    /// # Errors
    /// As for [`Self::stream`].
    pub async fn ride(&self, job: &RideJob) -> Result<(), Error> {
        self.invoke_stream(job).await
    }

    async fn invoke_stream<J: Serialize + Sync>(&self, job: &J) -> Result<(), Error> {
        match &self.stream_queue {
            // Boxed: the future of a send is large, and the queue of few deployments.
            Some((queues, url)) => {
                let body = serde_json::to_string(job).map_err(|error| unexpected("sqs SendMessage", error))?;
                Box::pin(queues.send(url, body)).await
            }
            None => self.invoke(self.stream_function.as_deref(), "LONGHAND_STREAM_FUNCTION", job).await,
        }
    }

    /// Has deliveries sent.
    ///
    /// # Errors
    /// [`Error::Configuration`] where `deliver_function` is missing; [`Error::Aws`].
    pub async fn deliver(&self, job: &DeliverJob) -> Result<(), Error> {
        self.invoke(self.deliver_function.as_deref(), "LONGHAND_DELIVER_FUNCTION", job).await
    }

    async fn invoke<J: Serialize + Sync>(&self, name: Option<&str>, variable: &str, job: &J) -> Result<(), Error> {
        let missing = || Error::Configuration(format!("the environment variable {variable} is required"));
        let name = name.ok_or_else(missing)?;
        let payload = serde_json::to_vec(job).map_err(|error| unexpected("lambda Invoke", error))?;
        let invoke = self.lambda.invoke().function_name(name).invocation_type(InvocationType::Event).payload(Blob::new(payload));
        let answer = invoke.send().await.map_err(aws_error("lambda Invoke"))?;
        match answer.status_code() {
            202 => Ok(()),
            status => Err(unexpected("lambda Invoke", format!("answered {status} instead of 202"))),
        }
    }
}
