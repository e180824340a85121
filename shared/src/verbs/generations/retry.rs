//! `retry`: a new generation with the request of one that has ended.

use crate::app::App;
use crate::error::Error;
use crate::ids::GenerationKey;
use crate::verbs::generations::claim::Claim;
use crate::verbs::generations::start::Started;
use crate::verbs::generations::view::has_ended;

impl App {
    /// Starts a generation with the same request, whose record names the earlier one as `retry_of`. The earlier one stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::NotEnded`]; and as [`Self::start`].
    pub async fn retry(&self, key: &GenerationKey, idempotency_key: Option<&str>) -> Result<Started, Error> {
        let (record, newest) = self.newest(key, self.records.get(key).await?).await?;
        if !has_ended(&record, newest.as_ref()) {
            return Err(Error::NotEnded(key.generation.to_string(), "only what has ended can be retried"));
        }
        let mut request = self.request(key).await?.ok_or_else(|| Error::NotFound(key.generation.to_string()))?;
        request.retry_of = Some(key.generation.clone());
        self.start_claimed(&key.organization, &request, &Claim::of_key(idempotency_key)?).await
    }
}
