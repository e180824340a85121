//! Queues: those of failures, which operators read, and that of a fleet's jobs.

use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};

use super::clients::{SharedHttpClient, aws_error, shared_config, unexpected};
use crate::config::AwsConfig;
use crate::error::Error;

/// Messages of one receive (SQS's limit).
pub const RECEIVE_MAX: usize = 10;
/// With a wait, SQS queries all of its servers.
const WAIT_LEAST: Duration = Duration::from_secs(1);

/// A client of queues.
#[derive(Debug, Clone)]
pub struct Queues {
    sqs: Client,
}

/// A received message, hidden from other receivers for a while.
#[derive(Debug, Clone)]
pub struct QueueMessage {
    /// Its id.
    pub id: String,
    /// Its body.
    pub body: String,
    /// How often it has been received, this time included.
    pub receives: u32,
    receipt: String,
}

impl Queues {
    /// Builds the client over this HTTP client; `None`: the SDK's own. Nothing is sent yet.
    pub async fn new(config: &AwsConfig, http_client: Option<SharedHttpClient>) -> Self {
        let mut sqs = aws_sdk_sqs::config::Builder::from(&shared_config(config, http_client).await);
        sqs.set_endpoint_url(config.sqs_endpoint.clone());
        Self { sqs: Client::from_conf(sqs.build()) }
    }

    /// Some messages of the queue at `url`, which are then hidden from other receivers for `hidden`, in whole seconds. Empty: there are
    /// none, or all are hidden.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn receive(&self, url: &str, hidden: Duration) -> Result<Vec<QueueMessage>, Error> {
        self.wait_for(url, RECEIVE_MAX, hidden, WAIT_LEAST).await
    }

    /// The same, at most `count` (1 to [`RECEIVE_MAX`]), for which it waits up to `wait` (1 to 20 seconds).
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn wait_for(&self, url: &str, count: usize, hidden: Duration, wait: Duration) -> Result<Vec<QueueMessage>, Error> {
        let count = i32::try_from(count.clamp(1, RECEIVE_MAX)).unwrap_or(1);
        let receive = self.sqs.receive_message().queue_url(url).max_number_of_messages(count).wait_time_seconds(seconds(wait));
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount);
        let received = receive.visibility_timeout(seconds(hidden)).send().await.map_err(aws_error("sqs ReceiveMessage"))?;
        received.messages().iter().map(read).collect()
    }

    /// Adds a message.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn send(&self, url: &str, body: String) -> Result<(), Error> {
        let send = self.sqs.send_message().queue_url(url).message_body(body);
        send.send().await.map(drop).map_err(aws_error("sqs SendMessage"))
    }

    /// Deletes a message for good.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete(&self, url: &str, message: &QueueMessage) -> Result<(), Error> {
        let delete = self.sqs.delete_message().queue_url(url).receipt_handle(&message.receipt);
        delete.send().await.map(drop).map_err(aws_error("sqs DeleteMessage"))
    }

    /// Makes a message visible to other receivers at once.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn give_back(&self, url: &str, message: &QueueMessage) -> Result<(), Error> {
        self.hide(url, message, Duration::ZERO).await
    }

    /// Hides a received message from now on for `hidden`, in whole seconds.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn hide(&self, url: &str, message: &QueueMessage, hidden: Duration) -> Result<(), Error> {
        let change = self.sqs.change_message_visibility().queue_url(url).receipt_handle(&message.receipt);
        change.visibility_timeout(seconds(hidden)).send().await.map(drop).map_err(aws_error("sqs ChangeMessageVisibility"))
    }
}

fn read(message: &Message) -> Result<QueueMessage, Error> {
    let incomplete = || unexpected("sqs ReceiveMessage", "a message without id, body or receipt");
    let receives = message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    Ok(QueueMessage {
        id: message.message_id().ok_or_else(incomplete)?.to_owned(),
        body: message.body().ok_or_else(incomplete)?.to_owned(),
        receives: receives.and_then(|count| count.parse().ok()).unwrap_or(1),
        receipt: message.receipt_handle().ok_or_else(incomplete)?.to_owned(),
    })
}

fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_secs()).unwrap_or(i32::MAX)
}
