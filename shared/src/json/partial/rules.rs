//! What of a JSON Schema can be decided while a value is being written: a table of rules, one per subschema.
//!
//! Every keyword of a schema only narrows, so a keyword that is left out here is left to the check at the end, and never makes
//! a valid value wrong. Left out are those that need the whole value (`not`, `if`, `contains`, `uniqueItems`, `enum` of arrays
//! and objects …) and those whose meaning differs between drafts (`items` as a list). `$ref` is followed inside the schema;
//! what stands beside it is left out, as the older drafts do.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use super::scanner::Kind;
use crate::json::schema::{self, Schema};

/// Subschemas that are looked at; more are left to the check at the end.
const RULES_MAX: usize = 4_096;
/// How many references and choices are followed for one value.
const STEPS_MAX: u32 = 256;
/// Keywords that say something about a single string, number, boolean or null.
const SCALAR_KEYWORDS: [&str; 12] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
];
const KINDS: [(&str, Kind); 7] = [
    ("null", Kind::Null),
    ("boolean", Kind::Boolean),
    ("number", Kind::Number),
    ("integer", Kind::Number),
    ("string", Kind::String),
    ("array", Kind::Array),
    ("object", Kind::Object),
];

/// A rule's place in the table.
pub type RuleId = usize;

/// The rule for an object's properties that it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Additional {
    Any,
    Refused,
    After(RuleId),
}

/// What one subschema says.
#[derive(Debug)]
pub struct Rule {
    /// `None`: of any type. The words, for the message.
    types: Option<Vec<String>>,
    is_never: bool,
    /// The scalar keywords, as a schema of their own, compiled when first needed.
    scalar: Option<(Value, OnceLock<Option<Schema>>)>,
    pub length_max: Option<u64>,
    pub items_min: Option<u64>,
    pub items_max: Option<u64>,
    pub items: Option<RuleId>,
    properties: HashMap<String, RuleId>,
    additional: Additional,
    pub required: Vec<String>,
    /// These hold too.
    all: Vec<RuleId>,
    /// Of each of these lists, with the keyword it comes from, at least one holds.
    any: Vec<(&'static str, Vec<RuleId>)>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            types: None,
            is_never: false,
            scalar: None,
            length_max: None,
            items_min: None,
            items_max: None,
            items: None,
            properties: HashMap::new(),
            additional: Additional::Any,
            required: Vec::new(),
            all: Vec::new(),
            any: Vec::new(),
        }
    }
}

/// The table. The first rule is the schema's own.
#[derive(Debug)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Reads a schema that compiles.
    pub fn new(schema: &Value) -> Self {
        let mut reader = Reader { root: schema, rules: Vec::new(), referred: HashMap::new() };
        reader.add(schema, true);
        Self(reader.rules)
    }

    pub fn get(&self, id: RuleId) -> &Rule {
        &self.0[id]
    }

    /// Adds to `held` every rule that a value of this kind must keep if it must keep `id`.
    ///
    /// # Errors
    /// What was expected, where no such value can keep it.
    pub fn begin(&self, id: RuleId, kind: Kind, held: &mut Vec<RuleId>) -> Result<(), String> {
        let mut steps = STEPS_MAX;
        self.begin_within(id, kind, held, &mut steps)
    }

    fn begin_within(&self, id: RuleId, kind: Kind, held: &mut Vec<RuleId>, steps: &mut u32) -> Result<(), String> {
        if !step(steps) || held.contains(&id) {
            return Ok(());
        }
        let rule = self.get(id);
        if rule.is_never {
            return Err("must not be there".into());
        }
        if !rule.takes(kind) {
            let types: Vec<&str> = rule.types.iter().flatten().map(String::as_str).collect();
            return Err(schema::must_be(&types));
        }
        held.push(id);
        for other in &rule.all {
            self.begin_within(*other, kind, held, steps)?;
        }
        for (keyword, choices) in &rule.any {
            let mut possible = choices.iter().filter(|choice| self.can_take(**choice, kind, steps));
            match (possible.next().copied(), possible.next().copied()) {
                (None, _) => return Err(format!("must match one of the schemas in `{keyword}`")),
                (Some(only), None) => self.begin_within(only, kind, held, steps)?,
                (Some(_), Some(_)) => {}
            }
        }
        Ok(())
    }

    /// Whether some value of this kind may keep the rule, as far as types tell.
    fn can_take(&self, id: RuleId, kind: Kind, steps: &mut u32) -> bool {
        if !step(steps) {
            return true;
        }
        let rule = self.get(id);
        !rule.is_never
            && rule.takes(kind)
            && rule.all.iter().all(|other| self.can_take(*other, kind, steps))
            && rule.any.iter().all(|(_, choices)| choices.iter().any(|choice| self.can_take(*choice, kind, steps)))
    }
}

fn step(steps: &mut u32) -> bool {
    let left = steps.checked_sub(1);
    *steps = left.unwrap_or(0);
    left.is_some()
}

impl Rule {
    fn takes(&self, kind: Kind) -> bool {
        let named = |types: &Vec<String>| types.iter().any(|word| KINDS.contains(&(word.as_str(), kind)));
        self.types.as_ref().is_none_or(named)
    }

    /// The rule for the property of this name.
    pub fn property(&self, name: &str) -> Option<RuleId> {
        match (self.properties.get(name), self.additional) {
            (Some(id), _) => Some(*id),
            (None, Additional::After(id)) => Some(id),
            (None, Additional::Any | Additional::Refused) => None,
        }
    }

    /// Whether an object may not have a property of this name.
    pub fn refuses(&self, name: &str) -> bool {
        self.additional == Additional::Refused && !self.properties.contains_key(name)
    }

    /// Whether there is anything that only a complete string, number, boolean or null tells.
    pub const fn judges_scalars(&self) -> bool {
        self.scalar.is_some()
    }

    /// What is wrong with a complete string, number, boolean or null.
    pub fn scalar_problem(&self, value: &Value) -> Option<String> {
        let (keywords, compiled) = self.scalar.as_ref()?;
        let schema = compiled.get_or_init(|| Schema::compile(keywords).ok()).as_ref()?;
        schema.errors(value).into_iter().next().map(|error| error.detail)
    }
}

struct Reader<'a> {
    root: &'a Value,
    rules: Vec<Rule>,
    /// Rules of the places that were referred to.
    referred: HashMap<String, RuleId>,
}

impl Reader<'_> {
    /// Adds the rule of a subschema; `None`: the table is full.
    fn add(&mut self, schema: &Value, is_root: bool) -> Option<RuleId> {
        let id = self.rules.len();
        if id >= RULES_MAX {
            return None;
        }
        self.rules.push(Rule { is_never: *schema == Value::Bool(false), ..Rule::default() });
        if is_root {
            self.referred.insert(String::new(), id);
        }
        // A subschema with an identity of its own moves the base of its references, or even the draft.
        let moves = ["$id", "id", "$schema"].iter().any(|name| schema.get(name).is_some());
        if let Some(schema) = schema.as_object().filter(|_| is_root || !moves) {
            self.rules[id] = self.read(schema);
        }
        Some(id)
    }

    fn read(&mut self, schema: &Map<String, Value>) -> Rule {
        if let Some(place) = schema.get("$ref").and_then(Value::as_str) {
            return Rule { all: self.refer(place).into_iter().collect(), ..Rule::default() };
        }
        let mut rule = Rule { types: types(schema.get("type")), ..Rule::default() };
        let count = |name: &str| schema.get(name).and_then(Value::as_u64);
        (rule.length_max, rule.items_min, rule.items_max) = (count("maxLength"), count("minItems"), count("maxItems"));
        rule.scalar = self.scalar(schema).map(|keywords| (keywords, OnceLock::new()));
        if let Some(items) = schema.get("items").filter(|_| !schema.contains_key("prefixItems"))
            && !items.is_array()
        {
            rule.items = self.add(items, false);
        }
        self.read_object(schema, &mut rule);
        rule.all = self.add_all(schema.get("allOf"));
        for keyword in ["anyOf", "oneOf"] {
            let choices = self.add_all(schema.get(keyword));
            let is_whole = schema.get(keyword).and_then(Value::as_array).is_some_and(|all| all.len() == choices.len());
            if is_whole {
                rule.any.push((keyword, choices));
            }
        }
        rule
    }

    fn read_object(&mut self, schema: &Map<String, Value>, rule: &mut Rule) {
        let names = schema.get("required").and_then(Value::as_array);
        rule.required = names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut is_whole = !schema.contains_key("patternProperties");
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            match self.add(property, false) {
                Some(id) => drop(rule.properties.insert(name.clone(), id)),
                None => is_whole = false,
            }
        }
        rule.additional = match schema.get("additionalProperties").filter(|_| is_whole) {
            Some(Value::Bool(false)) => Additional::Refused,
            Some(other) => self.add(other, false).map_or(Additional::Any, Additional::After),
            None => Additional::Any,
        };
    }

    fn add_all(&mut self, list: Option<&Value>) -> Vec<RuleId> {
        let list = list.and_then(Value::as_array).into_iter().flatten();
        list.filter_map(|schema| self.add(schema, false)).collect()
    }

    /// The rule at a place inside the schema: `#/$defs/name`.
    fn refer(&mut self, place: &str) -> Option<RuleId> {
        let pointer = place.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'))?;
        if let Some(id) = self.referred.get(pointer) {
            return Some(*id);
        }
        let schema = self.root.pointer(pointer).filter(|_| !pointer.contains('%'))?;
        // Noted before it is read: it may refer to itself.
        self.referred.insert(pointer.to_owned(), self.rules.len());
        let added = self.add(schema, false);
        if added.is_none() {
            self.referred.remove(pointer);
        }
        added
    }

    /// The scalar keywords, if they say more than the first byte of a value tells.
    fn scalar(&self, schema: &Map<String, Value>) -> Option<Value> {
        let said = schema.iter().filter(|(name, _)| SCALAR_KEYWORDS.contains(&name.as_str()));
        let mut said: Map<String, Value> = said.map(|(name, value)| (name.clone(), value.clone())).collect();
        let has_integers = types(said.get("type")).is_some_and(|types| types.iter().any(|word| word == "integer"));
        if said.keys().all(|name| name == "type") && !has_integers {
            return None;
        }
        if let Some(draft) = self.root.get("$schema") {
            said.insert("$schema".into(), draft.clone());
        }
        Some(Value::Object(said))
    }
}

fn types(value: Option<&Value>) -> Option<Vec<String>> {
    match value? {
        Value::String(word) => Some(vec![word.clone()]),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ => None,
    }
}
