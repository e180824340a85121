//! The backfill of accepted prompts: a subject that stands on a generation has that generation's prompt.

use crate::acceptance::{Acceptance, AcceptedFor, Prompt};
use crate::ids::GenerationId;

/// What is known of an accepted generation beside its prompt.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The generation.
    pub generation: &'a GenerationId,
    /// What its record says of its acceptance.
    pub of: &'a AcceptedFor,
    /// Its provider.
    pub provider: &'a str,
    /// Its model.
    pub model: &'a str,
    /// The version that it has become.
    pub version: Option<u64>,
}

/// What the subject's acceptance is to become; `None`: it is as it should be. `held` is what the subject has, `prompt` that of the
/// generation's request, where that still exists.
///
/// # Errors
/// Why it cannot be told.
pub fn change(held: Option<&Acceptance>, known: Known<'_>, prompt: Option<&Prompt>) -> Result<Option<Acceptance>, String> {
    if let Some(other) = held.filter(|held| held.generation != *known.generation) {
        return Err(format!("its subject stands on {}", other.generation));
    }
    if held.is_some_and(|held| !held.prompt_sha256.is_empty()) {
        return Ok(None);
    }
    let Some(prompt) = prompt else { return Err("its request is gone, and with it the prompt".into()) };
    let new = || Acceptance {
        generation: known.generation.clone(),
        version: known.version,
        prompt: None,
        prompt_bytes: 0,
        prompt_sha256: String::new(),
        redacted: false,
        provider: known.provider.to_owned(),
        model: known.model.to_owned(),
        accepted_by: known.of.accepted_by.clone(),
        accepted_at: known.of.accepted_at.clone(),
        instruction_source: None,
        note: None,
        revision: 1,
    };
    let held = held.cloned().unwrap_or_else(new);
    Ok(Some(Acceptance {
        prompt: prompt.is_inline().then(|| prompt.text.clone()),
        prompt_bytes: prompt.text.len() as u64,
        prompt_sha256: prompt.sha256.clone(),
        instruction_source: held.instruction_source.clone().or_else(|| prompt.instruction_source.clone()),
        ..held
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_second_change_changes_nothing_and_nothing_but_the_prompt_changes(
            text in ".{0,20}",
            is_long in any::<bool>(),
            has_acceptance in any::<bool>(),
            has_request in any::<bool>(),
            source in prop::option::of("[a-z]{1,3}"),
        ) {
            let text = if is_long { text.repeat(3) + &"x".repeat(40_000) } else { text };
            let (generation, other) = (GenerationId::first_at(1), GenerationId::first_at(2));
            let of = AcceptedFor { accepted_subject: "s".parse().unwrap(), accepted_at: "t".into(), accepted_by: Some("key".into()) };
            let known = Known { generation: &generation, of: &of, provider: "p", model: "m", version: Some(3) };
            let prompt = has_request.then(|| Prompt::new(text.clone(), source.clone()));
            let first = change(None, known, Some(&Prompt::new("old".into(), None))).unwrap().unwrap();
            let held = Acceptance { prompt: None, prompt_bytes: 0, prompt_sha256: String::new(), note: Some("n".into()), revision: 4, ..first };
            let held = has_acceptance.then_some(held);
            let changed = change(held.as_ref(), known, prompt.as_ref());
            prop_assert_eq!(changed.is_err(), !has_request);
            let Ok(Some(changed)) = changed else { return Ok(()) };
            prop_assert_eq!(changed.prompt.as_ref(), Some(&text).filter(|_| !is_long));
            prop_assert_eq!(changed.prompt_bytes, text.len() as u64);
            prop_assert_eq!(&changed.instruction_source, &source);
            if let Some(held) = held {
                prop_assert_eq!((changed.revision, &changed.note, changed.version), (4, &held.note, held.version));
            }
            prop_assert_eq!(change(Some(&changed), known, prompt.as_ref()), Ok(None));
            prop_assert_eq!(change(Some(&changed), known, None), Ok(None));
            let known = Known { generation: &other, ..known };
            prop_assert!(change(Some(&changed), known, prompt.as_ref()).unwrap_err().contains(generation.as_str()));
        }
    }
}
