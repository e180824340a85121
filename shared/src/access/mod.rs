//! Credentials: API keys, the scopes they grant, and tokens that read.

pub mod api_key;
pub mod grant;
pub mod read_token;
pub mod scope;
