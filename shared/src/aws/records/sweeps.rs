//! What sweeps note: on meta, when a generation was last invoked again; in a row of their own, where the next one begins.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::{Deserialize, Serialize};

use super::Records;
use crate::aws::buffer::{Buffer, Meta};
use crate::aws::clients::update_where;
use crate::error::Error;
use crate::ids::{GenerationId, GenerationKey};

/// Partition key of the row that is no organization's: names have no `#`.
const SWEEP: &str = "#sweep";
const CURSOR: &str = "cursor";

#[derive(Debug, Serialize, Deserialize)]
struct CursorRow {
    pk: String,
    sk: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<GenerationId>,
}

impl Buffer {
    /// Notes that a sweep invokes the generation again, `sweeps` times now since its newest attempt began. `false`: another
    /// sweep does, or an attempt has begun. Costs one write unit.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn note_sweep(
        &self,
        key: &GenerationKey,
        seen: Option<&Meta>,
        sweeps: u32,
        now_ms: i64,
        expires_at: i64,
    ) -> Result<bool, Error> {
        let number = |number: i64| AttributeValue::N(number.to_string());
        let update = self
            .update_meta(key)
            .update_expression("SET sweeps = :sweeps, swept_at = :now, expires_at = if_not_exists(expires_at, :expires)")
            .expression_attribute_values(":sweeps", number(i64::from(sweeps)))
            .expression_attribute_values(":now", number(now_ms))
            .expression_attribute_values(":expires", number(expires_at))
            .return_values(ReturnValue::None);
        let update = match seen.and_then(|meta| meta.swept_at) {
            Some(seen) => update.condition_expression("swept_at = :seen").expression_attribute_values(":seen", number(seen)),
            None => update.condition_expression("attribute_not_exists(swept_at)"),
        };
        update_where(update, &self.meter).await
    }
}

impl Records {
    /// The generation at which a sweep had to stop, if the last one had to.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn sweep_cursor(&self) -> Result<Option<GenerationId>, Error> {
        let row: Option<CursorRow> = self.get_row(SWEEP, CURSOR).await?;
        Ok(row.and_then(|row| row.after))
    }

    /// Notes where the next sweep goes on; `None`: at the oldest.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn set_sweep_cursor(&self, after: Option<&GenerationId>) -> Result<(), Error> {
        self.put(&CursorRow { pk: SWEEP.into(), sk: CURSOR.into(), after: after.cloned() }).await
    }
}
