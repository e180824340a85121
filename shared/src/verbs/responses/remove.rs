//! Cancelling and deleting a response.

use serde_json::Value;

use crate::app::App;
use crate::error::Error;
use crate::ids::Organization;
use crate::responses::ResponseId;

impl App {
    /// Cancels a response, and returns it. A second cancel returns the same.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for one that is not in the background, or has ended otherwise; [`Error::Aws`].
    pub async fn cancel_response(&self, organization: &Organization, id: &ResponseId) -> Result<Value, Error> {
        let (record, request) = self.find_response(organization, id).await?;
        if request.responses.as_deref().is_some_and(|asked| !asked.background) {
            return Err(Error::refused("Cannot cancel a synchronous response.", None, None));
        }
        match self.cancel(&record.key()).await {
            Ok(_) => self.response_tail(&record, &request, None).await?.now().await,
            Err(Error::AlreadyEnded(_, "incomplete")) => {
                Err(Error::refused("Cannot cancel a response in terminal state.", None, None))
            }
            Err(Error::AlreadyEnded(_, status)) => Err(Error::refused(format!("Cannot cancel a {status} response."), None, None)),
            Err(error) => Err(error),
        }
    }

    /// Deletes a response that has ended, with all its data.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] while it is being written; [`Error::NotEnded`] where its compaction takes long, and the same call may be retried; [`Error::Aws`].
    pub async fn delete_response(&self, organization: &Organization, id: &ResponseId) -> Result<(), Error> {
        let (record, _) = self.find_response(organization, id).await?;
        let key = record.key();
        if record.outcome.is_none() && self.buffer.newest(&key).await?.is_none_or(|chunk| chunk.end().is_none()) {
            return Err(Error::refused("Cannot delete an in-flight response.", None, None));
        }
        match self.delete(&key).await {
            Err(Error::NotEnded(_, why)) => Err(Error::NotEnded(id.to_string(), why)),
            deleted => deleted.map(|_| ()),
        }
    }
}
