//! Why a generation ended as `incomplete` or `failed`: the words in [`super::event::End::reason`] that Longhand chooses. A
//! provider's faults have words of their own ([`crate::providers::Fault::code`]). `docs/errors.md` explains all of them.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        $($(#[$doc])* pub const $name: &str = $word;)*
        /// All of them.
        pub const REASONS: &[&str] = &[$($name),*];
    };
}

reasons! {
    /// Incomplete: the provider stopped at the request's limit on output tokens.
    MAX_OUTPUT_TOKENS = "max_output_tokens";
    /// Incomplete: the provider's filter stopped the output.
    CONTENT_FILTER = "content_filter";
    /// Incomplete: the provider finished for a reason that neither its dialect nor its settings know.
    UNKNOWN_FINISH_REASON = "unknown_finish_reason";
    /// As many attempts as the request allows were begun, and none finished.
    ATTEMPTS_EXHAUSTED = "attempts_exhausted";
    /// The output broke its schema, and the request says to stop then.
    SCHEMA_VIOLATION = "schema_violation";
    /// This deployment has no such provider, or cannot read its key.
    PROVIDER_NOT_CONFIGURED = "provider_not_configured";
    /// The log contradicts itself.
    LOG_DAMAGED = "log_damaged";
    /// The generation's whole time is over.
    TIMEOUT = "timeout";
    /// The function's time is over, and the next function would begin again.
    DEADLINE = "deadline";
    /// The output is larger than the request, the deployment or the organization's day allows.
    OUTPUT_LIMIT = "output_limit";
    /// The generation cost what was left of its organization's day.
    SPEND_LIMIT = "spend_limit";
    /// The result did not pass a strict validation.
    VALIDATION_ERROR = "validation_error";
    /// Imported: it was still being written where it comes from, and nobody wrote it any more.
    IMPORTED_STUCK = "imported_stuck";
    /// Imported: it had failed where it comes from.
    IMPORTED_FAILED = "imported_failed";
    /// Imported: it was complete where it comes from, and had no text.
    IMPORTED_EMPTY = "imported_empty";
    /// Imported: it was complete where it comes from, and its text could not be read.
    IMPORTED_UNREADABLE = "imported_unreadable";
}
