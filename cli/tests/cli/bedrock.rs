//! Amazon Bedrock from a laptop: requests are signed with the credentials that the AWS command line would find.

use longhand_tests::Api;
use longhand_tests::hostile::{Hostile, Script};
use serde_json::json;

use crate::dev::Dev;

#[tokio::test(flavor = "multi_thread")]
async fn requests_to_bedrock_are_signed_with_the_credentials_of_the_process() {
    let refused = Script::plain("403 Forbidden", "application/json", r#"{"message":"No."}"#);
    let hostile = Hostile::start([("aws", vec![refused])]).await;
    let settings = json!({ "base_url": hostile.base_url("aws"), "dialect": "bedrock", "auth": "sigv4" });
    let providers = json!({ "aws": settings }).to_string();
    let nobody = tempfile::tempdir().unwrap();
    let home = nobody.path().to_str().unwrap();
    let unset = [("HOME", home), ("AWS_EC2_METADATA_DISABLED", "true"), ("LONGHAND_PROVIDERS", providers.as_str())];
    let given = [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_REGION", "eu-west-3")];
    let with_key = [unset.as_slice(), &given].concat();
    for (environment, code, message) in [
        (with_key.as_slice(), "provider_rejected", "the provider answered 403 Forbidden: No."),
        (&unset, "provider_unreachable", "the request could not be signed: there are no AWS credentials"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (_dev, place) = Dev::start(folder.path(), &[], environment).await;
        let api = Api::open(&place.url).with_key(&place.key);
        let id = api.start_generation(json!({ "provider": "aws" })).await;
        let record = api.ended(&id).await;
        assert_eq!(record["error"]["code"], code, "{record}");
        assert!(record["error"]["message"].as_str().unwrap().starts_with(message), "{record}");
    }
    let seen = hostile.seen("aws").keys;
    let [Some(authorization)] = seen.as_slice() else { panic!("one request, signed: {seen:?}") };
    assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
    assert!(
        authorization.contains("/eu-west-3/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date"),
        "{authorization}"
    );
}
