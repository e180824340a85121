//! What a demo shows: the figures, and that the text sent, the log, the blob and the record agree.

use std::fmt::Display;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::Run;
use super::source::Source;
use crate::api::Api;
use crate::commands::generations::get;
use crate::patience::insist;
use crate::terminal::output::{line, plain};

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

/// One thing that must be so.
#[derive(Clone, Debug)]
struct Check {
    claim: &'static str,
    expected: String,
    found: String,
    note: String,
}

#[derive(Debug)]
pub struct Proof {
    record: Value,
    figures: Figures,
    checks: Vec<Check>,
}

impl Proof {
    pub async fn gather(api: &Api, source: &Source, run: &Run, write_units: u64) -> anyhow::Result<Self> {
        let record = run.record.clone();
        let mut checks = vec![Check::new("the generation completed", "completed", word(&record, "status"))];
        let blob_url = record["compacted"].as_str().map(str::to_owned);
        let stored = match blob_url {
            Some(_) => Some(insist(async || api.text(&run.id).await).await.context("the output cannot be fetched")?),
            None => None,
        };
        let stored_sha256 = stored.as_deref().map(sha256);
        if let (Some(stored), Some(stored_sha256)) = (&stored, &stored_sha256) {
            checks.push(Check::new("the record has the blob's hash", stored_sha256, word(&record, "sha256")));
            checks.push(Check::new("the record has the blob's length", stored.len(), word(&record, "bytes")));
            checks.push(Check::new("the log's text is the blob's text", stored_sha256, sha256(&logged(api, &run.id).await?)));
        } else {
            checks.push(Check::new("the result lies in the bucket", "a blob", "none"));
        }
        let number = |name: &str| record["progress"][name].as_u64().unwrap_or(0);
        let sent = source.sent();
        if let Some(sent) = &sent {
            let blob = stored_sha256.as_deref().unwrap_or("none");
            checks.push(Check::new("the blob's text is the text sent", &sent.sent_sha256, blob));
            checks.push(Check::new("every delta with text was received", sent.deltas, number("received_chunks")));
            checks.push(Check::new("every byte sent was received", sent.bytes, number("received_bytes")));
        }
        if let Some((stayed, returned)) = &run.seen {
            let stored = stored_sha256.as_deref().unwrap_or("none");
            checks.push(Check::new("the reader who stayed saw that text", stored, &stayed.sha256));
            let claim = "the reader who kept leaving and coming back saw the same";
            checks.push(Check { note: format!("{} returns", returned.returns), ..Check::new(claim, stored, &returned.sha256) });
        }
        let figures = Figures {
            generation_id: run.id.clone(),
            status: word(&record, "status"),
            sent_sha256: sent.map(|sent| sent.sent_sha256),
            stored_sha256,
            received_chunks: number("received_chunks"),
            received_bytes: number("received_bytes"),
            chunk_count: record["chunk_count"].as_u64().unwrap_or_else(|| number("chunk_count")),
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

    /// What is not as it must be, each in one line.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.checks.iter().filter(|check| !check.holds());
        failed.map(|Check { claim, expected, found, .. }| format!("{claim}: expected {expected}, found {found}")).collect()
    }

    pub fn print(&self) -> anyhow::Result<()> {
        let figures = &self.figures;
        let mut fields = get::fields(&self.record);
        fields.add("write units", figures.write_units);
        fields.add("time", format!("accepted in {} ms, ended after {:.1} s", figures.start_ms, figures.seconds()));
        fields.print()?;
        line("")?;
        for check in &self.checks {
            let mark = if check.holds() { "ok  " } else { "FAIL" };
            line(format!("{mark}  {}  {}  {}", check.claim, shortened(&check.found), check.note).trim_end())?;
        }
        Ok(())
    }
}

impl Figures {
    fn seconds(&self) -> f64 {
        u32::try_from(self.total_ms).map_or(f64::INFINITY, f64::from) / 1000.0
    }
}

impl Check {
    fn new(claim: &'static str, expected: impl Display, found: impl Display) -> Self {
        Self { claim, expected: expected.to_string(), found: found.to_string(), note: String::new() }
    }

    fn holds(&self) -> bool {
        self.expected == self.found
    }
}

/// The text that the log's events spell: of the newest output item, since an interrupted one before it is not in the result.
async fn logged(api: &Api, id: &str) -> anyhow::Result<String> {
    let (mut text, mut item, mut after) = (String::new(), 0, None);
    loop {
        let page = insist(async || api.events(id, after).await).await.context("the log cannot be read")?;
        for event in page.data {
            after = Some(event.seq);
            if event.kind != "output_text.delta" {
                continue;
            }
            if event.output_index != item {
                text.clear();
                item = event.output_index;
            }
            text += &event.delta;
        }
        if !page.has_more {
            return Ok(text);
        }
    }
}

fn sha256(text: &str) -> String {
    format!("{:x}", Sha256::digest(text))
}

fn word(record: &Value, name: &str) -> String {
    plain(&record[name]).unwrap_or_else(|| "nothing".to_owned())
}

fn shortened(text: &str) -> &str {
    text.get(..16).unwrap_or(text)
}
