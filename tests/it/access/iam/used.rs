//! Which permissions a call needs, by the documentation of AWS.

use longhand_tests::calls::Recorded;

use super::Use;

/// The permissions that a call needs: the action, and the resource that it is on.
///
/// `DynamoDB`: each operation has the action of its name, a batch too; a transaction needs those of its items
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>).
///
/// S3: `HeadObject` needs `s3:GetObject`, every step of a multipart upload but its abort `s3:PutObject`, and that there is no
/// such object is told to those alone who have `s3:ListBucket`; others get 403
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>). A presigned URL has the
/// permissions of whoever signed it: `s3:GetObject`, without a call.
pub fn needed(recorded: &Recorded) -> Vec<Use> {
    let Recorded { function, service, operation, resource, .. } = recorded;
    let one = |action: &str, resource: &str| Use {
        function: function.clone(),
        action: format!("{service}:{action}"),
        resource: resource.to_owned(),
    };
    let bucket = || resource.split('/').next().unwrap_or_default();
    match (service.as_str(), operation.as_str()) {
        (
            "dynamodb",
            "BatchGetItem" | "BatchWriteItem" | "GetItem" | "PutItem" | "UpdateItem" | "DeleteItem" | "ConditionCheckItem"
            | "Query",
        )
        | ("s3", "AbortMultipartUpload" | "DeleteObject")
        | ("lambda", "InvokeFunction")
        | ("secretsmanager", "GetSecretValue") => vec![one(operation, resource)],
        // The source is a request of another batch, or the result of a generation.
        ("s3", "CopyObject") => {
            let source = if resource.ends_with("request.json") { "request.json" } else { "output.txt" };
            vec![one("PutObject", resource), one("GetObject", &format!("{}/*/{source}", bucket()))]
        }
        ("s3", "CopyObject:404") => vec![one("PutObject", resource), one("ListBucket", bucket())],
        ("s3", "GetObject" | "HeadObject") => vec![one("GetObject", resource)],
        ("s3", "GetObject:404" | "HeadObject:404") => vec![one("GetObject", resource), one("ListBucket", bucket())],
        ("s3", "PutObject" | "CreateMultipartUpload" | "UploadPart" | "CompleteMultipartUpload") => {
            vec![one("PutObject", resource)]
        }
        // An upload that is over.
        ("s3", "AbortMultipartUpload:404") => vec![one("AbortMultipartUpload", resource)],
        ("s3", "UploadPart:404" | "CompleteMultipartUpload:404") => vec![one("PutObject", resource)],
        ("s3", "ListObjectsV2") => vec![one("ListBucket", bucket())],
        _ => panic!("which permission does it need? {recorded}"),
    }
}
