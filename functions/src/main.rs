//! Every function of the product on AWS Lambda: one binary, which is the function that the template's `Handler` says.

#[tokio::main]
async fn main() -> Result<(), lambda_runtime::Error> {
    longhand_functions::host().await
}
