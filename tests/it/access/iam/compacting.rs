//! What a compaction does, by whichever function: small and large objects, uploads that are given up, issues, buffers that are
//! not wanted, and a purge beside it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use longhand::Clock;
use longhand_tests::calls::Recorder;
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::{Harness, environment, noise};
use serde_json::{Value, json};

use super::drive::{Stores, large_prompt, log_ended, options};

/// Of noise. Compressed too, it is more than a part of 8 MiB.
const LARGE_BYTES: usize = 10_700_000;

/// The end of a log, as the buffer table's stream tells it.
const EVENT: &str = include_str!("../../../../infra/events/compact.json");

/// The next call of the function, by its operation and the end of what it is about, that meets something.
type Next = Arc<Mutex<Option<(&'static str, &'static str, Mode)>>>;

/// Everything that a compaction by `function` may come to.
pub async fn by(function: &'static str, recorder: Recorder) {
    let hostile = Hostile::improvising("test", |_, body| match body["messages"][0]["content"].as_str() {
        Some("large") => {
            let pieces = noise(LARGE_BYTES);
            let pieces = pieces.as_bytes().chunks(64 * 1024).map(|piece| wire::text(&String::from_utf8_lossy(piece)));
            Script::stream(pieces.chain([wire::ending()]))
        }
        _ => Script::stream([wire::whole(&["no JSON"])]),
    })
    .await;
    let next = Next::default();
    let faults = {
        let next = Arc::clone(&next);
        Faults::deciding(move |_, caller, call| {
            let is_it = |(operation, end, _): &mut (&str, &str, Mode)| {
                caller == function && call.operation == *operation && call.resource.ends_with(*end)
            };
            next.lock().unwrap().take_if(is_it).map(|(_, _, mode)| mode)
        })
    };
    let clock = Clock::system();
    let env = environment(&hostile.base_url("test"), &[("AWS_MAX_ATTEMPTS", "1"), ("LONGHAND_MAX_GENERATIONS_PER_DAY", "9")]);
    let options = options(&recorder, env, &clock, Some(&faults));
    let compacting = Compacting { harness: Harness::without(&["Ended", "EveryMinute"], options).await, clock, function, next };
    compacting.an_issue_and_a_buffer_that_is_not_wanted().await;
    compacting.an_upload_that_is_given_up().await;
    compacting.a_purge_beside_it(&faults).await;
    compacting.harness.finish().await;
}

struct Compacting {
    harness: Harness,
    clock: Clock,
    function: &'static str,
    next: Next,
}

impl Compacting {
    /// A generation whose log has ended, and that nothing has compacted.
    async fn ended(&self, request: Value) -> String {
        let id = self.harness.start_generation(request).await;
        log_ended(&self.harness, &id).await;
        id
    }

    async fn compact(&self, id: &str) {
        let event = if self.function == "sweep" {
            self.clock.advance(Duration::from_mins(1));
            json!({})
        } else {
            let mut event: Value = serde_json::from_str(EVENT).unwrap();
            event["Records"][0]["dynamodb"]["Keys"]["pk"] = json!({ "S": format!("local#{id}") });
            event
        };
        self.harness.stack.invoke(self.function, event).await.unwrap();
    }

    async fn an_issue_and_a_buffer_that_is_not_wanted(&self) {
        let request = json!({ "response_format": { "type": "json_object" }, "delete_after": true, "prompt": large_prompt() });
        let id = self.ended(request).await;
        self.compact(&id).await;
        let record = self.harness.ended(&id).await;
        assert!(record["last_validation_issue_id"].is_string(), "{record}");
    }

    async fn an_upload_that_is_given_up(&self) {
        let id = self.ended(json!({ "prompt": "large" })).await;
        *self.next.lock().unwrap() = Some(("UploadPart", "events.jsonl.gz", Mode::ServerError));
        self.compact(&id).await;
        assert!(self.next.lock().unwrap().is_none(), "no part was uploaded");
        assert!(self.harness.get(&format!("generations/{id}")).await.1["compacted_at"].is_null());
        self.compact(&id).await;
        assert_eq!(self.harness.ended(&id).await["bytes"], LARGE_BYTES);
    }

    async fn a_purge_beside_it(&self, faults: &Faults) {
        let id = self.ended(json!({ "prompt": large_prompt() })).await;
        let stores = Arc::new(Stores::of(&self.harness).await);
        let purged = id.clone();
        faults.meanwhile(move || {
            let (stores, id) = (Arc::clone(&stores), purged.clone());
            async move {
                stores.delete_object(&id, "request.json").await;
                stores.delete_record(&id).await;
            }
        });
        *self.next.lock().unwrap() = Some(("PutObject", "output.txt", Mode::Late));
        self.compact(&id).await;
        assert!(self.next.lock().unwrap().is_none(), "nothing was put");

        let stores = Stores::of(&self.harness).await;
        let id = self.ended(json!({ "prompt": large_prompt() })).await;
        stores.delete_object(&id, "request.json").await;
        self.compact(&id).await;
        stores.delete_record(&id).await;
    }
}
