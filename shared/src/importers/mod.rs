//! Importers: documents that say what becomes of a generation's JSON, entity by entity. Pure: no clock, no I/O.

pub mod body;
pub mod document;
mod reading;

pub use document::{Collection, Header, Importer};
pub use reading::{Item, Reading, answer_of, read};

use std::sync::LazyLock;

/// The name of the importer that every organization has, unless it publishes its own of that name.
pub const BUILT_IN: &str = "stratos-scenario";

/// The importer of that name.
#[expect(clippy::expect_used, reason = "the text is compiled in, and a test parses it")]
pub static STRATOS_SCENARIO: LazyLock<Importer> = LazyLock::new(|| {
    let text = include_str!("../../../infra/importers/stratos-scenario.json");
    let value = serde_json::from_str(text).expect("the built-in importer is JSON");
    Importer::from_value(&value).expect("the built-in importer is valid")
});
