//! What the template's roles allow: every action of every statement, with every resource of it.

use std::sync::LazyLock;

use longhand_local::TEMPLATE;
use serde_norway::Value;

use super::Use;
use crate::template::{hosted, resources};

/// The name of the only bucket.
static BUCKET: LazyLock<String> = LazyLock::new(|| {
    let buckets = hosted().buckets;
    let [bucket] = buckets.as_slice() else { panic!("one bucket") };
    bucket.clone()
});

/// The policies that are about what services do in a function's name. An optional one, of calls to a provider, has no name here.
const OF_SERVICES: [&str; 2] = ["KeyUse", "Traces"];

/// The properties of a function's role.
pub fn role_of<'a>(tree: &'a Value, function: &Value) -> &'a Value {
    let role = function["Properties"]["Role"].as_str().and_then(|role| role.strip_suffix(".Arn")).unwrap();
    assert_eq!(tree["Resources"][role]["Type"], "AWS::IAM::Role", "{role}");
    &tree["Resources"][role]["Properties"]
}

/// The document of a role's own policy of that name.
pub fn inline<'a>(role: &'a Value, name: &str) -> &'a Value {
    let mut policies = role["Policies"].as_sequence().unwrap().iter();
    let policy = policies.find(|policy| policy["PolicyName"] == name).unwrap_or_else(|| panic!("no policy `{name}`: {role:?}"));
    &policy["PolicyDocument"]
}

/// A role's permission, with the partition keys that it is bound to.
pub struct Grant {
    /// What it is.
    pub of: Use,
    /// Patterns of `dynamodb:LeadingKeys`; none: any item.
    pub partitions: Vec<String>,
}

/// What roles say. What services do in a function's name is not in it: [`super::services`].
pub struct Roles {
    /// What they allow.
    pub grants: Vec<Grant>,
    /// What they deny, with the action `dynamodb:*`.
    pub denials: Vec<Grant>,
}

impl Roles {
    /// The roles of all functions of a template.
    pub fn read(template: &str) -> Self {
        let tree: Value = serde_norway::from_str(template).unwrap();
        let mut roles = Self { grants: Vec::new(), denials: Vec::new() };
        for (id, function) in resources(&tree, "AWS::Serverless::Function") {
            let role = role_of(&tree, function);
            let managed = role["ManagedPolicyArns"].as_sequence().unwrap().iter();
            let named = managed.filter_map(Value::as_str).filter(|named| !OF_SERVICES.contains(named));
            let named = named.map(|named| &tree["Resources"][named]["Properties"]["PolicyDocument"]);
            for policy in named.chain([inline(role, "calls")]) {
                for statement in policy["Statement"].as_sequence().unwrap_or_else(|| panic!("{id}: {policy:?}")) {
                    roles.add(&tree, function["Properties"]["Handler"].as_str().unwrap(), statement);
                }
            }
        }
        roles
    }

    /// The roles of the product.
    pub fn of_product() -> Self {
        Self::read(TEMPLATE)
    }

    fn add(&mut self, tree: &Value, handler: &str, statement: &Value) {
        let known = ["Sid", "Effect", "Action", "Resource", "Condition"];
        let mut names = statement.as_mapping().unwrap().keys().map(|name| name.as_str().unwrap());
        assert!(names.all(|name| known.contains(&name)), "{handler}: {statement:?}");
        let (of_effect, condition) = match statement["Effect"].as_str() {
            Some("Allow") => (&mut self.grants, "ForAllValues:StringLike"),
            Some("Deny") => (&mut self.denials, "ForAnyValue:StringLike"),
            other => panic!("{handler}: {other:?}"),
        };
        for action in texts(&statement["Action"]) {
            assert_eq!(action.contains('*'), statement["Effect"] == "Deny", "{handler}: {action}");
            for resource in texts(&statement["Resource"]) {
                let of = Use { function: handler.to_owned(), action: action.clone(), resource: local(tree, &resource) };
                of_effect.push(Grant { of, partitions: partitions(handler, statement, condition) });
            }
        }
    }
}

/// The partition keys that a statement is bound to, by the one condition that there is.
fn partitions(handler: &str, statement: &Value, condition: &str) -> Vec<String> {
    let Some(found) = statement.get("Condition") else { return Vec::new() };
    let keys = found.get(condition).and_then(|like| like.get("dynamodb:LeadingKeys"));
    let conditions = found.as_mapping().map(serde_norway::Mapping::len);
    let (Some(keys), Some(1)) = (keys, conditions) else { panic!("{handler}: {found:?}") };
    texts(keys)
}

/// A text, or each of several.
pub fn texts(value: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("a text: {value:?}")).to_owned();
    value.as_sequence().map_or_else(|| vec![text(value)], |texts| texts.iter().map(text).collect())
}

/// A resource, of which the tree has the argument of `!Ref`, `!GetAtt` or `!Sub`, as the local stack and the tap call it.
fn local(tree: &Value, resource: &str) -> String {
    let secrets = tree["Parameters"]["SecretPrefix"]["Default"].as_str().unwrap();
    let mut name = resource.replace("${AWS::StackName}", "longhand").replace("${SecretPrefix}", secrets);
    for service in ["lambda", "secretsmanager"] {
        let of_account = format!("arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:");
        name = name.replace(&of_account, "").replace("function:", "").replace("secret:", "");
    }
    let (id, rest) = name.split_once('/').map_or((name.as_str(), ""), |(id, _)| (id, &name[id.len()..]));
    match id.trim_start_matches("${").trim_end_matches('}').strip_suffix(".Arn") {
        Some("Bucket") => format!("{}{rest}", *BUCKET),
        Some(id) => format!("{id}{rest}"),
        None => name,
    }
}
