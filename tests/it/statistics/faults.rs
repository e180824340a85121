//! Writes of `meter` that fail or whose answers are lost, while a batch has several rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use longhand_local::Options;
use longhand_tests::tap::{Action, Call, Fault, Tap, taps};
use serde_json::{Value, json};

use super::{Scene, counted};

const MODELS: [&str; 4] = ["m", "n/2", "free", "other"];
/// Of each model.
const GENERATIONS: usize = 6;
/// Writes after which no more fail.
const FAULTY: usize = 40;

/// What becomes of the writes of `meter`, by their number: a row is written and the next one fails, so that the batch comes again; or it
/// is written and the answer is lost, so that the SDK writes again.
#[derive(Debug)]
struct Unlucky {
    is_meter: bool,
    writes: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
}

impl Tap for Unlucky {
    fn call(&self, call: Call) -> BoxFuture<'static, Action> {
        if !self.is_meter || call.operation != "UpdateItem" {
            return std::future::ready(Action::Pass).boxed();
        }
        let number = self.writes.fetch_add(1, Ordering::SeqCst);
        let action = match number % 5 {
            1 | 4 if number < FAULTY => {
                self.failed.fetch_add(1, Ordering::SeqCst);
                let body =
                    json!({ "__type": "com.amazon.coral.service#AccessDeniedException", "Message": "not now" }).to_string();
                Action::Refuse(Fault::Answer { status: 400, body })
            }
            2 if number < FAULTY => Action::Hold { until: std::future::ready(()).boxed(), lost: true },
            _ => Action::Pass,
        };
        std::future::ready(action).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_that_fail_between_rows_are_counted_once_when_they_come_again() {
    let (writes, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (writes.clone(), failed.clone());
    let parts =
        taps(move |handler| Unlucky { is_meter: handler == "meter", writes: counters.0.clone(), failed: counters.1.clone() });
    let options = Options { parts, retry_delay: Duration::from_millis(5), ..Options::default() };
    let scene = Scene::with(&[], options).await;
    let mut expected = 0;
    for round in 0..GENERATIONS {
        let started = MODELS.map(|model| scene.acme.start_generation(json!({ "model": model, "prompt": format!("{round}") })));
        for id in join_all(started).await {
            let record = scene.acme.ended(&id).await;
            expected += record["usage"]["output_tokens"].as_u64().unwrap();
        }
    }
    let told = counted(&scene.acme, (MODELS.len() * GENERATIONS) as u64, "?by=model").await;
    let counts = |group: &Value| group["generations"]["completed"].as_u64().unwrap();
    assert_eq!(told["data"].as_array().unwrap().iter().map(counts).collect::<Vec<_>>(), [GENERATIONS as u64; MODELS.len()]);
    assert_eq!(told["total"]["usage"]["output_tokens"], expected);
    let failed = failed.load(Ordering::SeqCst);
    println!("{} writes, of which {failed} failed", writes.load(Ordering::SeqCst));
    assert!(failed > 3, "{failed}");
    // Whatever came again after the last one was counted has changed nothing.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(counted(&scene.acme, 1, "?by=model").await, told);
    scene.harness.finish().await;
}
