//! The limits that callers and operators meet, by name, units last. For those that a deployment may set, see [`crate::config`].
//! A constant that tunes one module only is beside its use.

use std::time::Duration;

/// The outputs of a run's steps together, in bytes: what runs it has 256 MB.
pub const RUN_OUTPUTS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The input of a run as JSON, with what it takes from earlier results. It is in memory with each plan, as a value.
pub const RUN_INPUT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Runs of one organization that may wait for a place.
pub const RUNS_WAITING_MAX: usize = 1_000;

/// A request body, as JSON text. API Gateway takes 10 MB; Lambda's synchronous payload, in which the body stands escaped, 6 MB.
pub const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The path of a request. The longest of ours has 60 bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// The query of a request.
pub const QUERY_BYTES_MAX: usize = 4 * 1024;
/// Header fields of a request.
pub const HEADERS_MAX: usize = 100;
/// Their names and values. API Gateway takes 10,240 bytes, the request line included, and adds a few fields of its own.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// A request up to this size lies in its row; a larger one in the bucket, where it costs less than its write units would.
pub const REQUEST_INLINE_BYTES_MAX: usize = 8 * 1024;
/// Collections of an importer, one within the other.
pub const IMPORTER_DEPTH_MAX: usize = 8;
/// Collections of an importer in all.
pub const IMPORTER_COLLECTIONS_MAX: usize = 32;
/// A document of an importer, as JSON text.
pub const IMPORTER_BYTES_MAX: usize = 64 * 1024;
/// Entities of one import.
pub const IMPORT_ENTITIES_MAX: usize = 2_000;
/// A started import that has not changed for so long has lost its process: `api` works for 29 seconds at most.
pub const IMPORT_STALLED: Duration = Duration::from_mins(1);
/// How long after its beginning sweeps go on with an import whose store fails.
pub const IMPORT_SWEPT_MAX: Duration = Duration::from_hours(1);
/// What an import tells to be wrong with an answer, at most.
pub const IMPORT_ISSUES_MAX: usize = 200;
/// The report of an import, as JSON text: `DynamoDB` refuses items over 400 KB.
pub const IMPORT_REPORT_BYTES_MAX: usize = 300 * 1024;
/// The name of an entity, in characters.
pub const ENTITY_NAME_CHARS_MAX: usize = 300;
/// The id that a model gives to an entity, in characters.
pub const ENTITY_LLM_ID_CHARS_MAX: usize = 300;
/// Imports that one entity tells to hold it.
pub const ENTITY_IMPORTS_MAX: usize = 64;
/// The fields of an entity beside its name, as JSON text.
pub const ENTITY_FIELDS_BYTES_MAX: usize = 16 * 1024;
/// Entities that one request approves, rejects or archives.
pub const REVIEW_ITEMS_MAX: usize = 1_000;
/// Entities in one page.
pub const ENTITY_LIST_LIMIT_MAX: usize = 1_000;
/// Fields in one page of entities, in bytes; behind this it ends. Lambda answers 6 MB at most.
pub const ENTITY_LIST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Entities of a subject of which a request decides any: it looks at all of them.
pub const REVIEW_ENTITIES_MAX: usize = 50_000;
/// Entities that one request changes, where it names all or a cascade: `api` has 29 seconds.
pub const REVIEW_AT_ONCE_MAX: usize = 2_000;
/// How long after the moment of its id an entry of the audit may become visible: a function's time with its retries, and the difference of two
/// machines' clocks.
pub const AUDIT_LATE_MAX: Duration = Duration::from_mins(1);
/// Entries of the audit in one page.
pub const AUDIT_LIMIT_MAX: usize = 1_000;
/// A prompt of an accepted generation up to this size lies in the subject's row, which each change of the subject is charged for; a
/// longer one in the bucket.
pub const ACCEPTED_PROMPT_INLINE_BYTES_MAX: usize = 4 * 1024;
/// How long a request's row outlives the log's. The end of the generation puts the request into the bucket, where a kilobyte costs a
/// twentieth; two weeks are what the queues of failures keep.
pub const REQUEST_TTL: Duration = Duration::from_hours(14 * 24);
/// Items of a batch.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// A file of items that is uploaded for a batch. Its lines are read as a stream; one item is bounded by [`REQUEST_BYTES_MAX`].
pub const UPLOAD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long the URL of an upload works.
pub const UPLOAD_URL_TTL: Duration = Duration::from_hours(1);
/// How long an upload can be used. The bucket's lifecycle deletes it after a day, at the next midnight of UTC.
pub const UPLOAD_TTL: Duration = Duration::from_hours(24);
/// Items of a batch that have a place at once.
pub const BATCH_CONCURRENCY_MAX: u32 = 1_000;
/// How long the requests of a batch's items are kept, from its start: so long it may take, and so long its items can be started again.
pub const BATCH_REQUESTS_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long the answer to a start of a batch may wait for its end.
pub const BATCH_WAIT_MAX: Duration = Duration::from_mins(1);
/// Items that are to be generated of a batch whose end a start may wait for.
pub const BATCH_WAIT_ITEMS_MAX: u32 = 5;
/// A pipeline's name, in characters.
pub const DOCUMENT_NAME_CHARS_MAX: usize = 64;
/// A pipeline's document, as it is sent and in its canonical form.
pub const PIPELINE_BYTES_MAX: usize = 256 * 1024;
/// The highest number of a pipeline's version: a longer one would not sort after it.
pub const DOCUMENT_VERSION_MAX: u64 = 999_999;
/// Versions of pipelines that one process keeps in memory.
pub const PIPELINES_KEPT_MAX: usize = 64;
/// Steps of a pipeline, those of its parts included.
pub const PIPELINE_STEPS_MAX: usize = 64;
/// The texts of one step's request together, as they are rendered.
pub const PROMPT_BYTES_MAX: usize = 1024 * 1024;
/// What one template may do: an instruction, or 64 bytes of text, costs one.
pub const TEMPLATE_FUEL: u64 = 200_000;
/// A sample input of a check, which its answer repeats.
pub const SAMPLE_INPUT_BYTES_MAX: u64 = 512 * 1024;
/// The requests that a check shows. Lambda answers 6 MB at most, in which JSON within JSON is escaped.
pub const REHEARSAL_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// What a step's next try is shown of the answer that was not accepted.
pub const FEEDBACK_BYTES_MAX: usize = 64 * 1024;
/// The caller's `metadata` object, as JSON text.
pub const METADATA_BYTES_MAX: usize = 4 * 1024;
/// A subject's title, in characters.
pub const SUBJECT_TITLE_CHARS_MAX: usize = 200;
/// A subject's `attributes` object, as JSON text.
pub const SUBJECT_ATTRIBUTES_BYTES_MAX: usize = 4 * 1024;
/// The highest number of a version: a longer one would not sort after it.
pub const VERSION_NUMBER_MAX: u64 = 999_999_999;
/// A subject's name, in characters.
pub const SUBJECT_CHARS_MAX: usize = 128;
/// The name of somebody who is notified, in characters.
pub const USER_CHARS_MAX: usize = 128;
/// Users that one event notifies.
pub const NOTIFY_USERS_MAX: usize = 20;
/// What an event tells of its object, as JSON text. Standard Webhooks recommends less than 20 KB.
pub const NOTIFICATION_BYTES_MAX: usize = 4 * 1024;
/// How long an event and its deliveries are kept.
pub const NOTIFICATION_TTL: Duration = Duration::from_hours(30 * 24);
/// Endpoints of an organization.
pub const WEBHOOKS_MAX: usize = 20;
/// The address of an endpoint.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;
/// The description of an endpoint, in characters.
pub const WEBHOOK_DESCRIPTION_CHARS_MAX: usize = 200;
/// Filters of one endpoint, and of one channel of a user.
pub const EVENT_FILTERS_MAX: usize = 20;
/// For how long a delivery is also signed by the secret before the last rotation.
pub const WEBHOOK_SECRET_OVERLAP: Duration = Duration::from_hours(24);
/// How long a receiver may take to take a connection, and to answer.
pub const WEBHOOK_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of a receiver's answer, what is read.
pub const WEBHOOK_ANSWER_READ_MAX: usize = 4 * 1024;
/// Of a receiver's answer, what is kept.
pub const WEBHOOK_ANSWER_KEPT_MAX: usize = 512;
/// Tries of a delivery that are kept: the newest.
pub const DELIVERY_ATTEMPTS_KEPT: usize = 12;
/// Deliveries that one invocation of `deliver` sends.
pub const DELIVERIES_OF_A_JOB_MAX: usize = 25;
/// Deliveries that one call of `recover` sends again.
pub const RECOVERED_AT_ONCE: usize = 500;
/// How long an entry of a user's list is kept.
pub const INBOX_TTL: Duration = Duration::from_hours(90 * 24);
/// Entries that are counted as unread; further ones are not.
pub const UNREAD_COUNTED_MAX: usize = 1_000;
/// Entries that one call marks as read.
pub const READ_AT_ONCE: usize = 100;
/// A label, in characters.
pub const LABEL_CHARS_MAX: usize = 64;
/// Labels of a subject, and of a version.
pub const LABELS_MAX: usize = 20;
/// Labels of all versions of a subject.
pub const VERSION_LABELS_MAX: usize = 100;
/// The reason of a change, in characters.
pub const CHANGE_REASON_CHARS_MAX: usize = 500;
/// A text that is compared with another, as it is and, where both are JSON, in its canonical form.
pub const DIFF_BYTES_MAX: usize = 1_000_000;
/// The same in lines.
pub const DIFF_LINES_MAX: usize = 20_000;
/// The texts of an export together. Lambda answers 6 MB at most, in which the file is escaped.
pub const EXPORT_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Versions of an export.
pub const EXPORT_VERSIONS_MAX: usize = 1_000;
/// An `Idempotency-Key` header, in characters.
pub const IDEMPOTENCY_KEY_CHARS_MAX: usize = 255;
/// How long an `Idempotency-Key` is remembered.
pub const IDEMPOTENCY_TTL: Duration = Duration::from_hours(24);

/// Objects and chunks without a record count as orphans after this long, which is more than [`IDEMPOTENCY_TTL`].
pub const ORPHAN_AGE_MIN: Duration = Duration::from_hours(25);

/// A client's own retry of a create without a key is the same generation for this long after its last try.
pub const CREATE_RETRY_WINDOW: Duration = Duration::from_mins(1);
/// The `Retry-After` of an organization that has reached its limit of running generations.
pub const RUNNING_RETRY_AFTER: Duration = Duration::from_secs(10);
/// The `Retry-After` of a deployment that has reached its limit of attached starts.
pub const ATTACHED_RETRY_AFTER: Duration = Duration::from_secs(5);

/// One write unit of DynamoDB: an item of up to this many bytes costs one.
pub const WRITE_UNIT_BYTES: usize = 1024;
/// One chunk's text. DynamoDB refuses items over 400 KB; the rest is room for keys, counters and event names.
pub const CHUNK_TEXT_BYTES_MAX: usize = 350 * 1024;
/// Text that waits for its flush while the store is slow. Above it the provider is read no further.
pub const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A text that a provider may be given to continue. An attempt behind a longer one begins again: it is beyond the context of any model,
/// and the request would hold several copies of it in the 128 MB of `stream`.
pub const PREFIX_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The same of all writers of a process together, which may be more by [`WAITING_BYTES_OF_EACH`] for each of them.
pub const WAITING_BYTES_OF_ALL_MAX: usize = 8 * 1024 * 1024;
/// What each writer may hold however much the others do: a provider that floods its own log holds up no other.
pub const WAITING_BYTES_OF_EACH: usize = 64 * 1024;
/// Generations that one invocation writes side by side. With 128 MB it stores 50 deltas a second of each.
pub const RIDERS_MAX: usize = 8;
/// An invocation with less time than this takes no further generation. Longer than most generations, so that few are handed over.
pub const RIDE_TIME_MIN: Duration = Duration::from_mins(5);

/// How long a writer goes on trying to store one chunk; each try is the SDK's own few.
pub const STORE_PATIENCE: Duration = Duration::from_mins(5);
/// The wait behind the first of those; it doubles.
pub const STORE_BACKOFF: Duration = Duration::from_millis(100);
/// The longest of those waits.
pub const STORE_BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A parsed JSON result up to this size is kept on the record; above it, only in the bucket.
pub const LLM_RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// JSON nested deeper than this is only in the bucket: common readers stop at 128 levels, and a record or a page of records
/// that holds it could not be read at all.
pub const LLM_RESPONSE_DEPTH_MAX: usize = 100;
/// Output up to this size is checked as JSON. A parsed document takes several times its text in memory.
pub const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Output up to this size is answered inline; above it by a presigned URL. Lambda answers 6 MB at most, and JSON within JSON
/// within its payload is escaped twice.
pub const OUTPUT_INLINE_BYTES_MAX: u64 = 1024 * 1024;
/// Text in one page of events, for the same reason. A page holds at least one event.
pub const EVENTS_PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Events of one generation, of whatever length.
pub const EVENTS_MAX: u64 = 4_000_000;
/// What an event counts beside its text, in bytes, towards [`WAITING_BYTES_MAX`].
pub const EVENT_OVERHEAD_BYTES: usize = 64;
/// The longest that checking one output against its schema may take.
pub const VALIDATION_TIME_MAX: Duration = Duration::from_secs(5);
/// Output up to this size gets all its validation errors; larger output gets the first.
pub const VALIDATION_BYTES_MAX: usize = 256 * 1024;
/// How long a presigned URL works.
pub const OUTPUT_URL_TTL: Duration = Duration::from_mins(15);
/// Validation errors kept for one generation; the rest are counted.
pub const VALIDATION_ERRORS_MAX: usize = 50;
/// The path and the message of a schema violation in the log, in bytes each: both may repeat what a model or a caller wrote.
pub const VIOLATION_BYTES_MAX: usize = 500;
/// One part of a multipart upload. S3 takes 5 MiB to 5 GiB and 10,000 parts.
pub const PART_BYTES: usize = 8 * 1024 * 1024;

/// One server-sent event of a provider.
pub const SSE_EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How much of a provider's error body is read.
pub const PROVIDER_ERROR_BYTES_MAX: usize = 64 * 1024;
/// How long the writer waits for that body.
pub const PROVIDER_ERROR_WAIT: Duration = Duration::from_secs(3);
/// A provider's error message, in characters, as it is kept and shown.
pub const PROVIDER_MESSAGE_CHARS_MAX: usize = 500;
/// A tool call's id or name, a model's name, a finish reason.
pub const PROVIDER_NAME_BYTES_MAX: usize = 1_024;
/// Tool calls of one attempt.
pub const PROVIDER_TOOL_CALLS_MAX: usize = 1_024;
/// The largest `max_attempts` of a request, as its schema has it.
pub const ATTEMPTS_MAX: u32 = 10;
/// Requests to the provider within one attempt, while nothing has been received.
pub const PROVIDER_TRIES_MAX: u32 = 4;
/// The same, once an earlier attempt has received text: 26 to 51 s of waiting, for a provider that is being restarted.
pub const PROVIDER_TRIES_WITH_TEXT_MAX: u32 = 8;
/// The wait before the second of those; it doubles.
pub const PROVIDER_BACKOFF: Duration = Duration::from_millis(500);
/// The longest such wait that is ours to choose. A provider's `Retry-After` may ask for more.
pub const PROVIDER_BACKOFF_MAX: Duration = Duration::from_secs(20);
/// Hand-overs of one generation from a function that is near its deadline to the next: three hours, with Lambda's 15 minutes.
/// Lambda's own guard against functions that invoke themselves is off for `stream` (`RecursiveLoop` in the template), so this is
/// what ends a chain.
pub const HAND_OVERS_MAX: u32 = 12;
/// How long the writer waits for usage after the finish reason.
pub const AFTER_FINISH_WAIT: Duration = Duration::from_secs(10);

/// How often the writer reads meta, to see whether readers are watching or the caller has cancelled.
pub const META_READ_EVERY: Duration = Duration::from_millis(1_500);
/// A reader's announcement holds for this long; it renews it at half.
pub const WATCH_TTL: Duration = Duration::from_secs(20);
/// What a process keeps in memory of the newest part of a log that its readers follow, at most.
pub const RECENT_BYTES_MAX: usize = 512 * 1024;
/// And for how long. Readers take a chunk within milliseconds; one whose connection is slower reads from the store.
pub const RECENT_AGE_MAX: Duration = Duration::from_secs(10);
/// The shortest pause before a reader's next poll.
pub const TAIL_PAUSE_MIN: Duration = Duration::from_millis(20);
/// The same, when nothing has come for a while.
pub const TAIL_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The writer renews its lease on meta when it has stored nothing else for this long.
pub const META_WRITE_AFTER: Duration = Duration::from_secs(10);
/// A pending generation that has not begun after this long is invoked again.
pub const PENDING_MAX: Duration = Duration::from_mins(1);
/// A sweep that has invoked a generation again waits this long before the next time; it doubles. A little under the schedule's
/// minute, so that the next sweep finds it due.
pub const SWEEP_BACKOFF: Duration = Duration::from_secs(55);
/// The longest such wait.
pub const SWEEP_BACKOFF_MAX: Duration = Duration::from_mins(15);
/// How long after its time a generation is ended by the sweep, where its writer has not done so.
pub const OVERTIME_GRACE: Duration = Duration::from_mins(1);
/// Logs that one sweep compacts side by side. Each holds a part of two objects in memory.
pub const COMPACTIONS_OF_A_SWEEP_MAX: usize = 8;
/// Shards of the index of open generations: its partitions, so that no single one takes every write.
pub const OPEN_SHARDS: u8 = 8;

/// How old a provider's key may be: each read costs as much as eight write units. A key that was rotated is read again after this, or where
/// the provider refuses it.
pub const PROVIDER_KEY_AGE_MAX: Duration = Duration::from_mins(30);
/// How old the key of read tokens may be: its second rotation ends all tokens before it, after this at the latest.
pub const TOKEN_KEY_AGE_MAX: Duration = Duration::from_mins(5);
/// How old the key of endpoints' secrets may be. It never changes.
pub const WEBHOOK_KEY_AGE_MAX: Duration = Duration::from_hours(24);
/// How old a secret may be where a rotation is suspected. A secret is never read more often.
pub const SECRET_AGE_SUSPECTED_MAX: Duration = Duration::from_secs(10);

/// What `Retry-After` says at most while an organization starts nothing new: a migration may end before its time is over.
pub const MAINTENANCE_RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
/// How long an organization's quota is cached.
pub const QUOTA_KEPT: Duration = Duration::from_mins(1);
/// Organizations whose quotas are cached.
pub const QUOTAS_KEPT_MAX: usize = 10_000;
/// How long the use of a day is kept, and its statistics.
pub const USAGE_TTL: Duration = Duration::from_hours(400 * 24);
/// Days of one answer with statistics.
pub const USAGE_DAYS_MAX: i64 = 400;
/// The same by default.
pub const USAGE_DAYS_DEFAULT: i64 = 30;
/// Groups of one answer with statistics, of 600 bytes at most but for the names of models. Lambda answers 6 MB at most.
pub const USAGE_GROUPS_MAX: usize = 5_000;

/// How long a read token is valid by default.
pub const READ_TOKEN_TTL_DEFAULT: Duration = Duration::from_mins(15);
/// How long a read token may be valid.
pub const READ_TOKEN_TTL_MAX: Duration = Duration::from_hours(24);
/// How long a token that reads all of an organization may be valid, and is by default: a day's work.
pub const ORGANIZATION_TOKEN_TTL_MAX: Duration = Duration::from_hours(8);
/// An API key's name.
pub const KEY_NAME_CHARS_MAX: usize = 64;

/// Generations in one page of a list.
pub const LIST_LIMIT_MAX: usize = 100;
/// The most items of a batch in one page.
pub const ITEMS_LIMIT_MAX: usize = 1_000;
/// Generations that one page of a filtered list looks at.
pub const LIST_SCAN_MAX: usize = 1_000;
/// Generations in one page of a list by default.
pub const LIST_LIMIT_DEFAULT: usize = 20;
/// Events in one page.
pub const EVENTS_LIMIT_MAX: usize = 10_000;
/// Text in one page for readers by offset: the event that reaches it is the last.
pub const LOG_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events in one page by default.
pub const EVENTS_LIMIT_DEFAULT: usize = 1_000;
