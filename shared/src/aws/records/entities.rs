//! Entities of subjects.

use aws_sdk_dynamodb::types::{AttributeValue, ConditionCheck, Put, TransactWriteItem};
use serde::Serialize;

use super::key::{ENTITIES, Key};
use super::listing::{BATCH_GET, BATCH_GET_MAX};
use super::transactions::{IntoItem, Transacted};
use super::{IS_NEW, Records};
use crate::audit::Entry;
use crate::aws::clients::unexpected;
use crate::aws::tables::{query_all, query_page};
use crate::entities::{Brief, Entity};
use crate::error::Error;
use crate::ids::{EntityId, ImportId, SubjectKey};
use crate::notifications::Notification;

/// The items of a transaction.
const ITEMS_MAX: usize = 100;
/// What a transaction checks beside its entities: the subject, and the import.
const CHECKS: usize = 2;
/// Entities that one transaction changes: each has its entry in the audit, and may have a note and a notification.
pub const ENTITIES_AT_ONCE: usize = (ITEMS_MAX - CHECKS) / 4;
/// The same of an import, whose entities have neither note nor notification.
pub const IMPORTED_AT_ONCE: usize = (ITEMS_MAX - CHECKS) / 2;

/// A change of an entity.
#[derive(Debug, Clone)]
pub struct EntityChange {
    /// The revision that it was made from; 0: there was no such entity.
    pub from: u64,
    /// What the entity is since.
    pub entity: Entity,
    /// The entry in the audit.
    pub entry: Entry,
    /// What receivers are told.
    pub told: Option<Notification>,
}

/// The result of [`Records::change_entities`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntitiesWritten {
    /// All changes are written.
    Stored,
    /// These entities, by their place, have changed since they were read; nothing is written.
    Changed(Vec<usize>),
    /// The subject is gone, or being deleted; nothing is written.
    SubjectGone,
    /// The import is not `started` any more: nothing is stored.
    ImportChanged,
}

/// A page of entities.
#[derive(Debug, Clone, Default)]
pub struct EntityPage {
    /// Entities, by their ids.
    pub entities: Vec<Entity>,
    /// Whether there may be more.
    pub has_more: bool,
}

impl Records {
    /// Writes changes of a subject's entities with their entries in the audit: all, or none. At most [`ENTITIES_AT_ONCE`], or
    /// [`IMPORTED_AT_ONCE`] of an import. Those of an import
    /// are written while it is `started`: one that is reverted beside it is not gone on with.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn change_entities(
        &self,
        key: &SubjectKey,
        changes: &[EntityChange],
        by: Option<&ImportId>,
    ) -> Result<EntitiesWritten, Error> {
        let mut items = vec![self.subject_check(key)?];
        items.extend(by.map(|import| self.import_check(key, import)).transpose()?);
        let mut owners = vec![None; items.len()];
        for (place, change) in changes.iter().enumerate() {
            items.push(self.put_revision(Key::Entity(key, &change.entity.id), &change.entity, change.from)?.into_item());
            items.extend(self.audit_items(&key.organization, &change.entry)?);
            items.extend(change.told.as_ref().map(|told| self.notification_put(told)).transpose()?);
            owners.resize(items.len(), Some(place));
        }
        Ok(match self.transact(items).await? {
            Transacted::Done => EntitiesWritten::Stored,
            Transacted::Refused(held) if held.first() == Some(&false) => EntitiesWritten::SubjectGone,
            Transacted::Refused(held) if by.is_some() && held.get(1) == Some(&false) => EntitiesWritten::ImportChanged,
            Transacted::Refused(held) => {
                let refused = owners.iter().zip(held).filter(|(_, held)| !held).filter_map(|(owner, _)| *owner);
                let mut places: Vec<usize> = refused.collect();
                places.dedup();
                EntitiesWritten::Changed(places)
            }
        })
    }

    /// The put of a row that counts its changes in `revision`, in place of the one with the revision `from`; 0: of none.
    pub(super) fn put_revision<R: Serialize>(&self, key: Key<'_>, row: &R, from: u64) -> Result<Put, Error> {
        if from == 0 {
            return self.put_in_transaction(key, row, Some(IS_NEW));
        }
        let mut put = self.put_in_transaction(key, row, Some("revision = :held"))?;
        put.expression_attribute_values = Some([(":held".to_owned(), AttributeValue::N(from.to_string()))].into());
        Ok(put)
    }

    /// The condition that a subject is there, for a transaction that writes what belongs to it.
    pub(super) fn subject_check(&self, key: &SubjectKey) -> Result<TransactWriteItem, Error> {
        let check = ConditionCheck::builder().table_name(&self.table).set_key(Some(Key::Subject(key).item()));
        let check = check.condition_expression("attribute_exists(pk) AND attribute_not_exists(deleting)").build();
        let check = check.map_err(|error| unexpected("dynamodb TransactWriteItems", error))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    /// The condition that an import goes on.
    fn import_check(&self, key: &SubjectKey, import: &ImportId) -> Result<TransactWriteItem, Error> {
        let check = ConditionCheck::builder().table_name(&self.table).set_key(Some(Key::Import(key, import).item()));
        let check = check
            .condition_expression("#state = :started")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":started", AttributeValue::S("started".to_owned()))
            .build();
        let check = check.map_err(|error| unexpected("dynamodb TransactWriteItems", error))?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    /// An entity.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn entity(&self, key: &SubjectKey, id: &EntityId) -> Result<Option<Entity>, Error> {
        self.get_row(Key::Entity(key, id)).await
    }

    /// Entities by their ids as they are stored now, in no order; those that are not there are left out.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn entities_of(&self, key: &SubjectKey, ids: &[&EntityId]) -> Result<Vec<Entity>, Error> {
        let mut rows = Vec::with_capacity(ids.len());
        for some in ids.chunks(BATCH_GET_MAX) {
            // What is planned by a state that is no longer so would be refused, or would be taken for done.
            rows.extend(self.get_items_at(some.iter().map(|id| Key::Entity(key, id).item()).collect(), true).await?);
        }
        serde_dynamo::from_items(rows).map_err(|error| unexpected(BATCH_GET, error))
    }

    /// All entities of a subject without their content, by their ids.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn entity_briefs(&self, key: &SubjectKey) -> Result<Vec<Brief>, Error> {
        let query = self.dynamodb.query().table_name(&self.table);
        let query = query
            .key_condition_expression("pk = :pk AND begins_with(sk, :entities)")
            .projection_expression("id, kind, #state, parent")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":pk", AttributeValue::S(key.partition()))
            .expression_attribute_values(":entities", AttributeValue::S(ENTITIES.into()))
            .consistent_read(true)
            .return_consumed_capacity(aws_sdk_dynamodb::types::ReturnConsumedCapacity::Total);
        let rows = query_all(query, &self.meter).await?;
        serde_dynamo::from_items(rows).map_err(|error| unexpected("dynamodb Query", error))
    }

    /// The entities of a subject behind `after`, by their ids: at most `limit` are looked at.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn entities(&self, key: &SubjectKey, after: Option<&EntityId>, limit: usize) -> Result<EntityPage, Error> {
        let (mut entities, mut start) = (Vec::new(), after.map(|after| Key::Entity(key, after).item()));
        loop {
            let query = self.dynamodb.query().table_name(&self.table);
            let query = query
                .key_condition_expression("pk = :pk AND begins_with(sk, :entities)")
                .expression_attribute_values(":pk", AttributeValue::S(key.partition()))
                .expression_attribute_values(":entities", AttributeValue::S(ENTITIES.into()))
                .consistent_read(true)
                .limit(i32::try_from(limit.saturating_sub(entities.len())).unwrap_or(i32::MAX))
                .set_exclusive_start_key(start)
                .return_consumed_capacity(aws_sdk_dynamodb::types::ReturnConsumedCapacity::Total);
            let page = query_page(query, &self.meter).await?;
            for row in page.items.unwrap_or_default() {
                entities.push(serde_dynamo::from_item(row).map_err(|error| unexpected("dynamodb Query", error))?);
            }
            start = page.last_evaluated_key;
            if start.is_none() || entities.len() >= limit {
                return Ok(EntityPage { entities, has_more: start.is_some() });
            }
        }
    }
}
