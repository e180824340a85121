//! The results of a batch, one line of JSON for each item, and its report.

use std::collections::VecDeque;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::app::App;
use crate::aws::ItemRow;
use crate::batches::report::ReportFormat;
use crate::batches::{ItemStatus, ItemView};
use crate::error::Error;
use crate::ids::{BatchKey, GenerationKey};
use crate::verbs::generations::output::Output;

/// Items that are read at once.
const PAGE: usize = 100;
/// Results that are read side by side: each may have a text of a megabyte.
const OUTPUTS: usize = 8;

/// Reads the results of a batch, in the order of its items, as they are now.
pub struct BatchResults {
    app: App,
    key: BatchKey,
    rows: VecDeque<ItemRow>,
    next: Option<u32>,
    left: usize,
}

/// One line: the item, and its result if it completed.
#[derive(Serialize)]
struct ResultLine {
    #[serde(flatten)]
    item: ItemView,
    output: Option<Output>,
}

impl App {
    /// The results of a batch, those behind the index `after`, `limit` at most.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::Aws`].
    pub async fn batch_results(&self, key: &BatchKey, after: Option<u32>, limit: Option<usize>) -> Result<BatchResults, Error> {
        self.batch_row(key).await?;
        let next = Some(after.map_or(0, |after| after.saturating_add(1)));
        Ok(BatchResults { app: self.clone(), key: key.clone(), rows: VecDeque::new(), next, left: limit.unwrap_or(usize::MAX) })
    }

    /// A table of a batch's items for people: Markdown, or CSV.
    ///
    /// # Errors
    /// [`Error::BatchNotFound`]; [`Error::Aws`].
    pub async fn batch_report(&self, key: &BatchKey, format: ReportFormat) -> Result<Vec<u8>, Error> {
        let row = self.batch_row(key).await?;
        let (title, counts, cost) = (row.name.clone().unwrap_or_else(|| key.batch.to_string()), row.progress.counts, row.cost);
        let items = self.records.items_with(key, &ItemStatus::ALL).await?;
        let rows: Vec<ItemView> = items.into_iter().map(ItemView::from).collect();
        format.render(&title, row.progress.status, &counts, cost, &rows)
    }
}

impl BatchResults {
    /// The next lines, each with its line feed; `None`: there are no more.
    ///
    /// # Errors
    /// [`Error::Aws`]; as [`App::output`].
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.rows.is_empty()
            && self.left > 0
            && let Some(next) = self.next
        {
            let rows = self.app.records.items_from(&self.key, next, PAGE.min(self.left)).await?;
            self.next = rows.last().map(|row| row.item.index + 1);
            self.rows.extend(rows);
        }
        let some: Vec<ItemRow> = self.rows.drain(..self.rows.len().min(OUTPUTS).min(self.left)).collect();
        self.left -= some.len();
        if some.is_empty() {
            return Ok(None);
        }
        let lines = some.into_iter().map(|row| line(&self.app, &self.key, row).boxed()).collect::<Vec<_>>();
        let lines: Vec<Vec<u8>> = stream::iter(lines).buffered(OUTPUTS).try_collect().await?;
        Ok(Some(lines.concat()))
    }
}

async fn line(app: &App, key: &BatchKey, row: ItemRow) -> Result<Vec<u8>, Error> {
    let item = ItemView::from(row);
    let mut output = None;
    if let (ItemStatus::Completed, Some(generation)) = (item.status, &item.generation) {
        output = match app.output(&GenerationKey::new(key.organization.clone(), generation.clone())).await {
            Ok(output) => Some(output),
            // It was deleted since.
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
    }
    let mut line = serde_json::to_vec(&ResultLine { item, output }).map_err(|error| Error::Internal(error.to_string()))?;
    // A result that is JSON is told as it is written, with its line feeds. Those are white space: strings have none but escaped ones.
    for byte in &mut line {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    Ok(line)
}
