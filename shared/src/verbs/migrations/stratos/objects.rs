//! The objects of an imported generation, and of the subject that it is about.

use std::io::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::acceptance::Prompt;
use crate::aws::{ArchiveWriter, Blobs};
use crate::error::Error;
use crate::ids::SubjectKey;
use crate::limits::REQUEST_INLINE_BYTES_MAX;
use crate::migrations::stratos::convert::Imported;
use crate::migrations::stratos::source::{Cell, SourceGeneration};
use crate::verbs::migrations::Content;

/// The objects: the text, the event log, what the generation was made from, and, where the subject has a version of it, that one's text.
pub(super) fn contents(
    source: &SourceGeneration,
    imported: &Imported,
    subject: Option<(&SubjectKey, bool)>,
) -> Result<Vec<Content>, Error> {
    let key = &imported.key;
    let failed = |error: std::io::Error| Error::Configuration(format!("an object of {key} cannot be made: {error}"));
    let request = serde_json::to_vec(&imported.request).map_err(|error| failed(error.into()))?;
    let mut archive = ArchiveWriter::default();
    let is_large = request.len() > REQUEST_INLINE_BYTES_MAX;
    if !is_large {
        archive.request(&imported.request).map_err(failed)?;
    }
    for (seq, event) in (0..).zip(&imported.events) {
        archive.event(seq, event).map_err(failed)?;
    }
    let content = |object: String, bytes| Content { content_type: Blobs::content_type(&object), object, bytes };
    let mut contents = vec![
        content(Blobs::output_key(key), imported.text.clone().into_bytes()),
        content(Blobs::events_key(key), archive.finish().map_err(failed)?),
        content(Blobs::source_key(key), kept(source, imported).map_err(failed)?),
    ];
    if is_large {
        contents.push(content(Blobs::request_key(key), request));
    }
    if let Some(subject) = subject {
        contents.extend(of_subject(imported, subject)?);
    }
    Ok(contents)
}

/// The text of a version, and a prompt that is too long for the subject's row.
fn of_subject(imported: &Imported, (subject, has_version): (&SubjectKey, bool)) -> Result<Vec<Content>, Error> {
    let mut contents = Vec::new();
    if has_version {
        contents.push(Content::of_text(subject, &imported.text_sha256, &imported.text)?);
    }
    let prompt = Prompt::of(&imported.request);
    if imported.accepted.is_some() && !prompt.is_inline() {
        contents.push(Content::of_text(subject, &prompt.sha256, &prompt.text)?);
    }
    Ok(contents)
}

/// The row and its chunk rows, whole. What is the text itself is not repeated.
fn kept(source: &SourceGeneration, imported: &Imported) -> std::io::Result<Vec<u8>> {
    let mut source = source.clone();
    let text = imported.text.as_bytes();
    let same = || Cell::Text(b"base64 of output.txt".to_vec());
    let is_text = |cell: &Cell| {
        cell.bytes()
            .is_some_and(|encoded| !encoded.is_empty() && BASE64_STANDARD.decode(encoded).is_ok_and(|bytes| bytes == text))
    };
    let mut omitted = Vec::new();
    if is_text(source.cell("compacted")) {
        source.columns.insert("compacted".into(), same());
        omitted.push("compacted");
    }
    if source.chunk_texts().is_some_and(|texts| texts.concat() == text) {
        for chunk in &mut source.chunks {
            let bytes = chunk.get("chunk").map_or(0, |cell| cell.written().len());
            chunk.insert("chunk".into(), Cell::Integer(i64::try_from(bytes).unwrap_or(i64::MAX)));
        }
        omitted.push("chunks.chunk");
    }
    let whole = json!({ "system": "stratos", "omitted": omitted, "columns": source.columns, "chunks": source.chunks });
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    serde_json::to_writer(&mut gzip, &whole)?;
    gzip.write_all(b"\n")?;
    gzip.finish()
}
