//! Uploads: made, read for a batch, and deleted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::aws::{Blobs, Body};
use crate::batches::request::{BatchRequest, ItemRequest, Uploaded};
use crate::clock::{millis, rfc3339};
use crate::error::Error;
use crate::generation::request::RequestRules;
use crate::ids::{Organization, UploadId};
use crate::limits::{REQUEST_BYTES_MAX, UPLOAD_BYTES_MAX, UPLOAD_TTL, UPLOAD_URL_TTL};
use crate::uploads::Purpose;
use crate::uploads::body::NewUpload;
use crate::uploads::split::{Element, Splitter, Unsplittable};

/// A place in the bucket, and how a file is put there.
#[derive(Clone, Serialize, Deserialize)]
pub struct UploadView {
    /// By which a batch names it.
    pub id: UploadId,
    /// Always `upload`.
    #[serde(skip_deserializing, default = "object")]
    pub object: &'static str,
    /// What it is for.
    pub purpose: Purpose,
    /// Where the file is to be sent, once. Whoever has it can do so.
    pub url: String,
    /// Always `PUT`.
    #[serde(skip_deserializing, default = "method")]
    pub method: &'static str,
    /// The headers that must be sent with it.
    pub headers: BTreeMap<String, String>,
    /// When the URL expires, RFC 3339.
    pub expires_at: String,
}

const fn object() -> &'static str {
    "upload"
}

const fn method() -> &'static str {
    "PUT"
}

/// The items of an upload, as they are read.
pub(in crate::verbs) struct UploadReader<'a> {
    body: Body,
    splitter: Option<Splitter>,
    items: Uploaded<'a>,
    /// What was split off and is not read yet, the next one last.
    waiting: Vec<Element>,
    /// Bytes that have come.
    bytes: u64,
}

impl App {
    /// Makes a place for a file. Nothing is stored: where it is follows from the organization and the id.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create_upload(&self, organization: &Organization, new: &NewUpload) -> Result<UploadView, Error> {
        let now_ms = self.clock.now_ms();
        let id = UploadId::new(now_ms);
        let object = Blobs::upload_key(organization, &id);
        let put = self.blobs.presigned_put(&object, &new.content_type, new.bytes, UPLOAD_URL_TTL).await?;
        let expires_at = rfc3339(now_ms + millis(UPLOAD_URL_TTL));
        let (url, headers) = (put.url, put.headers);
        Ok(UploadView { id, object: "upload", purpose: new.purpose, url, method: "PUT", headers, expires_at })
    }

    /// Checks every item of an upload, and holds none of them.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with the first errors of all items, or with why there are none; [`Error::Aws`].
    pub(in crate::verbs) async fn check_upload(
        &self,
        organization: &Organization,
        upload: &UploadId,
        batch: &BatchRequest,
    ) -> Result<(), Error> {
        let rules = self.config.request_rules();
        let mut reader = self.open_upload(organization, upload, batch, &rules).await?;
        while reader.next_item().await?.is_some() {}
        reader.finish()
    }

    /// Opens an upload.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] names `items_from`, and says why it cannot be read; [`Error::Aws`].
    pub(in crate::verbs) async fn open_upload<'a>(
        &self,
        organization: &Organization,
        upload: &UploadId,
        batch: &'a BatchRequest,
        rules: &'a RequestRules<'a>,
    ) -> Result<UploadReader<'a>, Error> {
        let wrong = |why: String| Error::invalid("/items_from", why);
        let age = self.clock.now_ms() - upload.created_ms();
        if age >= millis(UPLOAD_TTL) {
            let hours = UPLOAD_TTL.as_secs() / 3_600;
            return Err(wrong(format!(
                "must be an upload of the last {hours} hours; this one has expired, and its file is deleted"
            )));
        }
        let Some(body) = self.blobs.read(&Blobs::upload_key(organization, upload)).await? else {
            return Err(wrong(if age >= millis(UPLOAD_URL_TTL) {
                "must be an upload whose file is there; no file has come before its URL expired, or a batch has it already".into()
            } else {
                "must be an upload whose file is there; send the file to its `url` first, and name it in one batch".into()
            }));
        };
        if let Some(bytes) = body.bytes().filter(|bytes| *bytes > UPLOAD_BYTES_MAX) {
            return Err(too_long(bytes));
        }
        let items = Uploaded::new(batch, rules);
        Ok(UploadReader { body, splitter: Some(Splitter::new(REQUEST_BYTES_MAX)), items, waiting: Vec::new(), bytes: 0 })
    }

    /// Deletes the file of an upload. Best effort: the bucket's lifecycle deletes what this leaves.
    pub(in crate::verbs) async fn delete_upload(&self, organization: &Organization, upload: &UploadId) {
        let object = Blobs::upload_key(organization, upload);
        if let Err(error) = self.blobs.delete_objects(&[object]).await {
            tracing::warn!(%upload, %error, "An upload could not be deleted. The bucket's lifecycle does so.");
        }
    }
}

impl UploadReader<'_> {
    /// The next items: at most `count`, and no more once they have `bytes`. Empty: there are no more.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with the errors so far; [`Error::Aws`].
    pub(in crate::verbs) async fn next_items(&mut self, count: usize, bytes: usize) -> Result<Vec<ItemRequest>, Error> {
        let (mut items, mut size) = (Vec::new(), 0);
        while items.len() < count && size < bytes {
            let Some((length, item)) = self.next_item().await? else { break };
            size += length;
            items.extend(item);
        }
        Ok(items)
    }

    /// The next item with the length of its text; `None` at the end. What is not valid is kept for [`Self::finish`], and has a length alone.
    async fn next_item(&mut self) -> Result<Option<(usize, Option<ItemRequest>)>, Error> {
        loop {
            if let Some(element) = self.waiting.pop() {
                return Ok(Some((element.text.len(), self.items.read(element.line, &element.text)?)));
            }
            let Some(splitter) = &mut self.splitter else { return Ok(None) };
            let split = match self.body.next().await? {
                Some(bytes) => {
                    self.bytes += bytes.len() as u64;
                    if self.bytes > UPLOAD_BYTES_MAX {
                        return Err(too_long(self.bytes));
                    }
                    splitter.push(&bytes)
                }
                None => self.splitter.take().map_or(Ok(None), Splitter::finish).map(|last| last.into_iter().collect()),
            };
            let mut elements = split.map_err(|error| self.broken(error))?;
            elements.reverse();
            self.waiting = elements;
        }
    }

    /// At the end.
    ///
    /// # Errors
    /// [`Error::InvalidRequest`] with the first errors of all items, or because there is none.
    pub(in crate::verbs) fn finish(self) -> Result<(), Error> {
        self.items.finish()
    }

    fn broken(&mut self, error: Unsplittable) -> Error {
        self.items.broken(&error.to_string())
    }
}

fn too_long(bytes: u64) -> Error {
    Error::invalid("/items_from", format!("must name a file of at most {UPLOAD_BYTES_MAX} bytes, and this one has {bytes}"))
}
