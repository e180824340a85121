//! The size of an item as DynamoDB computes it, by which it charges.

use std::collections::HashMap;

use serde_dynamo::AttributeValue;

use crate::limits::WRITE_UNIT_BYTES;

/// The write units of an item of `bytes`.
#[must_use]
pub const fn write_units(bytes: u64) -> u64 {
    let units = bytes.div_ceil(WRITE_UNIT_BYTES as u64);
    if units == 0 { 1 } else { units }
}

/// Bytes of a stored item, as [`chunk_item_bytes`] counts them.
pub(in crate::aws) fn item_bytes(item: &HashMap<String, AttributeValue>) -> usize {
    item.iter().map(|(name, value)| name.len() + value_bytes(value)).sum()
}

/// A number takes a byte for two digits and one more; a list or map takes three, and one for each element.
pub(super) fn value_bytes(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
        AttributeValue::B(bytes) => bytes.len(),
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + value_bytes(value)).sum::<usize>(),
        AttributeValue::M(values) => 3 + values.iter().map(|(name, value)| 1 + name.len() + value_bytes(value)).sum::<usize>(),
        AttributeValue::Ss(texts) => texts.iter().map(String::len).sum(),
        AttributeValue::Ns(numbers) => numbers.iter().map(|digits| digits.len().div_ceil(2) + 1).sum(),
        AttributeValue::Bs(blobs) => blobs.iter().map(Vec::len).sum(),
        AttributeValue::Null(_) | AttributeValue::Bool(_) => 1,
    }
}
