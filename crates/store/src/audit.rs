//! The audit trail: who did what, from where; chained, and only ever added to.

use crate::*;

impl Store {
    /// A page of the audit trail, newest first.
    pub async fn audit(&self, page: Page) -> Result<Listed<AuditRow>> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Notes something that changed no configuration: a sign-in, a secret that was shown.
    pub async fn note(
        &self,
        by: &Actor,
        action: &str,
        subject: &str,
        subject_id: Option<i64>,
    ) -> Result<()> {
        Err(StoreError::Unavailable("not built yet".into()))
    }

    /// Follows the chain from the first line to the last.
    pub async fn verify_audit(&self) -> Result<AuditVerdict> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
