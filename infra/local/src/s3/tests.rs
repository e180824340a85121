//! The embedded S3, driven by the SDK.

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata},
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart},
};
use futures::future::join_all;
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::*;
use crate::server;

const BUCKET: &str = "blobs";

async fn s3() -> (TempDir, Client) {
    let folder = tempfile::tempdir().unwrap();
    let buckets = [BUCKET.to_owned(), "other".to_owned()];
    let listener = server::bind(server::ANY_PORT).await.unwrap();
    let url = server::url(&listener).unwrap();
    let key = AwsKey { id: "id".to_owned(), secret: "secret".to_owned() };
    server::serve(listener, router(folder.path(), &buckets, &key).unwrap(), &CancellationToken::new(), &TaskTracker::new());
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(key.id, key.secret, None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .force_path_style(true)
        .endpoint_url(url);
    (folder, Client::from_conf(config.build()))
}

async fn get(client: &Client, key: &str) -> Vec<u8> {
    let object = client.get_object().bucket(BUCKET).key(key).checksum_mode(ChecksumMode::Enabled).send().await;
    let object = object.unwrap_or_else(|error| panic!("{}", DisplayErrorContext(error)));
    object.body.collect().await.unwrap().to_vec()
}

#[tokio::test]
async fn one_conditional_put_wins() {
    let (_folder, client) = s3().await;
    let puts = (0..32).map(|n| client.put_object().bucket(BUCKET).key("k").if_none_match("*").body(vec![n; 2000].into()).send());
    let results = join_all(puts).await;
    let winner = results.iter().position(Result::is_ok).unwrap();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().filter_map(|result| result.as_ref().err()).all(|error| error.code() == Some("PreconditionFailed")));
    assert_eq!(get(&client, "k").await, vec![u8::try_from(winner).unwrap(); 2000]);
}

#[tokio::test]
async fn reads_during_overwrites_are_consistent() {
    let (_folder, client) = s3().await;
    let put = |n: u8| client.put_object().bucket(BUCKET).key("k").body(vec![n; 50_000].into()).send();
    put(0).await.unwrap();
    let writing = join_all((1..20).map(put));
    let reading = join_all((0..40).map(|_| get(&client, "k")));
    let (written, read) = tokio::join!(writing, reading);
    assert!(written.into_iter().all(|result| result.is_ok()));
    assert!(read.iter().all(|bytes| bytes.len() == 50_000 && bytes.iter().all(|byte| *byte == bytes[0])));
}

#[tokio::test]
async fn keys_cannot_leave_the_bucket() {
    let (folder, client) = s3().await;
    for key in ["../other/evil", "a/../../other/evil", "./a", "a//b", "/a", "a/"] {
        let error = client.put_object().bucket(BUCKET).key(key).body(ByteStream::from_static(b"x")).send().await.unwrap_err();
        assert!(
            matches!(error.code(), Some("InvalidArgument" | "SignatureDoesNotMatch")),
            "{key}: {}",
            DisplayErrorContext(error)
        );
    }
    assert!(!folder.path().join("other/evil").exists());
    let error =
        client.put_object().bucket(BUCKET).key("k".repeat(200)).body(ByteStream::from_static(b"x")).send().await.unwrap_err();
    assert_eq!(error.code(), Some("KeyTooLongError"));
}

#[tokio::test]
async fn missing_bucket_is_rejected() {
    let (_folder, client) = s3().await;
    let error = client.put_object().bucket("nowhere").key("k").body(ByteStream::from_static(b"x")).send().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchBucket"));
}

#[tokio::test]
async fn wrong_checksum_is_rejected() {
    let (_folder, client) = s3().await;
    client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"kept")).send().await.unwrap();
    let wrong = client.put_object().bucket(BUCKET).key("k").checksum_sha256("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let error = wrong.body(ByteStream::from_static(b"other")).send().await.unwrap_err();
    assert_eq!(error.code(), Some("BadDigest"), "{}", DisplayErrorContext(&error));
    assert_eq!(get(&client, "k").await, b"kept");
}

#[tokio::test]
async fn multipart_object_reads_whole_and_in_ranges() {
    const PART: usize = 5 * 1024 * 1024;
    let (_folder, client) = s3().await;
    client.put_object().bucket(BUCKET).key("a/b").body(ByteStream::from_static(b"before")).send().await.unwrap();
    let upload = client.create_multipart_upload().bucket(BUCKET).key("a/b").checksum_algorithm(ChecksumAlgorithm::Sha256);
    let upload = upload.send().await.unwrap().upload_id.unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, size) in [(1, PART), (2, 1000)] {
        let part = client.upload_part().bucket(BUCKET).key("a/b").upload_id(&upload).part_number(number);
        let part = part.checksum_algorithm(ChecksumAlgorithm::Sha256).body(vec![u8::try_from(number).unwrap(); size].into());
        let part = part.send().await.unwrap_or_else(|error| panic!("{}", DisplayErrorContext(error)));
        let done =
            CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).checksum_sha256(part.checksum_sha256.unwrap());
        parts = parts.parts(done.build());
    }
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("a/b").upload_id(&upload);
    complete.multipart_upload(parts.build()).send().await.unwrap();
    assert_eq!(get(&client, "a/b").await.len(), PART + 1000);
    let range = client.get_object().bucket(BUCKET).key("a/b").range(format!("bytes={}-{}", PART - 1, PART)).send().await.unwrap();
    assert_eq!(range.body.collect().await.unwrap().to_vec(), [1, 2]);
}

#[tokio::test]
async fn presigned_url_is_sufficient_and_required() {
    let (_folder, client) = s3().await;
    client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"text")).send().await.unwrap();
    let minute = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let presigned = client.get_object().bucket(BUCKET).key("k").presigned(minute).await.unwrap();
    let fetch = async |url: &str| reqwest::get(url).await.unwrap();
    assert_eq!(fetch(presigned.uri()).await.text().await.unwrap(), "text");
    assert_eq!(fetch(presigned.uri().split('?').next().unwrap()).await.status(), 403);
}

#[tokio::test]
async fn deleted_metadata_does_not_return() {
    let (_folder, client) = s3().await;
    let put = client.put_object().bucket(BUCKET).key("k").metadata("m", "1").body(ByteStream::from_static(b"x"));
    put.send().await.unwrap();
    client.delete_object().bucket(BUCKET).key("k").send().await.unwrap();
    let error = client.get_object().bucket(BUCKET).key("k").send().await.unwrap_err();
    assert_eq!(error.code(), Some("NoSuchKey"));
    client.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(b"y")).send().await.unwrap();
    assert_eq!(client.head_object().bucket(BUCKET).key("k").send().await.unwrap().metadata.unwrap_or_default().len(), 0);
}

#[tokio::test]
async fn restart_removes_unfinished_uploads() {
    let (folder, client) = s3().await;
    client.put_object().bucket(BUCKET).key("kept").body(b"kept".to_vec().into()).send().await.unwrap();
    let before = files(folder.path());
    let upload = client.create_multipart_upload().bucket(BUCKET).key("half").content_type("text/plain").send().await.unwrap();
    let part = client.upload_part().bucket(BUCKET).key("half").upload_id(upload.upload_id().unwrap()).part_number(1);
    part.body(vec![7; 1000].into()).send().await.unwrap();
    assert!(files(folder.path()).len() > before.len());
    drop(router(folder.path(), &[], &AwsKey { id: String::new(), secret: String::new() }).unwrap());
    assert_eq!(files(folder.path()), before);
    assert_eq!(get(&client, "kept").await, b"kept");
}

#[tokio::test]
async fn a_url_for_a_file_takes_it_once_and_a_restart_removes_it_after_a_day() {
    let (folder, client) = s3().await;
    let minute = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    for name in ["old", "new"] {
        let put = client.put_object().bucket(BUCKET).key(format!(".uploads/acme/{name}")).if_none_match("*").content_length(4);
        let signed = put.presigned(minute.clone()).await.unwrap();
        let send = async |body: &'static str| {
            let put = signed.headers().filter(|(name, _)| *name != "content-length");
            let put = put.fold(reqwest::Client::new().put(signed.uri()), |put, (name, value)| put.header(name, value));
            put.body(body).send().await.unwrap().status().as_u16()
        };
        assert_eq!([send("longer").await, send("text").await, send("more").await], [403, 200, 412]);
    }
    let path = |name: &str| folder.path().join(BUCKET).join(".uploads/acme").join(name);
    let day_ago = std::time::SystemTime::now() - Duration::from_hours(24);
    std::fs::File::options().write(true).open(path("old")).unwrap().set_modified(day_ago).unwrap();
    drop(router(folder.path(), &[BUCKET.to_owned()], &AwsKey { id: String::new(), secret: String::new() }).unwrap());
    assert!(!path("old").exists() && path("new").exists());
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
