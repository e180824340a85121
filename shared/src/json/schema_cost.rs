//! What checking one value against a schema costs at the most: the schemas that apply to that same value.
//!
//! `allOf`, `anyOf`, `oneOf`, `not`, `if`, `then`, `else` and `$ref` apply where they stand; a chain of definitions that names
//! the next one twice doubles with each link. What lies under `properties` or `items` applies to a smaller value.

use std::collections::HashMap;

use serde_json::Value;

const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];

/// Whether any place of the document may apply more than `most` schemas to one value.
pub fn exceeds(document: &Value, most: usize) -> bool {
    let mut costs = Costs { document, most, known: HashMap::new() };
    costs.any_exceeds(document)
}

struct Costs<'a> {
    document: &'a Value,
    most: usize,
    known: HashMap<&'a str, usize>,
}

impl<'a> Costs<'a> {
    fn any_exceeds(&mut self, place: &'a Value) -> bool {
        if self.cost(place) > self.most {
            return true;
        }
        match place {
            Value::Object(fields) => fields.values().any(|value| self.any_exceeds(value)),
            Value::Array(items) => items.iter().any(|value| self.any_exceeds(value)),
            _ => false,
        }
    }

    fn cost(&mut self, schema: &'a Value) -> usize {
        let Some(fields) = schema.as_object() else { return 1 };
        let mut cost = 1_usize;
        for list in IN_PLACE_LISTS {
            for part in fields.get(list).and_then(Value::as_array).into_iter().flatten() {
                cost = cost.saturating_add(self.cost(part));
            }
        }
        for part in IN_PLACE.into_iter().filter_map(|name| fields.get(name)) {
            cost = cost.saturating_add(self.cost(part));
        }
        if let Some(target) = fields.get("$ref").and_then(Value::as_str) {
            cost = cost.saturating_add(self.reference(target));
        }
        cost
    }

    /// A reference is followed once; one that leads back to itself in place counts as one more.
    fn reference(&mut self, target: &'a str) -> usize {
        if let Some(cost) = self.known.get(target) {
            return *cost;
        }
        self.known.insert(target, 1);
        let found = target.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer));
        let cost = found.map_or(1, |schema| self.cost(schema));
        self.known.insert(target, cost);
        cost
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    #[test]
    fn a_chain_that_doubles_is_found_and_ordinary_schemas_are_not() {
        let mut definitions = Map::new();
        for link in 0..22 {
            let next = json!({ "$ref": format!("#/definitions/a{}", link + 1) });
            definitions.insert(format!("a{link}"), json!({ "anyOf": [next.clone(), next] }));
        }
        definitions.insert("a22".into(), json!(false));
        assert!(exceeds(&json!({ "$ref": "#/definitions/a0", "definitions": definitions }), 10_000));
        let tree = json!({ "type": "object", "properties": { "left": { "$ref": "#" }, "right": { "$ref": "#" } } });
        assert!(!exceeds(&tree, 10_000), "a tree refers to itself for smaller values");
        assert!(!exceeds(&json!({ "anyOf": [{ "$ref": "#" }, { "type": "null" }] }), 10_000));
    }
}
