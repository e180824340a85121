//! Creates the template's tables, and compares existing tables with it.

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::{
    Client,
    error::DisplayErrorContext,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, GlobalSecondaryIndexDescription, KeySchemaElement, KeyType,
        Projection, StreamSpecification, StreamViewType, TableDescription, TimeToLiveSpecification,
        builders::StreamSpecificationBuilder,
    },
};

use crate::template::{HostedTable, Key};

/// Creates every table that is missing.
///
/// # Errors
/// A table differs from the template, because the folder is of another version.
pub async fn create(client: &Client, tables: &[HostedTable]) -> Result<()> {
    let existing =
        client.list_tables().send().await.context("the embedded DynamoDB does not answer")?.table_names.unwrap_or_default();
    for table in tables {
        let result = if existing.contains(&table.name) { check(client, table).await } else { create_one(client, table).await };
        result.with_context(|| format!("table {} of template.yaml", table.name))?;
    }
    Ok(())
}

async fn create_one(client: &Client, table: &HostedTable) -> Result<()> {
    let mut create = client.create_table().table_name(&table.name).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in &table.attributes {
        let attribute = AttributeDefinition::builder().attribute_name(name).attribute_type(kind.as_str().into());
        create = create.attribute_definitions(attribute.build()?);
    }
    for index in &table.indexes {
        let included = Some(index.included.clone()).filter(|included| !included.is_empty());
        let projection = Projection::builder().projection_type(index.projection.as_str().into()).set_non_key_attributes(included);
        let index = GlobalSecondaryIndex::builder().index_name(&index.name).set_key_schema(Some(keys(&index.keys)?));
        create = create.global_secondary_indexes(index.projection(projection.build()).build()?);
    }
    let stream = table
        .stream_view
        .as_deref()
        .map(|view| StreamSpecification::builder().stream_enabled(true).stream_view_type(view.into()));
    create = create.set_stream_specification(stream.map(StreamSpecificationBuilder::build).transpose()?);
    let created = create.set_key_schema(Some(keys(&table.keys)?)).send().await;
    created.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
    enable_ttl(client, table).await
}

async fn enable_ttl(client: &Client, table: &HostedTable) -> Result<()> {
    if let Some(attribute) = &table.ttl_attribute {
        let ttl = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build()?;
        client.update_time_to_live().table_name(&table.name).time_to_live_specification(ttl).send().await?;
    }
    Ok(())
}

async fn check(client: &Client, table: &HostedTable) -> Result<()> {
    let answer = client.describe_table().table_name(&table.name).send().await?;
    compare(table, &answer.table.context("a table without a description")?)?;
    let ttl = client.describe_time_to_live().table_name(&table.name).send().await?.time_to_live_description;
    if ttl.as_ref().and_then(|ttl| ttl.attribute_name()).is_none() { enable_ttl(client, table).await } else { Ok(()) }
}

fn keys(keys: &[Key]) -> Result<Vec<KeySchemaElement>> {
    let element = |key: &Key| {
        KeySchemaElement::builder().attribute_name(&key.attribute_name).key_type(KeyType::from(key.key_type.as_str())).build()
    };
    Ok(keys.iter().map(element).collect::<Result<_, _>>()?)
}

fn compare(table: &HostedTable, found: &TableDescription) -> Result<()> {
    let mut wanted = Vec::new();
    for index in &table.indexes {
        wanted.push((index.name.clone(), keys(&index.keys)?));
    }
    let index = |index: &GlobalSecondaryIndexDescription| {
        (index.index_name().unwrap_or_default().to_owned(), index.key_schema().to_vec())
    };
    let mut indexes: Vec<_> = found.global_secondary_indexes().iter().map(index).collect();
    wanted.sort_by(|left, right| left.0.cmp(&right.0));
    indexes.sort_by(|left, right| left.0.cmp(&right.0));
    let view = found.stream_specification().and_then(StreamSpecification::stream_view_type).map(StreamViewType::as_str);
    if found.key_schema() != keys(&table.keys)? || wanted != indexes || table.stream_view.as_deref() != view {
        bail!(
            "the table in the data folder has other keys, indexes or another stream, from another version: choose another data folder"
        );
    }
    Ok(())
}
