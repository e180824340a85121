//! Bills: quantities times prices.

use std::time::Duration;

use longhand::estimate::{Estimate, Workload};
use longhand::limits;
use serde::Serialize;

use super::deployed::Deployed;
use super::fleet::Fleet;
use super::prices::Prices;

const GB: f64 = 1e9;
const DAYS_A_MONTH: f64 = 30.4;
const SWEEPS_A_MONTH: f64 = 60.0 * 24.0 * DAYS_A_MONTH;
/// Bytes of one streamed response that Lambda does not charge for.
const STREAMED_FREE_BYTES: f64 = 6.0 * 1024.0 * 1024.0;
/// API Gateway charges a streamed response as one request for each of these, the last one rounded up.
const REQUEST_BYTES: f64 = 10.0 * 1024.0 * 1024.0;

/// Assumed seconds of functions that wait for DynamoDB and S3 alone; a small part of the bill.
const START_SECONDS: f64 = 0.1;
const STREAM_EXTRA_SECONDS: f64 = 0.3;
const COMPACT_SECONDS: f64 = 0.25;
const API_SECONDS: f64 = 0.05;
const SWEEP_SECONDS: f64 = 0.3;
const SETTLE_SECONDS: f64 = 0.25;
/// Units of a generation with a subject: one write when it starts; in the transaction of its version, in which a write has two, the subject,
/// the version, and which generation it came from. Reads of the record, of that note, and of the subject.
const VERSION_WRITES: f64 = 1.0 + 2.0 * 3.0;
const VERSION_READS: f64 = 3.0;
/// Seconds of `meter` for a batch, which reads and writes a row, and for each of its records, by a fourteenth of a processor.
const METER_SECONDS: f64 = 0.1;
const METER_RECORD_SECONDS: f64 = 0.000_5;
/// Invocations of `meter` for a batch: its own, and the one with which Lambda ends a window.
const METER_INVOCATIONS: f64 = 2.0;
/// Units to write a row of statistics: with one generation it has less than a kilobyte, with hundreds, and the marks of a day, less than two
/// (`rows_have_less_than_two_kilobytes`). Units to read it, consistently.
const TALLY_WRITES: f64 = 1.0;
const FULL_TALLY_WRITES: f64 = 2.0;
const TALLY_READS: f64 = 1.0;
/// Units of a batch's item beside those of its generation: its row when the batch is stored; in the transactions that start and end it, in
/// which a write has two, its row, its record's second unit, and its share of the header, which some ends have together. Reads of the header
/// and of items by these steps, and of the item's request. `an_item_costs_what_it_may` counts 15 for both, of which 7 are the generation's.
const ITEM_WRITES: f64 = 8.0;
const ITEM_READS: f64 = 8.0;
/// Reads that a rider does without whose generation was created in its own process: the record of the one before it; and its own record and
/// request.
const TAKEN_READS: f64 = 3.0;
/// Units of a run's step beside those of its generation: in the transaction that ends a step and starts the next, in which a write has two, the
/// header, the entry of the log, two rows of steps, and the second unit of the record (`a_step_costs_what_it_may` counts 11). Reads of the header with
/// the steps, of the input, and of the organization's open generations.
const RUN_STEP_WRITES: f64 = 11.0;
const RUN_STEP_READS: f64 = 4.0;
/// Reads of a result among those of its batch: the item, beside the record. Seconds of `api` for each.
const RESULT_READS: f64 = 1.0;
const RESULT_SECONDS: f64 = 0.01;
/// Seconds of `settle` for a step.
const STEP_SECONDS: f64 = 0.1;
/// Units of a delivery of the end to one webhook: its row, with a write in each of two indexes; its lease; and how it ended, with a write in
/// one of them. A second kilobyte holds what the receiver answered. Reads of the record, of the webhooks, of the delivery and of its webhook.
const DELIVERY_WRITES: f64 = 3.0 + 1.0 + 3.0;
const DELIVERY_READS: f64 = 4.0;
/// Seconds of `deliver`: those of the receiver.
const DELIVER_SECONDS: f64 = 0.5;
const DELIVER_LOG_BYTES: f64 = 900.0;
/// A live response ends after so many: `LONGHAND_SSE_CONNECTION_MS`. Readers ask again, by number.
const CONNECTION_SECONDS: f64 = 90.0;
/// How long the initialization of a new execution environment takes.
const INIT_SECONDS: f64 = 0.1;
/// Bytes of logs, with the 26 that CloudWatch adds to a line: of Lambda's own two lines of an invocation, of one line of an access log,
/// and of the product's own lines: one of `start`, one of an invocation of `stream`, one of `compact`, one of a sweep. The product's
/// were counted under the runtime interface emulator.
const INVOCATION_LOG_BYTES: f64 = 500.0;
const REQUEST_LOG_BYTES: f64 = 600.0;
const START_LOG_BYTES: f64 = 440.0;
const STREAM_LOG_BYTES: f64 = 1_460.0;
const COMPACT_LOG_BYTES: f64 = 1_620.0;
const SETTLE_LOG_BYTES: f64 = 500.0;
const SWEEP_LOG_BYTES: f64 = 700.0;
/// Bytes of an event around its text, as it is sent and in the event log, and the ratio to which gzip compresses that log.
const EVENT_FRAME_BYTES: f64 = 150.0;
const EVENT_LINE_BYTES: f64 = 70.0;
const PACKED: f64 = 1.0 / 3.0;
/// How long DynamoDB keeps a table's key for each connection before it asks KMS again. Of the two tables, that of the records has the
/// stack's key. A function asks it one thing after the other, over one connection.
const TABLE_KEY_SECONDS: f64 = 300.0;
/// A sweep asks all shards of an index at once, over as many connections.
const KMS_REQUESTS_OF_SWEEPS_A_MONTH: f64 = 86_400.0 / TABLE_KEY_SECONDS * DAYS_A_MONTH * limits::OPEN_SHARDS as f64;
/// The share of requests that are traced: the template's sampling rule.
const TRACED: f64 = 0.01;
/// The keys of two providers, in addition to the template's secrets.
const PROVIDER_SECRETS: f64 = 2.0;

/// What the template does not say of a deployment.
#[derive(Clone, Copy, Debug)]
pub struct Deployment {
    /// Memory of `stream`, in megabytes.
    pub memory_mb: u32,
    /// Generations that are written side by side in one invocation; outside a batch, they are started by one request.
    pub riders: u32,
    /// Generations of one organization, provider and model that end while `meter` waits for more of them.
    pub ended_together: f64,
    /// The number of items of the batch that the generation is one of.
    pub batch: Option<u32>,
    /// Whether the generation is a step of a run.
    pub is_step: bool,
    /// Whether the generation has a subject, whose next version it becomes.
    pub has_subject: bool,
    /// Webhooks that are told of its end.
    pub webhooks: u32,
    /// The share of invocations that begin in a new execution environment.
    pub cold: f64,
    /// The name of the price of a GB-second.
    pub lambda: &'static str,
    /// How long the log stays in the buffer table.
    pub chunk_ttl: Duration,
    /// Months that the result is stored.
    pub kept_months: f64,
    /// Reads of the result after the end.
    pub later_reads: f64,
    /// The processes in place of API Gateway and the functions `start`, `tail`, `api`, `authorize` and `stream`.
    pub fleet: Option<Fleet>,
}

/// One line of a bill.
#[derive(Clone, Debug, Serialize)]
pub struct Item {
    pub name: &'static str,
    pub quantity: f64,
    pub unit: String,
    pub price: String,
    pub dollars: f64,
    pub is_assumed: bool,
}

/// Items and their sum.
#[derive(Debug, Serialize)]
pub struct Bill {
    pub items: Vec<Item>,
    pub dollars: f64,
}

impl Deployment {
    /// A generation's share of the request that starts it.
    fn start(&self) -> f64 {
        1.0 / f64::from(self.batch.unwrap_or(self.riders))
    }

    /// Its share of the requests that read its result later: the results of a batch are read together.
    fn later_requests(&self) -> f64 {
        self.later_reads / f64::from(self.batch.unwrap_or(1))
    }

    /// How often an invocation of so many seconds asks for what its environment keeps for `kept` seconds: a new environment has nothing,
    /// and one that is always in use asks again when it is over.
    fn asks(&self, seconds: f64, kept: f64) -> f64 {
        (self.cold + seconds / kept).min(1.0)
    }
}

struct Biller<'a> {
    prices: &'a Prices,
    items: Vec<Item>,
}

impl<'a> Biller<'a> {
    fn new(prices: &'a Prices) -> Self {
        Self { prices, items: Vec::new() }
    }

    fn add(&mut self, name: &'static str, quantity: f64, price: &str) -> anyhow::Result<()> {
        let price = self.prices.get(price)?;
        let (unit, asked) = (price.unit.clone(), price.name.clone());
        let dollars = price.of(quantity);
        self.items.push(Item { name, quantity, unit, price: asked, dollars, is_assumed: price.is_assumed });
        Ok(())
    }

    fn bill(self) -> Bill {
        Bill { dollars: self.items.iter().map(|item| item.dollars).sum(), items: self.items }
    }
}

/// Data and requests between the functions and their callers.
struct Traffic {
    connections: f64,
    api_requests: f64,
    streamed_bytes: f64,
    sent_bytes: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
impl Traffic {
    fn of(workload: &Workload, estimate: &Estimate, deployment: &Deployment) -> Self {
        let later_reads = deployment.later_reads;
        let whole = (workload.silence + workload.stream).as_secs_f64();
        let share = (workload.watched.as_secs_f64() / whole).min(1.0);
        let output = workload.output_bytes as f64;
        let of_each = (workload.watched.as_secs_f64() / CONNECTION_SECONDS).ceil();
        let connections = workload.readers as f64 * of_each;
        let seen = (output + EVENT_FRAME_BYTES * estimate.chunks as f64) * share;
        let of_connection = if of_each > 0.0 { seen / of_each } else { 0.0 };
        Self {
            connections,
            api_requests: deployment.start()
                + connections * (of_connection / REQUEST_BYTES).ceil().max(1.0)
                + deployment.later_requests(),
            streamed_bytes: connections * (of_connection - STREAMED_FREE_BYTES).max(0.0),
            sent_bytes: workload.readers as f64 * seen + later_reads * output,
        }
    }
}

/// The bill of one generation.
#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
pub fn of_generation(
    workload: &Workload,
    estimate: &Estimate,
    deployment: &Deployment,
    deployed: &Deployed,
    prices: &Prices,
) -> anyhow::Result<Bill> {
    let traffic = Traffic::of(workload, estimate, deployment);
    let (start, later_requests) = (deployment.start(), deployment.later_requests());
    let gigabytes = |handler| deployed.memory_mb(handler).map(gigabytes);
    let months = |time: Duration| time.as_secs_f64() / 86_400.0 / DAYS_A_MONTH;
    let request_months = months(deployment.chunk_ttl + limits::REQUEST_TTL).min(deployment.kept_months);
    let record = estimate.record_bytes as f64 * deployment.kept_months + estimate.request_bytes as f64 * request_months;
    let (output, record) = (workload.output_bytes as f64, record / GB);
    let is_large = workload.request_bytes > limits::REQUEST_INLINE_BYTES_MAX as u64;
    // A large request is an object of its own, as it is; another lies in the event log.
    let (request, head) = if is_large { (workload.request_bytes, 0) } else { (0, workload.request_bytes) };
    let packed = (output + EVENT_LINE_BYTES * estimate.chunks as f64 + head as f64) * PACKED;
    let mut biller = Biller::new(prices);
    biller.add("DynamoDB writes", estimate.writes.total() as f64, "dynamodb-write")?;
    // Each later read reads the record, and each `authorize` a key.
    let looked_up = start + traffic.connections + later_requests;
    biller.add("DynamoDB reads", estimate.reads.total() + deployment.later_reads + looked_up, "dynamodb-read")?;
    biller.add(
        "DynamoDB log, until its TTL",
        estimate.log_stored_bytes as f64 / GB * months(deployment.chunk_ttl),
        "dynamodb-storage",
    )?;
    biller.add("DynamoDB record", record, "dynamodb-storage")?;
    biller.add("DynamoDB backup", record, "dynamodb-backup")?;
    let (functions, requests, stream_lines) = if let Some(fleet) = &deployment.fleet {
        for (name, quantity, price) in fleet.items(workload, traffic.sent_bytes, deployment.riders) {
            biller.add(name, quantity, price)?;
        }
        add_lambda_of_ends(&mut biller, deployment, deployed)?;
        // `compact`, and no line of API Gateway's.
        (1.0, 0.0, 1.0)
    } else {
        let functions = add_lambda(&mut biller, (workload, estimate), deployment, deployed, &traffic)?;
        biller.add("API Gateway", traffic.api_requests, "api-requests")?;
        (functions, traffic.api_requests, estimate.invocations as f64)
    };
    biller.add("Data to callers", traffic.sent_bytes / GB, "transfer-out")?;
    biller.add("S3 puts", puts(output) + puts(packed) + if is_large { 1.0 } else { 0.0 }, "s3-put")?;
    biller.add("S3 gets", deployment.later_reads + if is_large { 2.0 } else { 0.0 }, "s3-get")?;
    biller.add("S3 result", (output + packed + request as f64) / GB * deployment.kept_months, "s3-storage")?;
    let own_logs = START_LOG_BYTES + stream_lines * STREAM_LOG_BYTES + COMPACT_LOG_BYTES;
    let logs = functions * INVOCATION_LOG_BYTES + requests * REQUEST_LOG_BYTES + own_logs;
    biller.add("CloudWatch logs", logs / GB, "logs")?;
    let [of_provider, of_table] = keys_asked(workload, estimate, deployment, &traffic);
    biller.add("Secrets", of_provider, "secret-requests")?;
    biller.add("KMS, for the records", of_table, "kms-requests")?;
    biller.add("X-Ray", requests * TRACED, "traces")?;
    add_statistics(&mut biller, gigabytes("meter")?, deployment)?;
    let settle = gigabytes("settle")?;
    add_item(&mut biller, settle, deployment)?;
    add_step(&mut biller, settle, deployment)?;
    add_version(&mut biller, output, settle, deployment)?;
    add_deliveries(&mut biller, [settle, gigabytes("deliver")?], deployment).map(|()| biller.bill())
}

/// Lambda's part of the bill; returns the invocations.
#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
fn add_lambda(
    biller: &mut Biller<'_>,
    (workload, estimate): (&Workload, &Estimate),
    deployment: &Deployment,
    deployed: &Deployed,
    traffic: &Traffic,
) -> anyhow::Result<f64> {
    // What is paid once for all riders, and for all that one request starts.
    let (share, start, later_requests) = (1.0 / f64::from(deployment.riders), deployment.start(), deployment.later_requests());
    let gigabytes = |handler| deployed.memory_mb(handler).map(gigabytes);
    let whole = (workload.silence + workload.stream).as_secs_f64();
    let invocations = estimate.invocations as f64 * share;
    let stream = self::gigabytes(deployment.memory_mb) * (whole * share + STREAM_EXTRA_SECONDS * invocations);
    let tail = gigabytes("tail")? * workload.readers as f64 * workload.watched.as_secs_f64();
    let of_result = if deployment.batch.is_some() { RESULT_SECONDS * deployment.later_reads } else { 0.0 };
    let others = gigabytes("start")? * START_SECONDS * start
        + gigabytes("authorize")? * API_SECONDS * (start + traffic.connections)
        + gigabytes("compact")? * COMPACT_SECONDS
        + gigabytes("api")? * (API_SECONDS * later_requests + of_result);
    let memory_of_all = self::gigabytes(deployment.memory_mb) * invocations
        + gigabytes("start")? * start
        + gigabytes("authorize")? * (start + traffic.connections)
        + gigabytes("compact")?
        + gigabytes("meter")? / deployment.ended_together
        + gigabytes("tail")? * traffic.connections
        + gigabytes("api")? * later_requests;
    // `start`, `authorize` and `compact` once; and `authorize` for each live response, because its token may be in the query.
    let functions = invocations + 2.0 * start + 1.0 + 2.0 * traffic.connections + later_requests;
    biller.add("Lambda stream", stream, deployment.lambda)?;
    biller.add("Lambda tail", tail, deployment.lambda)?;
    biller.add("Lambda others", others, deployment.lambda)?;
    biller.add("Lambda, initialization", deployment.cold * INIT_SECONDS * memory_of_all, deployment.lambda)?;
    biller.add("Lambda invocations", functions, "lambda-requests")?;
    biller.add("Lambda response streaming", traffic.streamed_bytes / GB, "lambda-streaming")?;
    Ok(functions)
}

/// The part of the functions that a fleet leaves on Lambda: `compact`, with the initialization of `meter` too.
fn add_lambda_of_ends(biller: &mut Biller<'_>, deployment: &Deployment, deployed: &Deployed) -> anyhow::Result<()> {
    let (compact, meter) = (gigabytes(deployed.memory_mb("compact")?), gigabytes(deployed.memory_mb("meter")?));
    let of_all = compact + meter / deployment.ended_together;
    biller.add("Lambda compact", compact * COMPACT_SECONDS, deployment.lambda)?;
    biller.add("Lambda, initialization", deployment.cold * INIT_SECONDS * of_all, deployment.lambda)?;
    biller.add("Lambda invocations", 1.0, "lambda-requests")
}

/// What it costs to count a generation in the statistics: its share of a batch.
fn add_statistics(biller: &mut Biller<'_>, memory: f64, deployment: &Deployment) -> anyhow::Result<()> {
    let of_batch = 1.0 / deployment.ended_together;
    let writes = if deployment.ended_together > 1.0 { FULL_TALLY_WRITES } else { TALLY_WRITES };
    biller.add("Statistics, writes", writes * of_batch, "dynamodb-write")?;
    biller.add("Statistics, reads", TALLY_READS * of_batch, "dynamodb-read")?;
    biller.add("Statistics, Lambda meter", memory * (METER_SECONDS * of_batch + METER_RECORD_SECONDS), deployment.lambda)?;
    biller.add("Statistics, invocations", METER_INVOCATIONS * of_batch, "lambda-requests")?;
    biller.add("Statistics, logs", METER_INVOCATIONS * INVOCATION_LOG_BYTES * of_batch / GB, "logs")
}

/// What a batch's item costs beside its generation, where each is settled by itself.
fn add_item(biller: &mut Biller<'_>, memory: f64, deployment: &Deployment) -> anyhow::Result<()> {
    let Some(items) = deployment.batch else { return Ok(()) };
    // Those that take another's place.
    let taken = 1.0 - (f64::from(deployment.riders) / f64::from(items)).min(1.0);
    let reads = ITEM_READS - TAKEN_READS * taken + RESULT_READS * deployment.later_reads;
    biller.add("Batch, writes", ITEM_WRITES, "dynamodb-write")?;
    biller.add("Batch, reads", reads, "dynamodb-read")?;
    biller.add("Batch, Lambda settle", memory * STEP_SECONDS, deployment.lambda)?;
    biller.add("Batch, invocation", 1.0, "lambda-requests")?;
    biller.add("Batch, logs", INVOCATION_LOG_BYTES / GB, "logs")
}

/// What a step of a run costs beside its generation: the plan that its end makes, with the output of the step before.
fn add_step(biller: &mut Biller<'_>, memory: f64, deployment: &Deployment) -> anyhow::Result<()> {
    if !deployment.is_step {
        return Ok(());
    }
    biller.add("Step, writes", RUN_STEP_WRITES, "dynamodb-write")?;
    biller.add("Step, reads", RUN_STEP_READS, "dynamodb-read")?;
    biller.add("Step, Lambda settle", memory * SETTLE_SECONDS, deployment.lambda)?;
    biller.add("Step, invocation", 1.0, "lambda-requests")?;
    biller.add("Step, S3 get", 1.0, "s3-get")?;
    biller.add("Step, logs", (INVOCATION_LOG_BYTES + SETTLE_LOG_BYTES) / GB, "logs")
}

/// What a generation with a subject costs beside that. Others do not reach `settle`: the trigger's filter drops them, at no cost.
fn add_version(biller: &mut Biller<'_>, output: f64, memory: f64, deployment: &Deployment) -> anyhow::Result<()> {
    if !deployment.has_subject {
        return Ok(());
    }
    biller.add("Version, writes", VERSION_WRITES, "dynamodb-write")?;
    biller.add("Version, reads", VERSION_READS, "dynamodb-read")?;
    biller.add("Version, Lambda settle", memory * SETTLE_SECONDS, deployment.lambda)?;
    biller.add("Version, invocation", 1.0, "lambda-requests")?;
    biller.add("Version, S3 put", 1.0, "s3-put")?;
    biller.add("Version, S3 get", 1.0, "s3-get")?;
    biller.add("Version, text", output * PACKED / GB * deployment.kept_months, "s3-storage")?;
    biller.add("Version, logs", (INVOCATION_LOG_BYTES + SETTLE_LOG_BYTES) / GB, "logs")
}

/// What it costs to tell the end to webhooks, of which each gets it at the first try. `settle` runs once, for the version too.
fn add_deliveries(biller: &mut Biller<'_>, [settle, deliver]: [f64; 2], deployment: &Deployment) -> anyhow::Result<()> {
    if deployment.webhooks == 0 {
        return Ok(());
    }
    let (count, own) = (f64::from(deployment.webhooks), if deployment.has_subject { 0.0 } else { 1.0 });
    biller.add("Webhooks, writes", DELIVERY_WRITES * count, "dynamodb-write")?;
    biller.add("Webhooks, reads", DELIVERY_READS * count, "dynamodb-read")?;
    biller.add("Webhooks, Lambda", settle * SETTLE_SECONDS * own + deliver * DELIVER_SECONDS * count, deployment.lambda)?;
    biller.add("Webhooks, invocations", own + count, "lambda-requests")?;
    let logs = (own + count) * INVOCATION_LOG_BYTES + own * SETTLE_LOG_BYTES + count * DELIVER_LOG_BYTES;
    biller.add("Webhooks, logs", logs / GB, "logs")
}

/// Reads of the provider's key, and of the key of the records table.
#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
fn keys_asked(workload: &Workload, estimate: &Estimate, deployment: &Deployment, traffic: &Traffic) -> [f64; 2] {
    let (start, later_requests) = (deployment.start(), deployment.later_requests());
    let invocations = estimate.invocations as f64 / f64::from(deployment.riders);
    let of_stream = (workload.silence + workload.stream).as_secs_f64() / estimate.invocations as f64;
    let of_connection = workload.watched.as_secs_f64().min(CONNECTION_SECONDS);
    let of_ends = [(1.0, COMPACT_SECONDS), (1.0 / deployment.ended_together, METER_SECONDS)];
    if deployment.fleet.is_some() {
        // Processes that run all the time ask every few minutes, however much they do.
        return [0.0, of_ends.map(|(times, seconds)| times * deployment.asks(seconds, TABLE_KEY_SECONDS)).iter().sum()];
    }
    let of_functions = [
        (start, START_SECONDS),
        (start + traffic.connections + later_requests, API_SECONDS),
        (invocations, of_stream),
        (traffic.connections, of_connection),
    ];
    let of_all = of_functions.into_iter().chain(of_ends);
    let of_table = of_all.map(|(times, seconds)| times * deployment.asks(seconds, TABLE_KEY_SECONDS));
    let of_provider = invocations * deployment.asks(of_stream, limits::PROVIDER_KEY_AGE_MAX.as_secs_f64());
    [of_provider, of_table.sum()]
}

fn gigabytes(memory_mb: u32) -> f64 {
    f64::from(memory_mb) / 1024.0
}

/// Requests that put an object.
#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
fn puts(bytes: f64) -> f64 {
    let part = limits::PART_BYTES as f64;
    // A multipart upload has two more requests, to begin and to complete it.
    if bytes <= part { 1.0 } else { (bytes / part).ceil() + 2.0 }
}

/// The monthly bill of a stack without generations, and of the load balancer of its fleet.
#[expect(clippy::cast_precision_loss, reason = "a bill is not exact")]
pub fn of_stack(deployed: &Deployed, lambda: &str, has_fleet: bool, prices: &Prices) -> anyhow::Result<Bill> {
    let memory = gigabytes(deployed.memory_mb("sweep")?);
    let mut biller = Biller::new(prices);
    biller.add("Sweeps", SWEEPS_A_MONTH * SWEEP_SECONDS * memory, lambda)?;
    biller.add("Sweeps, invocations", SWEEPS_A_MONTH, "lambda-requests")?;
    // Half a unit for each shard of open generations, and of deliveries that are due.
    biller.add("Sweeps, reads", SWEEPS_A_MONTH * f64::from(limits::OPEN_SHARDS), "dynamodb-read")?;
    biller.add("Sweeps, logs", SWEEPS_A_MONTH * (INVOCATION_LOG_BYTES + SWEEP_LOG_BYTES) / GB, "logs")?;
    biller.add("KMS key", deployed.kms_keys as f64, "kms-key")?;
    biller.add("KMS requests", KMS_REQUESTS_OF_SWEEPS_A_MONTH, "kms-requests")?;
    biller.add("Secrets", deployed.secrets as f64 + PROVIDER_SECRETS, "secret")?;
    biller.add("Alarms", deployed.alarm_metrics as f64, "alarm")?;
    biller.add("Metrics from logs", deployed.idle_metrics as f64, "metric")?;
    biller.add("Dashboard", deployed.dashboards as f64, "dashboard")?;
    if has_fleet {
        biller.add("Load balancer", 24.0 * DAYS_A_MONTH, "balancer")?;
    }
    Ok(biller.bill())
}
