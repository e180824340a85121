//! E-mail by Amazon SES: the signed request, which is sent as any delivery is.

use std::sync::Arc;
use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials as _;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::clients::shared_config;
use super::signer::signature;
use crate::config::AwsConfig;
use crate::error::Error;
use crate::receivers::Parcel;

/// The name under which SES's requests are signed.
const SERVICE: &str = "ses";
/// `SendEmail` of the second version (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>).
const PATH: &str = "/v2/email/outbound-emails";
/// The headers of a signature.
const SIGNED: [&str; 3] = ["authorization", "x-amz-date", "x-amz-security-token"];

/// Signs with the credentials of the process. Clones share them.
#[derive(Debug, Clone)]
pub struct Mailer {
    aws: AwsConfig,
    config: Arc<OnceCell<SdkConfig>>,
}

impl Mailer {
    /// With these settings. Nothing is read yet.
    #[must_use]
    pub fn new(aws: AwsConfig) -> Self {
        Self { aws, config: Arc::default() }
    }

    /// The request that sends a mail.
    ///
    /// # Errors
    /// [`Error::Configuration`]: there is no region, or there are no credentials.
    pub async fn parcel(&self, body: &Value) -> Result<Parcel, Error> {
        let configured = |why: String| Error::Configuration(format!("no e-mail can be sent: {why}"));
        let config = self.config.get_or_init(|| Box::pin(shared_config(&self.aws, None))).await;
        let region = config.region().ok_or_else(|| configured("AWS_REGION is not set".into()))?.as_ref();
        let provider = config.credentials_provider().ok_or_else(|| configured("there is no source of credentials".into()))?;
        let credentials = provider.provide_credentials().await.map_err(|error| configured(error.to_string()))?;
        let host = self.aws.sesv2_endpoint.clone().unwrap_or_else(|| format!("https://email.{region}.amazonaws.com"));
        let url = format!("{}{PATH}", host.trim_end_matches('/'));
        let body = body.to_string();
        let mut request = Request::new(Method::POST, url.parse().map_err(|error| configured(format!("{url}: {error}")))?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.clone().into());
        let signature = signature(&request, credentials, region, SERVICE, SystemTime::now()).map_err(configured)?;
        let named = |(name, value): (String, String)| Some((SIGNED.into_iter().find(|known| *known == name)?, value));
        Ok(Parcel { url, headers: signature.into_iter().filter_map(named).collect(), body })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_mail_is_signed_for_ses_in_its_region() {
        let credentials = Some(("AKIDEXAMPLE".to_owned(), "secret".to_owned(), Some("token".to_owned())));
        let mailer = Mailer::new(AwsConfig { region: Some("eu-west-1".into()), credentials, ..AwsConfig::default() });
        let parcel = mailer.parcel(&json!({ "a": 1 })).await.unwrap();
        assert_eq!(parcel.url, "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails");
        let header =
            |name: &str| parcel.headers.iter().find(|(named, _)| *named == name).map(|(_, value)| value.as_str()).unwrap();
        assert_eq!(header("x-amz-security-token"), "token");
        let authorization = header("authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
        assert!(
            authorization.contains("/eu-west-1/ses/aws4_request, SignedHeaders=content-type;host;x-amz-date;"),
            "{authorization}"
        );
    }
}
