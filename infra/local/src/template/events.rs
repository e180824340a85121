//! The events that invoke a function: HTTP routes, DynamoDB streams and schedules; and the retry settings of async invocations.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

use super::{
    check_properties,
    pattern::Pattern,
    resolve::{Resolver, entries},
};

/// The events that invoke a function.
#[derive(Clone, Debug, Default)]
pub struct Events {
    /// HTTP routes.
    pub routes: Vec<ApiRoute>,
    /// DynamoDB streams.
    pub triggers: Vec<StreamTrigger>,
    /// Schedules.
    pub schedules: Vec<Schedule>,
}

/// An HTTP route of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiRoute {
    /// The HTTP method in upper case, or `ANY`.
    pub method: String,
    /// The path in API Gateway's form: `/v1/things/{id}` or `/files/{path+}`.
    pub path: String,
    /// Whether it is called without an authorizer.
    pub is_public: bool,
    /// The name of its authorizer; `None`: the API's default.
    pub authorizer: Option<String>,
}

/// A schedule of a function.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The event's name in the template.
    pub name: String,
    /// The period.
    pub rate: Rate,
    /// The payload that the template gives in place of the scheduled event.
    pub input: Option<Value>,
}

/// `rate(N unit)` as a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Duration);

impl Rate {
    /// Reads `rate(1 minute)`, `rate(5 hours)` and the like.
    ///
    /// # Errors
    /// The text is not a rate. `cron(…)` is not supported by the local stack.
    pub fn read(text: &str) -> Result<Self> {
        let parts = text.strip_prefix("rate(").and_then(|text| text.strip_suffix(')')).and_then(|text| text.split_once(' '));
        let Some((count, unit)) = parts else {
            bail!("the local stack supports only schedules like `rate(5 minutes)`, not `{text}`");
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

/// How Lambda retries a failed async invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncInvoke {
    /// The number of retries after the first attempt.
    pub retries: u32,
    /// The age, counted from acceptance, after which an event is discarded.
    pub age_max: Duration,
}

/// A DynamoDB stream that feeds a function.
#[derive(Clone, Debug)]
pub struct StreamTrigger {
    /// The event's name in the template.
    pub name: String,
    /// The table's local name.
    pub table: String,
    /// A record is delivered if any of these matches. With no filters, every record is delivered.
    pub filters: Vec<Pattern>,
    /// The maximum number of records in one invocation.
    pub batch_size: usize,
    /// How long records are collected before an invocation, [`WINDOW_MAX`] at most.
    pub window: Duration,
    /// The length of the tumbling window that is told with each batch, and with it the shard; `None`: neither is told. A batch may have
    /// records of several windows here, and the invocation that ends a window does not come.
    pub tumbling: Option<Duration>,
    /// The number of retries after the first attempt; `None`: retries end with the record's age.
    pub retries: Option<u32>,
    /// Records older than this are discarded; `None`: never.
    pub age_max: Option<Duration>,
    /// Whether a failed batch is split in two.
    pub bisect: bool,
    /// Whether the function's response lists the records that failed.
    pub reports_failures: bool,
    /// Whether a new trigger skips the records that the stream already holds.
    pub from_latest: bool,
}

/// On AWS a window saves invocations, which cost nothing here, where somebody waits.
const WINDOW_MAX: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AsyncInvokeProperties {
    maximum_retry_attempts: Option<u32>,
    maximum_event_age_in_seconds: Option<u64>,
}

pub fn async_invoke(properties: Option<&Value>) -> Result<AsyncInvoke> {
    let none = Value::Null;
    let properties = properties.unwrap_or(&none);
    check_properties(properties, &["MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"], &[])?;
    destination(properties)?;
    let properties: Option<AsyncInvokeProperties> = serde_json::from_value(properties.clone()).context("EventInvokeConfig")?;
    let (retries, age) = properties.map_or((None, None), |it| (it.maximum_retry_attempts, it.maximum_event_age_in_seconds));
    Ok(AsyncInvoke { retries: retries.unwrap_or(2), age_max: Duration::from_secs(age.unwrap_or(21_600)) })
}

/// On-failure records are stored whatever the destination is. A destination for successes is not supported.
fn destination(properties: &Value) -> Result<()> {
    check_properties(&properties["DestinationConfig"], &["OnFailure"], &[])
}

/// Reads a function's `Events` property.
pub fn read(resolver: &Resolver, definitions: &Value) -> Result<Events> {
    let mut events = Events::default();
    for (name, event) in entries(definitions) {
        events.add(resolver, name, event).with_context(|| format!("event `{name}`"))?;
    }
    Ok(events)
}

impl Events {
    fn add(&mut self, resolver: &Resolver, name: &str, event: &Value) -> Result<()> {
        let properties = &event["Properties"];
        match event["Type"].as_str().unwrap_or_default() {
            "Api" => self.routes.push(route(resolver, properties)?),
            "DynamoDB" => self.triggers.extend(trigger(resolver, name, properties)?),
            "Schedule" | "ScheduleV2" => self.schedules.extend(schedule(resolver, name, properties)?),
            kind => bail!("the local stack does not support events of type `{kind}`"),
        }
        Ok(())
    }
}

fn route(resolver: &Resolver, properties: &Value) -> Result<ApiRoute> {
    let ignored = ["RequestModel", "RequestParameters", "ResponseTransferMode", "RestApiId", "TimeoutInMillis"];
    check_properties(properties, &["Auth", "Method", "Path"], &ignored)?;
    check_properties(&properties["Auth"], &["Authorizer"], &[])?;
    let text = |name: &str| -> Result<String> {
        let value = resolver.resolve(&properties[name])?;
        Ok(value.as_str().with_context(|| format!("an Api event needs `{name}`"))?.to_owned())
    };
    let authorizer = properties["Auth"]["Authorizer"].as_str();
    Ok(ApiRoute {
        method: text("Method")?.to_uppercase(),
        path: text("Path")?,
        is_public: authorizer == Some("NONE"),
        authorizer: authorizer.filter(|name| *name != "NONE").map(str::to_owned),
    })
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
    let ignored =
        ["Name", "Description", "RetryPolicy", "DeadLetterConfig", "PermissionsBoundary", "RoleArn", "FlexibleTimeWindow"];
    check_properties(properties, &["Schedule", "ScheduleExpression", "Enabled", "State", "Input"], &ignored)?;
    let properties: ScheduleProperties = serde_json::from_value(resolver.resolve(properties)?).context("as a schedule")?;
    if properties.enabled == Some(false) || properties.state.as_deref() == Some("DISABLED") {
        return Ok(None);
    }
    let rate = properties.schedule.or(properties.schedule_expression).context("a schedule needs a rate")?;
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
    tumbling_window_in_seconds: Option<u64>,
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

const TRIGGER_HOSTED: [&str; 12] = [
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
    "TumblingWindowInSeconds",
];

fn trigger(resolver: &Resolver, name: &str, properties: &Value) -> Result<Option<StreamTrigger>> {
    check_properties(properties, &TRIGGER_HOSTED, &["KmsKeyArn", "MetricsConfig", "ParallelizationFactor"])?;
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
        other => bail!("the local stack does not support the starting position `{other}`"),
    };
    let filters = properties.filter_criteria.filters.iter().map(|filter| Pattern::read(&filter.pattern));
    Ok(Some(StreamTrigger {
        name: name.to_owned(),
        table: table.to_owned(),
        filters: filters.collect::<Result<_>>()?,
        batch_size: properties.batch_size.unwrap_or(100).max(1),
        window: Duration::from_secs(properties.maximum_batching_window_in_seconds.unwrap_or(0)).min(WINDOW_MAX),
        tumbling: properties.tumbling_window_in_seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
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
    fn rates_parse() {
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

    fn events(event: &str) -> Result<Events> {
        let yaml = format!(
            "Resources: {{ T: {{ Type: AWS::SQS::Queue }}, F: {{ Type: AWS::Serverless::Function, Properties: {{ Handler: f, Events: {{ E: {event} }} }} }} }}"
        );
        let function = Template::read(&yaml)?.functions.remove(0);
        Ok(Events { routes: function.routes, triggers: function.triggers, schedules: function.schedules })
    }

    #[test]
    fn stream_trigger_parses() {
        let trigger = events(
            r#"{ Type: DynamoDB, Properties: { Stream: "arn:aws:dynamodb:r:a:table/Log/stream/x", StartingPosition: TRIM_HORIZON, BatchSize: 7,
            MaximumRetryAttempts: 3, MaximumBatchingWindowInSeconds: 300, TumblingWindowInSeconds: 900, BisectBatchOnFunctionError: true, FunctionResponseTypes: [ReportBatchItemFailures],
            FilterCriteria: { Filters: [{ Pattern: '{"eventName":["INSERT"]}' }] } } }"#,
        );
        let trigger = trigger.unwrap().triggers.remove(0);
        assert_eq!((trigger.table.as_str(), trigger.batch_size, trigger.retries), ("Log", 7, Some(3)));
        assert_eq!((trigger.window, trigger.tumbling), (WINDOW_MAX, Some(Duration::from_mins(15))));
        assert!(trigger.bisect && trigger.reports_failures && !trigger.from_latest && trigger.filters.len() == 1);
    }

    #[test]
    fn unsupported_event_is_named() {
        for (event, named) in [
            ("{ Type: SQS }", "SQS"),
            ("{ Type: DynamoDB, Properties: { StartingPositionTimestamp: 5 } }", "StartingPositionTimestamp"),
            ("{ Type: Schedule, Properties: { Schedule: 'cron(* * * * ? *)' } }", "cron"),
            ("{ Type: Api, Properties: { Path: /x } }", "Method"),
        ] {
            let message = format!("{:#}", events(event).unwrap_err());
            assert!(message.contains(named) && message.contains("event `E`"), "{message}");
        }
    }
}
