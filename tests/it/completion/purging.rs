//! A purge beside a compaction that is slow: what is put into the bucket afterwards does not stay there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longhand::aws::Clients;
use longhand::{Config, Error};
use longhand_local::{Options, Playback, Script, Stack};
use longhand_tests::faults::{Faults, Mode};
use longhand_tests::{Harness, PATIENCE, environment, template_without};
use reqwest::StatusCode;
use serde_json::json;

use super::by_hand;

/// A stack whose compactor is late once, with this object, and by then another has compacted the generation and it was purged.
async fn purged_beside(object: &'static str, mode: Mode) {
    let provider = Playback::start(Script::new(["hola"])).unwrap();
    let was_late = AtomicBool::new(false);
    let faults = Faults::deciding(move |_, function, call| {
        let is_it = function == "compact" && call.operation == "PutObject" && call.resource.ends_with(object);
        (is_it && !was_late.swap(true, Ordering::SeqCst)).then_some(mode)
    });
    let options = Options { env: environment(provider.base_url(), &[]), taps: Some(faults.taps()), ..Options::default() };
    let registry = faults.registry(&options.clock);
    let stack = Stack::start_with(options, &template_without(&["EveryMinute"]), registry).await.unwrap();
    let harness = Arc::new(Harness::over(stack));
    let purges = Arc::downgrade(&harness);
    faults.meanwhile(move || {
        let purges = purges.clone();
        async move {
            let harness = purges.upgrade().expect("the test waits for it");
            let list = harness.get("generations").await.1;
            let (app, organization, id) = by_hand(&harness, list["data"][0]["id"].as_str().unwrap()).await;
            assert!(!app.compact(&organization, &id, "hand").await.unwrap().was_compacted);
            app.purge(&organization, &id).await.unwrap();
            assert!(matches!(app.get(&organization, &id).await, Err(Error::NotFound(_))));
        }
    });
    let id = harness.start_generation(json!({})).await;
    let began = Instant::now();
    while !(faults.is_idle() && faults.made().iter().any(|made| made.met.is_some())) {
        assert!(began.elapsed() < PATIENCE, "{:?}", faults.made());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(harness.get(&format!("generations/{id}")).await.0, StatusCode::NOT_FOUND);
    let environment = harness.stack.environment("api");
    let config = Config::from_vars(&|name| environment.get(name).cloned()).unwrap();
    let clients = Clients::new(&config.aws).await;
    let objects = clients.s3.list_objects_v2().bucket(&config.bucket).send().await.unwrap();
    assert_eq!(objects.contents(), [], "{object} {mode:?}");
    for table in [&config.buffer_table, &config.records_table] {
        let rows = clients.dynamodb.scan().table_name(table).send().await.unwrap();
        assert_eq!(rows.items(), [], "{object} {mode:?}, in {table}");
    }
    Arc::into_inner(harness).expect("nothing else holds it").finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_late_compaction_puts_once_its_generation_is_purged_does_not_stay() {
    for object in ["output.txt", "events.jsonl.gz"] {
        for mode in [Mode::Late, Mode::AnswerLate] {
            purged_beside(object, mode).await;
        }
    }
}
