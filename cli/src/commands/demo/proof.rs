//! The result of a demo: the figures, and checks that the text sent, the log, the blob and the record agree.

use std::fmt::Display;

use anyhow::Context as _;
use longhand::generation::Generation;
use longhand_client::{Client, ResultText};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Run;
use super::source::Source;
use crate::commands::generations::get;
use crate::retry::with_retries;
use crate::terminal::output::line;

/// The figures, as `--json` prints them.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    generation_id: String,
    status: String,
    sent_sha256: Option<String>,
    stored_sha256: Option<String>,
    received_chunks: u64,
    received_bytes: u64,
    chunk_count: u64,
    write_units: u64,
    start_ms: u128,
    total_ms: u128,
    blob_url: Option<String>,
}

/// One claim: it holds where what was found is what was expected.
#[derive(Clone, Debug)]
pub struct Check {
    claim: String,
    expected: String,
    found: String,
    note: String,
}

#[derive(Debug)]
pub struct Proof {
    record: Generation,
    figures: Figures,
    checks: Vec<Check>,
}

impl Proof {
    pub async fn gather(client: &Client, source: &Source, run: &Run, write_units: u64) -> anyhow::Result<Self> {
        let record = run.record.value.clone();
        let mut checks = vec![Check::new("the generation completed", "completed", record.status.as_str())];
        let blob_url = record.compacted.clone();
        let stored = match blob_url {
            Some(_) => Some(with_retries(async || client.text(&run.id).await).await.context("the output cannot be fetched")?),
            None => None,
        };
        let stored_sha256 = stored.as_deref().map(sha256);
        if let (Some(stored), Some(stored_sha256)) = (&stored, &stored_sha256) {
            checks.push(Check::new("the record has the blob's hash", stored_sha256, found(record.sha256.as_ref())));
            checks.push(Check::new("the record has the blob's length", stored.len(), found(record.bytes.as_ref())));
            checks.push(Check::new(
                "the log's text is the blob's text",
                stored_sha256,
                sha256(&logged_text(client, &run.id).await?),
            ));
        } else {
            checks.push(Check::new("the result lies in the bucket", "a blob", "none"));
        }
        let progress = &record.progress;
        let sent = source.sent();
        if let Some(sent) = &sent {
            let blob = stored_sha256.as_deref().unwrap_or("none");
            checks.push(Check::new("the blob's text is the text sent", &sent.sent_sha256, blob));
            checks.push(Check::new("every delta with text was received", sent.deltas, progress.received_chunks));
            checks.push(Check::new("every byte sent was received", sent.bytes, progress.received_bytes));
        }
        if let Some((stayed, returned)) = &run.seen {
            let stored = stored_sha256.as_deref().unwrap_or("none");
            checks.push(Check::new("the reader who stayed saw that text", stored, &stayed.sha256));
            let claim = "the reader who kept leaving and coming back saw the same";
            checks.push(Check { note: format!("{} returns", returned.returns), ..Check::new(claim, stored, &returned.sha256) });
        }
        let figures = Figures {
            generation_id: run.id.clone(),
            status: record.status.as_str().to_owned(),
            sent_sha256: sent.map(|sent| sent.sent_sha256),
            stored_sha256,
            received_chunks: progress.received_chunks,
            received_bytes: progress.received_bytes,
            chunk_count: record.chunk_count.unwrap_or(progress.chunk_count),
            write_units,
            start_ms: run.start.as_millis(),
            total_ms: run.total.as_millis(),
            blob_url,
        };
        Ok(Self { record, figures, checks })
    }

    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The claims that do not hold, each in one line.
    pub fn failed(&self) -> Vec<String> {
        failed(&self.checks)
    }

    pub fn print(&self) -> anyhow::Result<()> {
        let figures = &self.figures;
        let mut fields = get::fields(&self.record);
        fields.add("write units", figures.write_units);
        fields.add("time", format!("accepted in {} ms, ended after {:.1} s", figures.start_ms, figures.seconds()));
        fields.print()?;
        line("")?;
        print_checks(&self.checks)
    }
}

impl Figures {
    fn seconds(&self) -> f64 {
        u32::try_from(self.total_ms).map_or(f64::INFINITY, f64::from) / 1000.0
    }
}

impl Check {
    pub fn new(claim: impl Into<String>, expected: impl Display, found: impl Display) -> Self {
        Self { claim: claim.into(), expected: expected.to_string(), found: found.to_string(), note: String::new() }
    }

    fn holds(&self) -> bool {
        self.expected == self.found
    }

    pub fn to_json(&self) -> Value {
        json!({ "claim": self.claim, "expected": self.expected, "found": self.found, "ok": self.holds() })
    }
}

/// The claims that do not hold, each in one line.
pub fn failed(checks: &[Check]) -> Vec<String> {
    let failed = checks.iter().filter(|check| !check.holds());
    failed.map(|Check { claim, expected, found, .. }| format!("{claim}: expected {expected}, found {found}")).collect()
}

/// Prints each claim in one line, which begins with `ok` or `FAIL`.
pub fn print_checks(checks: &[Check]) -> anyhow::Result<()> {
    for check in checks {
        let mark = if check.holds() { "ok  " } else { "FAIL" };
        line(format!("{mark}  {}  {}  {}", check.claim, shortened(&check.found), check.note).trim_end())?;
    }
    Ok(())
}

/// The result's text, from the events of the log.
async fn logged_text(client: &Client, id: &str) -> anyhow::Result<String> {
    let (mut text, mut after) = (ResultText::default(), None);
    loop {
        let page = with_retries(async || client.events(id, after).await).await.context("the log cannot be read")?;
        page.data.iter().for_each(|event| text.push(&event.event));
        if !page.has_more {
            return Ok(text.into());
        }
        after = page.last_seq;
    }
}

/// In hex.
pub fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

fn found(value: Option<impl Display>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
}

fn shortened(text: &str) -> &str {
    text.get(..16).unwrap_or(text)
}
