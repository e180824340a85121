//! A provider whose answer follows from the prompt: whoever asks again, or goes on from a part of it, gets the same text.

use std::time::Duration;

use serde_json::{Value, json};

use crate::hostile::{Hostile, Script, rest_of, wire};
use crate::{Api, assert_whole};

/// What texts are made of: characters of every length, and what readers stumble over.
const PIECES: [&str; 12] = ["0", " ", "\n", "capa", "cidad ", "ñandú", "€", "😀", "中文", "{\"a\": 0.78}", "\"", "```"];
const PIECE_BYTES: usize = 6;

/// The name of the provider that goes on from an assistant's message, and of the one that begins again.
pub const GOES_ON: &str = "goes-on";
/// See [`GOES_ON`].
pub const BEGINS_AGAIN: &str = "begins-again";

/// The two providers.
pub struct Author {
    goes_on: Hostile,
    begins_again: Hostile,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Prompt {
    /// Which text.
    pub number: u64,
    /// Its length, in pieces of some bytes.
    pub pieces: usize,
    /// How long it takes to write one.
    pub pace: Duration,
}

impl Author {
    /// Listens on free ports.
    pub async fn start() -> Self {
        let goes_on = Hostile::improvising(GOES_ON, |_, body| Prompt::read(body).script(body)).await;
        let begins_again = Hostile::improvising(BEGINS_AGAIN, |_, body| Prompt::read(body).script(body)).await;
        Self { goes_on, begins_again }
    }

    /// `LONGHAND_PROVIDERS` with both.
    pub fn providers(&self) -> String {
        let goes_on = json!({ "base_url": self.goes_on.base_url(GOES_ON), "continuation": "trailing_assistant" });
        json!({ GOES_ON: goes_on, BEGINS_AGAIN: { "base_url": self.begins_again.base_url(BEGINS_AGAIN) } }).to_string()
    }

    /// Requests upstream, of both.
    pub fn requests(&self) -> usize {
        self.goes_on.seen(GOES_ON).bodies.len() + self.begins_again.seen(BEGINS_AGAIN).bodies.len()
    }
}

impl Prompt {
    /// A request for it: of even numbers, to the provider that goes on.
    pub fn request(&self) -> Value {
        let provider = if self.number.is_multiple_of(2) { GOES_ON } else { BEGINS_AGAIN };
        let prompt = format!("{} {} {}", self.number, self.pieces, self.pace.as_micros());
        json!({ "provider": provider, "model": "m", "prompt": prompt })
    }

    fn read(body: &Value) -> Self {
        let prompt = body["messages"][0]["content"].as_str().unwrap_or_default();
        let numbers: Vec<u64> = prompt.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [number, pieces, pace] = numbers[..] else { panic!("not a prompt: {body}") };
        Self { number, pieces: usize::try_from(pieces).expect("a length"), pace: Duration::from_micros(pace) }
    }

    /// The whole text.
    pub fn text(&self) -> String {
        let mut dice = fastrand::Rng::with_seed(self.number);
        (0..self.pieces).filter_map(|_| dice.choice(PIECES)).collect()
    }

    /// Waits for the end of a generation of it: the text is the whole one, or a part of it with a reason. Answers with the reason.
    pub async fn end(&self, api: &Api, id: &str) -> String {
        let record = api.ended(id).await;
        assert_whole(&api.events(id).await);
        let (text, whole) = (api.text(id).await, self.text());
        let status = record["status"].as_str().expect("a status");
        let Some(reason) = record["reason"].as_str() else {
            assert_eq!((status, text), ("completed", whole), "{id}");
            return status.to_owned();
        };
        assert!(status != "completed" && whole.starts_with(&text), "{record}");
        reason.to_owned()
    }

    fn script(&self, body: &Value) -> Script {
        let text = self.text();
        let mut rest = rest_of(&text, body).expect("a prefix is one of the text");
        let mut events = vec![wire::role()];
        while !rest.is_empty() {
            let cut = (PIECE_BYTES..rest.len()).find(|cut| rest.is_char_boundary(*cut)).unwrap_or(rest.len());
            events.push(wire::text(&rest[..cut]));
            rest = &rest[cut..];
        }
        Script::stream(events.into_iter().chain([wire::ending()])).paced(self.pace)
    }
}
