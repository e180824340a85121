//! The OpenAI Responses API on top of the log: requests, response objects, stream events. Pure: no I/O, no clock.
//!
//! A response is a generation under another name: `resp_…` and `gen_…` share their ULID, and a stream event's
//! `sequence_number` is the log event's `seq`. The fields that only this API has lie in the
//! stored [`crate::generation::request::Request`], as a [`crate::generation::request::ResponsesRequest`].

mod chat;
mod context;
mod create;
mod ids;
mod input;
mod object;
mod render;

pub use context::refers_to_responses;
pub use create::{create_request, parse_create, read_create};
pub use ids::{ItemKind, ResponseId};
pub use input::{InputOrder, InputPage, InputQuery};
pub use object::{Moments, Snapshot};
pub use render::Renderer;

pub(crate) use context::{Referred, referred_responses, with_context};
pub(crate) use input::input_items;

#[cfg(test)]
mod tests;
