//! Importers: published in numbered versions, read, listed, and checked against a generation.

mod publish;
mod read;

pub use publish::{ImporterCheck, PublishedImporter};
pub(in crate::verbs) use read::Selected;
pub use read::{ImporterList, ImporterVersionView, ImporterView};
