//! Where the next sweep begins.

use serde::{Deserialize, Serialize};

use super::Records;
use super::key::Key;
use crate::error::Error;
use crate::ids::GenerationId;

#[derive(Debug, Serialize, Deserialize)]
struct CursorRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<GenerationId>,
}

impl Records {
    /// The generation at which the last sweep ran out of time, if it did.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn sweep_cursor(&self) -> Result<Option<GenerationId>, Error> {
        let row: Option<CursorRow> = self.get_row(Key::SweepCursor).await?;
        Ok(row.and_then(|row| row.after))
    }

    /// Sets the generation after which the next sweep begins; `None`: at the oldest.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn set_sweep_cursor(&self, after: Option<&GenerationId>) -> Result<(), Error> {
        self.put(Key::SweepCursor, &CursorRow { after: after.cloned() }).await
    }
}
