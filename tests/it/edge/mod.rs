//! What callers see over HTTP.

pub mod bad_input;
pub mod client_table;
pub mod console;
pub mod cors;
pub mod durable_streams;
pub mod durable_streams_client;
pub mod durable_streams_live;
pub mod limits;
pub mod models;
pub mod official_clients;
pub mod openapi;
pub mod openapi_fuzz;
pub mod partial_json;
pub mod records;
pub mod responses;
pub mod schema_violation;
pub mod sse;
