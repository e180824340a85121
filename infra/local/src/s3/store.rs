//! Makes the file system of s3s as strict as S3: keys cannot leave their bucket, buckets must exist, one conditional put succeeds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use s3s::{
    S3, S3Request, S3Response, S3Result,
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, CompleteMultipartUploadInput, CompleteMultipartUploadOutput,
        CopyObjectInput, CopyObjectOutput, CopySource, CreateMultipartUploadInput, CreateMultipartUploadOutput,
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, GetObjectInput,
        GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput, HeadObjectOutput, ListBucketsInput,
        ListBucketsOutput, ListObjectsInput, ListObjectsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput,
        ListPartsOutput, PutObjectInput, PutObjectOutput, StreamingBlob, UploadPartInput, UploadPartOutput,
    },
    s3_error,
};
use s3s_fs::FileSystem;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
};
use tokio_util::io::ReaderStream;

use super::{digest::Digest, locks::Locks};

/// The longest file name. The file system stores an object's metadata in files named after it.
const FILE_NAME_BYTES_MAX: usize = 255;
/// The bytes of such a name besides the bucket and the key.
const FILE_NAME_BYTES_EXTRA: usize = ".bucket-.object-.upload-.metadata.json".len() + 36;

/// Bytes of an object that are read at a time. Each read is a job for another thread, and the file system of s3s reads 4 KiB.
const READ_BYTES: usize = 64 * 1024;

/// S3 over a folder.
pub struct Store {
    files: FileSystem,
    folder: PathBuf,
    locks: Locks,
}

impl Store {
    pub fn new(files: FileSystem, folder: PathBuf) -> Self {
        Self { files, folder, locks: Locks::default() }
    }

    fn check(&self, bucket: &str, key: &str) -> S3Result<()> {
        if !self.folder.join(bucket).is_dir() {
            return Err(s3_error!(NoSuchBucket, "The bucket {bucket} is not in template.yaml."));
        }
        if key.split('/').any(|segment| matches!(segment, "" | "." | "..")) || key.contains('\0') {
            return Err(s3_error!(InvalidArgument, "The local S3 rejects keys with an empty, `.` or `..` segment."));
        }
        if FILE_NAME_BYTES_EXTRA + encoded(bucket).len() + encoded(key).len() > FILE_NAME_BYTES_MAX {
            return Err(s3_error!(
                KeyTooLongError,
                "The local S3 stores metadata in files named after the key, and this key is too long."
            ));
        }
        Ok(())
    }

    /// Removes an object's metadata files, which the file system would otherwise apply to the next object with this key.
    fn remove_metadata(&self, bucket: &str, key: &str, kinds: &[&str]) {
        for kind in kinds {
            let name = format!(".bucket-{}.object-{}.{kind}.json", encoded(bucket), encoded(key));
            let _ = fs::remove_file(Path::new(&self.folder).join(name));
        }
    }
}

/// The bytes of the file at `path` that `output` describes.
async fn body(path: &Path, output: &GetObjectOutput) -> S3Result<StreamingBlob> {
    let failed = |error| s3_error!(error, InternalError);
    let range = output.content_range.as_deref().and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    let first = range.and_then(|(first, _)| first.parse().ok()).unwrap_or(0);
    let length = output.content_length.unwrap_or(0).max(0).cast_unsigned();
    let mut file = File::open(path).await.map_err(failed)?;
    file.seek(io::SeekFrom::Start(first)).await.map_err(failed)?;
    Ok(StreamingBlob::wrap(ReaderStream::with_capacity(file.take(length), READ_BYTES)))
}

fn encoded(text: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

#[async_trait]
impl S3 for Store {
    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.check(&bucket, &key)?;
        let body = request.input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let (digest, body) = Digest::verify(&request, body);
        request.input.body = Some(body);
        let _lock = self.locks.write(&bucket, &key).await;
        self.files.put_object(request).await.map_err(|error| digest.refine(error))
    }

    async fn copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        let CopySource::Bucket { bucket, key, .. } = &request.input.copy_source else { return Err(s3_error!(NotImplemented)) };
        let (from_bucket, from) = (bucket.to_string(), key.to_string());
        let (bucket, to) = (request.input.bucket.clone(), request.input.key.clone());
        self.check(&from_bucket, &from)?;
        self.check(&bucket, &to)?;
        if (&from_bucket, &from) == (&bucket, &to) {
            return Err(s3_error!(NotImplemented, "The local S3 does not copy an object onto itself."));
        }
        let _source = self.locks.read(&from_bucket, &from).await;
        let _lock = self.locks.write(&bucket, &to).await;
        self.files.copy_object(request).await
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        self.check(&request.input.bucket, &request.input.key)?;
        // An open file keeps its content when it is replaced while it is sent.
        let _lock = self.locks.read(&request.input.bucket, &request.input.key).await;
        let path = self.folder.join(&request.input.bucket).join(&request.input.key);
        let mut response = self.files.get_object(request).await?;
        response.output.body = Some(body(&path, &response.output).await?);
        Ok(response)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        self.check(&request.input.bucket, &request.input.key)?;
        let _lock = self.locks.read(&request.input.bucket, &request.input.key).await;
        self.files.head_object(request).await
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.check(&bucket, &key)?;
        let _lock = self.locks.write(&bucket, &key).await;
        let deleted = self.files.delete_object(request).await?;
        self.remove_metadata(&bucket, &key, &["internal", "metadata"]);
        Ok(deleted)
    }

    async fn delete_objects(&self, request: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let bucket = request.input.bucket.clone();
        let mut deleted = Vec::new();
        for object in request.input.delete.objects.clone() {
            let input = DeleteObjectInput { bucket: bucket.clone(), key: object.key.clone(), ..Default::default() };
            self.delete_object(request.clone().map_input(|_| input)).await?;
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.check(&request.input.bucket, &request.input.key)?;
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(&self, mut request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.check(&request.input.bucket, &request.input.key)?;
        let body = request.input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        let (digest, body) = Digest::verify(&request, body);
        request.input.body = Some(body);
        let mut response = self.files.upload_part(request).await.map_err(|error| digest.refine(error))?;
        let checksum = digest.checksum();
        response.output.checksum_crc32 = checksum.checksum_crc32;
        response.output.checksum_crc32c = checksum.checksum_crc32c;
        response.output.checksum_crc64nvme = checksum.checksum_crc64nvme;
        response.output.checksum_sha1 = checksum.checksum_sha1;
        response.output.checksum_sha256 = checksum.checksum_sha256;
        Ok(response)
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.check(&bucket, &key)?;
        let _lock = self.locks.write(&bucket, &key).await;
        self.remove_metadata(&bucket, &key, &["internal"]);
        self.files.complete_multipart_upload(request).await
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(request).await
    }

    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn list_buckets(&self, request: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        self.files.list_buckets(request).await
    }

    async fn list_objects(&self, request: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        self.files.list_objects(request).await
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        self.files.list_objects_v2(request).await
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        self.files.list_parts(request).await
    }
}
