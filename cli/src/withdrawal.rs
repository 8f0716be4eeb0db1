//! What a withdrawal comes to, on one machine and in a cluster: entries of the refusal log, and what
//! is said of them to people. Pure.

use hushmark_event::ask::left_after;
use hushmark_event::refusal::Refuses;
use hushmark_policy::{CampaignId, MailType, Scope, TenantId};

use crate::args::{self, Only, Withdrawn};

/// The end of somebody's tracking.
pub(crate) struct Withdrawal {
    pub(crate) refuses: Vec<Refuses>,
    /// `opens and clicks of campaign acme/spring are counted no more, …`
    pub(crate) text: String,
}

impl Withdrawn {
    /// The end of one campaign's.
    pub(crate) fn of_campaign(&self, id: CampaignId, name: &str) -> Withdrawal {
        self.over(&[Scope::Campaign(id)], &format!("campaign {name}"))
    }

    /// The end of a tenant's, of one type of mail or of both.
    pub(crate) fn of_tenant(&self, id: TenantId, namespace: &str) -> Withdrawal {
        let types = match self.mail_type {
            None => vec![MailType::Campaign, MailType::Transactional],
            Some(args::MailType::Campaign) => vec![MailType::Campaign],
            Some(args::MailType::Transactional) => vec![MailType::Transactional],
        };
        let names: Vec<&str> = types.iter().map(|mail| mail.name()).collect();
        let whose = format!("tenant {namespace}, {} mail", names.join(" and "));
        let scopes: Vec<Scope> = types.into_iter().map(|mail| Scope::Tenant(id, mail)).collect();
        self.over(&scopes, &whose)
    }

    /// The end of the whole region's.
    pub(crate) fn of_all(&self, region: &str) -> Withdrawal {
        self.over(&[Scope::All], &format!("all mail of region {region}"))
    }

    fn over(&self, scopes: &[Scope], whose: &str) -> Withdrawal {
        let (opens, clicks, hits) = match self.only {
            None => (true, true, "opens and clicks"),
            Some(Only::Opens) => (true, false, "opens"),
            Some(Only::Clicks) => (false, true, "clicks"),
        };
        let left = left_after(opens, clicks);
        let refuses = scopes.iter().map(|scope| Refuses::withdrawal(*scope, left)).collect();
        let text = format!("{hits} of {whose} are counted no more, mail that was sent included");
        Withdrawal { refuses, text }
    }
}
