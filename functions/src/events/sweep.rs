//! `sweep`, invoked on a schedule. The payload is not read.

use std::future::pending;

use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use serde_json::Value;
use tokio::time::sleep_until;

use crate::deadline::stop_at;

/// Resumes generations whose writer has stopped, and compacts ended ones.
///
/// # Errors
/// The index of open generations cannot be read.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let stop = async {
        match stop_at(&event.context) {
            Some(at) => sleep_until(at).await,
            None => pending().await,
        }
    };
    Ok(serde_json::to_value(app.sweep(stop).await?)?)
}
