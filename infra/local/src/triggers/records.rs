//! Converts stream records to the form that Lambda passes to a function.

use std::collections::HashMap;

use aws_sdk_dynamodbstreams::{primitives::Blob, types};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value, json};
use types::AttributeValue;

use super::Record;
use crate::template::REGION;

/// The region in the embedded DynamoDB's ARNs.
const EMULATED_REGION: &str = ":dynoxide:";

/// Converts a record; `None` if it has no item change.
pub fn read(record: &types::Record, stream: &str) -> Option<Record> {
    let change = record.dynamodb()?;
    let sequence_number = change.sequence_number()?.to_owned();
    let written_at = change.approximate_creation_date_time().map_or(0, aws_sdk_dynamodb::primitives::DateTime::secs);
    let mut dynamodb = Map::new();
    for (name, image) in [("Keys", change.keys()), ("NewImage", change.new_image()), ("OldImage", change.old_image())] {
        if let Some(image) = image {
            dynamodb.insert(name.to_owned(), item(image));
        }
    }
    dynamodb.insert("ApproximateCreationDateTime".to_owned(), json!(written_at));
    dynamodb.insert("SequenceNumber".to_owned(), json!(sequence_number));
    dynamodb.insert("SizeBytes".to_owned(), json!(change.size_bytes().unwrap_or_default()));
    dynamodb.insert("StreamViewType".to_owned(), json!(change.stream_view_type().map(types::StreamViewType::as_str)));
    let mut event = json!({
        "eventID": record.event_id(),
        "eventName": record.event_name().map(types::OperationType::as_str),
        "eventVersion": record.event_version().unwrap_or("1.1"),
        "eventSource": "aws:dynamodb",
        "awsRegion": REGION,
        "dynamodb": dynamodb,
        "eventSourceARN": arn(stream),
    });
    if let Some(identity) = record.user_identity() {
        event["userIdentity"] = json!({ "type": identity.r#type(), "principalId": identity.principal_id() });
    }
    Some(Record { event, sequence_number, written_at })
}

/// A stream's ARN with the region of the local stack.
pub fn arn(stream: &str) -> String {
    stream.replacen(EMULATED_REGION, &format!(":{REGION}:"), 1)
}

fn item(item: &HashMap<String, AttributeValue>) -> Value {
    Value::Object(item.iter().map(|(name, value)| (name.clone(), attribute(value))).collect())
}

fn attribute(value: &AttributeValue) -> Value {
    let binary = |blob: &Blob| BASE64_STANDARD.encode(blob.as_ref());
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::B(blob) => json!({ "B": binary(blob) }),
        AttributeValue::Bool(bool) => json!({ "BOOL": bool }),
        AttributeValue::Null(is_null) => json!({ "NULL": is_null }),
        AttributeValue::Ss(texts) => json!({ "SS": texts }),
        AttributeValue::Ns(numbers) => json!({ "NS": numbers }),
        AttributeValue::Bs(blobs) => json!({ "BS": blobs.iter().map(binary).collect::<Vec<_>>() }),
        AttributeValue::L(values) => json!({ "L": values.iter().map(attribute).collect::<Vec<_>>() }),
        AttributeValue::M(values) => json!({ "M": item(values) }),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_types_convert() {
        let list = AttributeValue::L(vec![
            AttributeValue::S("\"0\"".into()),
            AttributeValue::N("1.5".into()),
            AttributeValue::B(Blob::new([0, 255])),
            AttributeValue::Bool(true),
            AttributeValue::Null(true),
            AttributeValue::Ns(vec!["1".into()]),
            AttributeValue::M([("k".to_owned(), AttributeValue::Ss(vec!["v".into()]))].into()),
        ]);
        let expected = json!({ "L": [{ "S": "\"0\"" }, { "N": "1.5" }, { "B": "AP8=" }, { "BOOL": true }, { "NULL": true }, { "NS": ["1"] }, { "M": { "k": { "SS": ["v"] } } }] });
        assert_eq!(attribute(&list), expected);
    }
}
