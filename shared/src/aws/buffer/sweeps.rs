//! The part of meta that sweeps write: when a generation was last invoked again.

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};

use super::{Buffer, Meta};
use crate::aws::tables::update_where;
use crate::error::Error;
use crate::ids::GenerationKey;

impl Buffer {
    /// Stores that a sweep invokes the generation again, for the `sweeps`th time since its newest attempt began. `false`: another
    /// sweep has done so, or an attempt has begun since meta was `seen`. Costs one write unit.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn record_sweep(
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
