//! Credentials: API keys, and tokens that read one generation.

pub mod api_key;
pub mod read_token;
