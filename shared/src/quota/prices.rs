//! Prices of models, and what a generation costs by them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::generation::usage::{Usage, estimate_tokens};

/// The model name that metrics carry for a model without a configured price: callers name models freely, and each distinct name
/// would create a metric.
const OTHER_MODEL: &str = "other";

/// Prices are per this many tokens.
const TOKENS_PER_PRICE: u128 = 1_000_000;
/// A model's price, in micro-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// The price of the prompt.
    pub input: u64,
    /// The price of the output, reasoning included.
    pub output: u64,
}

impl Price {
    /// The cost of a generation in micro-dollars, rounded up: by the provider's token counts or, without them, by bytes. Text of
    /// all attempts counts; the prompt counts once something was received.
    #[must_use]
    pub fn of(self, usage: Option<&Usage>, prompt_bytes: u64, received_bytes: u64) -> u64 {
        if usage.is_none() && received_bytes == 0 {
            return 0;
        }
        let input = usage.map_or_else(|| estimate_tokens(prompt_bytes), |usage| usage.input_tokens);
        let output = estimate_tokens(received_bytes).max(usage.map_or(0, |usage| usage.output_tokens));
        let cost = u128::from(input) * u128::from(self.input) + u128::from(output) * u128::from(self.output);
        u64::try_from(cost.div_ceil(TOKENS_PER_PRICE)).unwrap_or(u64::MAX)
    }
}

/// Prices by provider and model. The model `*` stands for every other model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Prices(BTreeMap<String, BTreeMap<String, Price>>);

impl Prices {
    /// Reads `{"PROVIDER":{"MODEL":{"input":1250000,"output":10000000}}}`.
    ///
    /// # Errors
    /// One sentence with the expected form.
    pub fn parse(text: Option<&str>) -> Result<Self, String> {
        let Some(text) = text else { return Ok(Self::default()) };
        let form = r#"{"PROVIDER":{"MODEL":{"input":1250000,"output":10000000}}}, in micro-dollars per million tokens"#;
        serde_json::from_str(text).map_err(|error| format!("LONGHAND_PRICES must be like {form}: {error}"))
    }

    /// `model` if it has a price of its own, otherwise `other`. Bounds the number of distinct names.
    #[must_use]
    pub fn known_model<'a>(&self, provider: &str, model: &'a str) -> &'a str {
        let has_price = self.0.get(provider).is_some_and(|models| models.contains_key(model));
        if has_price { model } else { OTHER_MODEL }
    }

    /// Provider and model of every price but those of other models.
    pub fn models(&self) -> impl Iterator<Item = (&str, &str)> {
        let models = self.0.iter().flat_map(|(provider, models)| models.keys().map(move |model| (&**provider, &**model)));
        models.filter(|(_, model)| *model != "*")
    }

    /// Whether no model has a price.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.values().all(BTreeMap::is_empty)
    }

    /// The model's price, if one is configured.
    #[must_use]
    pub fn find(&self, provider: &str, model: &str) -> Option<Price> {
        let models = self.0.get(provider)?;
        models.get(model).or_else(|| models.get("*")).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_follows_the_providers_count_and_is_never_less_than_the_bytes_received() {
        let price = Price { input: 1_250_000, output: 10_000_000 };
        let usage = Usage { input_tokens: 1_000, output_tokens: 500, total_tokens: 1_500, ..Usage::default() };
        assert_eq!(price.of(Some(&usage), 9, 400), 1_250 + 5_000);
        assert_eq!(price.of(Some(&usage), 9, 4_000), 1_250 + 10_000, "two attempts came, and the second was counted");
        assert_eq!(price.of(None, 4_000, 4_000), 1_250 + 10_000, "by bytes");
        assert_eq!(price.of(None, 4_000, 0), 0);
        assert_eq!(price.of(None, 1, 1), 12, "rounded up");
        assert_eq!(Price { input: u64::MAX, output: u64::MAX }.of(None, u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn prices_are_found_by_model_or_wildcard() {
        let prices = Prices::parse(Some(r#"{"p":{"m":{"input":1,"output":2},"*":{"input":3,"output":4}}}"#)).unwrap();
        assert_eq!(prices.find("p", "m"), Some(Price { input: 1, output: 2 }));
        assert_eq!(prices.find("p", "n"), Some(Price { input: 3, output: 4 }));
        assert_eq!(prices.find("q", "m"), None);
        assert_eq!([("p", "m"), ("p", "n"), ("q", "m")].map(|(p, m)| prices.known_model(p, m)), ["m", OTHER_MODEL, OTHER_MODEL]);
        let error = Prices::parse(Some(r#"{"p":{"m":{"in":1}}}"#)).unwrap_err();
        assert!(error.starts_with("LONGHAND_PRICES must be like") && error.contains("unknown field `in`"), "{error}");
    }
}
