//! What calls a function: HTTP routes, DynamoDB streams, schedules; and how async invocations are retried.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::{functions::HostedFunction, known, resolve::Resolver};
use crate::triggers::pattern::Pattern;

/// An HTTP route of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRoute {
    /// Upper case; `ANY` for all.
    pub method: String,
    /// API Gateway's form: `/v1/things/{id}` or `/files/{path+}`.
    pub path: String,
}

/// A schedule of a function.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The event's name in the template.
    pub name: String,
    /// How often.
    pub rate: Rate,
    /// A payload of the template's own instead of the scheduled event.
    pub input: Option<Value>,
}

/// `rate(N unit)` as a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Duration);

impl Rate {
    /// Reads `rate(1 minute)`, `rate(5 hours)` and the like.
    ///
    /// # Errors
    /// It is not a rate, or a `cron(…)`, which the local stack cannot do.
    pub fn read(text: &str) -> Result<Self> {
        let parts = text.strip_prefix("rate(").and_then(|text| text.strip_suffix(')')).and_then(|text| text.split_once(' '));
        let Some((count, unit)) = parts else {
            bail!("the local stack can only do schedules like `rate(5 minutes)`, not `{text}`");
        };
        let count: u64 =
            count.parse().ok().filter(|count| *count > 0).with_context(|| format!("`{text}` needs a whole number above 0"))?;
        let seconds = match (count, unit) {
            (1, "minute") | (2.., "minutes") => 60,
            (1, "hour") | (2.., "hours") => 3600,
            (1, "day") | (2.., "days") => 86_400,
            _ => bail!("`{text}` is not a rate: the unit is minute, hour or day, and plural exactly when the number is not 1"),
        };
        Ok(Self(Duration::from_secs(count * seconds)))
    }
}

/// What Lambda does with a failed async invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncInvoke {
    /// Attempts after the first.
    pub retries: u32,
    /// How long an event is kept, from when it was accepted.
    pub age_max: Duration,
}

/// A DynamoDB stream that feeds a function.
#[derive(Clone, Debug)]
pub struct StreamTrigger {
    /// The event's name in the template.
    pub name: String,
    /// The table's local name.
    pub table: String,
    /// Records that match any of these are delivered; none: every record.
    pub filters: Vec<Pattern>,
    /// Most records in one invocation.
    pub batch_size: usize,
    /// How long records are gathered before an invocation.
    pub window: Duration,
    /// Attempts after the first; `None`: until the records are too old.
    pub retries: Option<u32>,
    /// Older records are given up; `None`: never.
    pub age_max: Option<Duration>,
    /// Whether a failed batch is halved.
    pub bisect: bool,
    /// Whether the function answers with the records that failed.
    pub reports_failures: bool,
    /// Whether a new trigger begins after what the stream holds already.
    pub from_latest: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AsyncInvokeProperties {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u64>,
}

pub fn async_invoke(properties: Option<&Value>) -> Result<AsyncInvoke> {
    let none = Value::Null;
    let properties = properties.unwrap_or(&none);
    known(properties, &["MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"], &[])?;
    destination(properties)?;
    let properties: Option<AsyncInvokeProperties> = serde_json::from_value(properties.clone()).context("EventInvokeConfig")?;
    let (retries, age) = properties.map_or((None, None), |it| (it.maximum_retry_attempts, it.maximum_event_age_in_seconds));
    Ok(AsyncInvoke { retries: retries.unwrap_or(2), age_max: Duration::from_secs(age.unwrap_or(21_600)) })
}

/// On-failure records are kept whatever the destination is; a destination for successes would have to be hosted.
fn destination(properties: &Value) -> Result<()> {
    known(&properties["DestinationConfig"], &["OnFailure"], &[])
}

/// Adds what `event` says to `function`.
pub fn read(resolver: &Resolver, function: &mut HostedFunction, name: &str, event: &Value) -> Result<()> {
    let properties = &event["Properties"];
    match event["Type"].as_str().unwrap_or_default() {
        "Api" => function.routes.push(route(resolver, properties)?),
        "DynamoDB" => function.triggers.extend(trigger(resolver, name, properties)?),
        "Schedule" | "ScheduleV2" => function.schedules.extend(schedule(resolver, name, properties)?),
        kind => bail!("the local stack cannot do an event of type `{kind}`"),
    }
    Ok(())
}

fn route(resolver: &Resolver, properties: &Value) -> Result<ApiRoute> {
    let without_twin = ["Auth", "RequestModel", "RequestParameters", "ResponseTransferMode", "RestApiId", "TimeoutInMillis"];
    known(properties, &["Method", "Path"], &without_twin)?;
    let text = |name: &str| -> Result<String> {
        let value = resolver.resolve(&properties[name])?;
        Ok(value.as_str().with_context(|| format!("an Api event needs `{name}`"))?.to_owned())
    };
    Ok(ApiRoute { method: text("Method")?.to_uppercase(), path: text("Path")? })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleProperties {
    schedule: Option<String>,
    schedule_expression: Option<String>,
    enabled: Option<bool>,
    state: Option<String>,
    input: Option<String>,
}

fn schedule(resolver: &Resolver, name: &str, properties: &Value) -> Result<Option<Schedule>> {
    let without_twin =
        ["Name", "Description", "RetryPolicy", "DeadLetterConfig", "PermissionsBoundary", "RoleArn", "FlexibleTimeWindow"];
    known(properties, &["Schedule", "ScheduleExpression", "Enabled", "State", "Input"], &without_twin)?;
    let properties: ScheduleProperties = serde_json::from_value(resolver.resolve(properties)?).context("as a schedule")?;
    if properties.enabled == Some(false) || properties.state.as_deref() == Some("DISABLED") {
        return Ok(None);
    }
    let rate = properties.schedule.or(properties.schedule_expression).context("a schedule needs its rate")?;
    let input = properties.input.map(|input| serde_json::from_str(&input).context("Input is not JSON")).transpose()?;
    Ok(Some(Schedule { name: name.to_owned(), rate: Rate::read(&rate)?, input }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TriggerProperties {
    stream: String,
    starting_position: String,
    #[serde(default)]
    filter_criteria: FilterCriteria,
    batch_size: Option<usize>,
    maximum_batching_window_in_seconds: Option<u64>,
    maximum_retry_attempts: Option<i64>,
    maximum_record_age_in_seconds: Option<i64>,
    bisect_batch_on_function_error: Option<bool>,
    #[serde(default)]
    function_response_types: Vec<String>,
    enabled: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct FilterCriteria {
    #[serde(default)]
    filters: Vec<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    pattern: String,
}

const TRIGGER_HOSTED: [&str; 11] = [
    "BatchSize",
    "BisectBatchOnFunctionError",
    "DestinationConfig",
    "Enabled",
    "FilterCriteria",
    "FunctionResponseTypes",
    "MaximumBatchingWindowInSeconds",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "StartingPosition",
    "Stream",
];

fn trigger(resolver: &Resolver, name: &str, properties: &Value) -> Result<Option<StreamTrigger>> {
    known(properties, &TRIGGER_HOSTED, &["KmsKeyArn", "MetricsConfig", "ParallelizationFactor"])?;
    let properties = resolver.resolve(properties)?;
    destination(&properties)?;
    let properties: TriggerProperties = serde_json::from_value(properties).context("as a stream trigger")?;
    if properties.enabled == Some(false) {
        return Ok(None);
    }
    let table = properties.stream.split('/').nth(1).with_context(|| format!("`{}` is not a stream", properties.stream))?;
    let from_latest = match properties.starting_position.as_str() {
        "TRIM_HORIZON" => false,
        "LATEST" => true,
        other => bail!("the local stack cannot do the starting position `{other}`"),
    };
    let filters = properties.filter_criteria.filters.iter().map(|filter| Pattern::read(&filter.pattern));
    Ok(Some(StreamTrigger {
        name: name.to_owned(),
        table: table.to_owned(),
        filters: filters.collect::<Result<_>>()?,
        batch_size: properties.batch_size.unwrap_or(100).max(1),
        window: Duration::from_secs(properties.maximum_batching_window_in_seconds.unwrap_or(0)),
        retries: properties.maximum_retry_attempts.and_then(|retries| u32::try_from(retries).ok()),
        age_max: properties.maximum_record_age_in_seconds.and_then(|age| u64::try_from(age).ok()).map(Duration::from_secs),
        bisect: properties.bisect_batch_on_function_error.unwrap_or(false),
        reports_failures: properties.function_response_types.iter().any(|kind| kind == "ReportBatchItemFailures"),
        from_latest,
    }))
}

#[cfg(test)]
mod tests {
    use super::{super::Template, *};

    #[test]
    fn rates_are_periods() {
        for (text, seconds) in
            [("rate(1 minute)", 60), ("rate(5 minutes)", 300), ("rate(1 hour)", 3600), ("rate(2 days)", 172_800)]
        {
            assert_eq!(Rate::read(text).unwrap().0.as_secs(), seconds);
        }
        for text in [
            "cron(0 12 * * ? *)",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(2 hour)",
            "rate(x days)",
            "1 minute",
            "rate(-1 days)",
        ] {
            assert!(Rate::read(text).is_err(), "{text}");
        }
    }

    fn function(event: &str) -> Result<HostedFunction> {
        let yaml = format!(
            "Resources: {{ T: {{ Type: AWS::SQS::Queue }}, F: {{ Type: AWS::Serverless::Function, Properties: {{ Handler: f, Events: {{ E: {event} }} }} }} }}"
        );
        Template::read(&yaml).map(|mut template| template.functions.remove(0))
    }

    #[test]
    fn a_stream_trigger_is_read_whole() {
        let trigger = function(
            r#"{ Type: DynamoDB, Properties: { Stream: "arn:aws:dynamodb:r:a:table/Log/stream/x", StartingPosition: TRIM_HORIZON, BatchSize: 7,
            MaximumRetryAttempts: 3, BisectBatchOnFunctionError: true, FunctionResponseTypes: [ReportBatchItemFailures],
            FilterCriteria: { Filters: [{ Pattern: '{"eventName":["INSERT"]}' }] } } }"#,
        );
        let trigger = trigger.unwrap().triggers.remove(0);
        assert_eq!((trigger.table.as_str(), trigger.batch_size, trigger.retries), ("Log", 7, Some(3)));
        assert!(trigger.bisect && trigger.reports_failures && !trigger.from_latest && trigger.filters.len() == 1);
    }

    #[test]
    fn an_event_that_cannot_be_done_is_named() {
        for (event, named) in [
            ("{ Type: SQS }", "SQS"),
            ("{ Type: DynamoDB, Properties: { TumblingWindowInSeconds: 5 } }", "TumblingWindowInSeconds"),
            ("{ Type: Schedule, Properties: { Schedule: 'cron(* * * * ? *)' } }", "cron"),
            ("{ Type: Api, Properties: { Path: /x } }", "Method"),
        ] {
            let message = format!("{:#}", function(event).unwrap_err());
            assert!(message.contains(named) && message.contains("event `E`"), "{message}");
        }
    }
}
