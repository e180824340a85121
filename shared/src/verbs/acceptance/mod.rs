//! Acceptance: accepted, shown, and with the prompt for who may see it.

mod accept;
mod prompt;

pub use accept::AcceptanceView;
pub use prompt::AcceptedPrompt;
