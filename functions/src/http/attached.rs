//! Writers that are attached: they run in the function that answers the start.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::Response;
use futures::{StreamExt as _, stream};
use http::request::Parts;
use lambda_http::RequestExt as _;
use longhand::{App, GenerationKey, StreamJob};
use tokio::time::Instant;
use tracing::Instrument;

use super::problem::Problem;
use crate::deadline::{answer_until, stop_at};

/// How long the head of an answer waits for output, so that a provider's refusal is an HTTP status. Clients and proxies wait longer
/// for a head.
pub const HEAD_WAIT: Duration = Duration::from_secs(10);

/// Until when a function does its work. `None`: there is no deadline.
#[derive(Debug, Clone, Copy)]
pub struct Until {
    /// The writer stops.
    pub stop_at: Option<Instant>,
    /// A live answer ends.
    pub answer: Option<Instant>,
}

impl Until {
    /// The end of a live response. A function does not notice that its reader has left, so each has a bound; readers come back with the number
    /// of what they have.
    pub fn of_connection(self, app: &App) -> Instant {
        let ends_at = Instant::now() + app.config().live.connection;
        self.answer.map_or(ends_at, |until| until.min(ends_at))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Until {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let context = parts.extensions.lambda_context_ref();
        Ok(Self { stop_at: context.and_then(stop_at), answer: context.and_then(answer_until) })
    }
}

/// Answers an attached start. Takes one of the deployment's places before anything is stored, and leaves it at the end of the answer,
/// while the function still runs.
pub async fn attached(
    app: &App,
    until: Until,
    answer: impl Future<Output = Result<Response, Problem>>,
) -> Result<Response, Problem> {
    let time = until.answer.map_or(app.config().timeouts.generation, |end| end.saturating_duration_since(Instant::now()));
    let attachment = app.attach(time).await?;
    let answer = answer.await;
    if !attachment.is_held() {
        return answer;
    }
    match answer {
        Ok(response) => Ok(response.map(|body| {
            let left = stream::once(attachment.leave()).filter_map(|()| std::future::ready(None));
            Body::from_stream(body.into_data_stream().chain(left))
        })),
        Err(problem) => {
            attachment.leave().await;
            Err(problem)
        }
    }
}

/// Writes a log in this function. The writer goes on when the caller goes away.
pub fn write_attached(app: &App, key: &GenerationKey, stop_at: Option<Instant>) {
    let (app, job) = (app.clone(), StreamJob::fresh(key));
    let writer = async move {
        if let Err(error) = app.stream(&job, stop_at).await {
            tracing::error!(generation = %job.generation, %error, "An attached writer stopped. The sweep invokes the next one.");
        }
    };
    tokio::spawn(writer.in_current_span());
}
