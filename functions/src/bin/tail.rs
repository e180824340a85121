//! The function `tail` on AWS Lambda.

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    longhand_functions::host("tail").await
}
