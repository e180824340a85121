//! Creating a response.

use super::read::ResponseTail;
use crate::app::App;
use crate::error::Error;
use crate::generation::request::Request;
use crate::ids::Organization;
use crate::verbs::generations::claim::Claim;
use crate::verbs::generations::start::Accepted;

impl App {
    /// Accepts a create request. The caller has it written, where that is needed: by [`App::stream`], or by [`App::hand_over`].
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn accept_response(
        &self,
        organization: &Organization,
        request: &Request,
        claim: &Claim,
    ) -> Result<Accepted<ResponseTail>, Error> {
        Ok(match self.accept(organization, request, claim).await? {
            Accepted::New(record) => Accepted::New(self.response_tail(&record, request, None).await?),
            Accepted::Repeated { of: record, is_waiting } => {
                Accepted::Repeated { of: self.response_tail(&record, request, None).await?, is_waiting }
            }
        })
    }
}
