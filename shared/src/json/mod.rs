//! JSON in a model's output: found in text, read while it is incomplete, and validated against schemas.

pub mod partial;
pub mod schema;
mod schema_cost;
pub mod text;
