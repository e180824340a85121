//! Every row reads back as it was written.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::*;
use crate::ids::GenerationKey;

fn key() -> GenerationKey {
    GenerationKey::new("acme".parse().unwrap(), GenerationId::new(1_700_000_000_000))
}

#[test]
fn a_record_reads_back_with_its_outcome_and_without() {
    let outcome = Outcome {
        completed_at: "2026-11-21T09:30:00.123Z".into(),
        reason: None,
        error: Some(Failure { code: "interrupted".into(), message: "m".into() }),
        compacted: Some("s3://b/k".into()),
        compacted_at: "2026-11-21T09:30:01.000Z".into(),
        compacted_by: "compact".into(),
        chunk_count: 3,
        received_chunks: 756,
        received_bytes: 9_013,
        last_seq: 40,
        sha256: Some("ab".into()),
        bytes: 9_013,
        has_other_output: true,
        usage: Some(Usage { input_tokens: 1, output_tokens: 2, total_tokens: 3, ..Usage::default() }),
        metadata: "{}".into(),
        llm_response: Some("{\"a\":0.78}".into()),
        last_validation_issue_id: None,
    };
    for outcome in [None, Some(outcome)] {
        let record = RecordRow {
            pk: key().partition(),
            sk: RECORD.into(),
            organization: key().organization,
            generation: key().generation,
            open: Some("3".into()),
            open_at: Some("acme#2026-11-21T09:30:00.123Z".into()),
            created_at: "2026-11-21T09:29:00.000Z".into(),
            status: Status::Pending,
            provider: "abacus".into(),
            model: "gpt-5".into(),
            idempotency: None,
            request_id: None,
            allowance: None,
            outcome,
        };
        let item: HashMap<String, AttributeValue> = serde_dynamo::to_item(&record).unwrap();
        let back: RecordRow = serde_dynamo::from_item(item).unwrap();
        assert_eq!(back, record);
    }
}
