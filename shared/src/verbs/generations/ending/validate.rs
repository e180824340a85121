//! Validates a compacted log: its metadata against the published contract, its text against the requested format. The result
//! is the record's status and outcome.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::app::App;
use crate::aws::{Outcome, RecordRow, ValidationIssue};
use crate::clock::rfc3339;
use crate::error::{Error, FieldError};
use crate::generation::request::{Expected, Request, Validation};
use crate::generation::{Failure, Progress, Status};
use crate::ids::GenerationKey;
use crate::json::schema::{GENERATION_METADATA, Schema};
use crate::json::text;
use crate::limits;
use crate::log::reason;
use crate::verbs::generations::ending::compact::Compacted;

/// Hex digits of a validation issue's id.
const ISSUE_ID_DIGITS: usize = 24;

impl App {
    /// The record's status and outcome. A validation issue is stored before the record names it.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub(in crate::verbs) async fn validate(
        &self,
        key: &GenerationKey,
        record: &RecordRow,
        request: &Request,
        compacted: Compacted,
        by: &str,
    ) -> Result<(Status, Outcome), Error> {
        let compacted_at = rfc3339(self.clock.now_ms());
        let llm_response = compacted.text.as_deref().and_then(text::find);
        let mut metadata = metadata(record, request, &compacted, &compacted_at);
        let errors = validation_errors(request, &compacted, llm_response, &metadata).await;
        let issue_id = if errors.is_empty() { None } else { Some(self.put_issue(key, &compacted_at, &errors).await?) };
        if let Some(id) = &issue_id {
            let described: Vec<Value> = errors
                .iter()
                .take(limits::VALIDATION_ERRORS_MAX)
                .map(|error| json!({ "path": error.pointer, "message": error.detail }))
                .collect();
            metadata.insert("validation_errors".into(), described.into());
            metadata.insert("last_validation_issue_id".into(), id.as_str().into());
        }
        let strict = request.validation.unwrap_or(self.config.validation) == Validation::Strict;
        let refused = issue_id.is_some() && strict && compacted.status == Status::Completed;
        let (status, reason, error) = verdict(&compacted, issue_id.as_deref().filter(|_| refused));
        if let Some(error) = &error {
            metadata.insert("error".into(), error.code.as_str().into());
            metadata.insert("message".into(), error.message.as_str().into());
        }
        let kept = llm_response.filter(|json| !refused && fits_on_record(json));
        let outcome = Outcome {
            completed_at: compacted.ended_at(),
            reason,
            error,
            compacted_at,
            compacted_by: by.to_owned(),
            chunk_count: compacted.log.counters.chunk_count,
            received_chunks: compacted.log.counters.received_chunks,
            received_bytes: compacted.log.counters.stored_bytes,
            last_seq: compacted.log.next_seq - 1,
            event_places: compacted.event_places,
            bytes: compacted.bytes,
            has_other_output: compacted.has_other_output,
            usage: compacted.end.usage,
            attempts: Some(compacted.log.attempts),
            cost: None,
            finish_reason: compacted.end.finish_reason,
            metadata: Value::Object(metadata).to_string(),
            llm_response: kept.map(|json| json.get().to_owned()),
            last_validation_issue_id: issue_id,
            compacted: Some(compacted.url),
            sha256: Some(compacted.sha256),
        };
        Ok((status, outcome))
    }

    /// Stores one row, and logs one line. The id is a hash of the generation and its errors, so a repeated compaction writes
    /// the same issue.
    async fn put_issue(&self, key: &GenerationKey, at: &str, errors: &[FieldError]) -> Result<String, Error> {
        let described = serde_json::to_vec(errors).unwrap_or_default();
        let hash = Sha256::new().chain_update(key.partition()).chain_update(described).finalize();
        let digits: String = format!("{hash:x}").chars().take(ISSUE_ID_DIGITS).collect();
        let id = format!("vi_{digits}");
        let kept = errors.iter().take(limits::VALIDATION_ERRORS_MAX).cloned().map(Into::into).collect();
        let issue = ValidationIssue { id: id.clone(), created_at: at.to_owned(), errors: kept, error_count: errors.len() };
        self.records.put_issue(key, &issue).await?;
        tracing::warn!(validation_issue = id, error_count = errors.len(), "A generation did not pass validation.");
        Ok(id)
    }
}

fn fits_on_record(json: &RawValue) -> bool {
    json.get().len() <= limits::LLM_RESPONSE_BYTES_MAX && text::depth(json) <= limits::LLM_RESPONSE_DEPTH_MAX
}

/// The status, reason and error that follow from the log's end and the validation.
fn verdict(compacted: &Compacted, refused_by: Option<&str>) -> (Status, Option<String>, Option<Failure>) {
    if let Some(issue) = refused_by {
        let code = reason::VALIDATION_ERROR.to_owned();
        let message = format!("the result did not pass strict validation; see validation issue {issue}");
        return (Status::Failed, Some(code.clone()), Some(Failure { code, message }));
    }
    let reason = compacted.end.reason.clone();
    let failed = compacted.status == Status::Failed;
    let error = failed.then(|| Failure {
        code: reason.clone().unwrap_or_else(|| "failed".into()),
        message: compacted.end.message.clone().unwrap_or_default(),
    });
    (compacted.status, reason, error)
}

/// The entries of the published contract.
fn metadata(record: &RecordRow, request: &Request, compacted: &Compacted, compacted_at: &str) -> Map<String, Value> {
    let counters = &compacted.log.counters;
    let mut metadata = Map::new();
    let mut set = |name: &str, value: Value| {
        metadata.insert(name.to_owned(), value);
    };
    set("provider", record.provider.as_str().into());
    set("model", record.model.as_str().into());
    if let Some(model) = &compacted.end.model {
        set("used_provider_model", model.as_str().into());
    }
    set("sent_at", record.created_at.as_str().into());
    if let Some(at) = compacted.log.first_text_at_ms {
        set("first_chunk_at", rfc3339(at).into());
        set("last_chunk_at", compacted.ended_at().into());
    }
    set("completed_at", compacted.ended_at().into());
    if let Some(initiator) = request.initiator {
        set("initiator", initiator.into());
    }
    if let Some(instruction) = &request.used_instruction {
        set("used_instruction", instruction.clone());
    }
    let mut progress = Progress {
        received_chunks: counters.received_chunks,
        received_bytes: counters.stored_bytes,
        total_chunks: request.expected_total_chunks,
        expected_total_bytes: request.expected_total_bytes,
        ..Progress::default()
    };
    progress.count_against_total(compacted.status == Status::Completed);
    let Progress { received_chunks, received_bytes, total_chunks, expected_total_bytes, percent, .. } = progress;
    let progress = json!({
        "received_chunks": received_chunks,
        "received_bytes": received_bytes,
        "total_chunks": total_chunks,
        "expected_total_bytes": expected_total_bytes,
        "percent": percent,
    });
    set("progress", progress);
    set("chunk_count", counters.chunk_count.into());
    set("compacted_at", compacted_at.into());
    metadata
}

/// All validation errors. The output is checked only if the provider finished: part of a JSON document is not JSON.
async fn validation_errors(
    request: &Request,
    compacted: &Compacted,
    llm_response: Option<&RawValue>,
    metadata: &Map<String, Value>,
) -> Vec<FieldError> {
    let mut errors = GENERATION_METADATA.errors(&Value::Object(metadata.clone()));
    for error in &mut errors {
        error.pointer.insert_str(0, "metadata");
    }
    if compacted.status == Status::Completed {
        errors.extend(output_errors(request.expected(), compacted.text.is_some(), llm_response).await);
    }
    errors
}

async fn output_errors(expected: Expected, is_small: bool, llm_response: Option<&RawValue>) -> Vec<FieldError> {
    let schema = match expected {
        Expected::Text => return Vec::new(),
        Expected::Json => None,
        Expected::Schema(schema) => Some(schema),
    };
    if !is_small {
        let message = format!("must have at most {} bytes to be checked as JSON", limits::JSON_BYTES_MAX);
        return vec![FieldError::new("output", message)];
    }
    let Some(json) = llm_response else {
        return vec![FieldError::new("output", "must be JSON, bare or in one Markdown fence")];
    };
    let Some(schema) = schema else { return Vec::new() };
    // A blocking thread cannot be stopped: after the timeout it still runs, beside the generation's own work. `Schema::compile`
    // bounds the schemas for each value, but not over nested values: where several branches refer to one schema for the same
    // child, the crate collects the errors of an invalid document in time exponential in its depth.
    let json = json.to_owned();
    let check = tokio::task::spawn_blocking(move || schema_errors(&schema, &json));
    match timeout(limits::VALIDATION_TIME_MAX, check).await {
        Ok(Ok(errors)) => errors,
        Ok(Err(_)) => unchecked("the check broke off"),
        Err(_) => unchecked(&format!("it took longer than {} s", limits::VALIDATION_TIME_MAX.as_secs())),
    }
}

fn schema_errors(schema: &Value, json: &RawValue) -> Vec<FieldError> {
    let value = match serde_json::from_str(json.get()) {
        Ok(value) => value,
        Err(error) => return unchecked(&error.to_string()),
    };
    let schema = match Schema::compile(schema) {
        Ok(schema) => schema,
        Err(wrong) => return unchecked(&wrong.into_iter().map(|error| error.detail).collect::<String>()),
    };
    let is_small = json.get().len() <= limits::VALIDATION_BYTES_MAX;
    let mut errors = if is_small { schema.errors(&value) } else { schema.first_error(&value) };
    for error in &mut errors {
        error.pointer.insert_str(0, "output");
    }
    errors
}

fn unchecked(why: &str) -> Vec<FieldError> {
    vec![FieldError::new("output", format!("could not be checked against the schema: {why}"))]
}
