//! `deliver`: sends what is due, once or a few times, and stores how it went.
//!
//! It reads endpoints and deliveries, and nothing else. A delivery is leased before it is sent and its state is written from the state that
//! was read, so two invocations do not send it at the same time. A function that dies in between leaves a lease that runs out, and the delivery is sent
//! again: receivers get an event at least once, each time under the same id.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, json};
use tokio::time::{Instant, sleep};

use super::changes;
use crate::app::App;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::ids::{DeliveryId, Organization};
use crate::limits::OPEN_SHARDS;
use crate::notifications::delivery::{Attempt, DeliverJob, Delivery, DeliveryStatus};
use crate::notifications::endpoint::{Disabled, Endpoint, Kind};
use crate::notifications::mail::{Mail, SCHEME};
use crate::notifications::notify::Notify;
use crate::notifications::schedule::{Answer, Reason};
use crate::notifications::{EventType, Notification};
use crate::receivers::{Parcel, Reply};
use crate::telemetry;

/// The error of a mail where the deployment sends none any more.
const NO_SENDER: &str = "no_sender";
/// Deliveries that are sent side by side.
const CONCURRENCY: usize = 8;
/// How long an invocation waits for a further try of its own, which is the second one alone: it is due after 5 s.
pub const DELIVER_PATIENCE: Duration = Duration::from_secs(8);
/// Deliveries of one shard that a sweep has sent; the next one sends further ones.
const DUE_OF_A_SHARD_MAX: i32 = 200;

/// What came of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivered {
    /// The receiver has taken it.
    Succeeded,
    /// It will be tried again.
    Again,
    /// It has failed for good.
    Failed,
    /// Nothing: it had ended, is not due, is being sent by another function, or is gone.
    Nothing,
}

impl App {
    /// Sends the deliveries of a job that are due, and again those that fail and are due within `patience`. An error of one does not affect
    /// the others.
    ///
    /// # Errors
    /// [`Error::Aws`], [`Error::Configuration`] of the first that could not be tried; they may all be done again.
    pub async fn deliver(&self, job: &DeliverJob, patience: Duration) -> Result<Vec<Delivered>, Error> {
        let until = Instant::now() + patience;
        let each = stream::iter(job.deliveries.clone())
            .map(|id| async move { Box::pin(self.deliver_one(&job.organization, &id, until)).await });
        let done: Vec<Result<Delivered, Error>> = each.buffered(CONCURRENCY).collect().await;
        done.into_iter().collect()
    }

    async fn deliver_one(&self, organization: &Organization, id: &DeliveryId, until: Instant) -> Result<Delivered, Error> {
        let mut done = Delivered::Nothing;
        loop {
            let Some(held) = self.records.delivery(organization, id).await? else { return Ok(done) };
            let now = self.clock.now_ms();
            let wait = held.due_ms.map_or(0, |due| due - now);
            if wait > 0 {
                // Only what this invocation has tried itself: others would try it as well.
                let wait = Duration::from_millis(wait.unsigned_abs());
                if done != Delivered::Again || Instant::now() + wait > until {
                    return Ok(done);
                }
                sleep(wait).await;
                continue;
            }
            let Some(taken) = held.taken(now) else { return Ok(done) };
            if !self.records.change_delivery(organization, &held, &taken).await? {
                return Ok(done);
            }
            done = self.try_once(organization, &taken).await?;
            if done != Delivered::Again {
                return Ok(done);
            }
        }
    }

    /// Sends a leased delivery, and stores how it went.
    async fn try_once(&self, organization: &Organization, taken: &Delivery) -> Result<Delivered, Error> {
        let is_test = taken.name == EventType::TestPing.as_str();
        let endpoint = self.records.endpoint(organization, &taken.endpoint).await?;
        let endpoint = match endpoint {
            None => return self.give_up_delivery(organization, taken, Reason::EndpointDeleted).await,
            Some(endpoint) if endpoint.disabled.is_some() && !is_test => {
                return self.give_up_delivery(organization, taken, Reason::EndpointDisabled).await;
            }
            Some(endpoint) => endpoint,
        };
        let began = self.clock.now_ms();
        let Reply { answer, took, text } = match self.parcel(organization, &endpoint, taken, began).await? {
            Some(parcel) => self.receivers.send(parcel).await?,
            None => Reply { answer: Answer::Error(NO_SENDER), took: Duration::ZERO, text: None },
        };
        let now = self.clock.now_ms();
        let attempt = Attempt {
            at: rfc3339(began),
            status_code: if let Answer::Status { code, .. } = &answer { Some(*code) } else { None },
            error: if let Answer::Error(error) = &answer { Some((*error).to_owned()) } else { None },
            ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            response: text,
        };
        let next = taken.tried(attempt, &answer, now, fastrand::f64().mul_add(2.0, -1.0));
        let is_stored = self.records.change_delivery(organization, taken, &next).await?;
        let disabled = if is_test { None } else { self.note_answer(organization, endpoint, &answer, now).await? };
        tracing::info!(
            name: telemetry::DELIVERY,
            target: telemetry::TARGET,
            %organization,
            delivery = %next.id,
            endpoint = %next.endpoint,
            event = %next.event,
            r#type = next.name,
            tries = next.tries,
            status = next.status.as_str(),
            "error.type" = next.attempts.last().and_then(|last| last.error.as_deref()),
            http.response.status_code = next.attempts.last().and_then(|last| last.status_code),
            is_stored,
            deliveries_tried = 1_u64,
            deliveries_succeeded = u64::from(next.status == DeliveryStatus::Succeeded),
            deliveries_failed = u64::from(next.status == DeliveryStatus::Failed),
            endpoints_disabled = u64::from(disabled.is_some()),
            delivery_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "A delivery was tried."
        );
        Ok(delivered(&next))
    }

    async fn give_up_delivery(&self, organization: &Organization, taken: &Delivery, reason: Reason) -> Result<Delivered, Error> {
        let next = taken.given_up(reason, self.clock.now_ms());
        self.records.change_delivery(organization, taken, &next).await?;
        tracing::info!(%organization, delivery = %next.id, endpoint = %next.endpoint, ?reason, "A delivery was given up.");
        Ok(Delivered::Failed)
    }

    /// What is sent; `None`: it is a mail, and the deployment has no address any more to send it from.
    async fn parcel(
        &self,
        organization: &Organization,
        endpoint: &Endpoint,
        delivery: &Delivery,
        now_ms: i64,
    ) -> Result<Option<Parcel>, Error> {
        if endpoint.kind == Kind::Email {
            let Some(from) = &self.config.email_sender else { return Ok(None) };
            let wrong = |error| Error::Internal(format!("the delivery {} is no mail: {error}", delivery.id));
            let mail: Mail = serde_json::from_str(&delivery.body).map_err(wrong)?;
            let to = endpoint.url.strip_prefix(SCHEME).unwrap_or_default();
            return self.mailer.parcel(&mail.request(from, to, delivery.event.as_str())).await.map(Some);
        }
        let mut headers = Vec::new();
        if endpoint.kind == Kind::Webhook {
            let (key, at) = (self.webhook_key().await?, now_ms.div_euclid(1_000));
            let sign =
                |salt: &str| key.secret(organization, &endpoint.id, salt)?.sign(delivery.event.as_str(), at, &delivery.body);
            let signatures: Vec<String> = endpoint.signing(now_ms).filter_map(sign).collect();
            headers.extend([
                ("webhook-id", delivery.event.to_string()),
                ("webhook-timestamp", at.to_string()),
                ("webhook-signature", signatures.join(" ")),
            ]);
        }
        Ok(Some(Parcel { url: endpoint.url.clone(), headers, body: delivery.body.clone() }))
    }

    /// Notes on an endpoint how a try ended, if that changes anything; returns why it is disabled now, if it is by this.
    async fn note_answer(
        &self,
        organization: &Organization,
        mut endpoint: Endpoint,
        answer: &Answer,
        now_ms: i64,
    ) -> Result<Option<Disabled>, Error> {
        let mut waits = changes();
        loop {
            let Some(next) = endpoint.after(answer, now_ms) else { return Ok(None) };
            let told = next.disabled.map(|why| disabled(organization, &next, why, now_ms));
            if self.records.change_endpoint(organization, endpoint.revision, &next, told.as_ref()).await? {
                if let Some(why) = next.disabled {
                    tracing::warn!(%organization, endpoint = %next.id, ?why, failures = next.failures, "An endpoint was disabled.");
                }
                return Ok(next.disabled);
            }
            let Some(wait) = waits.next() else {
                // One failure that is not counted changes little.
                return Ok(None);
            };
            sleep(wait).await;
            let Some(changed) = self.records.endpoint(organization, &endpoint.id).await? else { return Ok(None) };
            endpoint = changed;
        }
    }

    /// Has what is due sent, found in the index of open work; returns how many deliveries there are.
    ///
    /// # Errors
    /// [`Error::Aws`]: the index cannot be read.
    pub(in crate::verbs) async fn sweep_deliveries(&self) -> Result<u64, Error> {
        let now = self.clock.now_ms();
        let shards = (0..OPEN_SHARDS).map(|shard| self.records.due(shard, now, DUE_OF_A_SHARD_MAX));
        let mut due: Vec<(Organization, DeliveryId)> =
            futures::future::try_join_all(shards).await?.into_iter().flatten().collect();
        let count = due.len() as u64;
        due.sort_unstable();
        for of_one in due.chunk_by(|(one, _), (other, _)| one == other) {
            let Some((organization, _)) = of_one.first() else { continue };
            self.have_delivered(organization, of_one.iter().map(|(_, id)| id.clone()).collect()).await;
        }
        Ok(count)
    }
}

const fn delivered(next: &Delivery) -> Delivered {
    match next.status {
        DeliveryStatus::Succeeded => Delivered::Succeeded,
        DeliveryStatus::Failed => Delivered::Failed,
        DeliveryStatus::Pending => Delivered::Again,
    }
}

fn disabled(organization: &Organization, endpoint: &Endpoint, why: Disabled, now_ms: i64) -> Notification {
    let data = Map::from_iter([
        ("url".to_owned(), json!(endpoint.shown_url())),
        ("reason".to_owned(), json!(why)),
        ("failures".to_owned(), json!(endpoint.failures)),
        ("failing_since".to_owned(), json!(endpoint.failing_since.map(rfc3339))),
    ]);
    let to = Notify { webhook: true, users: endpoint.user.iter().cloned().collect() };
    Notification::at_moment(organization, EventType::EndpointDisabled, endpoint.id.as_str(), now_ms, data, &to)
}
