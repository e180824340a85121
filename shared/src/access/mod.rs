//! Credentials: API keys, the scopes they grant, and tokens that read one generation.

pub mod api_key;
pub mod read_token;
pub mod scope;
