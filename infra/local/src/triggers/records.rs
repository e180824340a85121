//! Converts stream records to the form that Lambda passes to a function.

use anyhow::{Context, Result};
use dynoxide::actions::get_records;
use serde_json::json;

use super::Record;
use crate::template::REGION;

/// The region in the embedded DynamoDB's ARNs.
const EMULATED_REGION: &str = ":dynoxide:";

/// Converts a record of the stream.
///
/// # Errors
/// The record has no form in JSON.
pub fn read(record: &get_records::Record, stream: &str) -> Result<Record> {
    let change = &record.dynamodb;
    #[expect(clippy::cast_possible_truncation, reason = "epoch seconds; Lambda passes them without a fraction")]
    let written_at = change.approximate_creation_date_time as i64;
    let mut event = serde_json::to_value(record).context("a stream record cannot be read")?;
    event["awsRegion"] = json!(REGION);
    event["eventSourceARN"] = json!(arn(stream));
    event["dynamodb"]["ApproximateCreationDateTime"] = json!(written_at);
    Ok(Record { event, sequence_number: change.sequence_number.clone(), written_at })
}

/// A stream's ARN with the region of the local stack.
pub fn arn(stream: &str) -> String {
    stream.replacen(EMULATED_REGION, &format!(":{REGION}:"), 1)
}

#[cfg(test)]
mod tests {
    use get_records::StreamRecord;

    use super::*;

    #[test]
    fn attribute_types_have_the_form_of_lambda() {
        let image = json!({ "all": { "L": [{ "S": "\"0\"" }, { "N": "1.5" }, { "B": "AP8=" }, { "BOOL": true }, { "NULL": true }, { "NS": ["1"] }, { "M": { "k": { "SS": ["v"] } } }, { "BS": ["AA=="] }] } });
        let record = get_records::Record {
            event_name: "INSERT".to_owned(),
            dynamodb: StreamRecord {
                new_image: serde_json::from_value(image.clone()).unwrap(),
                sequence_number: "7".to_owned(),
                approximate_creation_date_time: 1_700_000_000.75,
                ..Default::default()
            },
            ..Default::default()
        };
        let Record { event, sequence_number, written_at } =
            read(&record, "arn:aws:dynamodb:dynoxide:0:table/Log/stream/1").unwrap();
        assert_eq!(event["dynamodb"]["NewImage"], image);
        assert_eq!(event["dynamodb"].get("OldImage"), None);
        assert_eq!((event["eventName"].as_str(), sequence_number.as_str(), written_at), (Some("INSERT"), "7", 1_700_000_000));
        assert_eq!(event["dynamodb"]["ApproximateCreationDateTime"], json!(1_700_000_000));
        assert_eq!(event["eventSourceARN"], format!("arn:aws:dynamodb:{REGION}:0:table/Log/stream/1"));
    }
}
