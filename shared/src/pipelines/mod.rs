//! Pipelines: documents that say from which generations, in which order, a result is made. Pure: no clock, no I/O.
//!
//! A document is parsed once ([`Document::parse`]), with all its violations reported together, and is stored in its canonical form, in
//! which every step stands by itself: defaults are merged, prompts are written out, and the pipelines that it uses are flattened.

pub mod body;
mod check;
pub mod context;
pub mod document;
#[cfg(test)]
mod document_tests;
pub mod duration;
mod flatten;
pub mod input;
mod parse;
pub mod path;
pub mod rehearsal;
mod source;
pub mod template;
mod vocabulary;

pub use crate::documents::{DocumentName as PipelineName, DocumentRef as PipelineRef};
pub use crate::error::InputError;
pub use context::{Context, Done, DoneStatus};
pub use document::{Check, Document, Feedback, Limits, Message, OnError, Part, Phase, Pipeline, RetryOn, Step, Violation};
pub use input::InputErrors;
pub use rehearsal::{Rehearsal, Rehearsed};
pub use source::read_yaml;
pub use template::{CheckResult, TemplateError};
