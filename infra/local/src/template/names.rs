//! The region and account of the local stack, and the ARNs of its functions.

/// The region in every ARN of the local stack.
pub const REGION: &str = "us-east-1";
/// The account in every ARN of the local stack.
pub const ACCOUNT: &str = "000000000000";
/// The value of `AWS::StackName`.
pub const STACK_NAME: &str = "longhand";

/// The ARN of the function called `name`.
pub fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}
