//! `sweep`, by schedule. The payload says nothing that matters.

use lambda_runtime::{Error, LambdaEvent};
use longhand::App;
use serde_json::Value;

use crate::deadline::stop_at;

/// Sets going again what stands still.
///
/// # Errors
/// The index of open generations cannot be read.
pub async fn handle(app: App, event: LambdaEvent<Value>) -> Result<Value, Error> {
    Ok(serde_json::to_value(app.sweep(stop_at(&event.context)).await?)?)
}
