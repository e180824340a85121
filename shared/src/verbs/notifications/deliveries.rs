//! The log of deliveries, and deliveries again.

use serde::{Deserialize, Serialize};
use serde_json::Map;

use crate::app::App;
use crate::clock::{millis_of, rfc3339};
use crate::error::Error;
use crate::ids::{DeliveryId, EndpointId, EventId, Organization};
use crate::limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, LIST_SCAN_MAX, RECOVERED_AT_ONCE};
use crate::notifications::delivery::{Attempt, Delivery, DeliveryStatus};
use crate::notifications::notify::Notify;
use crate::notifications::schedule::Reason;
use crate::notifications::{EventType, Notification, render};
use crate::verbs::generations::list::page_limit;

/// A delivery as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryView {
    /// Its id.
    pub id: DeliveryId,
    /// Always `delivery`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// Where it goes.
    pub endpoint: EndpointId,
    /// The event: what the receiver gets as `webhook-id`.
    pub event: EventId,
    /// The event's type, as the endpoint is told it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status.
    pub status: DeliveryStatus,
    /// Why it has failed.
    pub reason: Option<Reason>,
    /// Tries that have ended.
    pub tries: u32,
    /// The newest of them, oldest first.
    pub attempts: Vec<Attempt>,
    /// When it is tried next, RFC 3339.
    pub next_attempt_at: Option<String>,
    /// The delivery that it repeats.
    pub resend_of: Option<DeliveryId>,
    /// What is sent.
    pub body: String,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub ended_at: Option<String>,
}

/// A page of deliveries, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// Them. With a status, a page may have fewer than there are, and none.
    pub data: Vec<DeliveryView>,
    /// Whether there may be more.
    pub has_more: bool,
    /// The `after` of the next page: the last delivery that was looked at.
    pub last_id: Option<DeliveryId>,
}

/// What was sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recovered {
    /// Always `recovery`.
    #[serde(skip_deserializing, default = "recovery")]
    pub object: &'static str,
    /// Failed deliveries that are sent again.
    pub failed: usize,
    /// Events that the endpoint had missed, because it was disabled or not there yet.
    pub missed: usize,
    /// Whether there may be more: the same call again sends them.
    pub has_more: bool,
}

const fn object() -> &'static str {
    "delivery"
}

const fn list() -> &'static str {
    "list"
}

const fn recovery() -> &'static str {
    "recovery"
}

impl App {
    /// Sends an endpoint an event that says nothing, also where it is disabled. How it fares is in the log of deliveries, and changes nothing
    /// about the endpoint.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`], [`Error::Aws`].
    pub async fn test_endpoint(&self, organization: &Organization, id: &EndpointId) -> Result<DeliveryView, Error> {
        let (endpoint, now) = (self.endpoint(organization, id).await?, self.clock.now_ms());
        let test = EventType::TestPing;
        let ping = Notification::at_moment(organization, test, id.as_str(), now, Map::new(), &Notify::default());
        let body = render::body(&ping, &endpoint, test.as_str());
        self.send(organization, Delivery::new(&ping, id, test.as_str().to_owned(), body, now)).await
    }

    /// A page of the deliveries to an endpoint, newest first, those behind `after`, of this status.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`]; [`Error::InvalidRequest`]: `limit` is out of bounds. [`Error::Aws`].
    pub async fn deliveries(
        &self,
        organization: &Organization,
        id: &EndpointId,
        status: Option<DeliveryStatus>,
        after: Option<DeliveryId>,
        limit: Option<usize>,
    ) -> Result<DeliveryList, Error> {
        let limit = page_limit(limit, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX)?;
        self.endpoint(organization, id).await?;
        let mut page = DeliveryList { object: "list", data: Vec::new(), has_more: true, last_id: after };
        let mut scanned = 0;
        while page.has_more && page.data.len() < limit && scanned < LIST_SCAN_MAX {
            let most = if status.is_some() { LIST_LIMIT_MAX - 2 } else { limit - page.data.len() };
            let found = self.records.deliveries(organization, id, page.last_id.as_ref(), 0, most).await?;
            (page.has_more, scanned) = (found.has_more, scanned + most);
            page.last_id = found.last.or(page.last_id);
            let mut selected =
                found.deliveries.into_iter().filter(|delivery| status.is_none_or(|status| delivery.status == status));
            page.data.extend(selected.by_ref().take(limit - page.data.len()).map(DeliveryView::of));
            if selected.next().is_some() {
                page.has_more = true;
                page.last_id = page.data.last().map(|delivery| delivery.id.clone());
            }
        }
        page.last_id = page.last_id.filter(|_| page.has_more || !page.data.is_empty());
        Ok(page)
    }

    /// Sends an event again to the endpoint of a delivery that has ended. It is another delivery, of the same event.
    ///
    /// # Errors
    /// [`Error::DeliveryNotFound`]; [`Error::DeliveryPending`]; [`Error::EndpointNotFound`]; [`Error::Aws`].
    pub async fn resend(&self, organization: &Organization, id: &DeliveryId) -> Result<DeliveryView, Error> {
        let found = self.records.delivery(organization, id).await?;
        let delivery = found.ok_or_else(|| Error::DeliveryNotFound(id.to_string()))?;
        if delivery.status == DeliveryStatus::Pending {
            return Err(Error::DeliveryPending(id.to_string()));
        }
        self.endpoint(organization, &delivery.endpoint).await?;
        let distinct = format!("{:032x}", fastrand::u128(..));
        self.send(organization, delivery.again(self.clock.now_ms(), self.clock.now_ms(), &distinct)).await
    }

    /// Sends again what has failed since `since_ms`, each failure once, however often this is called; and what the endpoint has missed of the
    /// events that are kept, which those of generations are not. At most [`RECOVERED_AT_ONCE`] each.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`]; [`Error::EndpointDisabled`]; [`Error::Aws`].
    pub async fn recover(&self, organization: &Organization, id: &EndpointId, since_ms: i64) -> Result<Recovered, Error> {
        let endpoint = self.endpoint(organization, id).await?;
        if endpoint.disabled.is_some() {
            return Err(Error::EndpointDisabled(id.to_string()));
        }
        let now = self.clock.now_ms();
        let mut recovered = Recovered { object: "recovery", failed: 0, missed: 0, has_more: false };
        let (mut new, mut after) = (Vec::new(), None);
        'pages: loop {
            let page = self.records.deliveries(organization, id, after.as_ref(), since_ms, LIST_LIMIT_MAX - 2).await?;
            for delivery in page.deliveries.into_iter().filter(|delivery| delivery.status == DeliveryStatus::Failed) {
                if new.len() >= RECOVERED_AT_ONCE {
                    recovered.has_more = true;
                    break 'pages;
                }
                let ended = delivery.ended_at.as_deref().and_then(millis_of).unwrap_or_default();
                let again = delivery.again(ended, now, "recover");
                if self.records.put_delivery(organization, &again).await? {
                    new.push(again.id);
                }
            }
            after = page.last;
            if !page.has_more || after.is_none() {
                break;
            }
        }
        recovered.failed = new.len();
        for event in self.records.notifications_since(organization, since_ms).await? {
            if recovered.missed >= RECOVERED_AT_ONCE {
                recovered.has_more = true;
                break;
            }
            let Some(notification) = self.records.notification(organization, &event).await? else { continue };
            if notification.webhook {
                let missed = self.address(&notification, std::slice::from_ref(&endpoint)).await?;
                recovered.missed += missed.len();
                new.extend(missed);
            }
        }
        self.have_delivered(organization, new).await;
        tracing::info!(%organization, endpoint = %id, failed = recovered.failed, missed = recovered.missed, "Deliveries are sent again.");
        Ok(recovered)
    }

    async fn send(&self, organization: &Organization, delivery: Delivery) -> Result<DeliveryView, Error> {
        self.records.put_delivery(organization, &delivery).await?;
        self.have_delivered(organization, vec![delivery.id.clone()]).await;
        Ok(DeliveryView::of(delivery))
    }
}

impl DeliveryView {
    fn of(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            object: "delivery",
            endpoint: delivery.endpoint,
            event: delivery.event,
            kind: delivery.name,
            status: delivery.status,
            reason: delivery.reason,
            tries: delivery.tries,
            attempts: delivery.attempts,
            next_attempt_at: delivery.due_ms.map(rfc3339),
            resend_of: delivery.resend_of,
            body: delivery.body,
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
        }
    }
}
