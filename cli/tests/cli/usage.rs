//! `longhand usage`, on a `longhand dev` that plays a recording.

use longhand_local::Script;
use longhand_tests::sensitive::play;
use serde_json::Value;

use crate::arguments::longhand;
use crate::dev::Dev;

const PRICES: &str = r#"{"openai":{"gpt-5":{"input":1250000000,"output":10000000000}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_generations_came_to_is_printed_as_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let playback = play(Script::new(["uno\n", "dos\n"])).unwrap();
    let provider = ["--provider", "openai", "--base-url", playback.base_url()];
    let (_dev, _) = Dev::start(folder.path(), &provider, &[("OPENAI_API_KEY", "k"), ("LONGHAND_PRICES", PRICES)]).await;
    let run = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--data", &data]).collect();
        longhand(&arguments, "")
    };
    for model in ["gpt-5", "gpt-5", "gpt-5-mini"] {
        let (code, output, message) = run(&["start", "--prompt", "Hola", "--model", model, "--wait"]);
        assert_eq!(code, 0, "{output}{message}");
    }
    let usage: Value = loop {
        let (code, output, message) = run(&["usage", "--by", "day,model", "--json"]);
        assert_eq!(code, 0, "{output}{message}");
        let usage: Value = serde_json::from_str(&output).unwrap();
        if usage["total"]["generations"]["completed"] == 3 {
            break usage;
        }
    };
    let (_, table, _) = run(&["usage", "--by", "day,model"]);
    println!("{table}");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0][..4], ["DAY", "MODEL", "ENDED", "COMPLETED"]);
    let day = usage["data"][0]["day"].as_str().unwrap();
    assert_eq!(rows[1][..8], [day, "gpt-5", "2", "2", "0", "0", "0", "100.0%"]);
    assert_eq!((&rows[2][1..4], rows[2].last()), (&["gpt-5-mini", "1", "1"][..], Some(&"unknown")), "it has no price");
    assert_eq!(
        (&rows[3][..2], &rows[3][rows[3].len() - 3..]),
        (&["total", "3"][..], &[*rows[1].last().unwrap(), "(1", "without)"][..])
    );
    assert!(usage["total"]["cost"].as_u64().unwrap() > 0);

    let (_, table, _) = run(&["usage", "--from", "2020-01-01", "--to", "2020-01-31"]);
    println!("{table}");
    assert_eq!(
        table.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>()[..7],
        ["total", "0", "0", "0", "0", "0", "-"]
    );
    let (code, _, refused) = run(&["usage", "--by", "hour"]);
    assert!(code != 0 && refused.contains("must be day, provider, model"), "{refused}");
}
