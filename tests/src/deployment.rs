//! A deployment of the product as an outsider sees it: its HTTP edge, and the stores behind it.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use longhand::aws::{Clients, SharedHttpClient};
use longhand::config::Config;

use crate::{Api, Harness};

/// The embedded stack, or a stack that was deployed somewhere.
pub struct Deployment<'a> {
    /// Its HTTP edge.
    pub api: &'a Api,
    clients: Clients,
    config: Config,
    organization: String,
}

impl<'a> Deployment<'a> {
    /// The deployment whose functions have this environment, and whose callers are this organization's. `http_client`
    /// reaches its stores; `None`: the network.
    pub async fn new(
        api: &'a Api,
        organization: &str,
        environment: &BTreeMap<String, String>,
        http_client: Option<SharedHttpClient>,
    ) -> Self {
        let config = Config::from_vars(&|name| environment.get(name).cloned()).expect("a function's environment");
        Self { api, clients: Clients::new(&config.aws, http_client).await, config, organization: organization.to_owned() }
    }

    /// The embedded stack.
    pub async fn embedded(harness: &'a Harness) -> Self {
        Self::new(&harness.api, "local", &harness.stack.environment("api"), Some(harness.stack.http_client())).await
    }

    /// How many chunks the log has, counted in its table.
    pub async fn stored_chunks(&self, id: &str) -> usize {
        let partition = AttributeValue::S(format!("{}#{id}", self.organization));
        let query = self.clients.dynamodb.query().table_name(&self.config.buffer_table).select(Select::Count);
        // Slots are digits; `:` is the character behind `9`.
        let query = query.key_condition_expression("pk = :pk AND sk < :digits").expression_attribute_values(":pk", partition);
        let page = query.expression_attribute_values(":digits", AttributeValue::S(":".into())).send().await.expect("a count");
        assert!(page.last_evaluated_key().is_none(), "more than one page");
        usize::try_from(page.count()).expect("a count")
    }

    /// What lies at `s3://bucket/key`.
    pub async fn blob(&self, place: &str) -> Vec<u8> {
        let (bucket, key) = place.strip_prefix("s3://").and_then(|place| place.split_once('/')).expect("s3://bucket/key");
        let object = self.clients.s3.get_object().bucket(bucket).key(key).send().await.expect("the blob");
        object.body.collect().await.expect("its bytes").to_vec()
    }
}
