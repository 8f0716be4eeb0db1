//! The refusal log as `up` keeps it, for commands that have to obey it.

use anyhow::{Context, Result, bail};
use hushmark_event::refusal::RefusalLog;
use hushmark_policy::{CampaignId, Day, TenantId};
use hushmark_report::ClickHouse;

use crate::data::DataFolder;
use crate::files;
use crate::keys::REFUSAL_LOG;

/// The log.
pub(crate) struct Log(pub(crate) RefusalLog);

impl Log {
    pub(crate) fn read(folder: &DataFolder) -> Result<Self> {
        let path = folder.path(REFUSAL_LOG);
        let mut log = RefusalLog::default();
        for line in files::lines(&path)? {
            log.append(&line)
                .with_context(|| format!("{} is damaged: restore it", path.display()))?;
        }
        Ok(Self(log))
    }

    /// Fails for a tenant that was erased.
    pub(crate) fn tenant(&self, tenant: TenantId, namespace: &str) -> Result<()> {
        let Some(at_ms) = self.0.erasures().of_tenant(tenant) else { return Ok(()) };
        bail!(
            "the tenant of namespace {namespace} was erased on {}, and nothing of it is ever stored \
             again: take it and its campaigns out of the manifests, or give another namespace",
            Day::of_unix_ms(at_ms)
        );
    }

    /// Fails for a campaign that was erased: mail with its name is refused for ever.
    pub(crate) fn campaign(&self, tenant: TenantId, id: CampaignId, name: &str) -> Result<()> {
        let Some(at_ms) = self.0.erasures().of_campaign(tenant, id) else { return Ok(()) };
        bail!(
            "campaign {name} was erased on {}, and nothing under its name is ever stored again: give \
             it another name, or take it out of the manifests",
            Day::of_unix_ms(at_ms)
        );
    }

    /// Fails while ClickHouse may hold what the log demands to be gone: an erasure is under way, or
    /// a backup from before one was restored. Whoever shows anything stored asks this first.
    pub(crate) async fn is_obeyed(&self, clickhouse: &ClickHouse) -> Result<()> {
        let all = self.0.erasures().all();
        let demanded: Vec<(u64, u64)> = all.iter().map(|it| (it.n, it.at_ms)).collect();
        Ok(hushmark_report::erased(clickhouse, &demanded).await?)
    }
}
