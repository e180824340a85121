//! Which table a deployment has, and its backups.

use aws_sdk_dynamodb::types::{BackupStatus, ContinuousBackupsStatus, PointInTimeRecoveryStatus, SourceTableDetails};

use super::Records;
use super::clients::{aws_error, unexpected};
use crate::error::Error;

/// The records table, as DynamoDB describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TableFacts {
    /// Its ARN, which names account and region.
    pub arn: String,
    /// Its rows, as DynamoDB counted them within the last hours.
    pub rows: Option<u64>,
}

impl TableFacts {
    /// The account's number.
    #[must_use]
    pub fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        self.arn.split(':').nth(3).unwrap_or_default()
    }
}

/// A backup of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableBackup {
    /// Its ARN.
    pub arn: String,
    /// Whether a table can be restored from it.
    pub is_available: bool,
    /// When it was asked for, in milliseconds since the epoch.
    pub created_ms: i64,
}

impl Records {
    /// The name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The table.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn table_facts(&self) -> Result<TableFacts, Error> {
        let described = self.dynamodb.describe_table().table_name(&self.table).send().await;
        let described = described.map_err(aws_error("dynamodb DescribeTable"))?.table;
        let described = described.ok_or_else(|| unexpected("dynamodb DescribeTable", "no table"))?;
        let rows = described.item_count().and_then(|count| u64::try_from(count).ok());
        Ok(TableFacts { arn: described.table_arn().unwrap_or_default().to_owned(), rows })
    }

    /// Whether the table can be restored to any second of the last days.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn has_point_in_time_recovery(&self) -> Result<bool, Error> {
        let described = self.dynamodb.describe_continuous_backups().table_name(&self.table).send().await;
        let described = described.map_err(aws_error("dynamodb DescribeContinuousBackups"))?.continuous_backups_description;
        Ok(described.is_some_and(|described| {
            let recovery = described.point_in_time_recovery_description();
            let recovery = recovery.and_then(|recovery| recovery.point_in_time_recovery_status());
            *described.continuous_backups_status() == ContinuousBackupsStatus::Enabled
                && recovery == Some(&PointInTimeRecoveryStatus::Enabled)
        }))
    }

    /// Asks for a backup of the table, and returns its ARN.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn create_backup(&self, name: &str) -> Result<String, Error> {
        let created = self.dynamodb.create_backup().table_name(&self.table).backup_name(name).send().await;
        let created = created.map_err(aws_error("dynamodb CreateBackup"))?.backup_details;
        let created = created.ok_or_else(|| unexpected("dynamodb CreateBackup", "no backup"))?;
        Ok(created.backup_arn().to_owned())
    }

    /// A backup of this table; [`Error::Aws`] where it is another table's.
    ///
    /// # Errors
    /// [`Error::Aws`].
    pub async fn backup(&self, arn: &str) -> Result<TableBackup, Error> {
        const OPERATION: &str = "dynamodb DescribeBackup";
        let described = self.dynamodb.describe_backup().backup_arn(arn).send().await.map_err(aws_error(OPERATION))?;
        let description = described.backup_description.ok_or_else(|| unexpected(OPERATION, "no backup"))?;
        let of_table = description.source_table_details().map(SourceTableDetails::table_name);
        if of_table != Some(&self.table) {
            return Err(unexpected(OPERATION, format!("it is a backup of the table {:?}", of_table.unwrap_or_default())));
        }
        let details = description.backup_details.ok_or_else(|| unexpected(OPERATION, "no details"))?;
        Ok(TableBackup {
            arn: details.backup_arn().to_owned(),
            is_available: *details.backup_status() == BackupStatus::Available,
            created_ms: details.backup_creation_date_time().to_millis().unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_names_account_and_region() {
        let facts = TableFacts { arn: "arn:aws:dynamodb:eu-west-1:123456789012:table/longhand-records".into(), rows: None };
        assert_eq!((facts.account(), facts.region()), ("123456789012", "eu-west-1"));
        assert_eq!(TableFacts::default().account(), "");
    }
}
