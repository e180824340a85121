//! The kinds of life that are walked: what is asked for, what the provider does, and how it must end.

use std::time::Duration;

use longhand::Clock;
use longhand::generation::Status;
use longhand_local::playback::Ending;
use longhand_local::{Playback, Script};
use longhand_tests::hostile::{self, Hostile, rest_of, wire};
use longhand_tests::sensitive::play;
use longhand_tests::{template_without, with_writer_timeout};
use serde_json::{Value, json};

/// Between two pieces of a text that is continued.
const PAUSE: Duration = Duration::from_millis(2);
/// What a writer's function has in place of 15 minutes. It hands over when half of it is gone.
const SHORT_TIMEOUT_SECONDS: u64 = 20;

/// The subject of those that have one.
pub const SUBJECT: &str = "crashes";

/// A kind of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// From start to blob.
    Plain,
    /// Its caller cancels it in the middle. The provider has not finished then.
    Cancelled,
    /// `delete_after`: the buffer goes once it is compacted.
    Deleted,
    /// Its organization's days are bounded, so what it uses is counted.
    Counted,
    /// The provider breaks off in the middle, and goes on from what it has said.
    BrokenOff,
    /// It has a subject, whose first version it becomes.
    Versioned,
    /// `POST /v1/responses` with `stream: true`: the function that answers writes.
    Attached,
    /// The provider falls silent in the middle, the function's time runs out, and the next one goes on.
    HandedOver,
}

/// The provider of a life.
pub enum Upstream {
    Playing(Playback),
    GoingOn(Hostile),
}

impl Kind {
    /// How it must end.
    pub const fn status(self) -> Status {
        if matches!(self, Self::Cancelled) { Status::Cancelled } else { Status::Completed }
    }

    /// What is asked for, beside provider, model and prompt.
    pub fn extra(self) -> Value {
        match self {
            Self::Deleted => json!({ "delete_after": true }),
            Self::Versioned => json!({ "subject": SUBJECT }),
            _ => json!({}),
        }
    }

    /// How many generations its organization may start in a day; empty: any number.
    pub const fn generations_per_day(self) -> &'static str {
        if matches!(self, Self::Counted) { "1000" } else { "" }
    }

    /// What is counted is a day's, so that one begins; a run may take an hour of sweeps.
    pub fn clock(self) -> Clock {
        let clock = Clock::system();
        if self == Self::Counted {
            let day = 24 * 60 * 60 * 1_000;
            clock.advance(Duration::from_millis(day - clock.now_ms().unsigned_abs() % day));
        }
        clock
    }

    /// The template of its stack.
    pub fn template(self) -> String {
        let template = template_without(&["EveryMinute"]);
        match self {
            Self::HandedOver => with_writer_timeout(&template, SHORT_TIMEOUT_SECONDS),
            _ => template,
        }
    }

    /// Its provider.
    pub async fn upstream(self) -> Upstream {
        let text = text();
        match self {
            Self::BrokenOff | Self::HandedOver => {
                let half = if self == Self::BrokenOff { hostile::Ending::Cut } else { hostile::Ending::Stall };
                let make = move |number: usize, body: &Value| saying(&text, body, (number == 0).then_some(half));
                Upstream::GoingOn(Hostile::improvising("test", make).await)
            }
            Self::Cancelled => Upstream::play(Script { ending: Ending::Stall, ..script() }),
            Self::Plain | Self::Deleted | Self::Counted | Self::Versioned | Self::Attached => Upstream::play(script()),
        }
    }
}

impl Upstream {
    fn play(script: Script) -> Self {
        Self::Playing(play(script).expect("the provider starts"))
    }

    /// `LONGHAND_PROVIDERS`, with the provider `test`.
    pub fn providers(&self) -> String {
        match self {
            Self::Playing(playback) => json!({ "test": { "base_url": playback.base_url() } }),
            Self::GoingOn(hostile) => {
                json!({ "test": { "base_url": hostile.base_url("test"), "continuation": "trailing_assistant" } })
            }
        }
        .to_string()
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        match self {
            Self::Playing(playback) => playback.stats().requests,
            Self::GoingOn(hostile) => hostile.seen("test").bodies.len() as u64,
        }
    }
}

/// The text that the providers say.
pub fn text() -> String {
    script().text()
}

fn script() -> Script {
    let deltas = ["{\"score\": ", "0", ".", "78", ", \"names\": [\"año\", ", "\"0\"", "]", "}"];
    Script { tempo: 400.0, ..Script::new(deltas) }
}

/// What is left of a text, piece by piece; or half of it, which ends so.
fn saying(text: &str, body: &Value, half: Option<hostile::Ending>) -> hostile::Script {
    let Some(rest) = rest_of(text, body) else {
        return hostile::Script::plain(
            "400 Bad Request",
            "application/json",
            r#"{"error":{"message":"not how my text begins"}}"#,
        );
    };
    let mut said: Vec<String> = rest.split_inclusive(' ').map(wire::text).collect();
    match half {
        Some(_) => said.truncate(said.len().div_ceil(2)),
        None => said.push(wire::ending()),
    }
    let script = hostile::Script::stream([wire::role()].into_iter().chain(said));
    script.paced(PAUSE).ending(half.unwrap_or(hostile::Ending::End))
}
