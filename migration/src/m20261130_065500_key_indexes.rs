//! Fewer indexes of provider keys, each of which an import of 100,000 keys has to fill: a fingerprint
//! finds its key without the upstream, and most keys are in no quota group.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        for statement in [
            "DROP INDEX ix_provider_keys_upstream_id_fingerprint",
            "DROP INDEX ix_provider_keys_upstream_id_quota_group",
            "DROP INDEX ix_provider_keys_quota_group_id",
            "CREATE INDEX ix_provider_keys_grouped ON provider_keys (quota_group, id) \
             WHERE quota_group IS NOT NULL",
        ] {
            db.execute_unprepared(statement).await?;
        }
        Ok(())
    }
}
