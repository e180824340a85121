//! Reading the earlier responses that a create request refers to.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::app::App;
use crate::error::Error;
use crate::ids::Organization;
use crate::responses::{Referred, ResponseId, input_items, referred_responses, with_context};

impl App {
    /// The fields of a create request with the conversation that they refer to as their input.
    ///
    /// # Errors
    /// [`Error::Refused`]: a response or an item does not exist in this organization, was not stored, or has not ended;
    /// [`Error::LogGone`]; [`Error::Aws`].
    pub async fn with_referred(
        &self,
        organization: &Organization,
        given: Map<String, Value>,
    ) -> Result<Map<String, Value>, Error> {
        let mut responses = BTreeMap::new();
        for id in referred_responses(&given)? {
            if let Some(referred) = self.referred(organization, &id).await? {
                responses.insert(id.to_string(), referred);
            }
        }
        with_context(given, &responses)
    }

    /// `None`: there is no such response for this organization.
    async fn referred(&self, organization: &Organization, id: &ResponseId) -> Result<Option<Referred>, Error> {
        let (record, request) = match self.find_response(organization, id).await {
            Ok(found) => found,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut tail = self.response_tail(&record, &request, None).await?;
        let response = tail.now().await?;
        if tail.status().is_none() {
            let message = format!("Response '{id}' has not ended: it cannot be referred to yet.");
            return Err(Error::refused(message, None, Some("response_not_ended")));
        }
        let output = response["output"].as_array().cloned().unwrap_or_default();
        Ok(Some(Referred { input: input_items(id, &request), output }))
    }
}
