//! The on-failure queues, which hold what Lambda has given up. Operators read them, and no function does.

use aws_sdk_sqs::Client;

use super::clients::{SharedHttpClient, aws_error, shared_config, unexpected};
use crate::config::AwsConfig;
use crate::error::Error;

/// Messages of one receive (SQS's limit).
const RECEIVE_MAX: i32 = 10;

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
    receipt: String,
}

impl Queues {
    /// Builds the client over this HTTP client; `None`: the SDK's own. Nothing is sent yet.
    pub async fn new(config: &AwsConfig, http_client: Option<SharedHttpClient>) -> Self {
        let mut sqs = aws_sdk_sqs::config::Builder::from(&shared_config(config, http_client).await);
        sqs.set_endpoint_url(config.sqs_endpoint.clone());
        Self { sqs: Client::from_conf(sqs.build()) }
    }

    /// Some messages of the queue at `url`, which are then hidden from other receivers for `hidden_seconds`. Empty: there are
    /// none, or all are hidden.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn receive(&self, url: &str, hidden_seconds: i32) -> Result<Vec<QueueMessage>, Error> {
        // With a wait, SQS queries all of its servers.
        let receive = self.sqs.receive_message().queue_url(url).max_number_of_messages(RECEIVE_MAX).wait_time_seconds(1);
        let received = receive.visibility_timeout(hidden_seconds).send().await.map_err(aws_error("sqs ReceiveMessage"))?;
        let message = |message: &aws_sdk_sqs::types::Message| {
            let incomplete = || unexpected("sqs ReceiveMessage", "a message without id, body or receipt");
            Ok(QueueMessage {
                id: message.message_id().ok_or_else(incomplete)?.to_owned(),
                body: message.body().ok_or_else(incomplete)?.to_owned(),
                receipt: message.receipt_handle().ok_or_else(incomplete)?.to_owned(),
            })
        };
        received.messages().iter().map(message).collect()
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
        let change = self.sqs.change_message_visibility().queue_url(url).receipt_handle(&message.receipt);
        change.visibility_timeout(0).send().await.map(drop).map_err(aws_error("sqs ChangeMessageVisibility"))
    }
}
