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
        let accepted = self.accept(organization, request, claim).await?;
        let tail = self.response_tail(accepted.get(), request, None).await?;
        Ok(accepted.seen_as(tail))
    }
}
