//! Endpoints, and the deliveries to them.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, Put, ReturnConsumedCapacity};
use serde::{Deserialize, Serialize};

use super::key::{self, BY_OPEN, BY_ORGANIZATION, Key};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, Records, item};
use crate::aws::clients::{aws_error, unexpected};
use crate::aws::tables::{Item, delete_all, query_all, query_page, query_partition};
use crate::clock::{millis_of, rfc3339};
use crate::error::Error;
use crate::ids::{DeliveryId, EndpointId, Organization};
use crate::limits::NOTIFICATION_TTL;
use crate::notifications::Notification;
use crate::notifications::delivery::Delivery;
use crate::notifications::endpoint::Endpoint;

const PUT: &str = "dynamodb PutItem";

/// A page of the deliveries to an endpoint.
#[derive(Debug, Clone, Default)]
pub struct DeliveryPage {
    /// Them, newest first.
    pub deliveries: Vec<Delivery>,
    /// Whether there are more.
    pub has_more: bool,
    /// The last one that was looked at.
    pub last: Option<DeliveryId>,
}

#[derive(Serialize)]
struct DeliveryRow<'a> {
    #[serde(flatten)]
    delivery: &'a Delivery,
    /// Partition key of [`BY_ORGANIZATION`], whose sort key is the delivery's id.
    organization: String,
    generation: &'a DeliveryId,
    /// Partition key of [`BY_OPEN`] while it is pending, whose sort key begins with the time at which it is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    open: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_at: Option<String>,
    /// Epoch seconds.
    expires_at: i64,
}

#[derive(Deserialize)]
struct KeyOnly {
    pk: String,
}

impl KeyOnly {
    /// The organization and the delivery of a partition key.
    fn delivery(&self) -> Option<(Organization, DeliveryId)> {
        let (organization, delivery) = self.pk.split_once("#delivery:")?;
        Some((organization.parse().ok()?, delivery.parse().ok()?))
    }
}

impl<'a> DeliveryRow<'a> {
    fn of(organization: &Organization, delivery: &'a Delivery) -> Self {
        let created = millis_of(&delivery.created_at).unwrap_or_default() / 1_000;
        Self {
            organization: key::deliveries_to(organization, &delivery.endpoint),
            generation: &delivery.id,
            open: delivery.due_ms.map(|_| key::due_shard(&delivery.id)),
            open_at: delivery.due_ms.map(|due| format!("{}#{}", rfc3339(due), delivery.id)),
            expires_at: created + NOTIFICATION_TTL.as_secs().cast_signed(),
            delivery,
        }
    }
}

impl Records {
    /// An organization's endpoints, oldest first.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn endpoints(&self, organization: &Organization) -> Result<Vec<Endpoint>, Error> {
        let query = query_partition(&self.dynamodb, &self.table, key::endpoints(organization)).consistent_read(true);
        let rows = query_all(query, &self.meter).await?;
        serde_dynamo::from_items(rows).map_err(|error| unexpected("dynamodb Query", error))
    }

    /// An endpoint.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn endpoint(&self, organization: &Organization, id: &EndpointId) -> Result<Option<Endpoint>, Error> {
        self.get_row(Key::Endpoint(organization, id)).await
    }

    /// Stores a new endpoint.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_endpoint(&self, organization: &Organization, endpoint: &Endpoint) -> Result<(), Error> {
        self.put(Key::Endpoint(organization, &endpoint.id), endpoint).await
    }

    /// Writes the next state of an endpoint, in place of the one that was read at `revision`; with it `notification`, which it makes true.
    /// `false`: it has changed since, or is gone.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn change_endpoint(
        &self,
        organization: &Organization,
        revision: u64,
        next: &Endpoint,
        notification: Option<&Notification>,
    ) -> Result<bool, Error> {
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item(Key::Endpoint(organization, &next.id), next)?))
            .condition_expression("revision = :held")
            .expression_attribute_values(":held", AttributeValue::N(revision.to_string()))
            .build()
            .map_err(|error| unexpected(PUT, error))?;
        match notification {
            None => self.put_alone(put).await,
            Some(notification) => {
                let items = vec![put.into_item(), self.notification_put(notification)?];
                Ok(self.transact(items).await? == Transacted::Done)
            }
        }
    }

    /// Deletes an endpoint. What is on its way to it fails.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete_endpoint(&self, organization: &Organization, id: &EndpointId) -> Result<(), Error> {
        delete_all(&self.dynamodb, &self.table, &[Key::Endpoint(organization, id).item()], &self.meter).await
    }

    /// Stores a new delivery. `false`: it was stored before.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_delivery(&self, organization: &Organization, delivery: &Delivery) -> Result<bool, Error> {
        let key = Key::Delivery(organization, &delivery.id);
        let put = self.put_in_transaction(key, &DeliveryRow::of(organization, delivery), Some(IS_NEW))?;
        self.put_alone(put).await
    }

    /// A delivery.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delivery(&self, organization: &Organization, id: &DeliveryId) -> Result<Option<Delivery>, Error> {
        self.get_row(Key::Delivery(organization, id)).await
    }

    /// Writes the next state of a pending delivery, in place of `held`. `false`: somebody else has changed it since.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn change_delivery(&self, organization: &Organization, held: &Delivery, next: &Delivery) -> Result<bool, Error> {
        let number = |number: i64| AttributeValue::N(number.to_string());
        let key = Key::Delivery(organization, &next.id);
        let mut put = self.put_in_transaction(key, &DeliveryRow::of(organization, next), None)?;
        let lease = if held.leased_until.is_some() { "leased_until = :lease" } else { "attribute_not_exists(leased_until)" };
        // Only a pending delivery has a time at which it is due.
        put.condition_expression = Some(format!("tries = :tries AND attribute_exists(due_ms) AND {lease}"));
        let lease = held.leased_until.map(|until| (":lease".to_owned(), number(until)));
        let values = [(":tries".to_owned(), number(held.tries.into()))].into_iter().chain(lease);
        put.expression_attribute_values = Some(values.collect());
        self.put_alone(put).await
    }

    /// Deliveries that are due at `now_ms`, the oldest first, up to `limit`, of one shard.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn due(&self, shard: u8, now_ms: i64, limit: i32) -> Result<Vec<(Organization, DeliveryId)>, Error> {
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_OPEN);
        let query = query
            .key_condition_expression("#open = :shard AND open_at < :now")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":shard", AttributeValue::S(key::due(shard)))
            // Behind every id at this very moment.
            .expression_attribute_values(":now", AttributeValue::S(format!("{}$", rfc3339(now_ms))))
            .limit(limit)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query_page(query, &self.meter).await?;
        let read = |row: &Item| serde_dynamo::from_item(row.clone()).ok().and_then(|key: KeyOnly| key.delivery());
        Ok(page.items().iter().filter_map(read).collect())
    }

    /// Deliveries to an endpoint, newest first, those older than `after` and not older than `since_ms`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn deliveries(
        &self,
        organization: &Organization,
        endpoint: &EndpointId,
        after: Option<&DeliveryId>,
        since_ms: i64,
        limit: usize,
    ) -> Result<DeliveryPage, Error> {
        let (first, last) = (DeliveryId::first_at(since_ms), after.map_or_else(|| "dlv_\u{7f}".to_owned(), ToString::to_string));
        if first.as_str() > last.as_str() {
            return Ok(DeliveryPage::default());
        }
        let query = self.dynamodb.query().table_name(&self.table).index_name(BY_ORGANIZATION);
        let query = query
            .key_condition_expression("organization = :endpoint AND generation BETWEEN :first AND :last")
            .expression_attribute_values(":endpoint", AttributeValue::S(key::deliveries_to(organization, endpoint)))
            .expression_attribute_values(":first", AttributeValue::S(first.to_string()))
            .expression_attribute_values(":last", AttributeValue::S(last))
            .scan_index_forward(false)
            .limit(i32::try_from(limit + 2).unwrap_or(i32::MAX))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let page = query_page(query, &self.meter).await?;
        let mut ids: Vec<DeliveryId> = Vec::with_capacity(page.items().len());
        for row in page.items() {
            let key: KeyOnly = serde_dynamo::from_item(row.clone()).map_err(|error| unexpected("dynamodb Query", error))?;
            ids.extend(key.delivery().map(|(_, id)| id).filter(|id| Some(id) != after));
        }
        let has_more = ids.len() > limit;
        ids.truncate(limit);
        let rows = self.get_items(ids.iter().map(|id| Key::Delivery(organization, id).item()).collect()).await?;
        let mut deliveries: Vec<Delivery> =
            serde_dynamo::from_items(rows).map_err(|error| unexpected("dynamodb BatchGetItem", error))?;
        deliveries.sort_unstable_by(|one, other| other.id.cmp(&one.id));
        Ok(DeliveryPage { deliveries, has_more, last: ids.pop() })
    }

    /// Applies one put by itself. `false`: its condition does not hold.
    pub(super) async fn put_alone(&self, put: Put) -> Result<bool, Error> {
        let single = self
            .dynamodb
            .put_item()
            .table_name(put.table_name)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_values(put.expression_attribute_values)
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match single.send().await {
            Ok(answer) => {
                self.meter.wrote(answer.consumed_capacity());
                Ok(true)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => {
                    self.meter.wrote(None);
                    Ok(false)
                }
                _ => Err(aws_error(PUT)(error)),
            },
        }
    }
}
