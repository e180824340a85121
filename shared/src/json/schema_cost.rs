//! What checking one value against a schema costs at the most: the number of schemas that apply to that same value.
//!
//! `allOf`, `anyOf`, `oneOf`, `not`, `if`, `then`, `else`, `dependentSchemas`, `dependencies` and references apply where they
//! stand, so a chain of definitions that names the next one twice doubles with each link. A schema under `properties` or
//! `items` applies to a smaller value. References are resolved by the resolver of the crate `jsonschema`, so both follow
//! `$id`, `$anchor` and percent-encoded pointers to the same place. What a `$dynamicRef` or `$recursiveRef` means depends on
//! how it was reached; the most expensive of all possible targets counts.

use std::collections::{BTreeSet, HashMap, HashSet};

use jsonschema::Draft;
use referencing::{Registry, Resolver, uri};
use serde_json::{Map, Value};

const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];
const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// To learn what is not evaluated yet, each of these runs the schemas in place once more.
const REPEATING: [&str; 2] = ["unevaluatedProperties", "unevaluatedItems"];

/// The base of a document without an `$id`.
const DEFAULT_BASE: &str = "json-schema:///";
/// Schemas nested for one value. The validator recurses as deeply.
const DEPTH_MAX: usize = 256;
/// Steps of one measurement. Only circles of references need more than one for each schema.
const STEPS_MAX: usize = 1_000_000;

/// References in one document, and in what they refer to. The validator compiles a chain of references in time proportional to
/// the square of its length: one of 20,000 takes a minute.
pub const REFERENCES_MAX: usize = 1_000;

/// The outcome of a measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cost {
    /// At most this many schemas apply to one value.
    AtMost(usize),
    /// More than the limit, or nested too deeply.
    TooHigh,
    /// More references than [`REFERENCES_MAX`].
    TooManyReferences,
    /// A reference that resolves neither within the document nor to a draft's own schema.
    Unresolved(String),
}

/// The cost of the schema's most expensive place; above `limit`, [`Cost::TooHigh`].
pub fn measure(document: &Value, limit: usize) -> Cost {
    let draft = Draft::default().detect(document);
    let resource = draft.create_resource_ref(document);
    let index = uri::from_str(resource.id().unwrap_or(DEFAULT_BASE)).and_then(|base| {
        let registry = Registry::new().draft(draft).add(base.as_str(), resource)?.prepare()?;
        Ok((registry, base))
    });
    match index {
        Ok((registry, base)) => Graph::default().read(document, registry.resolver(base), draft).cost(limit),
        Err(error) => Cost::Unresolved(error.to_string()),
    }
}

type NodeId = usize;

/// A schema of the document, or of one that it refers to.
#[derive(Default)]
struct Node<'a> {
    /// The applications to the same value, each with all its possible targets.
    in_place: Vec<Vec<NodeId>>,
    /// Schemas for smaller values.
    below: Vec<NodeId>,
    /// The anchors that each `$dynamicRef` names, and what the reference resolves to without them.
    dynamic_refs: Vec<(&'a str, Option<NodeId>)>,
    /// What each `$recursiveRef` resolves to without any `$recursiveAnchor`.
    recursive_refs: Vec<Option<NodeId>>,
    /// How often the schemas in place are run.
    runs: usize,
    unresolved: Option<&'a str>,
}

/// The schemas, and which of them apply where.
#[derive(Default)]
struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    /// By address, and by the base against which relative references in the schema are resolved.
    ids: HashMap<(*const Value, String), NodeId>,
    unread: Vec<(NodeId, &'a Value, Resolver<'a>, Draft)>,
    dynamic_anchors: HashMap<&'a str, Vec<NodeId>>,
    recursive_anchors: Vec<NodeId>,
    references: usize,
}

impl<'a> Graph<'a> {
    /// Reads a document, and every schema that it refers to. The document becomes node 0.
    fn read(mut self, document: &'a Value, resolver: Resolver<'a>, draft: Draft) -> Self {
        self.add(document, resolver, draft);
        while let Some((id, schema, resolver, draft)) = self.unread.pop() {
            let Some(fields) = schema.as_object() else { continue };
            self.read_anchors(id, fields);
            self.read_in_place(id, fields, &resolver, draft);
            self.read_below(id, schema, &resolver, draft);
            self.read_references(id, fields, &resolver, draft);
        }
        for node in &mut self.nodes {
            for (name, target) in &node.dynamic_refs {
                let anchors = self.dynamic_anchors.get(name).into_iter().flatten().copied();
                node.in_place.push(anchors.chain(*target).collect());
            }
            let recursive_anchors = || self.recursive_anchors.iter().copied();
            node.in_place.extend(node.recursive_refs.iter().map(|target| recursive_anchors().chain(*target).collect()));
        }
        self
    }

    fn add(&mut self, schema: &'a Value, resolver: Resolver<'a>, draft: Draft) -> NodeId {
        let key = (std::ptr::from_ref(schema), resolver.base_uri().as_str().to_owned());
        let next = self.nodes.len();
        let id = *self.ids.entry(key).or_insert(next);
        if id == next {
            self.nodes.push(Node { runs: 1, ..Node::default() });
            self.unread.push((id, schema, resolver, draft));
        }
        id
    }

    /// A schema within another one, which may have a base and a draft of its own.
    fn add_child(&mut self, schema: &'a Value, resolver: &Resolver<'a>, draft: Draft) -> Option<NodeId> {
        let draft = draft.detect(schema);
        let resolver = resolver.in_subresource(draft.create_resource_ref(schema)).ok()?;
        Some(self.add(schema, resolver, draft))
    }

    fn read_anchors(&mut self, id: NodeId, fields: &'a Map<String, Value>) {
        if let Some(name) = fields.get("$dynamicAnchor").and_then(Value::as_str) {
            self.dynamic_anchors.entry(name).or_default().push(id);
        }
        if fields.get("$recursiveAnchor") == Some(&Value::Bool(true)) {
            self.recursive_anchors.push(id);
        }
        self.nodes[id].runs += REPEATING.iter().filter(|keyword| fields.contains_key(**keyword)).count();
    }

    fn read_in_place(&mut self, id: NodeId, fields: &'a Map<String, Value>, resolver: &Resolver<'a>, draft: Draft) {
        for (keyword, value) in fields {
            let keyword = keyword.as_str();
            let in_place: Vec<&Value> = match value {
                Value::Array(list) if IN_PLACE_LISTS.contains(&keyword) => list.iter().collect(),
                Value::Object(map) if IN_PLACE_MAPS.contains(&keyword) => map.values().collect(),
                _ if IN_PLACE.contains(&keyword) => vec![value],
                _ => Vec::new(),
            };
            for schema in in_place {
                let child = self.add_child(schema, resolver, draft);
                self.nodes[id].in_place.extend(child.map(|child| vec![child]));
            }
        }
    }

    /// A definition is read, but applies only where it is referred to.
    fn read_below(&mut self, id: NodeId, schema: &'a Value, resolver: &Resolver<'a>, draft: Draft) {
        let definitions = DEFINITIONS.iter().filter_map(|keyword| schema.get(keyword)?.as_object()).flat_map(Map::values);
        let definitions: HashSet<*const Value> = definitions.map(std::ptr::from_ref).collect();
        for child in draft.subresources_of(schema) {
            let is_definition = definitions.contains(&std::ptr::from_ref(child));
            let child = self.add_child(child, resolver, draft).filter(|_| !is_definition);
            self.nodes[id].below.extend(child);
        }
    }

    fn read_references(&mut self, id: NodeId, fields: &'a Map<String, Value>, resolver: &Resolver<'a>, draft: Draft) {
        let reference = |keyword: &str| fields.get(keyword).and_then(Value::as_str);
        if let Some(reference) = reference("$ref") {
            let target = self.resolve(id, reference, resolver);
            self.nodes[id].in_place.extend(target.map(|target| vec![target]));
        }
        if let Some(reference) = reference("$dynamicRef").filter(|_| draft == Draft::Draft202012) {
            let target = self.resolve(id, reference, resolver);
            let anchor = reference.rsplit_once('#').map_or("", |(_, anchor)| anchor);
            self.nodes[id].dynamic_refs.push((anchor, target));
        }
        if let Some(reference) = reference("$recursiveRef").filter(|_| draft == Draft::Draft201909) {
            let target = self.resolve(id, reference, resolver);
            self.nodes[id].recursive_refs.push(target);
        }
    }

    fn resolve(&mut self, id: NodeId, reference: &'a str, resolver: &Resolver<'a>) -> Option<NodeId> {
        self.references += 1;
        let Ok(resolved) = resolver.lookup(reference) else {
            self.nodes[id].unresolved = Some(reference);
            return None;
        };
        let (schema, resolver, draft) = resolved.into_inner();
        Some(self.add(schema, resolver, draft))
    }

    /// The cost of the most expensive schema that may be applied at all.
    fn cost(&self, limit: usize) -> Cost {
        if self.references > REFERENCES_MAX {
            return Cost::TooManyReferences;
        }
        let mut search = Search { graph: self, limit, known: HashMap::new(), path: HashMap::new(), steps: 0 };
        let (mut most, mut unresolved) = (0, None);
        for id in self.applicable() {
            let Some((cost, _)) = search.cost(id) else { return Cost::TooHigh };
            most = most.max(cost);
            unresolved = unresolved.or(self.nodes[id].unresolved);
        }
        unresolved.map_or(Cost::AtMost(most), |reference| Cost::Unresolved(format!("{reference} is not in it")))
    }

    fn applicable(&self) -> BTreeSet<NodeId> {
        let (mut found, mut next) = (BTreeSet::from([0]), vec![0]);
        while let Some(node) = next.pop().map(|id: NodeId| &self.nodes[id]) {
            next.extend(node.in_place.iter().flatten().chain(&node.below).copied().filter(|id| found.insert(*id)));
        }
        found
    }
}

/// Sums up costs, depth first.
struct Search<'g, 'a> {
    graph: &'g Graph<'a>,
    limit: usize,
    known: HashMap<NodeId, usize>,
    /// The schemas being summed up, with their depths.
    path: HashMap<NodeId, usize>,
    steps: usize,
}

impl Search<'_, '_> {
    /// The cost, and the least depth of the schemas on the path that it leads back to; `None`: too high. The validator takes a
    /// schema that leads back to itself in place for satisfied, so the second occurrence counts as one.
    fn cost(&mut self, id: NodeId) -> Option<(usize, usize)> {
        if let Some(cost) = self.known.get(&id) {
            return Some((*cost, usize::MAX));
        }
        if let Some(depth) = self.path.get(&id) {
            return Some((1, *depth));
        }
        let depth = self.path.len();
        self.steps += 1;
        if depth >= DEPTH_MAX || self.steps > STEPS_MAX {
            return None;
        }
        self.path.insert(id, depth);
        let (node, mut total, mut least_depth) = (&self.graph.nodes[id], 1_usize, usize::MAX);
        for targets in &node.in_place {
            let mut most = 0;
            for target in targets {
                let (cost, depth) = self.cost(*target)?;
                most = most.max(cost);
                least_depth = least_depth.min(depth);
            }
            total = total.saturating_add(most.saturating_mul(node.runs));
            if total > self.limit {
                return None;
            }
        }
        self.path.remove(&id);
        if least_depth < depth {
            return Some((total, least_depth));
        }
        // What leads back to a schema further up costs something else elsewhere; this does not.
        self.known.insert(id, total);
        Some((total, usize::MAX))
    }
}

#[cfg(test)]
#[path = "schema_cost_tests.rs"]
mod tests;
