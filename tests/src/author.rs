//! A provider whose answer is a function of the prompt: a repeated request, or one that continues a prefix, gets the same text.

use std::time::Duration;

use serde_json::{Value, json};

use crate::hostile::{Hostile, Script, rest_of, wire};
use crate::{Api, assert_whole};

/// Pieces of the texts: characters of every length, and text that parsers get wrong.
const PIECES: [&str; 12] = ["0", " ", "\n", "capa", "cidad ", "ñandú", "€", "😀", "中文", "{\"a\": 0.78}", "\"", "```"];
const PIECE_BYTES: usize = 6;

/// The provider that continues a trailing assistant message.
pub const CONTINUES: &str = "continues";
/// The provider that always starts from the beginning.
pub const RESTARTS: &str = "restarts";

/// Both providers.
pub struct Author {
    continues: Hostile,
    restarts: Hostile,
}

/// The text that a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Prompt {
    /// The seed of the text.
    pub number: u64,
    /// The number of pieces of the text.
    pub pieces: usize,
    /// The pause between two writes.
    pub pace: Duration,
}

impl Author {
    /// Listens on free ports.
    pub async fn start() -> Self {
        let continues = Hostile::improvising(CONTINUES, |_, body| Prompt::read(body).script(body)).await;
        let restarts = Hostile::improvising(RESTARTS, |_, body| Prompt::read(body).script(body)).await;
        Self { continues, restarts }
    }

    /// `LONGHAND_PROVIDERS` with both.
    pub fn providers(&self) -> String {
        let continues = json!({ "base_url": self.continues.base_url(CONTINUES), "continuation": "trailing_assistant" });
        json!({ CONTINUES: continues, RESTARTS: { "base_url": self.restarts.base_url(RESTARTS) } }).to_string()
    }

    /// Requests to both providers so far.
    pub fn requests(&self) -> usize {
        self.continues.seen(CONTINUES).bodies.len() + self.restarts.seen(RESTARTS).bodies.len()
    }
}

impl Prompt {
    /// A request for the text: to [`CONTINUES`] where the number is even, else to [`RESTARTS`].
    pub fn request(&self) -> Value {
        let provider = if self.number.is_multiple_of(2) { CONTINUES } else { RESTARTS };
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

    /// Waits for the end of its generation and returns the status or the reason. The text is whole, or a prefix with a reason.
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
