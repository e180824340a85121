//! A provider behind a [`Tap`].

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use longhand::generation::request::Request;
use longhand::providers::{self, DeltaStream, Provider, ProviderError, Resume};

use super::{Action, Call, Fault, Tap};

/// Passes every request to its tap, and then to the provider.
pub(super) struct TappedProvider {
    pub provider: Arc<dyn Provider>,
    pub tap: Arc<dyn Tap>,
}

impl Provider for TappedProvider {
    fn open<'a>(&'a self, request: &'a Request, resume: &'a Resume) -> BoxFuture<'a, Result<DeltaStream, ProviderError>> {
        let call =
            Call { service: "provider", operation: "open".to_owned(), resource: request.provider.clone(), items: Vec::new() };
        let broken = || ProviderError::new(providers::Fault::Unreachable, "the connection broke");
        Box::pin(async move {
            match self.tap.call(call).await {
                Action::Pass => self.provider.open(request, resume).await,
                Action::Refuse(Fault::Broken) => Err(broken()),
                Action::Refuse(Fault::Answer { status, body }) => {
                    let fault = if status == 429 { providers::Fault::RateLimited } else { providers::Fault::Unavailable };
                    Err(ProviderError::new(fault, format!("the provider answered {status}: {body}")))
                }
                Action::Hold { until, lost } => {
                    let stream = self.provider.open(request, resume).await?;
                    if lost {
                        until.await;
                        return Err(broken());
                    }
                    Ok(futures::stream::once(until.map(|()| Ok(Vec::new()))).chain(stream).boxed())
                }
            }
        })
    }

    fn cancel<'a>(&'a self, response_id: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.provider.cancel(response_id)
    }
}
