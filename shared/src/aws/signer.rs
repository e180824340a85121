//! Signature Version 4 for requests to Amazon Bedrock, and what else no SDK of the tree sends.

use std::sync::Arc;
use std::time::SystemTime;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use futures::future::BoxFuture;
use reqwest::Request;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use tokio::sync::OnceCell;

use crate::error::Error;
use crate::providers::{Fault, ProviderError, Sign};

/// The name under which Bedrock's requests are signed.
const SERVICE: &str = "bedrock";
/// How the label before the region begins in the hosts of Bedrock's endpoints, FIPS and VPC endpoints included.
const HOST: &str = "bedrock-runtime";

/// Signs with the credentials of the process: the function's role on AWS, and on a laptop whatever the AWS command line finds.
/// The local stack's own credentials, which are of no use outside it, are not among them.
#[derive(Debug, Clone, Default)]
pub struct Signer {
    config: Arc<OnceCell<SdkConfig>>,
}

impl Signer {
    async fn config(&self) -> &SdkConfig {
        self.config.get_or_init(|| aws_config::defaults(BehaviorVersion::latest()).load()).await
    }

    /// The region of the process.
    ///
    /// # Errors
    /// [`Error::Configuration`]: it has none.
    pub async fn region(&self) -> Result<String, Error> {
        let region = self.config().await.region().map(|region| region.as_ref().to_owned());
        let missing = || Error::Configuration("the provider's base URL needs a region, and AWS_REGION is not set".into());
        region.ok_or_else(missing)
    }

    async fn sign_request(&self, request: &mut Request) -> Result<(), String> {
        let config = self.config().await;
        let provider = config.credentials_provider().ok_or("there is no source of AWS credentials")?;
        let credentials =
            provider.provide_credentials().await.map_err(|error| format!("there are no AWS credentials: {error}"))?;
        let mut labels = request.url().host_str().unwrap_or_default().split('.').skip_while(|label| !label.starts_with(HOST));
        let of_host = labels.nth(1).map(str::to_owned);
        let region =
            of_host.or_else(|| config.region().map(|region| region.as_ref().to_owned())).ok_or("AWS_REGION is not set")?;
        let signature = signature(request, credentials, &region, SERVICE, SystemTime::now())?;
        for (name, value) in signature {
            let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
            let (Ok(name), Ok(mut value)) = (name, value) else { return Err("a signature that is no header".into()) };
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        Ok(())
    }
}

/// The headers that sign a request to a service.
pub(super) fn signature(
    request: &Request,
    credentials: Credentials,
    region: &str,
    service: &str,
    time: SystemTime,
) -> Result<Vec<(String, String)>, String> {
    let identity = credentials.into();
    let params = SigningParams::builder().identity(&identity).region(region).name(service).time(time);
    let params = params.settings(SigningSettings::default()).build().map_err(|error| error.to_string())?.into();
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let headers = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(|kind| ("content-type", kind));
    let (method, url) = (request.method().as_str(), request.url().as_str());
    let signable = SignableRequest::new(method, url, headers.into_iter(), SignableBody::Bytes(body));
    let signed = sign(signable.map_err(|error| error.to_string())?, &params).map_err(|error| error.to_string())?;
    let (instructions, _) = signed.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

impl Sign for Signer {
    fn sign<'a>(&'a self, request: &'a mut Request) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let unsigned = |why| ProviderError::new(Fault::Unreachable, format!("the request could not be signed: {why}"));
            self.sign_request(request).await.map_err(unsigned)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hmac::{Hmac, Mac};
    use sha2::{Digest, Sha256};

    use super::*;

    fn hex_digit(digit: u8) -> Option<char> {
        char::from_digit(digit.into(), 16)
    }

    fn hmac(key: &[u8], text: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    /// Computed by the rules of the AWS guide "Create a signed AWS API request", in which each segment of the path is encoded twice.
    #[test]
    fn signature_follows_the_guide() {
        let url = "https://bedrock-runtime.eu-west-1.amazonaws.com/model/us.amazon.nova-pro-v1%3A0/converse-stream";
        let client = reqwest::Client::new();
        let request = client.post(url).json(&serde_json::json!({ "a": 1 })).build().unwrap();
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test");
        let time = SystemTime::UNIX_EPOCH + Duration::from_hours(490_128);
        let headers = signature(&request, credentials, "eu-west-1", SERVICE, time).unwrap();
        let header = |name: &str| headers.iter().find(|(named, _)| named == name).map(|(_, value)| value.as_str()).unwrap();
        assert_eq!((header("x-amz-date"), header("x-amz-security-token")), ("20251130T000000Z", "token"));
        let names = "content-type;host;x-amz-date;x-amz-security-token";
        let canonical = format!(
            "POST\n/model/us.amazon.nova-pro-v1%253A0/converse-stream\n\ncontent-type:application/json\n\
             host:bedrock-runtime.eu-west-1.amazonaws.com\nx-amz-date:20251130T000000Z\nx-amz-security-token:token\n\n{names}\n{:x}",
            Sha256::digest(r#"{"a":1}"#)
        );
        let scope = "20251130/eu-west-1/bedrock/aws4_request";
        let to_sign = format!("AWS4-HMAC-SHA256\n20251130T000000Z\n{scope}\n{:x}", Sha256::digest(canonical));
        let key = scope.split('/').fold(b"AWS4secret".to_vec(), |key, part| hmac(&key, part));
        let signature: String =
            hmac(&key, &to_sign).iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(hex_digit).collect();
        let expected = format!("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={names}, Signature={signature}");
        assert_eq!(header("authorization"), expected);
    }
}
