//! Who waits for which writes. Reading a stream after each write would cost as much as the writes, so a trigger is told only of those that its
//! filters may match.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::template::Pattern;

/// What triggers wait for.
#[derive(Default)]
pub struct Interests(RwLock<Vec<Interest>>);

struct Interest {
    table: String,
    /// None: every write.
    filters: Vec<Pattern>,
    written: watch::Sender<u64>,
}

/// Of a request, what is needed to tell whom it concerns. The attributes are parsed only where a filter looks at them: text of a log
/// comes in tens of thousands of writes.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    /// Absent where a request writes to several tables.
    table_name: Option<&'a str>,
    /// The whole item, where the request has it.
    #[serde(borrow)]
    item: Option<HashMap<&'a str, &'a RawValue>>,
}

impl Interests {
    /// Changes after each write to `table` whose record may match one of the filters.
    pub fn add(&self, table: &str, filters: &[Pattern]) -> watch::Receiver<u64> {
        let (written, receiver) = watch::channel(0);
        let interest = Interest { table: table.to_owned(), filters: filters.to_vec(), written };
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(interest);
        receiver
    }

    /// Tells those whom a request concerns that was answered. What cannot be told concerns everybody.
    pub fn note(&self, body: &[u8]) {
        let interests = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if interests.is_empty() {
            return;
        }
        let request = serde_json::from_slice(body).unwrap_or_default();
        for interest in interests.iter().filter(|interest| interest.is_concerned(&request)) {
            interest.written.send_modify(|count| *count += 1);
        }
    }
}

impl Interest {
    fn is_concerned(&self, request: &Written<'_>) -> bool {
        request.table_name.is_none_or(|table| table == self.table)
            && request.item.as_ref().is_none_or(|item| self.may_match(item))
    }

    fn may_match(&self, item: &HashMap<&str, &RawValue>) -> bool {
        let may_match = |filter: &Pattern| {
            let parsed = |name: &str| Some((name.to_owned(), serde_json::from_str::<Value>(item.get(name)?.get()).ok()?));
            filter.may_match(&filter.attributes().filter_map(parsed).collect::<serde_json::Map<_, _>>().into())
        };
        self.filters.is_empty() || self.filters.iter().any(may_match)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn those_are_told_whom_a_write_may_concern() {
        let interests = Interests::default();
        let ends = Pattern::read(r#"{"eventName":["INSERT"],"dynamodb":{"NewImage":{"end":{"S":[{"exists":true}]}}}}"#).unwrap();
        let records =
            Pattern::read(r#"{"dynamodb":{"Keys":{"sk":{"S":["record"]}},"OldImage":{"open":{"S":[{"exists":true}]}}}}"#);
        let waiting = [
            interests.add("log", std::slice::from_ref(&ends)),
            interests.add("log", &[]),
            interests.add("records", &[ends, records.unwrap()]),
        ];
        let told = |request: &Value| {
            let before: Vec<u64> = waiting.iter().map(|one| *one.borrow()).collect();
            interests.note(request.to_string().as_bytes());
            let told = waiting.iter().zip(before).map(|(one, before)| if *one.borrow() > before { 'x' } else { '.' });
            told.collect::<String>()
        };
        let put = |table: &str, item: Value| json!({ "TableName": table, "Item": item });
        assert_eq!(told(&put("log", json!({ "pk": { "S": "p" }, "sk": { "S": "c1" } }))), ".x.");
        assert_eq!(told(&put("log", json!({ "pk": { "S": "p" }, "end": { "S": "completed" } }))), "xx.");
        assert_eq!(told(&put("records", json!({ "sk": { "S": "request" } }))), "...");
        assert_eq!(told(&put("records", json!({ "sk": { "S": "record" } }))), "..x", "what the old image was is not known");
        assert_eq!(told(&json!({ "TableName": "log", "Key": {}, "UpdateExpression": "SET a = :a" })), "xx.");
        assert_eq!(told(&json!({ "TransactItems": [] })), "xxx");
    }
}
