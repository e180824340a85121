//! `AWS::DynamoDB::Table` resources.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

use super::{check_properties, resolve::Resolver};

const HOSTED: [&str; 7] = [
    "AttributeDefinitions",
    "BillingMode",
    "GlobalSecondaryIndexes",
    "KeySchema",
    "StreamSpecification",
    "TableName",
    "TimeToLiveSpecification",
];

const NOT_HOSTED: [&str; 10] = [
    "ContributorInsightsSpecification",
    "DeletionProtectionEnabled",
    "OnDemandThroughput",
    "PointInTimeRecoverySpecification",
    "ProvisionedThroughput",
    "ResourcePolicy",
    "SSESpecification",
    "TableClass",
    "Tags",
    "WarmThroughput",
];

/// A table to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedTable {
    /// Its local physical name.
    pub name: String,
    /// The key attributes with their types (`S`, `N` or `B`).
    pub attributes: Vec<(String, String)>,
    /// Partition key first.
    pub keys: Vec<Key>,
    /// Global secondary indexes.
    pub indexes: Vec<Index>,
    /// The stream's view type; `None`: the table has no stream.
    pub stream_view: Option<String>,
    /// The attribute that holds an item's expiry time, in epoch seconds.
    pub ttl_attribute: Option<String>,
}

/// One element of a key: `HASH` or `RANGE`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Key {
    /// The attribute's name.
    pub attribute_name: String,
    /// `HASH` or `RANGE`.
    pub key_type: String,
}

/// A global secondary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Partition key first.
    pub keys: Vec<Key>,
    /// `ALL`, `KEYS_ONLY` or `INCLUDE`.
    pub projection: String,
    /// The projected attributes, with `INCLUDE`.
    pub included: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    attribute_definitions: Vec<Attribute>,
    key_schema: Vec<Key>,
    #[serde(default)]
    global_secondary_indexes: Vec<IndexProperties>,
    stream_specification: Option<Stream>,
    time_to_live_specification: Option<TimeToLive>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Attribute {
    attribute_name: String,
    attribute_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IndexProperties {
    index_name: String,
    key_schema: Vec<Key>,
    projection: Projection,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Projection {
    projection_type: String,
    #[serde(default)]
    non_key_attributes: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    stream_view_type: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLive {
    attribute_name: Option<String>,
    enabled: bool,
}

pub fn read(resolver: &Resolver, id: &str, resource: &Value) -> Result<HostedTable> {
    check_properties(&resource["Properties"], &HOSTED, &NOT_HOSTED)?;
    let hosted = HOSTED.iter().filter_map(|name| Some(((*name).to_owned(), resource["Properties"].get(name)?.clone())));
    let properties = resolver.resolve(&Value::Object(hosted.collect()))?;
    let properties: Properties = serde_json::from_value(properties).context("as a table")?;
    let index = |index: IndexProperties| Index {
        name: index.index_name,
        keys: index.key_schema,
        projection: index.projection.projection_type,
        included: index.projection.non_key_attributes,
    };
    Ok(HostedTable {
        name: resolver.name(id)?,
        attributes: properties.attribute_definitions.into_iter().map(|it| (it.attribute_name, it.attribute_type)).collect(),
        keys: properties.key_schema,
        indexes: properties.global_secondary_indexes.into_iter().map(index).collect(),
        stream_view: properties.stream_specification.map(|stream| stream.stream_view_type),
        ttl_attribute: properties.time_to_live_specification.filter(|ttl| ttl.enabled).and_then(|ttl| ttl.attribute_name),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Template;

    #[test]
    fn table_parses() {
        let yaml = r"
Resources:
  T:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: things
      SSESpecification: { SSEEnabled: true }
      AttributeDefinitions: [{ AttributeName: pk, AttributeType: S }, { AttributeName: at, AttributeType: N }]
      KeySchema: [{ AttributeName: pk, KeyType: HASH }]
      GlobalSecondaryIndexes:
        - { IndexName: i, KeySchema: [{ AttributeName: at, KeyType: HASH }], Projection: { ProjectionType: KEYS_ONLY } }
      StreamSpecification: { StreamViewType: NEW_IMAGE }
      TimeToLiveSpecification: { AttributeName: expires_at, Enabled: true }
";
        let table = Template::read(yaml).unwrap().tables.remove(0);
        assert_eq!(table.name, "things");
        assert_eq!(table.attributes, [("pk".into(), "S".into()), ("at".into(), "N".into())]);
        assert_eq!((table.indexes[0].name.as_str(), table.indexes[0].projection.as_str()), ("i", "KEYS_ONLY"));
        assert_eq!((table.stream_view.as_deref(), table.ttl_attribute.as_deref()), (Some("NEW_IMAGE"), Some("expires_at")));
    }

    #[test]
    fn local_index_is_rejected() {
        let yaml = "Resources: { T: { Type: AWS::DynamoDB::Table, Properties: { LocalSecondaryIndexes: [] } } }";
        let message = format!("{:#}", Template::read(yaml).unwrap_err());
        assert!(message.contains("LocalSecondaryIndexes"), "{message}");
    }
}
