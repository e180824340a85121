//! Async invokes of the functions.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::InvocationType;
use serde::Serialize;

use super::clients::{aws_error, unexpected};
use crate::error::Error;
use crate::generation::job::{RideJob, StreamJob};
use crate::notifications::delivery::DeliverJob;

/// Invokes `stream` and `deliver`.
#[derive(Debug, Clone)]
pub struct Invoker {
    lambda: Client,
    stream_function: Option<String>,
    deliver_function: Option<String>,
}

impl Invoker {
    /// `stream_function` and `deliver_function`: their names or ARNs.
    #[must_use]
    pub const fn new(lambda: Client, stream_function: Option<String>, deliver_function: Option<String>) -> Self {
        Self { lambda, stream_function, deliver_function }
    }

    /// Queues the job at Lambda, which may run it more than once.
    ///
    /// # Errors
    /// [`Error::Configuration`] where `stream_function` is missing; [`Error::Aws`].
    pub async fn stream(&self, job: &StreamJob) -> Result<(), Error> {
        self.invoke(self.stream_function.as_deref(), "LONGHAND_STREAM_FUNCTION", job).await
    }

    /// The same with a ride.
    ///
    /// # Errors
    /// As for [`Self::stream`].
    pub async fn ride(&self, job: &RideJob) -> Result<(), Error> {
        self.invoke(self.stream_function.as_deref(), "LONGHAND_STREAM_FUNCTION", job).await
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
