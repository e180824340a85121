//! Creates the template's tables, and brings those of an earlier version up to it.

use anyhow::{Context, Result, bail};
use aws_sdk_dynamodb::{
    Client,
    error::DisplayErrorContext,
    types::{
        AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, DeleteGlobalSecondaryIndexAction,
        GlobalSecondaryIndex, GlobalSecondaryIndexUpdate, KeySchemaElement, KeyType, Projection, StreamSpecification,
        StreamViewType, TimeToLiveSpecification,
    },
};

use crate::template::{HostedIndex, HostedTable, Key};

/// Creates every table that is missing, and migrates the others.
///
/// # Errors
/// A table differs from the template in a way that cannot be migrated, because the folder is of a newer version.
pub async fn create(client: &Client, tables: &[HostedTable]) -> Result<()> {
    let existing =
        client.list_tables().send().await.context("the embedded DynamoDB does not answer")?.table_names.unwrap_or_default();
    for table in tables {
        let result = if existing.contains(&table.name) { migrate(client, table).await } else { create_one(client, table).await };
        result.with_context(|| format!("table {} of template.yaml", table.name))?;
    }
    Ok(())
}

async fn create_one(client: &Client, table: &HostedTable) -> Result<()> {
    let mut create = client.create_table().table_name(&table.name).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in &table.attributes {
        create = create.attribute_definitions(attribute(name, kind)?);
    }
    for index in &table.indexes {
        let definition = GlobalSecondaryIndex::builder().index_name(&index.name).set_key_schema(Some(keys(&index.keys)?));
        create = create.global_secondary_indexes(definition.projection(projection(index)).build()?);
    }
    let stream = table.stream_view.as_deref().map(stream).transpose()?;
    let created = create.set_stream_specification(stream).set_key_schema(Some(keys(&table.keys)?)).send().await;
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

/// Brings a table of an earlier version up to the template: adds missing indexes, makes those with another projection again, and
/// gives its stream the template's view.
async fn migrate(client: &Client, table: &HostedTable) -> Result<()> {
    let answer = client.describe_table().table_name(&table.name).send().await?;
    let found = answer.table.context("a table without a description")?;
    if found.key_schema() != keys(&table.keys)? {
        bail!("the table in the data folder has other keys: choose another data folder");
    }
    for index in found.global_secondary_indexes() {
        let name = index.index_name().unwrap_or_default();
        let wanted = table.indexes.iter().find(|wanted| wanted.name == name);
        let wanted = wanted.with_context(|| format!("the data folder has the index {name}, so a newer version made it"))?;
        let is_same = index.key_schema() == keys(&wanted.keys)? && index.projection().is_some_and(|it| *it == projection(wanted));
        if !is_same {
            let delete = DeleteGlobalSecondaryIndexAction::builder().index_name(name).build()?;
            update_index(client, table, GlobalSecondaryIndexUpdate::builder().delete(delete).build()).await?;
            add_index(client, table, wanted).await?;
        }
    }
    let has = |name: &str| found.global_secondary_indexes().iter().any(|index| index.index_name() == Some(name));
    for index in table.indexes.iter().filter(|index| !has(&index.name)) {
        add_index(client, table, index).await?;
    }
    let view = found.stream_specification().and_then(StreamSpecification::stream_view_type).map(StreamViewType::as_str);
    if table.stream_view.as_deref() != view {
        change_stream(client, table, view.is_some()).await?;
    }
    let ttl = client.describe_time_to_live().table_name(&table.name).send().await?.time_to_live_description;
    match ttl.as_ref().and_then(|ttl| ttl.attribute_name()) {
        None => enable_ttl(client, table).await,
        Some(found) if Some(found) == table.ttl_attribute.as_deref() => Ok(()),
        Some(found) => bail!("the table in the data folder expires by the attribute {found}: choose another data folder"),
    }
}

/// Adds an index, which the embedded DynamoDB fills before it answers.
async fn add_index(client: &Client, table: &HostedTable, index: &HostedIndex) -> Result<()> {
    let create = CreateGlobalSecondaryIndexAction::builder().index_name(&index.name).set_key_schema(Some(keys(&index.keys)?));
    let create = create.projection(projection(index)).build()?;
    update_index(client, table, GlobalSecondaryIndexUpdate::builder().create(create).build()).await
}

async fn update_index(client: &Client, table: &HostedTable, update: GlobalSecondaryIndexUpdate) -> Result<()> {
    let mut request = client.update_table().table_name(&table.name).global_secondary_index_updates(update);
    for (name, kind) in &table.attributes {
        request = request.attribute_definitions(attribute(name, kind)?);
    }
    request.send().await.map_err(|error| anyhow::anyhow!("{}", DisplayErrorContext(error)))?;
    Ok(())
}

/// A stream's view cannot be changed: the stream is turned off, and on again. Its older records stay readable.
async fn change_stream(client: &Client, table: &HostedTable, is_on: bool) -> Result<()> {
    let off = is_on.then(|| StreamSpecification::builder().stream_enabled(false).build()).transpose()?;
    let on = table.stream_view.as_deref().map(stream).transpose()?;
    for specification in off.into_iter().chain(on) {
        client.update_table().table_name(&table.name).stream_specification(specification).send().await?;
    }
    Ok(())
}

fn attribute(name: &str, kind: &str) -> Result<AttributeDefinition> {
    Ok(AttributeDefinition::builder().attribute_name(name).attribute_type(kind.into()).build()?)
}

fn projection(index: &HostedIndex) -> Projection {
    let included = Some(index.included.clone()).filter(|included| !included.is_empty());
    Projection::builder().projection_type(index.projection.as_str().into()).set_non_key_attributes(included).build()
}

fn stream(view: &str) -> Result<StreamSpecification> {
    Ok(StreamSpecification::builder().stream_enabled(true).stream_view_type(view.into()).build()?)
}

fn keys(keys: &[Key]) -> Result<Vec<KeySchemaElement>> {
    let element = |key: &Key| {
        KeySchemaElement::builder().attribute_name(&key.attribute_name).key_type(KeyType::from(key.key_type.as_str())).build()
    };
    Ok(keys.iter().map(element).collect::<Result<_, _>>()?)
}
