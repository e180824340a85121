//! Reads a log page by page, checks it, and writes its text and its events to the bucket.

use sha2::{Digest, Sha256};

use crate::app::App;
use crate::aws::{ArchivePlace, ArchiveWriter, BlobWriter, Blobs};
use crate::clock::rfc3339;
use crate::error::Error;
use crate::generation::Status;
use crate::generation::request::Request;
use crate::ids::GenerationKey;
use crate::limits::{JSON_BYTES_MAX, REQUEST_INLINE_BYTES_MAX};
use crate::log::assembly::Assembly;
use crate::log::chunk::{Chunk, LogState};
use crate::log::event::End;
use crate::verbs::generations::result::BoundedText;

/// A log that has been read, checked and written to the bucket.
pub(in crate::verbs) struct Compacted {
    pub log: LogState,
    pub status: Status,
    pub end: End,
    pub ended_at_ms: i64,
    pub url: String,
    pub bytes: u64,
    pub sha256: String,
    /// The text, unless it is larger than [`JSON_BYTES_MAX`].
    pub text: Option<String>,
    pub has_other_output: bool,
    pub event_places: Vec<ArchivePlace>,
    /// Write units that the log's chunks cost.
    pub write_units: u64,
}

impl Compacted {
    /// When the log ended, RFC 3339.
    pub(in crate::verbs) fn ended_at(&self) -> String {
        rfc3339(self.ended_at_ms)
    }
}

impl App {
    /// Writes the text and the events to the bucket. A failed upload is aborted, so nothing incomplete becomes visible.
    ///
    /// # Errors
    /// [`Error::LogDamaged`]; [`Error::Aws`].
    pub(super) async fn put_log(
        &self,
        key: &GenerationKey,
        request: &Request,
        newest: &Chunk,
        status: Status,
        end: End,
    ) -> Result<Compacted, Error> {
        let mut upload = Upload::new(&self.blobs, key, newest.output_from);
        upload.begin(key, request)?;
        if let Err(error) = self.upload_pages(key, newest, &mut upload).await {
            upload.abort().await;
            return Err(error);
        }
        let (text, events) = tokio::join!(upload.text.finish(), upload.events.finish());
        let url = text?;
        events?;
        let log = upload.log;
        let has_other_output = upload.assembly.has_other_output();
        let (text, bytes) = upload.parsable.into_parts();
        let sha256 = format!("{:x}", upload.sha256.finalize());
        Ok(Compacted {
            log,
            status,
            end,
            ended_at_ms: newest.at_ms,
            url,
            bytes,
            sha256,
            text,
            has_other_output,
            event_places: upload.lines.places().to_vec(),
            write_units: upload.write_units,
        })
    }

    async fn upload_pages(&self, key: &GenerationKey, newest: &Chunk, upload: &mut Upload) -> Result<(), Error> {
        let mut slot = Some(0);
        while let Some(from) = slot {
            let page = self.buffer.chunks(key, from).await?;
            slot = page.next_slot;
            upload.write_units += page.write_units;
            for chunk in page.chunks {
                upload.write(key, &chunk).await?;
            }
        }
        if upload.log.next_slot() == newest.next_slot() {
            return upload.flush().await;
        }
        let damage = format!("it ends at {} where its last event is {}", upload.log.next_seq, newest.last_seq());
        Err(Error::LogDamaged(key.generation.to_string(), damage))
    }
}

/// The two objects being written.
struct Upload {
    log: LogState,
    write_units: u64,
    assembly: Assembly,
    sha256: Sha256,
    /// The text, if it is small enough to be parsed as JSON.
    parsable: BoundedText,
    text: BlobWriter,
    lines: ArchiveWriter,
    events: BlobWriter,
}

impl Upload {
    fn new(blobs: &Blobs, key: &GenerationKey, output_from: u32) -> Self {
        Self {
            log: LogState::default(),
            write_units: 0,
            assembly: Assembly::new(output_from),
            sha256: Sha256::new(),
            parsable: BoundedText::new(JSON_BYTES_MAX as u64),
            text: blobs.writer(Blobs::output_key(key), "text/plain; charset=utf-8"),
            lines: ArchiveWriter::default(),
            events: blobs.writer(Blobs::events_key(key), "application/gzip"),
        }
    }

    /// Puts the request at the head of the events, if it stands in a row. A larger one has an object of its own.
    fn begin(&mut self, key: &GenerationKey, request: &Request) -> Result<(), Error> {
        if request.json_bytes() > REQUEST_INLINE_BYTES_MAX as u64 {
            return Ok(());
        }
        self.lines.request(request).map_err(|error| damaged(key, &error))
    }

    /// Checks a chunk against the log so far, and writes its text and events.
    async fn write(&mut self, key: &GenerationKey, chunk: &Chunk) -> Result<(), Error> {
        self.log.apply(chunk).map_err(|damage| damaged(key, &damage))?;
        for (seq, event) in (chunk.first_seq..).zip(&chunk.events) {
            if let Some(text) = self.assembly.event(event) {
                self.sha256.update(text);
                self.parsable.push(text);
                self.text.write(text.as_bytes()).await?;
            }
            self.lines.event(seq, event).map_err(|error| damaged(key, &error))?;
        }
        self.events.write(&self.lines.take()).await
    }

    /// Writes what the compressor still holds.
    async fn flush(&mut self) -> Result<(), Error> {
        let packed = self.lines.finish();
        let packed = packed.map_err(|error| Error::Configuration(format!("the event log could not be compressed: {error}")))?;
        self.events.write(&packed).await
    }

    async fn abort(&mut self) {
        self.text.abort().await;
        self.events.abort().await;
    }
}

fn damaged(key: &GenerationKey, damage: &dyn std::fmt::Display) -> Error {
    Error::LogDamaged(key.generation.to_string(), damage.to_string())
}
