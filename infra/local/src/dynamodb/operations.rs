//! DynamoDB's JSON protocol over dynoxide: the operations that the product and its tests use, and those of streams for other programs.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use dynoxide::{
    Database, DynoxideError,
    actions::{delete_item, put_item, update_item},
    storage::Storage,
};
use serde::{Serialize, de::DeserializeOwned};

use super::workers::{Worker, Workers};

/// The body of a request, at most.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The operations that may add stream records.
const WRITES: [&str; 5] = ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"];

/// Answers one request: the operation is in `X-Amz-Target`, as `DynamoDB_20120810.PutItem` or `DynamoDBStreams_20120810.GetRecords`.
pub async fn answer(State(workers): State<Workers>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let (status, body) = document(&workers, target, &body).await;
    (status, [(header::CONTENT_TYPE, "application/x-amz-json-1.0")], body).into_response()
}

/// The status and the document that answer the operation `target`.
pub async fn document(workers: &Workers, target: &str, body: &[u8]) -> (StatusCode, Vec<u8>) {
    let operation = target.rsplit('.').next().unwrap_or_default();
    workers.note_request();
    match call(workers, operation, body).await {
        Ok(answer) => {
            if WRITES.contains(&operation) {
                workers.note_write(body);
            }
            (StatusCode::OK, answer)
        }
        Err(error) => {
            let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, error.to_json().into_bytes())
        }
    }
}

async fn call(workers: &Workers, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
    let (writer, reader) = (workers.writer(), workers.reader());
    match operation {
        "CreateTable" => run(writer, body, Database::create_table).await,
        "UpdateTable" => run(writer, body, Database::update_table).await,
        "DeleteTable" => run(writer, body, Database::delete_table).await,
        "UpdateTimeToLive" => run(writer, body, Database::update_time_to_live).await,
        "PutItem" => write(workers, body, Database::put_item, put_item::execute::<Storage>).await,
        "UpdateItem" => write(workers, body, Database::update_item, update_item::execute::<Storage>).await,
        "DeleteItem" => write(workers, body, Database::delete_item, delete_item::execute::<Storage>).await,
        "BatchWriteItem" => run(writer, body, Database::batch_write_item).await,
        "TransactWriteItems" => run(writer, body, Database::transact_write_items).await,
        // The reader would describe the table as it was when the reader opened it.
        "DescribeTable" => run(writer, body, Database::describe_table).await,
        "DescribeTimeToLive" => run(writer, body, Database::describe_time_to_live).await,
        "ListTables" => run(writer, body, Database::list_tables).await,
        "GetItem" => run(reader, body, Database::get_item).await,
        "BatchGetItem" => run(reader, body, Database::batch_get_item).await,
        "Query" => run(reader, body, Database::query).await,
        "Scan" => run(reader, body, Database::scan).await,
        "TransactGetItems" => run(reader, body, Database::transact_get_items).await,
        "ListStreams" => run(reader, body, Database::list_streams).await,
        "DescribeStream" => run(reader, body, Database::describe_stream).await,
        "GetShardIterator" => run(reader, body, Database::get_shard_iterator).await,
        "GetRecords" => run(reader, body, Database::get_records).await,
        other => Err(DynoxideError::ValidationException(format!("the embedded DynamoDB does not have the operation {other:?}"))),
    }
}

/// Parses the request and renders the answer in the caller's task, so that the database's thread does neither.
async fn run<Q, A>(
    worker: &Worker,
    body: &[u8],
    operation: impl FnOnce(&Database, Q) -> dynoxide::Result<A> + Send + 'static,
) -> Result<Vec<u8>, DynoxideError>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
{
    let request = parse(body)?;
    render(&worker.run(move |database| operation(database, request)).await?)
}

/// The same for a write of a single item: together with others that wait where the database can do that, as `alone` otherwise.
async fn write<Q, A>(
    workers: &Workers,
    body: &[u8],
    alone: impl FnOnce(&Database, Q) -> dynoxide::Result<A> + Send + 'static,
    grouped: impl AsyncFnOnce(&Storage, Q) -> dynoxide::Result<A> + Send + 'static,
) -> Result<Vec<u8>, DynoxideError>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
{
    if !workers.has_groups() {
        return run(workers.writer(), body, alone).await;
    }
    let request = parse(body)?;
    render(&workers.writer().write(async move |storage: &Storage| grouped(storage, request).await).await?)
}

fn parse<Q: DeserializeOwned>(body: &[u8]) -> Result<Q, DynoxideError> {
    serde_json::from_slice(body).map_err(|error| DynoxideError::SerializationException(error.to_string()))
}

fn render(answer: &impl Serialize) -> Result<Vec<u8>, DynoxideError> {
    serde_json::to_vec(answer).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}
