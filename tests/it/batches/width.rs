//! Many items at once: nothing is lost, the window holds, and each item costs what it may.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use longhand_local::Options;
use longhand_tests::hostile::{Hostile, Script, wire};
use longhand_tests::sampling::rounds;
use longhand_tests::serial::turn;
use longhand_tests::{Harness, PATIENCE, environment};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Scene, assert_sums, counts};

/// Write units of an item, its generation's start and outcome included, its log not.
const UNITS_MAX: u64 = 18;
/// The same with a subject.
const UNITS_WITH_SUBJECT_MAX: u64 = 24;

/// A prompt of 2 KB of prose, which no two items share.
fn prompt(number: usize) -> String {
    const WORDS: [&str; 48] = [
        "proyecto",
        "reunión",
        "acuerdo",
        "plazo",
        "presupuesto",
        "municipio",
        "informe",
        "equipo",
        "entrega",
        "revisión",
        "contrato",
        "obra",
        "licencia",
        "vecinos",
        "asamblea",
        "propuesta",
        "calendario",
        "retraso",
        "inversión",
        "empresa",
        "ayuntamiento",
        "consejería",
        "costa",
        "puerto",
        "ampliación",
        "muelle",
        "grúa",
        "contenedor",
        "tráfico",
        "impacto",
        "ambiental",
        "estudio",
        "técnico",
        "resultado",
        "medida",
        "correctora",
        "seguimiento",
        "indicador",
        "trimestre",
        "objetivo",
        "cumplimiento",
        "riesgo",
        "mitigación",
        "responsable",
        "fecha",
        "comité",
        "decisión",
        "pendiente",
    ];
    let mut random = fastrand::Rng::with_seed(number as u64);
    let mut text = format!("Redacta el informe del evento {number}: ");
    while text.len() < 1_900 {
        text.push_str(WORDS[random.usize(..WORDS.len())]);
        text.push_str(if random.u8(..9) == 0 { ". " } else { " " });
    }
    text
}

/// Each item has a generation of its own, of one try.
async fn assert_all_were_generated_once(scene: &Scene, id: &str, items: usize) {
    let mut generations = BTreeSet::new();
    let (mut after, mut seen) = (String::new(), 0);
    loop {
        let page = scene.found(&format!("batches/{id}/items?limit=1000{after}")).await;
        for item in page["data"].as_array().unwrap() {
            assert_eq!((&item["index"], &item["tries"]), (&json!(seen), &json!(1)));
            generations.insert(item["generation"].as_str().unwrap().to_owned());
            seen += 1;
        }
        if page["has_more"] == false {
            break;
        }
        after = format!("&after={}", page["last_index"]);
    }
    assert_eq!((seen, generations.len()), (items, items), "each item has a generation of its own");
}

async fn wide(items: usize, concurrency: u32, with_subjects: bool) -> u64 {
    let provider = Hostile::improvising("test", |_, _| Script::stream([wire::whole(&["Sevilla, año 2026"])])).await;
    let env = environment(&provider.base_url("test"), &[]);
    let harness = Harness::with(Options { env, ..Options::default() }).await;
    let scene = Scene { harness, _provider: provider };
    let table = scene.harness.config("start").records_table;
    let listed: Vec<Value> = (0..items)
        .map(|number| {
            let mut item = json!({ "custom_id": format!("e{number}"), "request": { "prompt": prompt(number) } });
            if with_subjects {
                item["subject"] = format!("evento:{number}").into();
            }
            item
        })
        .collect();
    let body = json!({ "items": listed, "defaults": { "provider": "test", "model": "m" }, "concurrency": concurrency });
    let began = Instant::now();
    let batch = scene.done("POST", "batches", &body).await;
    let accepted = began.elapsed();
    let id = batch["id"].as_str().unwrap();
    let ended = loop {
        let batch = scene.found(&format!("batches/{id}")).await;
        assert_sums(&batch);
        if !batch["ended_at"].is_null() {
            break batch;
        }
        assert!(began.elapsed() < PATIENCE * 10, "{batch}");
        sleep(Duration::from_millis(50)).await;
    };
    let took = began.elapsed();
    assert_eq!(counts(&ended), json!({ "completed": items }));
    assert_all_were_generated_once(&scene, id, items).await;
    if with_subjects {
        // The last versions may still be on their way.
        let began = Instant::now();
        while scene.harness.get(&format!("subjects/evento:{}/versions/1", items - 1)).await.0 != reqwest::StatusCode::OK {
            assert!(began.elapsed() < PATIENCE);
            sleep(Duration::from_millis(20)).await;
        }
    }
    let units = scene.harness.stack.write_units_of(&table);
    let each = units.div_ceil(items as u64);
    eprintln!(
        "{items} items, window {concurrency}, subjects {with_subjects}: accepted in {:.2} s, done in {:.1} s, {units} write units",
        accepted.as_secs_f64(),
        took.as_secs_f64(),
    );
    scene.harness.finish().await;
    each
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_costs_what_it_may() {
    let _turn = turn().await;
    let items = usize::try_from(rounds(1_000, 120)).unwrap();
    let each = wide(items, 50, false).await;
    assert!(each <= UNITS_MAX, "{each} write units");
    let each = wide(items / 2, 50, true).await;
    assert!(each <= UNITS_WITH_SUBJECT_MAX, "{each} write units");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_open_than_the_window_has_places() {
    let _turn = turn().await;
    let (open, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let provider = {
        let (open, most) = (Arc::clone(&open), Arc::clone(&most));
        Hostile::improvising("test", move |_, _| {
            let now = open.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            let open = Arc::clone(&open);
            // The answer takes 50 ms; this is before its last piece.
            tokio::spawn(async move {
                sleep(Duration::from_millis(40)).await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
            Script::stream([wire::text("a"), wire::text("b"), wire::ending()]).paced(Duration::from_millis(20))
        })
        .await
    };
    let harness = Harness::with(Options { env: environment(&provider.base_url("test"), &[]), ..Options::default() }).await;
    let scene = Scene { harness, _provider: provider };
    let id = scene.batch(&["p"; 60], json!({ "concurrency": 5 })).await;
    assert_eq!(counts(&scene.ended(&id).await), json!({ "completed": 60 }));
    let most = most.load(Ordering::SeqCst);
    assert!((2..=5).contains(&most), "{most} at once");
    scene.harness.finish().await;
}

/// The time from the last byte of an item's answer to the next request, at the provider: what a caller of a full window waits for.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_item_begins_soon() {
    let _turn = turn().await;
    let items = usize::try_from(rounds(400, 80)).unwrap();
    let times: Arc<Mutex<Vec<(Instant, Instant)>>> = Arc::default();
    let provider = {
        let times = Arc::clone(&times);
        Hostile::improvising("test", move |_, _| {
            let began = Instant::now();
            // Three pieces, 20 ms apart; the last is sent by then.
            times.lock().unwrap().push((began, began + Duration::from_millis(40)));
            Script::stream([wire::text("a"), wire::text("b"), wire::ending()]).paced(Duration::from_millis(20))
        })
        .await
    };
    let harness = Harness::with(Options { env: environment(&provider.base_url("test"), &[]), ..Options::default() }).await;
    let scene = Scene { harness, _provider: provider };
    let prompts: Vec<&str> = std::iter::repeat_n("p", items).collect();
    let id = scene.batch(&prompts, json!({ "concurrency": 5 })).await;
    assert_eq!(counts(&scene.ended(&id).await), json!({ "completed": items }));
    let times = times.lock().unwrap().clone();
    // Each end is followed by the first request that no earlier end has had.
    let mut ends: Vec<Instant> = times.iter().map(|(_, end)| *end).collect();
    ends.sort();
    let mut waits: Vec<Duration> =
        times[5..].iter().zip(ends).map(|((began, _), end)| began.saturating_duration_since(end)).collect();
    waits.sort();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    eprintln!("{items} items, window 5: from an end to the next request {:?} (median), {:?} (99 %)", at(50), at(99));
    scene.harness.finish().await;
}
