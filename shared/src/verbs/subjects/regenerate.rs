//! `regenerate`: a new generation with the last request of a subject.

use crate::app::App;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::{GenerationId, GenerationKey, SubjectKey};
use crate::verbs::generations::claim::Claim;
use crate::verbs::generations::start::Started;

/// Versions that are looked through for a generation whose request is still there, where the last one was purged.
const VERSIONS_LOOKED_AT: usize = 20;

impl App {
    /// Starts the request again with which a generation of the subject was started last; the result becomes its next version. Where that
    /// generation was purged, the request of the newest version whose generation was not.
    ///
    /// # Errors
    /// [`Error::SubjectNotFound`]; [`Error::NotFound`]: no generation of it is left; and as [`Self::start`].
    pub async fn regenerate(
        &self,
        key: &SubjectKey,
        reason: Option<String>,
        idempotency_key: Option<&str>,
    ) -> Result<Started, Error> {
        let mut request = self.last_request(key).await?;
        request.subject = Some(key.subject.clone());
        request.change_reason = reason;
        // The answer is not the stream, whatever the first caller asked for.
        (request.stream, request.retry_of) = (false, None);
        self.start_claimed(&key.organization, &request, &Claim::of_key(idempotency_key)?).await
    }

    async fn request_of(&self, key: &SubjectKey, generation: Option<GenerationId>) -> Result<Option<Request>, Error> {
        let Some(generation) = generation else { return Ok(None) };
        self.request(&GenerationKey::new(key.organization.clone(), generation)).await
    }

    async fn last_request(&self, key: &SubjectKey) -> Result<Request, Error> {
        let subject = self.known_subject(key).await?;
        let mut generation = subject.last_generation.clone();
        // One by one: nearly always the first is there.
        for number in (1..=subject.current).rev().take(VERSIONS_LOOKED_AT) {
            if let Some(request) = self.request_of(key, generation).await? {
                return Ok(request);
            }
            generation = self.records.version(key, number).await?.and_then(|version| version.generation);
        }
        if let Some(request) = self.request_of(key, generation).await? {
            return Ok(request);
        }
        let last = subject.last_generation.map_or_else(|| key.subject.to_string(), |last| last.to_string());
        Err(Error::NotFound(last))
    }
}
