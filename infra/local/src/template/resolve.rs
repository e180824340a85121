//! Resolves CloudFormation's references and intrinsic functions to local names.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};

use super::names::{ACCOUNT, REGION, STACK_NAME, function_arn};

/// A parsed template and the defaults of its parameters.
pub struct Resolver {
    template: Value,
    parameters: BTreeMap<String, Value>,
}

impl Resolver {
    /// `given` are parameters in place of their defaults. One that the template does not have is ignored.
    pub fn read(yaml: &str, given: &BTreeMap<&str, &str>) -> Result<Self> {
        let document: serde_norway::Value = serde_norway::from_str(yaml).context("template.yaml is not YAML")?;
        let template = untag(document)?;
        let mut parameters = BTreeMap::new();
        for (name, parameter) in entries(&template["Parameters"]) {
            let given = given.get(name.as_str()).map(|given| json!(given));
            let Some(value) = given.or_else(|| parameter.get("Default").cloned()) else { continue };
            parameters.insert(name.clone(), value);
        }
        Ok(Self { template, parameters })
    }

    /// A top-level section with its references unresolved.
    pub fn section(&self, name: &str) -> &Value {
        &self.template[name]
    }

    /// Every resource with its logical id.
    pub fn resources(&self) -> impl Iterator<Item = (&String, &Value)> {
        entries(&self.template["Resources"])
    }

    /// Whether the resource's condition holds with the parameters' defaults.
    pub fn exists(&self, resource: &Value) -> Result<bool> {
        resource.get("Condition").map_or(Ok(true), |name| self.condition(name))
    }

    /// The local physical name of a resource: the name in the template, or one derived from the logical id.
    pub fn name(&self, id: &str) -> Result<String> {
        let resource = self.resource(id)?;
        let kind = resource["Type"].as_str().unwrap_or_default();
        let property = match kind {
            "AWS::Serverless::Function" => "FunctionName",
            "AWS::DynamoDB::Table" => "TableName",
            "AWS::S3::Bucket" => "BucketName",
            _ => return Ok(id.to_owned()),
        };
        let name = match resource["Properties"].get(property) {
            Some(name) => self.resolve(name)?,
            None => Value::Null,
        };
        Ok(match (name, kind) {
            (Value::String(name), _) => name,
            (_, "AWS::S3::Bucket") => format!("{STACK_NAME}-{}", id.to_lowercase()),
            _ => id.to_owned(),
        })
    }

    /// `value` with references and functions resolved. Properties set to `AWS::NoValue` are removed.
    pub fn resolve(&self, value: &Value) -> Result<Value> {
        match value {
            Value::Array(items) => {
                let items = items.iter().map(|item| self.resolve(item)).collect::<Result<Vec<_>>>()?;
                Ok(items.into_iter().filter(|item| !item.is_null()).collect())
            }
            Value::Object(object) => match single(object) {
                Some((name, argument)) if name == "Ref" || name.starts_with("Fn::") => self.call(name, argument),
                _ => {
                    let mut resolved = Map::new();
                    for (name, value) in object {
                        let value = self.resolve(value).with_context(|| format!("in `{name}`"))?;
                        if !value.is_null() {
                            resolved.insert(name.clone(), value);
                        }
                    }
                    Ok(Value::Object(resolved))
                }
            },
            scalar => Ok(scalar.clone()),
        }
    }

    fn call(&self, name: &str, argument: &Value) -> Result<Value> {
        match name {
            "Ref" => self.reference(text(argument)?),
            "Fn::GetAtt" => self.attribute(argument),
            "Fn::Sub" => self.substitute(argument),
            "Fn::If" => match argument.as_array().map(Vec::as_slice) {
                Some([condition, yes, no]) => self.resolve(if self.condition(condition)? { yes } else { no }),
                _ => bail!("!If takes a condition and two values"),
            },
            "Fn::Join" => match argument.as_array().map(Vec::as_slice) {
                Some([separator, parts]) => {
                    let parts = self.resolve(parts)?;
                    let parts = parts.as_array().context("!Join takes a list")?.iter().map(plain).collect::<Result<Vec<_>>>()?;
                    Ok(json!(parts.join(text(separator)?)))
                }
                _ => bail!("!Join takes a separator and a list"),
            },
            "Fn::FindInMap" => self.find_in_map(argument),
            name => bail!("the local stack does not support the function `{name}`"),
        }
    }

    fn reference(&self, name: &str) -> Result<Value> {
        Ok(match name {
            "AWS::NoValue" => Value::Null,
            "AWS::Region" => json!(REGION),
            "AWS::AccountId" => json!(ACCOUNT),
            "AWS::StackName" => json!(STACK_NAME),
            "AWS::Partition" => json!("aws"),
            "AWS::URLSuffix" => json!("amazonaws.com"),
            // SAM generates this resource for the alias that it publishes.
            name if name.ends_with(".Alias") => {
                json!(format!("{}:live", function_arn(&self.name(name.trim_end_matches(".Alias"))?)))
            }
            name if self.parameters.contains_key(name) => self.parameters[name].clone(),
            name if self.template["Parameters"].get(name).is_some() => bail!("the parameter `{name}` has no default"),
            name => json!(self.name(name)?),
        })
    }

    fn attribute(&self, argument: &Value) -> Result<Value> {
        let (id, attribute) = match argument {
            Value::String(path) => path.split_once('.').with_context(|| format!("!GetAtt `{path}` has no attribute"))?,
            Value::Array(parts) if parts.len() == 2 => (text(&parts[0])?, text(&parts[1])?),
            other => bail!("!GetAtt takes a resource and an attribute, not {other}"),
        };
        let name = self.name(id)?;
        let kind = self.resource(id)?["Type"].as_str().unwrap_or_default();
        Ok(json!(match (kind, attribute) {
            ("AWS::DynamoDB::Table", "Arn") => format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"),
            ("AWS::DynamoDB::Table", "StreamArn") => format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}/stream/local"),
            ("AWS::Serverless::Function", "Arn") => function_arn(&name),
            ("AWS::S3::Bucket", "Arn") => format!("arn:aws:s3:::{name}"),
            ("AWS::SQS::Queue", "Arn") => format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"),
            ("AWS::SQS::Queue", "QueueName") => name,
            ("AWS::SNS::Topic", "TopicArn") => format!("arn:aws:sns:{REGION}:{ACCOUNT}:{name}"),
            _ => bail!("the local stack does not support !GetAtt {id}.{attribute}"),
        }))
    }

    fn substitute(&self, argument: &Value) -> Result<Value> {
        let (pattern, own) = match argument {
            Value::String(pattern) => (pattern.as_str(), Value::Null),
            Value::Array(parts) if parts.len() == 2 => (text(&parts[0])?, self.resolve(&parts[1])?),
            other => bail!("!Sub takes a string, not {other}"),
        };
        let mut out = String::new();
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').with_context(|| format!("!Sub `{pattern}` has an unclosed `${{`"))?;
            out.push_str(before);
            match (name.strip_prefix('!'), own.get(name)) {
                (Some(literal), _) => out.extend(["${", literal, "}"]),
                (None, Some(value)) => out.push_str(&plain(value)?),
                (None, None) if !name.starts_with("AWS::") && name.contains('.') => {
                    out.push_str(&plain(&self.attribute(&json!(name))?)?);
                }
                (None, None) => out.push_str(&plain(&self.reference(name)?)?),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(json!(out))
    }

    fn find_in_map(&self, argument: &Value) -> Result<Value> {
        let path = self.resolve(argument)?;
        let path = path.as_array().context("!FindInMap takes a list")?.iter().map(plain).collect::<Result<Vec<_>>>()?;
        let found = path.iter().try_fold(&self.template["Mappings"], |map, key| map.get(key));
        found.cloned().with_context(|| format!("!FindInMap: there is no {}", path.join(".")))
    }

    fn condition(&self, condition: &Value) -> Result<bool> {
        if let Some(name) = condition.as_str() {
            let condition = self.template["Conditions"].get(name).with_context(|| format!("there is no condition `{name}`"))?;
            return self.condition(condition);
        }
        let (name, argument) = condition.as_object().and_then(single).ok_or_else(|| anyhow!("not a condition: {condition}"))?;
        let all = || argument.as_array().into_iter().flatten().map(|item| self.condition(item)).collect::<Result<Vec<_>>>();
        match name {
            "Condition" => self.condition(argument),
            "Fn::And" => Ok(all()?.into_iter().all(|holds| holds)),
            "Fn::Or" => Ok(all()?.into_iter().any(|holds| holds)),
            "Fn::Not" => Ok(!all()?.into_iter().all(|holds| holds)),
            "Fn::Equals" => match argument.as_array().map(Vec::as_slice) {
                Some([left, right]) => Ok(plain(&self.resolve(left)?)? == plain(&self.resolve(right)?)?),
                _ => bail!("!Equals takes two values"),
            },
            name => bail!("the local stack does not support the condition function `{name}`"),
        }
    }

    fn resource(&self, id: &str) -> Result<&Value> {
        self.template["Resources"].get(id).with_context(|| format!("there is no resource or parameter `{id}`"))
    }
}

/// A scalar as CloudFormation converts it to a string.
pub fn plain(value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(bool) => Ok(bool.to_string()),
        other => bail!("expected a string, not {other}"),
    }
}

/// The entries of an object; none for any other value.
pub fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn single(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = object.iter();
    let (name, value) = entries.next()?;
    entries.next().is_none().then_some((name, value))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("expected a string, not {value}"))
}

/// Converts YAML to JSON, with short tags such as `!Ref` in their long form.
fn untag(value: serde_norway::Value) -> Result<Value> {
    Ok(match value {
        serde_norway::Value::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let tag = tag.trim_start_matches('!');
            let name = if matches!(tag, "Ref" | "Condition") { tag.to_owned() } else { format!("Fn::{tag}") };
            json!({ name: untag(tagged.value)? })
        }
        serde_norway::Value::Sequence(items) => items.into_iter().map(untag).collect::<Result<Value>>()?,
        serde_norway::Value::Mapping(mapping) => {
            let mut object = Map::new();
            for (name, value) in mapping {
                object.insert(plain(&untag(name)?)?, untag(value)?);
            }
            Value::Object(object)
        }
        scalar => serde_json::to_value(scalar).context("template.yaml has a value that JSON cannot represent")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
Parameters: { Mode: { Type: String, Default: laptop }, Secret: { Type: String } }
Conditions: { OnLaptop: !Equals [!Ref Mode, laptop], Elsewhere: !Not [!Condition OnLaptop] }
Resources:
  Things: { Type: AWS::DynamoDB::Table }
  Named: { Type: AWS::DynamoDB::Table, Properties: { TableName: !Sub "${AWS::StackName}-named" } }
  Blobs: { Type: AWS::S3::Bucket }
  Run: { Type: AWS::Serverless::Function }
"#;

    fn resolved(yaml: &str) -> Result<Value> {
        let value: serde_norway::Value = serde_norway::from_str(yaml).unwrap();
        Resolver::read(YAML, &BTreeMap::new()).unwrap().resolve(&untag(value).unwrap())
    }

    #[test]
    fn references_resolve_to_local_names() {
        assert_eq!(resolved("!Ref Things").unwrap(), "Things");
        assert_eq!(resolved("!Ref Named").unwrap(), "longhand-named");
        assert_eq!(resolved("!Ref Blobs").unwrap(), "longhand-blobs");
        assert_eq!(resolved("!Ref Mode").unwrap(), "laptop");
        assert_eq!(resolved("!GetAtt Run.Arn").unwrap(), "arn:aws:lambda:us-east-1:000000000000:function:Run");
        assert_eq!(resolved("{ Fn::GetAtt: [Things, Arn] }").unwrap(), "arn:aws:dynamodb:us-east-1:000000000000:table/Things");
    }

    #[test]
    fn sub_and_join_resolve() {
        assert_eq!(
            resolved("!Sub '${Mode}/${Things.Arn}/${!kept}'").unwrap(),
            "laptop/arn:aws:dynamodb:us-east-1:000000000000:table/Things/${kept}"
        );
        assert_eq!(resolved("!Sub ['${A}-${Mode}', { A: 1 }]").unwrap(), "1-laptop");
        assert_eq!(resolved("!Join ['-', [a, !Ref Mode]]").unwrap(), "a-laptop");
    }

    #[test]
    fn conditions_and_no_value_resolve() {
        assert_eq!(resolved("!If [OnLaptop, yes, no]").unwrap(), "yes");
        assert_eq!(resolved("{ A: !If [Elsewhere, 1, !Ref AWS::NoValue], B: 2 }").unwrap(), json!({ "B": 2 }));
    }

    #[test]
    fn unresolvable_reference_is_named() {
        for (yaml, named) in
            [("!Ref Nothing", "Nothing"), ("!Ref Secret", "Secret"), ("!Cidr [a]", "Fn::Cidr"), ("!GetAtt Blobs.X", "Blobs.X")]
        {
            let message = format!("{:#}", resolved(yaml).unwrap_err());
            assert!(message.contains(named), "{message}");
        }
    }
}
