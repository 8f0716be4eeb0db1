//! Who ended their tracking or was erased, as the logs say. ClickHouse has it as well, but may be
//! restored from before; of somebody whom no mail named yet the audit log alone knows it then.

use std::collections::HashSet;

use anyhow::{Context, Result};
use hushmark_event::audit::{Action, Asked, AuditLog, Outcome, Says, Target};
use hushmark_event::chain::Hash32;
use hushmark_event::refusal::{RefusalLog, Whose};
use hushmark_policy::TenantId;

use super::Withdrew;
use crate::data::DataFolder;
use crate::files;
use crate::up::AUDIT_LOG;

/// A tenant's people whose tracking ended, by what the logs name them by.
#[derive(Default)]
pub(super) struct Ended {
    /// Keyed hashes of the audit log, of those who said so.
    said: HashSet<Hash32>,
    /// Keyed hashes of the refusal log, of those who were erased.
    erased: HashSet<Hash32>,
}

impl Ended {
    pub(super) fn read(folder: &DataFolder, log: &RefusalLog, of: TenantId) -> Result<Self> {
        let path = folder.path(AUDIT_LOG);
        let (mut audit, mut ended) = (AuditLog::default(), Self::default());
        for line in files::lines(&path)? {
            let entry = audit.append(&line);
            let says =
                entry.with_context(|| format!("{} is damaged: restore it", path.display()))?.says;
            ended.said.extend(withdrawn(&says, of));
        }
        for erasure in log.erasures().all() {
            if let Whose::Person { tenant, lookup, .. } = &erasure.whose
                && *tenant == of
            {
                ended.erased.insert(*lookup);
            }
        }
        Ok(ended)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty() && self.erased.is_empty()
    }

    /// How a person's tracking ended, if it did. The tombstone is made only where it is needed.
    pub(super) fn how(
        &self,
        lookup: &Hash32,
        tombstone: impl FnOnce() -> Hash32,
    ) -> Option<Withdrew> {
        if self.erased.contains(lookup) {
            return Some(Withdrew::Erased);
        }
        (!self.said.is_empty() && self.said.contains(&tombstone())).then_some(Withdrew::Said)
    }
}

/// Whose withdrawal an entry of the audit log tells, if it is of the tenant and was allowed.
fn withdrawn(says: &Says, of: TenantId) -> Option<Hash32> {
    match says {
        Says::Asked(Asked {
            action: Action::Withdraw(Target::Person { tenant, tombstone }),
            outcome: Outcome::Allowed { .. },
            ..
        }) if *tenant == of => Some(*tombstone),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hushmark_event::audit::{Name, Principal, Reason};

    use super::*;

    #[test]
    fn a_withdrawal_counts_for_its_tenant_and_only_if_it_was_allowed() {
        let says = |tenant, outcome| {
            let target = Target::Person { tenant: TenantId(tenant), tombstone: Hash32([5; 32]) };
            let by = Principal::Local(Name::of("uid 1"));
            Says::Asked(Asked { by, action: Action::Withdraw(target), outcome })
        };
        let allowed = Outcome::Allowed { position: None };
        assert_eq!(withdrawn(&says(7, allowed), TenantId(7)), Some(Hash32([5; 32])));
        assert_eq!(withdrawn(&says(8, allowed), TenantId(7)), None);
        assert_eq!(withdrawn(&says(7, Outcome::Refused(Reason::Unknown)), TenantId(7)), None);
    }

    #[test]
    fn an_erasure_outweighs_what_was_said() {
        let all = |hash: u8| HashSet::from([Hash32([hash; 32])]);
        let ended = Ended { said: all(1), erased: all(2) };
        let how = |lookup: u8, tombstone: u8| {
            ended.how(&Hash32([lookup; 32]), || Hash32([tombstone; 32]))
        };
        assert!(how(2, 1) == Some(Withdrew::Erased) && how(3, 1) == Some(Withdrew::Said));
        assert!(how(3, 2).is_none());
    }
}
