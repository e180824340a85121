//! The accepted generation of a subject, and the record of an accepted generation.

use aws_sdk_dynamodb::types::{AttributeValue, Update};
use serde::Serialize;

use super::Records;
use super::key::Key;
use super::subjects::listed;
use super::transactions::{IntoItem, Transacted};
use crate::acceptance::{Acceptance, AcceptedFor};
use crate::audit::Entry;
use crate::aws::clients::unexpected;
use crate::aws::tables::Item;
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey, SubjectId, SubjectKey};

const UPDATE: &str = "dynamodb UpdateItem";

/// The result of [`Records::accept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptWritten {
    /// It is accepted.
    Stored,
    /// The subject, the record, or the record of the replaced generation has changed since it was read; nothing is written.
    Changed,
}

/// What an acceptance is written with.
#[derive(Debug, Clone, Copy)]
pub struct AcceptChange<'a> {
    /// The revision of the acceptance that was read; `None`: there was none.
    pub held: Option<u64>,
    /// The subject that the generation's record may name already.
    pub of: &'a SubjectId,
    /// The generation whose record tells no more that it is accepted; `None`: there is none, or its record is gone.
    pub replaced: Option<&'a GenerationId>,
    /// The entry in the audit.
    pub entry: &'a Entry,
}

#[derive(Serialize)]
struct AcceptedAttribute<'a> {
    accepted: &'a Acceptance,
}

impl Records {
    /// Writes that a generation is accepted for a subject, which appears with it: on the subject, on the record, and in the audit.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn accept(
        &self,
        key: &SubjectKey,
        acceptance: &Acceptance,
        change: AcceptChange<'_>,
    ) -> Result<AcceptWritten, Error> {
        let generation = GenerationKey::new(key.organization.clone(), acceptance.generation.clone());
        let mut items = vec![
            self.acceptance_update(key, acceptance, change.held)?.into_item(),
            self.accepted_record_update(&generation, key, acceptance, change.of)?.into_item(),
        ];
        items.extend(self.audit_items(&key.organization, change.entry)?);
        if let Some(replaced) = change.replaced {
            let replaced = GenerationKey::new(key.organization.clone(), replaced.clone());
            items.push(self.replaced_record_update(&replaced, key, &acceptance.accepted_at)?.into_item());
        }
        Ok(match self.transact(items).await? {
            Transacted::Done => AcceptWritten::Stored,
            Transacted::Refused(_) => AcceptWritten::Changed,
        })
    }

    fn acceptance_update(&self, key: &SubjectKey, acceptance: &Acceptance, held: Option<u64>) -> Result<Update, Error> {
        let mut fields: Item =
            serde_dynamo::to_item(AcceptedAttribute { accepted: acceptance }).map_err(|error| unexpected(UPDATE, error))?;
        let [organization, subject] = listed(key);
        let at = AttributeValue::S(acceptance.accepted_at.clone());
        fields.extend([
            ("organization".to_owned(), organization),
            ("generation".to_owned(), subject),
            ("updated_at".to_owned(), at.clone()),
        ]);
        let rest = ", created_at = if_not_exists(created_at, :at)";
        match held {
            None => {
                let condition = "attribute_not_exists(deleting) AND attribute_not_exists(accepted)";
                self.set_in_transaction(Key::Subject(key), fields, condition, rest, [], [(":at", at)])
            }
            Some(held) => {
                let condition = "attribute_not_exists(deleting) AND accepted.revision = :held";
                let held = AttributeValue::N(held.to_string());
                self.set_in_transaction(Key::Subject(key), fields, condition, rest, [], [(":at", at), (":held", held)])
            }
        }
    }

    fn accepted_record_update(
        &self,
        generation: &GenerationKey,
        key: &SubjectKey,
        acceptance: &Acceptance,
        of: &SubjectId,
    ) -> Result<Update, Error> {
        let accepted = AcceptedFor {
            accepted_subject: key.subject.clone(),
            accepted_at: acceptance.accepted_at.clone(),
            accepted_by: acceptance.accepted_by.clone(),
        };
        let mut fields: Item = serde_dynamo::to_item(accepted).map_err(|error| unexpected(UPDATE, error))?;
        // The trigger of `meter` tells by it that this is not the end.
        fields.insert("revised_at".to_owned(), AttributeValue::S(acceptance.accepted_at.clone()));
        let condition = "attribute_exists(compacted_at) AND (attribute_not_exists(accepted_subject) OR accepted_subject = :of)";
        let of = AttributeValue::S(of.to_string());
        self.set_in_transaction(Key::Record(generation), fields, condition, "", [], [(":of", of)])
    }

    pub(super) fn replaced_record_update(&self, generation: &GenerationKey, key: &SubjectKey, at: &str) -> Result<Update, Error> {
        let fields = Item::from([("revised_at".to_owned(), AttributeValue::S(at.to_owned()))]);
        let subject = AttributeValue::S(key.subject.to_string());
        let rest = "REMOVE accepted_subject, accepted_at, accepted_by";
        self.set_in_transaction(Key::Record(generation), fields, "accepted_subject = :subject", rest, [], [(":subject", subject)])
    }
}
