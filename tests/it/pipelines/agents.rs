//! E.D.N.360's eighteen agents, one after the other, as generations: what the steps ask for is accepted, answered and validated.

use std::collections::BTreeMap;

use longhand::pipelines::{Context, Document, Done, DoneStatus, RetryOn};
use longhand_local::{Agents, Options};
use longhand_tests::{Harness, environment};
use serde_json::{Value, json};

use super::{FULL, NUTRITION, PRICES, QUESTIONNAIRE, TRAINING, json_of, publish};

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_a_generation_that_fits_its_schema() {
    let agents = Agents::start(0.0, &[("E5", 1)]).unwrap();
    let providers = json!({ "openai": { "base_url": agents.base_url() } }).to_string();
    let env = environment("", &[("LONGHAND_PROVIDERS", &providers), ("LONGHAND_PRICES", PRICES)]);
    let harness = Harness::with(Options { env, ..Options::default() }).await;
    for document in [TRAINING, NUTRITION, FULL] {
        publish(&harness, &json_of(document)).await;
    }
    let app = harness.stack.app().await.unwrap();
    let pipeline = app.pipeline(&"local".parse().unwrap(), &"edn360-full@1".parse().unwrap()).await.unwrap();
    let document: &Document = &pipeline.document;
    let input = document.check_input(serde_json::from_str(QUESTIONNAIRE).unwrap()).unwrap();
    let mut context = Context { input, steps: BTreeMap::new() };
    let (mut tokens, mut cost, mut tries) = (Vec::new(), 0, BTreeMap::<&str, u32>::new());
    for step in &document.steps {
        assert!(step.is_wanted(&context).unwrap());
        let output = loop {
            *tries.entry(&step.id).or_default() += 1;
            let id = harness.start_generation(step.request(&context, None).unwrap()).await;
            let record = harness.ended(&id).await;
            if record["status"] == "failed" {
                let reason = record["error"]["code"].as_str().unwrap();
                assert_eq!(RetryOn::of(reason), Some(RetryOn::Interrupted), "{record}");
                continue;
            }
            assert_eq!(record["status"], "completed", "{record}");
            tokens.push((record["usage"]["input_tokens"].as_u64().unwrap(), record["usage"]["output_tokens"].as_u64().unwrap()));
            cost += record["cost"].as_u64().unwrap();
            break record["llm_response"].clone();
        };
        context.steps.insert(step.id.clone(), Done { status: DoneStatus::Completed, output });
    }
    assert_eq!((tries.len(), tries["E5"], tries.values().sum::<u32>()), (18, 2, 19));
    let told = agents.told();
    let in_order: Vec<&str> = told.iter().filter(|told| !told.is_broken).map(|told| told.agent.as_str()).collect();
    assert_eq!(in_order, document.steps.iter().map(|step| step.id.as_str()).collect::<Vec<_>>());
    let of_provider: Vec<(u64, u64)> =
        told.iter().filter(|told| !told.is_broken).map(|told| (told.usage.prompt_tokens, told.usage.completion_tokens)).collect();
    assert_eq!(tokens, of_provider, "tokens are those that the provider told");
    // $0.075 and $0.30 per million, each generation rounded up to a micro-dollar.
    let by_hand: u64 = of_provider.iter().map(|(input, output)| (input * 75_000 + output * 300_000).div_ceil(1_000_000)).sum();
    assert_eq!(cost, by_hand);
    let result = document.result(&context);
    assert_eq!(result["training"].as_object().unwrap().len(), 6);
    assert!(result["nutrition"]["menus"]["menus"].as_array().is_some_and(|menus| menus.len() == 3), "{result}");
    let checks = document.coherence(&context);
    assert!(checks.len() == 7 && checks.iter().all(|check| check.ok), "{checks:?}");
    assert_ne!(result["training"]["formatted_plan"], Value::Null);
    harness.finish().await;
}
