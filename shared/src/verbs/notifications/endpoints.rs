//! Endpoints: created, read, changed, deleted, and given new secrets.

use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::changes;
use crate::app::App;
use crate::clock::rfc3339;
use crate::error::Error;
use crate::hash::new_salt;
use crate::ids::{EndpointId, Organization, UserId};
use crate::limits::WEBHOOKS_MAX;
use crate::notifications::body::{EndpointChange, NewEndpoint};
use crate::notifications::endpoint::{Dialect, Disabled, Endpoint, EventFilter, Kind, Salt};
use crate::notifications::subscriptions::{Topic, topics};

/// An endpoint as callers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointView {
    /// Its id.
    pub id: EndpointId,
    /// Always `webhook`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// Where it is; of a Slack hook, whose address is its secret, the host alone.
    pub url: String,
    /// What it is.
    pub kind: Kind,
    /// The form of what it gets.
    pub dialect: Dialect,
    /// What it wants.
    pub events: Vec<EventFilter>,
    /// What its owner says of it.
    pub description: Option<String>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why not.
    pub disabled_reason: Option<Disabled>,
    /// When the first try failed since the last one that did not, RFC 3339.
    pub failing_since: Option<String>,
    /// Tries that failed since then.
    pub failures: u64,
    /// Until when the secret before the last rotation signs as well, RFC 3339.
    pub previous_secret_until: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
    /// The id of the key that created it.
    pub created_by: Option<String>,
    /// Who is told when it is disabled.
    pub user: Option<UserId>,
    /// The secret by which its receiver verifies signatures. Shown once: when it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// An organization's endpoints, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndpointList {
    /// Always `list`.
    #[serde(skip_deserializing, default = "list")]
    pub object: &'static str,
    /// All of them.
    pub data: Vec<EndpointView>,
}

const fn object() -> &'static str {
    "webhook"
}

const fn list() -> &'static str {
    "list"
}

impl App {
    /// Creates an endpoint. Its secret is in the answer, and nowhere else.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`]: there are [`WEBHOOKS_MAX`] already. [`Error::Configuration`], [`Error::Aws`].
    pub async fn create_endpoint(&self, organization: &Organization, new: NewEndpoint) -> Result<EndpointView, Error> {
        if self.records.endpoints(organization).await?.len() >= WEBHOOKS_MAX {
            let expected = format!("cannot be one more: an organization has at most {WEBHOOKS_MAX} endpoints");
            return Err(Error::invalid("", expected));
        }
        let now = self.clock.now_ms();
        let salts = match new.kind {
            Kind::Webhook => vec![Salt { salt: new_salt().map_err(Error::Configuration)?, until_ms: None }],
            Kind::Slack | Kind::Email => Vec::new(),
        };
        let endpoint = Endpoint {
            id: EndpointId::new(now),
            url: new.url,
            kind: new.kind,
            dialect: new.dialect,
            events: new.events,
            description: new.description,
            disabled: (!new.enabled).then_some(Disabled::ByOwner),
            salts,
            failing_since: None,
            failures: 0,
            revision: 1,
            created_at: rfc3339(now),
            updated_at: rfc3339(now),
            created_by: self.caller_name(),
            user: self.user.clone(),
        };
        let secret = self.secret_of(organization, &endpoint).await?;
        self.records.put_endpoint(organization, &endpoint).await?;
        // After the row: whoever takes topics away reads the rows, and sees this one, or that topics were added meanwhile.
        self.add_wanted_topics(organization, &endpoint).await?;
        tracing::info!(%organization, endpoint = %endpoint.id, kind = ?endpoint.kind, "An endpoint was created.");
        Ok(EndpointView { secret, ..EndpointView::of(endpoint, now) })
    }

    /// An organization's endpoints.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn list_endpoints(&self, organization: &Organization) -> Result<EndpointList, Error> {
        let now = self.clock.now_ms();
        let endpoints = self.records.endpoints(organization).await?;
        Ok(EndpointList { object: "list", data: endpoints.into_iter().map(|endpoint| EndpointView::of(endpoint, now)).collect() })
    }

    /// An endpoint.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`], [`Error::Aws`].
    pub async fn endpoint_view(&self, organization: &Organization, id: &EndpointId) -> Result<EndpointView, Error> {
        Ok(EndpointView::of(self.endpoint(organization, id).await?, self.clock.now_ms()))
    }

    /// Changes an endpoint. Enabled again, it begins without failures.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`], [`Error::EndpointContended`], [`Error::Aws`].
    pub async fn change_endpoint(
        &self,
        organization: &Organization,
        id: &EndpointId,
        change: &EndpointChange,
    ) -> Result<EndpointView, Error> {
        let now = self.clock.now_ms();
        let next = self.update_endpoint(organization, id, |endpoint| Ok(changed(endpoint, change, now))).await?;
        self.add_wanted_topics(organization, &next).await?;
        self.drop_unwanted_topics(organization).await?;
        Ok(EndpointView::of(next, now))
    }

    /// Gives an endpoint a new secret, which is in the answer. For a day, what it gets is signed by both.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`]; [`Error::InvalidRequest`]: it has none. [`Error::EndpointContended`], [`Error::Configuration`],
    /// [`Error::Aws`].
    pub async fn rotate_secret(&self, organization: &Organization, id: &EndpointId) -> Result<EndpointView, Error> {
        let now = self.clock.now_ms();
        let rotate = |endpoint: &Endpoint| match endpoint.kind {
            Kind::Webhook => Ok(endpoint.rotated(new_salt().map_err(Error::Configuration)?, now)),
            Kind::Slack => Err(Error::invalid("", "an endpoint of Slack has no secret: its address is one")),
            Kind::Email => Err(Error::invalid("", "a mailbox has no secret: nothing that it gets is signed by one")),
        };
        let next = self.update_endpoint(organization, id, rotate).await?;
        let secret = self.secret_of(organization, &next).await?;
        tracing::info!(%organization, endpoint = %id, "An endpoint has a new secret.");
        Ok(EndpointView { secret, ..EndpointView::of(next, now) })
    }

    /// Deletes an endpoint. What is on its way to it fails.
    ///
    /// # Errors
    /// [`Error::EndpointNotFound`], [`Error::Aws`].
    pub async fn delete_endpoint(&self, organization: &Organization, id: &EndpointId) -> Result<(), Error> {
        self.endpoint(organization, id).await?;
        self.records.delete_endpoint(organization, id).await?;
        self.drop_unwanted_topics(organization).await?;
        tracing::info!(%organization, endpoint = %id, "An endpoint was deleted.");
        Ok(())
    }

    pub(super) async fn endpoint(&self, organization: &Organization, id: &EndpointId) -> Result<Endpoint, Error> {
        let found = self.records.endpoint(organization, id).await?;
        found.ok_or_else(|| Error::EndpointNotFound(id.to_string()))
    }

    /// Adds the topics of an endpoint. Where they were told by a version that knew fewer, those of all endpoints.
    async fn add_wanted_topics(&self, organization: &Organization, endpoint: &Endpoint) -> Result<(), Error> {
        if self.records.settings(organization).await?.topics_known >= Topic::ALL.len() {
            return self.records.add_topics(organization, &topics([endpoint])).await;
        }
        self.records.add_topics(organization, &topics(&self.records.endpoints(organization).await?)).await?;
        self.records.put_topics_known(organization).await
    }

    /// Takes away topics that no endpoint wants any more. Where others add some at the same time, one too many may stay, which costs a
    /// little and loses nothing.
    async fn drop_unwanted_topics(&self, organization: &Organization) -> Result<(), Error> {
        // Before the endpoints: what is added since is noticed by the revision.
        let settings = self.records.settings(organization).await?;
        let wanted = topics(&self.records.endpoints(organization).await?);
        let unwanted = settings.topics.difference(&wanted).copied().collect();
        self.records.remove_topics(organization, &unwanted, settings.topics_revision).await.map(drop)
    }

    async fn update_endpoint(
        &self,
        organization: &Organization,
        id: &EndpointId,
        change: impl Fn(&Endpoint) -> Result<Endpoint, Error>,
    ) -> Result<Endpoint, Error> {
        let mut waits = changes();
        loop {
            let endpoint = self.endpoint(organization, id).await?;
            let next = change(&endpoint)?;
            if self.records.change_endpoint(organization, endpoint.revision, &next, None).await? {
                return Ok(next);
            }
            sleep(waits.next().ok_or_else(|| Error::EndpointContended(id.to_string()))?).await;
        }
    }

    /// The newest secret of an endpoint, to be shown to its owner.
    async fn secret_of(&self, organization: &Organization, endpoint: &Endpoint) -> Result<Option<String>, Error> {
        let Some(newest) = endpoint.salts.first() else { return Ok(None) };
        let secret = self.webhook_key().await?.secret(organization, &endpoint.id, &newest.salt);
        Ok(secret.map(|secret| secret.reveal()))
    }
}

impl EndpointView {
    fn of(endpoint: Endpoint, now_ms: i64) -> Self {
        let previous = endpoint.salts.iter().find_map(|salt| salt.until_ms.filter(|until| now_ms < *until));
        Self {
            url: endpoint.shown_url(),
            id: endpoint.id,
            object: "webhook",
            kind: endpoint.kind,
            dialect: endpoint.dialect,
            events: endpoint.events,
            description: endpoint.description,
            enabled: endpoint.disabled.is_none(),
            disabled_reason: endpoint.disabled,
            failing_since: endpoint.failing_since.map(rfc3339),
            failures: endpoint.failures,
            previous_secret_until: previous.map(rfc3339),
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
            created_by: endpoint.created_by,
            user: endpoint.user,
            secret: None,
        }
    }
}

fn changed(endpoint: &Endpoint, change: &EndpointChange, now_ms: i64) -> Endpoint {
    let mut next = Endpoint { revision: endpoint.revision + 1, updated_at: rfc3339(now_ms), ..endpoint.clone() };
    if let Some(url) = &change.url {
        next.url.clone_from(url);
    }
    if let Some(events) = &change.events {
        next.events.clone_from(events);
    }
    if let Some(description) = &change.description {
        next.description.clone_from(description);
    }
    match change.enabled {
        Some(true) => (next.disabled, next.failing_since, next.failures) = (None, None, 0),
        Some(false) => next.disabled = Some(Disabled::ByOwner),
        None => {}
    }
    next
}
