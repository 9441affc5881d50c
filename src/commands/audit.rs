//! `tollgate audit`: checks the audit trail from end to end, also while the gateway runs.

use anyhow::bail;
use store::AuditVerdict;

use crate::{
    cli::AuditCommand,
    config::{Config, Flags},
    serve::opened,
    words::tell,
};

/// Runs the command.
pub(crate) fn run(command: AuditCommand) -> anyhow::Result<()> {
    let AuditCommand::Verify(args) = command;
    let config = Config::load(Flags::from(args))?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let (store, _) = opened(&config).await?;
        let verdict = store.verify_audit().await;
        store.close().await;
        told(verdict?)
    })
}

fn told(verdict: AuditVerdict) -> anyhow::Result<()> {
    let AuditVerdict { lines, broken_at, head } = verdict;
    let head: String = head.iter().map(|byte| format!("{byte:02x}")).collect();
    match broken_at {
        None => {
            tell(&format!("{lines} lines are whole; the link of the last one is {head}"));
            Ok(())
        }
        Some(line) => bail!(
            "line {line} of the audit trail was changed, or a line before it was removed; the \
             {lines} lines before it are whole, and the link of the last of them is {head}"
        ),
    }
}
