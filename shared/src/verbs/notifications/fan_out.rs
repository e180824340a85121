//! Fans a notification out: into users' lists, and to the endpoints that want it.
//!
//! May run twice, late, or beside itself: entries and deliveries have ids that follow from the event, and are stored once.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::aws::{Outcome, RecordRow};
use crate::clock::millis_of;
use crate::error::Error;
use crate::generation::Status;
use crate::generation::request::Request;
use crate::ids::{DeliveryId, Organization, SubjectKey};
use crate::limits::DELIVERIES_OF_A_JOB_MAX;
use crate::notifications::delivery::{DeliverJob, Delivery};
use crate::notifications::endpoint::Endpoint;
use crate::notifications::inbox::Entry;
use crate::notifications::notify::Notify;
use crate::notifications::subscriptions::{OnEnd, Topic};
use crate::notifications::{EventType, Notification, render};
use crate::responses::ResponseId;
use crate::subjects::version::Version;

/// What a notification came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FannedOut {
    /// Lists that it was put into, or was in already.
    pub lists: usize,
    /// Deliveries that are new.
    pub deliveries: usize,
}

impl App {
    /// Tells a notification to its users and to the endpoints that want it, and has it delivered.
    ///
    /// # Errors
    /// [`Error::Aws`]: it may be done again.
    pub async fn fan_out(&self, notification: &Notification) -> Result<FannedOut, Error> {
        let organization = &notification.organization;
        let entry = Entry::of(notification);
        let mut told = FannedOut::default();
        for user in &notification.users {
            let preferences = self.records.preferences(organization, user).await?;
            if preferences.is_none_or(|preferences| preferences.wants(notification.event)) {
                self.records.put_entry(organization, user, &entry).await?;
                told.lists += 1;
            }
        }
        if notification.webhook {
            let endpoints = self.records.endpoints(organization).await?;
            let new = self.address(notification, &endpoints).await?;
            told.deliveries = new.len();
            self.have_delivered(organization, new).await;
        }
        tracing::info!(
            event = %notification.id, r#type = %notification.event, object = notification.object, %organization,
            lists = told.lists, deliveries = told.deliveries, "An event was told."
        );
        Ok(told)
    }

    /// Stores the deliveries of a notification to those of `endpoints` that want it, and returns the new ones.
    pub(super) async fn address(&self, notification: &Notification, endpoints: &[Endpoint]) -> Result<Vec<DeliveryId>, Error> {
        let is_response = render::is_response(&render::data_of(notification));
        let mut new = Vec::new();
        for endpoint in endpoints {
            let Some(name) = endpoint.wants(notification.event, is_response) else { continue };
            let body = render::body(notification, endpoint, &name);
            let delivery = Delivery::new(notification, &endpoint.id, name, body, self.clock.now_ms());
            if self.records.put_delivery(&notification.organization, &delivery).await? {
                new.push(delivery.id);
            }
        }
        Ok(new)
    }

    /// Has deliveries sent by functions of their own. What is not invoked is due, and `sweep` invokes it.
    pub(super) async fn have_delivered(&self, organization: &Organization, deliveries: Vec<DeliveryId>) {
        for deliveries in deliveries.chunks(DELIVERIES_OF_A_JOB_MAX) {
            let job = DeliverJob { organization: organization.clone(), deliveries: deliveries.to_vec() };
            if let Err(error) = self.invoker.deliver(&job).await {
                tracing::warn!(%organization, %error, "The invoke of deliver failed; sweep will repeat it.");
            }
        }
    }

    /// The record of a new generation, with who is told of its end: whom the request names, and the organization's endpoints if one of them
    /// wants ends or versions. Where nobody does, the record stays as it is, and its end costs nothing more.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: `notify` names no users. [`Error::Aws`].
    pub(in crate::verbs) async fn told_of_end(&self, request: &Request, mut record: RecordRow) -> Result<RecordRow, Error> {
        let asked = match &request.notify {
            None => None,
            Some(asked) => Some(Notify::parse(Some(asked), "/notify", self.user.as_ref()).map_err(Error::InvalidRequest)?),
        };
        // Read with the quota, a moment ago.
        let topics = self.settings(&record.organization).await?.topics;
        let on_end = OnEnd::of(&topics, asked, request.responses.is_some(), request.subject.is_some());
        record.set_on_end(on_end.as_ref());
        Ok(record)
    }

    /// Tells the end of a generation, and the version that it has become, to whom its record names.
    ///
    /// # Errors
    /// [`Error::Aws`]: it may be done again.
    pub(in crate::verbs) async fn tell_end(&self, record: &RecordRow, number: Option<u64>) -> Result<(), Error> {
        let (Some(on_end), Some(outcome)) = (record.on_end(), &record.outcome) else { return Ok(()) };
        if on_end.webhook || !on_end.users.is_empty() {
            let to = Notify { webhook: on_end.webhook, users: on_end.users.clone() };
            if let Some(notification) = end_of(record, outcome, &on_end, &to) {
                self.fan_out(&notification).await?;
            }
        }
        if let (true, Some(subject), Some(number)) = (on_end.version, &record.subject, number) {
            let key = SubjectKey::new(record.organization.clone(), subject.clone());
            let at = millis_of(&outcome.completed_at).unwrap_or_default();
            let made =
                version_created(&key, number, Some(("generation", json!(record.generation))), "automatic_regeneration", at);
            self.fan_out(&made).await?;
        }
        Ok(())
    }

    /// What a version that was made by hand, or by a run, tells endpoints; `None`: none wants it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn version_told(
        &self,
        key: &SubjectKey,
        version: &Version,
    ) -> Result<Option<Notification>, Error> {
        if !self.settings(&key.organization).await?.topics.contains(&Topic::Versions) {
            return Ok(None);
        }
        let change = serde_json::to_value(version.change_type).unwrap_or_default();
        let at = millis_of(&version.created_at).unwrap_or_default();
        let source = version.run.as_ref().map(|run| ("run", json!(run)));
        Ok(Some(version_created(key, version.number, source, change.as_str().unwrap_or_default(), at)))
    }
}

/// The notification of a generation's end; `None`: it has none.
fn end_of(record: &RecordRow, outcome: &Outcome, on_end: &OnEnd, to: &Notify) -> Option<Notification> {
    let event = match record.status {
        Status::Completed => EventType::GenerationCompleted,
        Status::Incomplete => EventType::GenerationIncomplete,
        Status::Failed => EventType::GenerationFailed,
        Status::Cancelled => EventType::GenerationCancelled,
        Status::Pending | Status::Running => return None,
    };
    let mut data = Map::from_iter([
        ("status".to_owned(), json!(record.status)),
        ("reason".to_owned(), json!(outcome.reason)),
        ("provider".to_owned(), json!(record.provider)),
        ("model".to_owned(), json!(record.model)),
        ("subject".to_owned(), json!(record.subject)),
        ("created_at".to_owned(), json!(record.created_at)),
        ("bytes".to_owned(), json!(outcome.bytes)),
        ("usage".to_owned(), json!(outcome.usage)),
        ("cost".to_owned(), json!(outcome.cost)),
    ]);
    data.retain(|_, value| *value != Value::Null);
    if on_end.response {
        data.insert("response".to_owned(), json!(ResponseId::of(record.generation.clone()).to_string()));
    }
    let at = millis_of(&outcome.completed_at).unwrap_or_default();
    Some(Notification::new(&record.organization, event, record.generation.as_str(), at, data, to))
}

/// `source`: what the version was made from, by its kind.
fn version_created(key: &SubjectKey, number: u64, source: Option<(&str, Value)>, change: &str, at_ms: i64) -> Notification {
    let mut data = Map::from_iter([
        ("subject".to_owned(), json!(key.subject)),
        ("number".to_owned(), json!(number)),
        ("change_type".to_owned(), json!(change)),
    ]);
    data.extend(source.map(|(kind, id)| (kind.to_owned(), id)));
    let object = format!("{}/{number}", key.subject);
    // By its moment too: a subject that was deleted, and appears again, has the same numbers.
    Notification::at_moment(&key.organization, EventType::VersionCreated, &object, at_ms, data, &Notify::default())
}
