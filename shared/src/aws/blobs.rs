//! The bucket: results, event logs, and requests too large for a row.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CommonPrefix, CompletedMultipartUpload, CompletedPart, MetadataDirective, Object};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::clients::{aws_error, unexpected};
use crate::clock::millis;
use crate::error::Error;
use crate::ids::{BatchKey, GenerationId, GenerationKey, Organization, RunId, RunKey, SubjectKey, UploadId};
use crate::limits::PART_BYTES;

/// The folder of an organization in which the texts of versions are; see [`SubjectKey::folder`].
const SUBJECTS: &str = "subjects";
/// The folder of an organization in which the large requests of its batches are.
const BATCHES: &str = "batches";
/// What the folder of an organization's runs is called, in place of a generation's id.
const RUNS: &str = "runs";
/// The folder of uploads, which is no organization's, so that one rule of the bucket's lifecycle can name it.
const UPLOADS: &str = ".uploads";

/// The bucket of results.
#[derive(Debug, Clone)]
pub struct Blobs {
    s3: Client,
    bucket: String,
}

impl Blobs {
    /// Over `bucket`.
    #[must_use]
    pub const fn new(s3: Client, bucket: String) -> Self {
        Self { s3, bucket }
    }

    /// The key of the result: the text.
    #[must_use]
    pub fn output_key(key: &GenerationKey) -> String {
        format!("{key}/output.txt")
    }

    /// The key of the event log: JSON lines, gzip.
    #[must_use]
    pub fn events_key(key: &GenerationKey) -> String {
        format!("{key}/events.jsonl.gz")
    }

    /// The key of what an imported generation was made from.
    #[must_use]
    pub fn source_key(key: &GenerationKey) -> String {
        format!("{key}/source.json.gz")
    }

    /// The key of a large request.
    #[must_use]
    pub fn request_key(key: &GenerationKey) -> String {
        format!("{key}/request.json")
    }

    /// The key of a large request of a batch's item.
    #[must_use]
    pub fn item_request_key(key: &BatchKey, index: u32) -> String {
        format!("{}{index:06}/request.json", Self::batch_folder(key))
    }

    /// The key of the large input of a run.
    #[must_use]
    pub fn run_input_key(key: &RunKey, sha256: &str) -> String {
        format!("{}input-{sha256}.json", Self::run_folder(key))
    }

    /// The key of the result of a run.
    #[must_use]
    pub fn run_result_key(key: &RunKey) -> String {
        format!("{}result.json", Self::run_folder(key))
    }

    /// What the keys of a run's objects begin with.
    fn run_folder(key: &RunKey) -> String {
        format!("{}/{RUNS}/{}/", key.organization, key.run)
    }

    /// The key of an upload, which its organization and its id alone decide.
    #[must_use]
    pub fn upload_key(organization: &Organization, upload: &UploadId) -> String {
        format!("{UPLOADS}/{organization}/{upload}")
    }

    /// What the keys of a batch's objects begin with.
    fn batch_folder(key: &BatchKey) -> String {
        format!("{}/{BATCHES}/{}/", key.organization, key.batch)
    }

    /// The media type of an object of a generation, by its name.
    #[must_use]
    pub fn content_type(object: &str) -> &'static str {
        match object.rsplit_once('.') {
            Some((_, "gz")) => "application/gzip",
            Some((_, "json")) => "application/json",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The name of an object on records: `s3://bucket/key`.
    #[must_use]
    pub fn url(&self, object: &str) -> String {
        format!("s3://{}/{object}", self.bucket)
    }

    /// Puts a whole object.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put(&self, object: &str, content_type: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let put = self.s3.put_object().bucket(&self.bucket).key(object).content_type(content_type);
        put.checksum_algorithm(ChecksumAlgorithm::Sha256)
            .body(ByteStream::from(bytes))
            .send()
            .await
            .map_err(aws_error("s3 PutObject"))?;
        Ok(())
    }

    /// Puts a whole object where there is none of this key. `false`: there is one.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn put_new(&self, object: &str, content_type: &str, bytes: Vec<u8>) -> Result<bool, Error> {
        let put = self.s3.put_object().bucket(&self.bucket).key(object).content_type(content_type).if_none_match("*");
        match put.checksum_algorithm(ChecksumAlgorithm::Sha256).body(ByteStream::from(bytes)).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|error| error.code() == Some("PreconditionFailed")) => Ok(false),
            Err(error) => Err(aws_error("s3 PutObject")(error)),
        }
    }

    /// Begins an object whose length is not known yet.
    #[must_use]
    pub fn writer(&self, object: String, content_type: &'static str) -> BlobWriter {
        let upload = Upload { blobs: self.clone(), object, content_type, id: None, parts: Vec::new() };
        BlobWriter { upload, waiting: Vec::new() }
    }

    /// A whole object, which must be small. `None`: it does not exist.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn get(&self, object: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(body) = self.read(object).await? else { return Ok(None) };
        let bytes = body.0.collect().await.map_err(|error| unexpected("s3 GetObject", error))?;
        Ok(Some(bytes.to_vec()))
    }

    /// A stream of an object's bytes. `None`: it does not exist.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn read(&self, object: &str) -> Result<Option<Body>, Error> {
        self.read_from(object, 0).await
    }

    /// The same from this byte on. Behind the end there is nothing.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn read_from(&self, object: &str, first_byte: u64) -> Result<Option<Body>, Error> {
        let range = (first_byte > 0).then(|| format!("bytes={first_byte}-"));
        match self.s3.get_object().bucket(&self.bucket).key(object).set_range(range).send().await {
            Ok(object) => Ok(Some(Body(object.body))),
            Err(error) if error.as_service_error().is_some_and(|error| error.code() == Some("InvalidRange")) => {
                Ok(Some(Body(ByteStream::default())))
            }
            Err(error)
                if error.as_service_error().is_some_and(aws_sdk_s3::operation::get_object::GetObjectError::is_no_such_key) =>
            {
                Ok(None)
            }
            Err(error) => Err(aws_error("s3 GetObject")(error)),
        }
    }

    /// The SHA-256 of an object in hex, and its length, by reading all of it. `None`: it does not exist.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn digest(&self, object: &str) -> Result<Option<(String, u64)>, Error> {
        let Some(mut body) = self.read(object).await? else { return Ok(None) };
        let (mut sha256, mut bytes) = (Sha256::new(), 0);
        while let Some(some) = body.next().await? {
            sha256.update(&some);
            bytes += some.len() as u64;
        }
        Ok(Some((format!("{:x}", sha256.finalize()), bytes)))
    }

    /// Copies an object within the bucket. `false`: there is none of this key.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn copy(&self, from: &str, to: &str, content_type: &str) -> Result<bool, Error> {
        let copy = self.s3.copy_object().bucket(&self.bucket).copy_source(format!("{}/{from}", self.bucket)).key(to);
        let copy = copy.metadata_directive(MetadataDirective::Replace).content_type(content_type);
        match copy.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|error| error.code() == Some("NoSuchKey")) => Ok(false),
            Err(error) => Err(aws_error("s3 CopyObject")(error)),
        }
    }

    /// The keys of a subject's objects that are older than `age` at `now_ms`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn of_subject(&self, key: &SubjectKey, age: Duration, now_ms: i64) -> Result<Vec<String>, Error> {
        let newest = now_ms.saturating_sub(millis(age));
        let is_old = |object: &Object| {
            age.is_zero() || object.last_modified().and_then(|at| at.to_millis().ok()).is_some_and(|at| at <= newest)
        };
        self.in_folder(key.folder(), is_old).await
    }

    /// The keys of a batch's objects.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn of_batch(&self, key: &BatchKey) -> Result<Vec<String>, Error> {
        self.in_folder(Self::batch_folder(key), |_| true).await
    }

    /// The keys of a run's objects.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn of_run(&self, key: &RunKey) -> Result<Vec<String>, Error> {
        self.in_folder(Self::run_folder(key), |_| true).await
    }

    async fn in_folder(&self, folder: String, is_wanted: impl Fn(&Object) -> bool) -> Result<Vec<String>, Error> {
        let mut pages = self.s3.list_objects_v2().bucket(&self.bucket).prefix(folder).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error("s3 ListObjectsV2"))?;
            let wanted = page.contents().iter().filter(|object| is_wanted(object));
            found.extend(wanted.filter_map(|object| object.key().map(str::to_owned)));
        }
        Ok(found)
    }

    /// Deletes objects, as far as they exist.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete_objects(&self, objects: &[String]) -> Result<(), Error> {
        for object in objects {
            self.s3.delete_object().bucket(&self.bucket).key(object).send().await.map_err(aws_error("s3 DeleteObject"))?;
        }
        Ok(())
    }

    /// A URL with which anyone may read the object for `ttl`.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn presigned_url(&self, object: &str, ttl: Duration) -> Result<String, Error> {
        let config = PresigningConfig::expires_in(ttl).map_err(|error| unexpected("s3 GetObject", error))?;
        let get = self.s3.get_object().bucket(&self.bucket).key(object);
        Ok(get.presigned(config).await.map_err(aws_error("s3 GetObject"))?.uri().to_owned())
    }

    /// A request with which anyone may put the object once within `ttl`, of this length if it is given.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn presigned_put(
        &self,
        object: &str,
        content_type: &str,
        bytes: Option<i64>,
        ttl: Duration,
    ) -> Result<PresignedPut, Error> {
        let config = PresigningConfig::expires_in(ttl).map_err(|error| unexpected("s3 PutObject", error))?;
        let put = self.s3.put_object().bucket(&self.bucket).key(object).content_type(content_type);
        // The URL puts nothing in place of what has arrived by it.
        let put = put.if_none_match("*").set_content_length(bytes);
        let signed = put.presigned(config).await.map_err(aws_error("s3 PutObject"))?;
        // A client sends the length by itself, and a browser's page may not set it.
        let headers = signed.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Ok(PresignedPut { url: signed.uri().to_owned(), headers })
    }

    /// The organizations that have objects.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn organizations(&self) -> Result<BTreeSet<Organization>, Error> {
        self.folders("").await
    }

    /// The runs of an organization that have objects, in order.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn runs(&self, organization: &Organization) -> Result<BTreeSet<RunId>, Error> {
        self.folders(&format!("{organization}/{RUNS}/")).await
    }

    /// The folders below a prefix whose names can be read.
    async fn folders<T: Ord + FromStr>(&self, prefix: &str) -> Result<BTreeSet<T>, Error> {
        let list = self.s3.list_objects_v2().bucket(&self.bucket).prefix(prefix).delimiter("/");
        let mut pages = list.into_paginator().send();
        let mut found = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error("s3 ListObjectsV2"))?;
            let name = |folder: &CommonPrefix| folder.prefix()?.strip_prefix(prefix)?.trim_end_matches('/').parse().ok();
            found.extend(page.common_prefixes().iter().filter_map(name));
        }
        Ok(found)
    }

    /// What an organization has in the bucket.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn stored(&self, organization: &Organization) -> Result<Stored, Error> {
        let prefix = format!("{organization}/");
        let mut pages = self.s3.list_objects_v2().bucket(&self.bucket).prefix(&prefix).into_paginator().send();
        let mut stored = Stored::default();
        while let Some(page) = pages.next().await {
            let page = page.map_err(aws_error("s3 ListObjectsV2"))?;
            for object in page.contents() {
                let Some(key) = object.key() else { continue };
                let id = key.strip_prefix(&prefix).and_then(|rest| rest.split_once('/'));
                // Texts of versions: what is left over of those, the retention of subjects finds. Requests of a batch go with the batch.
                if id.is_some_and(|(id, _)| [SUBJECTS, BATCHES, RUNS].contains(&id)) {
                    continue;
                }
                match id.and_then(|(id, _)| id.parse().ok()) {
                    Some(id) => {
                        let modified_ms = object.last_modified().and_then(|at| at.to_millis().ok()).unwrap_or(i64::MAX);
                        let newest = stored.generations.entry(id).or_insert(modified_ms);
                        *newest = modified_ms.max(*newest);
                    }
                    None => stored.foreign.push(key.to_owned()),
                }
            }
        }
        Ok(stored)
    }

    /// Deletes a generation's objects, as far as they exist.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn delete(&self, key: &GenerationKey) -> Result<(), Error> {
        for object in [Self::output_key(key), Self::events_key(key), Self::request_key(key)] {
            self.s3.delete_object().bucket(&self.bucket).key(object).send().await.map_err(aws_error("s3 DeleteObject"))?;
        }
        Ok(())
    }
}

/// What the bucket has under one organization's name.
#[derive(Debug, Default)]
pub struct Stored {
    /// Generations that have objects, in order, with the moment when the newest of these was put, in milliseconds since the epoch.
    pub generations: BTreeMap<GenerationId, i64>,
    /// Keys that are not of this product's form.
    pub foreign: Vec<String>,
}

/// A request that is signed, with which the object can be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresignedPut {
    /// Its URL.
    pub url: String,
    /// The headers that it must have.
    pub headers: BTreeMap<String, String>,
}

/// A stream of an object's bytes.
#[derive(Debug)]
pub struct Body(ByteStream);

impl Body {
    /// How many bytes it has, as the bucket tells it.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.0.size_hint().1
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Aws`]: the connection broke.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.0.try_next().await.map_err(|error| unexpected("s3 GetObject", error))
    }
}

#[cfg(test)]
impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self(ByteStream::from(bytes))
    }
}

/// Writes an object in constant memory: one request while it is small, else a multipart upload.
#[derive(Debug)]
pub struct BlobWriter {
    upload: Upload,
    waiting: Vec<u8>,
}

#[derive(Debug)]
struct Upload {
    blobs: Blobs,
    object: String,
    content_type: &'static str,
    id: Option<String>,
    parts: Vec<CompletedPart>,
}

impl BlobWriter {
    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Aws`]; the upload cannot be completed then, and [`Self::abort`] should remove it.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        while self.waiting.len() + bytes.len() >= PART_BYTES {
            let (head, rest) = bytes.split_at(PART_BYTES - self.waiting.len());
            self.waiting.reserve_exact(head.len());
            self.waiting.extend_from_slice(head);
            let part = std::mem::take(&mut self.waiting);
            self.upload.part(part).await?;
            bytes = rest;
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// Completes the object and returns its URL. S3 refuses bytes that do not match the checksum that the SDK sends with them.
    ///
    /// # Errors
    /// [`Error::Aws`]; the key then has no object, or the earlier one.
    pub async fn finish(mut self) -> Result<String, Error> {
        let result = self.complete().await;
        if result.is_err() {
            self.abort().await;
        }
        result
    }

    async fn complete(&mut self) -> Result<String, Error> {
        let waiting = std::mem::take(&mut self.waiting);
        if self.upload.id.is_some() {
            if !waiting.is_empty() {
                self.upload.part(waiting).await?;
            }
            self.upload.complete().await?;
        } else {
            self.upload.blobs.put(&self.upload.object, self.upload.content_type, waiting).await?;
        }
        Ok(self.upload.blobs.url(&self.upload.object))
    }

    /// Aborts the upload. Best effort: the bucket's lifecycle rule removes what this leaves.
    pub async fn abort(&mut self) {
        let Upload { blobs, object, id, .. } = &mut self.upload;
        let Some(upload_id) = id.take() else { return };
        let abort = blobs.s3.abort_multipart_upload().bucket(&blobs.bucket).key(object.as_str()).upload_id(upload_id);
        if let Err(error) = abort.send().await.map_err(aws_error("s3 AbortMultipartUpload")) {
            tracing::warn!(object = object.as_str(), %error, "A multipart upload could not be aborted.");
        }
    }
}

impl Upload {
    async fn part(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let upload_id = match &self.id {
            Some(upload_id) => upload_id.clone(),
            None => self.begin().await?,
        };
        let number = i32::try_from(self.parts.len() + 1).unwrap_or(i32::MAX);
        let part = self.blobs.s3.upload_part().bucket(&self.blobs.bucket).key(&self.object).upload_id(upload_id);
        let part = part.part_number(number).checksum_algorithm(ChecksumAlgorithm::Sha256).body(ByteStream::from(bytes));
        let done = part.send().await.map_err(aws_error("s3 UploadPart"))?;
        let done = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(done.e_tag().map(str::to_owned))
            .set_checksum_sha256(done.checksum_sha256().map(str::to_owned))
            .build();
        self.parts.push(done);
        Ok(())
    }

    async fn begin(&mut self) -> Result<String, Error> {
        let create = self.blobs.s3.create_multipart_upload().bucket(&self.blobs.bucket).key(&self.object);
        let create = create.content_type(self.content_type).checksum_algorithm(ChecksumAlgorithm::Sha256);
        let created = create.send().await.map_err(aws_error("s3 CreateMultipartUpload"))?;
        let upload_id = created.upload_id().ok_or_else(|| unexpected("s3 CreateMultipartUpload", "no upload id"))?.to_owned();
        self.id = Some(upload_id.clone());
        Ok(upload_id)
    }

    async fn complete(&mut self) -> Result<(), Error> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(self.parts.clone())).build();
        let complete = self.blobs.s3.complete_multipart_upload().bucket(&self.blobs.bucket).key(&self.object);
        complete
            .set_upload_id(self.id.clone())
            .multipart_upload(parts)
            .send()
            .await
            .map_err(aws_error("s3 CompleteMultipartUpload"))?;
        self.id = None;
        Ok(())
    }
}
