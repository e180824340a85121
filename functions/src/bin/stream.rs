//! The function `stream` on AWS Lambda.

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    longhand_functions::host("stream").await
}
