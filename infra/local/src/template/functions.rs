//! `AWS::Serverless::Function` resources, with what `Globals.Function` gives them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    events::{self, ApiRoute, AsyncInvoke, Schedule, StreamTrigger},
    known,
    resolve::{ACCOUNT, REGION, Resolver, entries, plain},
};

const HOSTED: [&str; 10] = [
    "Architectures",
    "CodeUri",
    "Environment",
    "EventInvokeConfig",
    "Events",
    "FunctionName",
    "Handler",
    "PackageType",
    "Runtime",
    "Timeout",
];

const WITHOUT_TWIN: [&str; 22] = [
    "AssumeRolePolicyDocument",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "CodeSigningConfigArn",
    "DeploymentPreference",
    "Description",
    "EphemeralStorage",
    "KmsKeyArn",
    "LoggingConfig",
    "MemorySize",
    "PermissionsBoundary",
    "Policies",
    "PropagateTags",
    "ProvisionedConcurrencyConfig",
    "RecursiveLoop",
    "ReservedConcurrentExecutions",
    "Role",
    "RolePath",
    "RuntimeManagementConfig",
    "Tags",
    "Tracing",
    "VersionDescription",
];

const TIMEOUT_SECONDS_DEFAULT: u64 = 3;

/// A function to host.
#[derive(Clone, Debug)]
pub struct HostedFunction {
    /// Its logical id in the template.
    pub id: String,
    /// Its local physical name.
    pub name: String,
    /// Its `Handler`: which of the functions it is that all binaries can be.
    pub handler: String,
    /// Seconds that one invocation may take.
    pub timeout_seconds: u64,
    /// The template's own environment, resolved; without the stack's endpoints.
    pub environment: BTreeMap<String, String>,
    /// How async invocations are retried.
    pub async_invoke: AsyncInvoke,
    /// HTTP routes that lead to it.
    pub routes: Vec<ApiRoute>,
    /// Streams that feed it.
    pub triggers: Vec<StreamTrigger>,
    /// Schedules that call it.
    pub schedules: Vec<Schedule>,
}

impl HostedFunction {
    /// The ARN that invocations carry.
    #[must_use]
    pub fn arn(&self) -> String {
        arn(&self.name)
    }
}

/// The ARN of the function called `name`.
pub fn arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

pub fn read(resolver: &Resolver, id: &str, resource: &Value) -> Result<HostedFunction> {
    let globals = &resolver.section("Globals")["Function"];
    let own = &resource["Properties"];
    known(globals, &HOSTED, &WITHOUT_TWIN).context("in Globals.Function")?;
    known(own, &HOSTED, &WITHOUT_TWIN)?;
    let either = |name: &str| -> Result<Option<Value>> {
        let value = own.get(name).or_else(|| globals.get(name));
        value.map(|value| resolver.resolve(value).with_context(|| format!("in `{name}`"))).transpose()
    };
    if either("PackageType")?.is_some_and(|kind| kind != "Zip") {
        bail!("the local stack cannot host a function that is packaged as an image");
    }
    let handler = either("Handler")?.unwrap_or_default();
    let handler = handler.as_str().context("a function needs a `Handler`, which says what the binary is to be")?;
    let mut environment = variables(resolver, globals).context("in Globals.Function")?;
    environment.extend(variables(resolver, own)?);
    let mut function = HostedFunction {
        id: id.to_owned(),
        name: resolver.name(id)?,
        handler: handler.to_owned(),
        timeout_seconds: timeout(either("Timeout")?)?,
        environment,
        async_invoke: events::async_invoke(either("EventInvokeConfig")?.as_ref())?,
        routes: Vec::new(),
        triggers: Vec::new(),
        schedules: Vec::new(),
    };
    for (name, event) in entries(&own["Events"]) {
        events::read(resolver, &mut function, name, event).with_context(|| format!("event `{name}`"))?;
    }
    Ok(function)
}

fn timeout(value: Option<Value>) -> Result<u64> {
    let Some(value) = value else { return Ok(TIMEOUT_SECONDS_DEFAULT) };
    plain(&value)?.parse().with_context(|| format!("Timeout is not a number of seconds: {value}"))
}

fn variables(resolver: &Resolver, properties: &Value) -> Result<BTreeMap<String, String>> {
    let mut variables = BTreeMap::new();
    for (name, value) in entries(&properties["Environment"]["Variables"]) {
        let value = resolver.resolve(value).with_context(|| format!("environment variable `{name}`"))?;
        if !value.is_null() {
            variables.insert(name.clone(), plain(&value).with_context(|| format!("environment variable `{name}`"))?);
        }
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::super::Template;

    const YAML: &str = r#"
Globals: { Function: { Timeout: 30, Environment: { Variables: { A: global, TABLE: !Ref T, N: 5 } } } }
Resources:
  T: { Type: AWS::S3::Bucket, Properties: { BucketName: blobs } }
  F:
    Type: AWS::Serverless::Function
    Properties: { Handler: run, Policies: [!Sub "${Unknown.Arn}"], Environment: { Variables: { A: own } } }
"#;

    #[test]
    fn own_settings_go_over_the_global_ones() {
        let function = Template::read(YAML).unwrap().functions.remove(0);
        assert_eq!((function.handler.as_str(), function.timeout_seconds), ("run", 30));
        let environment: Vec<_> = function.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(environment, [("A", "own"), ("N", "5"), ("TABLE", "blobs")]);
    }

    #[test]
    fn a_function_without_a_handler_or_with_a_layer_is_refused() {
        let message = format!("{:#}", Template::read(&YAML.replace("Handler: run, ", "")).unwrap_err());
        assert!(message.contains("needs a `Handler`"), "{message}");
        let message = format!("{:#}", Template::read(&YAML.replace("Policies:", "Layers:")).unwrap_err());
        assert!(message.contains("Layers") && message.contains('F'), "{message}");
    }
}
