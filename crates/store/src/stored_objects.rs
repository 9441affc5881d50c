//! Which key made what a provider keeps, so that it is still known after a restart and in every
//! instance.

use std::collections::BTreeMap;

use domain::{Event, ProviderKeyId, StoredObject, UpstreamId};
use entity::stored_objects::{self, Column};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect, sea_query::OnConflict,
};

use crate::{Result, Store, link::Transaction, moment, text::clean};

impl Store {
    /// The number after which the newest `most` objects were written: where to begin to read.
    pub async fn newest_stored_objects(&self, most: u64) -> Result<i64> {
        let before = stored_objects::Entity::find()
            .order_by_desc(Column::Seq)
            .offset(most)
            .one(&self.0.db.reader().await?)
            .await?;
        Ok(before.map_or(0, |row| row.seq))
    }

    /// At most `limit` objects that other processes than this one wrote after number `seq`, and the
    /// number of the last.
    pub async fn stored_objects_since(
        &self,
        seq: i64,
        limit: u64,
    ) -> Result<(Vec<StoredObject>, i64)> {
        let rows = stored_objects::Entity::find()
            .filter(Column::Seq.gt(seq))
            .filter(Column::Origin.ne(self.0.origin.as_str()))
            .order_by_asc(Column::Seq)
            .limit(limit)
            .all(&self.0.db.reader().await?)
            .await?;
        let last = rows.last().map_or(seq, |row| row.seq);
        let objects = rows.into_iter().map(|row| StoredObject {
            id: row.id,
            upstream: UpstreamId(row.upstream_id),
            key: ProviderKeyId(row.key_id),
            at: moment(row.at_us),
        });
        Ok((objects.collect(), last))
    }

    /// Forgets at most `most` of those that were written up to number `seq`; returns how many.
    pub async fn forget_stored_objects(&self, seq: i64, most: u64) -> Result<u64> {
        let old = "DELETE FROM stored_objects WHERE id IN \
                   (SELECT id FROM stored_objects WHERE seq <= $1 ORDER BY seq LIMIT $2)";
        self.delete_rows(old, vec![seq.into(), crate::count(most).into()]).await
    }
}

/// Keeps the objects among these events.
pub(crate) async fn keep(tx: &Transaction, events: &[(i64, &Event)], origin: &str) -> Result<()> {
    let mut rows = BTreeMap::new();
    for (number, event) in events {
        if let Event::Stored(object) = event {
            let row = stored_objects::Model {
                id: clean(&object.id),
                upstream_id: object.upstream.0,
                key_id: object.key.0,
                at_us: object.at.timestamp_micros(),
                origin: origin.to_owned(),
                seq: *number,
            };
            rows.insert(row.id.clone(), row);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    let again = OnConflict::column(Column::Id)
        .update_columns([
            Column::UpstreamId,
            Column::KeyId,
            Column::AtUs,
            Column::Origin,
            Column::Seq,
        ])
        .to_owned();
    let rows = rows.into_values().map(|row| row.into_active_model().reset_all());
    stored_objects::Entity::insert_many(rows).on_conflict(again).exec_without_returning(tx).await?;
    Ok(())
}
