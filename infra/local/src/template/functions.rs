//! `AWS::Serverless::Function` resources, merged with `Globals.Function`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    check_properties,
    events::{self, ApiRoute, AsyncInvoke, Events, Schedule, StreamTrigger},
    names::function_arn,
    resolve::{Resolver, entries, plain},
};

const HOSTED: [&str; 11] = [
    "Architectures",
    "CodeUri",
    "Environment",
    "EventInvokeConfig",
    "Events",
    "FunctionName",
    "Handler",
    "MemorySize",
    "PackageType",
    "Runtime",
    "Timeout",
];

const NOT_HOSTED: [&str; 21] = [
    "AssumeRolePolicyDocument",
    "AutoPublishAlias",
    "AutoPublishAliasAllProperties",
    "CodeSigningConfigArn",
    "DeploymentPreference",
    "Description",
    "EphemeralStorage",
    "KmsKeyArn",
    "LoggingConfig",
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
    /// Its `Handler`, which selects the function within the one binary.
    pub handler: String,
    /// Its `MemorySize` in megabytes, if the template sets one. The local stack does not bound memory.
    pub memory_mb: Option<u32>,
    /// The longest that one invocation may run, in seconds.
    pub timeout_seconds: u64,
    /// The environment from the template, resolved; the stack's endpoints are not in it.
    pub environment: BTreeMap<String, String>,
    /// How async invocations are retried.
    pub async_invoke: AsyncInvoke,
    /// HTTP routes that invoke it.
    pub routes: Vec<ApiRoute>,
    /// Streams that invoke it.
    pub triggers: Vec<StreamTrigger>,
    /// Schedules that invoke it.
    pub schedules: Vec<Schedule>,
}

impl HostedFunction {
    /// The ARN that invocations carry.
    #[must_use]
    pub fn arn(&self) -> String {
        function_arn(&self.name)
    }
}

pub fn read(resolver: &Resolver, id: &str, resource: &Value) -> Result<HostedFunction> {
    let globals = &resolver.section("Globals")["Function"];
    let own = &resource["Properties"];
    check_properties(globals, &HOSTED, &NOT_HOSTED).context("in Globals.Function")?;
    check_properties(own, &HOSTED, &NOT_HOSTED)?;
    let either = |name: &str| -> Result<Option<Value>> {
        let value = own.get(name).or_else(|| globals.get(name));
        value.map(|value| resolver.resolve(value).with_context(|| format!("in `{name}`"))).transpose()
    };
    if either("PackageType")?.is_some_and(|kind| kind != "Zip") {
        bail!("the local stack cannot host a function with the package type Image");
    }
    let handler = either("Handler")?.unwrap_or_default();
    let handler = handler.as_str().context("a function needs a `Handler`, which selects the function within the binary")?;
    let mut environment = variables(resolver, globals).context("in Globals.Function")?;
    environment.extend(variables(resolver, own)?);
    let Events { routes, triggers, schedules } = events::read(resolver, &own["Events"])?;
    Ok(HostedFunction {
        id: id.to_owned(),
        name: resolver.name(id)?,
        handler: handler.to_owned(),
        memory_mb: either("MemorySize")?.as_ref().map(memory_mb).transpose()?,
        timeout_seconds: timeout(either("Timeout")?)?,
        environment,
        async_invoke: events::async_invoke(either("EventInvokeConfig")?.as_ref())?,
        routes,
        triggers,
        schedules,
    })
}

fn timeout(value: Option<Value>) -> Result<u64> {
    let Some(value) = value else { return Ok(TIMEOUT_SECONDS_DEFAULT) };
    plain(&value)?.parse().with_context(|| format!("Timeout is not a number of seconds: {value}"))
}

fn memory_mb(value: &Value) -> Result<u32> {
    plain(value)?.parse().with_context(|| format!("MemorySize is not a number of megabytes: {value}"))
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
    fn function_overrides_globals() {
        let function = Template::read(YAML).unwrap().functions.remove(0);
        assert_eq!((function.handler.as_str(), function.timeout_seconds), ("run", 30));
        let environment: Vec<_> = function.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(environment, [("A", "own"), ("N", "5"), ("TABLE", "blobs")]);
    }

    #[test]
    fn missing_handler_and_layers_are_rejected() {
        let message = format!("{:#}", Template::read(&YAML.replace("Handler: run, ", "")).unwrap_err());
        assert!(message.contains("needs a `Handler`"), "{message}");
        let message = format!("{:#}", Template::read(&YAML.replace("Policies:", "Layers:")).unwrap_err());
        assert!(message.contains("Layers") && message.contains('F'), "{message}");
    }
}
