//! What a folder of manifests comes to, in plain types. Whoever holds one holds checked values:
//! nothing downstream checks again.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use hushmark_policy::resolve::Effective;
use hushmark_policy::{CampaignId, Kind, MailType, Mode, Place, TenantId, Tracking};
use sha2::{Digest, Sha256};

use crate::policies::Keep;
use crate::region::{Acknowledgement, Egress, PrivacySignals};
use crate::{AnonymizationPolicySpec, RetentionPolicySpec};

/// Everything that a folder says.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifests {
    /// The one region.
    pub region: RegionPlan,
    /// Every tenant, by namespace.
    pub tenants: Vec<TenantPlan>,
    /// Every campaign, by namespace and name.
    pub campaigns: Vec<CampaignPlan>,
    /// Every retention policy, by namespace and name.
    pub retention: Vec<PolicyPlan<RetentionPolicySpec>>,
    /// Every anonymization policy, by namespace and name.
    pub anonymization: Vec<PolicyPlan<AnonymizationPolicySpec>>,
}

/// No campaign, or more than one, has the name that a person typed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSuchCampaign {
    /// None has it.
    #[error("no campaign {asked:?}; there are: {}", .known.join(", "))]
    Unknown {
        /// What was typed.
        asked: String,
        /// What there is, as `namespace/name`.
        known: Vec<String>,
    },
    /// Several tenants have one.
    #[error("several campaigns are named {asked:?}; say which: {}", .known.join(", "))]
    Ambiguous {
        /// What was typed.
        asked: String,
        /// The ones that have it, as `namespace/name`.
        known: Vec<String>,
    },
}

impl Manifests {
    /// The campaign that a person means by `name` or `namespace/name`.
    ///
    /// # Errors
    /// [`NoSuchCampaign`], with the names that there are.
    pub fn campaign(&self, asked: &str) -> Result<&CampaignPlan, NoSuchCampaign> {
        let has_it = |c: &&CampaignPlan| c.name == asked || c.full_name() == asked;
        let names = |all: &[&CampaignPlan]| all.iter().map(|c| c.full_name()).collect();
        let found: Vec<&CampaignPlan> = self.campaigns.iter().filter(has_it).collect();
        let asked = asked.to_owned();
        match found[..] {
            [one] => Ok(one),
            [] => {
                let all: Vec<&CampaignPlan> = self.campaigns.iter().collect();
                Err(NoSuchCampaign::Unknown { asked, known: names(&all) })
            }
            _ => Err(NoSuchCampaign::Ambiguous { asked, known: names(&found) }),
        }
    }

    /// The tenant of a campaign.
    ///
    /// # Panics
    /// If the campaign is not one of these manifests.
    #[must_use]
    pub fn tenant_of(&self, campaign: &CampaignPlan) -> &TenantPlan {
        let mut tenants = self.tenants.iter();
        tenants.find(|t| t.id == campaign.tenant).expect("a campaign's tenant is among the tenants")
    }
}

/// A region, ready to be started.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionPlan {
    /// The resource's name, which is part of every id.
    pub name: String,
    /// `EU` or a country's code.
    pub jurisdiction: String,
    /// What the links of new mail begin with.
    pub base_url: BaseUrl,
    /// What the links of older mail begin with.
    pub former_base_urls: Vec<BaseUrl>,
    /// Threads of the edge; one a core where nothing is said.
    pub edge_threads: Option<u16>,
    /// What has to be durable before a hit is answered.
    pub acknowledgement: Acknowledgement,
    /// Networks in CIDR notation whose forwarding headers are believed.
    pub trusted_proxies: Vec<String>,
    /// The database that tells countries.
    pub place_database: Option<PathBuf>,
    /// The most that may be asked for.
    pub ceiling: Tracking,
    /// The finest place that may be asked for.
    pub place_ceiling: Place,
    /// The smallest number of people that a figure may stand for (k).
    pub minimum_group: u64,
    /// How often figures are published.
    pub epoch: Duration,
    /// For how many days after sending a hit may count at the longest.
    pub longest_tracking_days: u16,
    /// The longest that anything may be kept, if it says so.
    pub keep: Option<Keep>,
    /// The days after which another region key seals, if there is a schedule.
    pub rotate_keys_every: Option<u16>,
    /// What an open with a privacy signal does.
    pub privacy_signals: PrivacySignals,
    /// The only hosts outside that the stack may connect to.
    pub egress: Vec<Egress>,
}

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantPlan {
    /// Its id, made of region and namespace.
    pub id: TenantId,
    /// Its namespace, which is its identity.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// What is tracked at most in campaigns, if it says so.
    pub campaign: Option<Tracking>,
    /// What is tracked at most in transactional mail, if it says so.
    pub transactional: Option<Tracking>,
    /// Whether all tracking is off, mail that was already sent included.
    pub killed: bool,
    /// The lowest mode that needs a person's consent, if any does.
    pub consent_from: Option<Mode>,
}

impl TenantPlan {
    /// Whether mail that tells so much tracks only people who consented.
    #[must_use]
    pub fn needs_consent(&self, tracking: Tracking) -> bool {
        hushmark_policy::resolve::needs_consent(self.consent_from, tracking)
    }

    /// Its default for a type of mail.
    #[must_use]
    pub fn default_for(&self, mail_type: MailType) -> Option<Tracking> {
        match mail_type {
            MailType::Campaign => self.campaign,
            MailType::Transactional => self.transactional,
        }
    }
}

/// A campaign, ready to be stamped.
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignPlan {
    /// Its id, made of region, namespace and name.
    pub id: CampaignId,
    /// Its tenant.
    pub tenant: TenantId,
    /// Its tenant's namespace.
    pub namespace: String,
    /// The resource's name.
    pub name: String,
    /// Whether it goes to a list or answers one person.
    pub mail_type: MailType,
    /// What an open may tell, and who decided it.
    pub opens: Effective,
    /// What a click may tell, and who decided it.
    pub clicks: Effective,
    /// The finest place that may be kept.
    pub place: Place,
    /// For how many days after sending a hit counts.
    pub track_for_days: u16,
    /// How many people are behind the list's addresses, where the manifest says so.
    pub declared_recipients: Option<u64>,
    /// The subject line.
    pub subject: String,
    /// Who it is from.
    pub from: Mailbox,
    /// What it says.
    pub content: Content,
    /// The CSV file of its recipients; a transactional one may have none.
    pub list: Option<PathBuf>,
    /// When it is sent, if it says so.
    pub send_at: Option<k8s_openapi::jiff::Timestamp>,
    /// The name of its retention policy, one of [`Manifests::retention`] in the same namespace.
    pub retention_policy: Option<String>,
    /// The name of its anonymization policy, in the same way.
    pub anonymization_policy: Option<String>,
}

impl CampaignPlan {
    /// What it may record, for opens and for clicks.
    #[must_use]
    pub fn tracking(&self) -> Tracking {
        Tracking { opens: self.opens.mode, clicks: self.clicks.mode }
    }

    /// What a kind of hit may tell, and who decided it.
    #[must_use]
    pub fn effective(&self, kind: Kind) -> &Effective {
        match kind {
            Kind::Open => &self.opens,
            Kind::Click => &self.clicks,
        }
    }

    /// `namespace/name`, which names it in a region.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A policy as it was written, with the name that campaigns know it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPlan<T> {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// What it says.
    pub spec: T,
}

/// What links begin with: a scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    host: String,
    port: u16,
}

impl BaseUrl {
    /// Splits a URL that passed the Region's rules.
    pub(crate) fn new(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let default = if scheme == "https" { 443 } else { 80 };
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (authority, default),
        };
        Some(Self { text: text.to_owned(), host: host.to_owned(), port })
    }

    /// Without a slash at the end: a link is this, `/c/` and the token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, a name or an IPv4 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the scheme implies it.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is plain http, which only a machine's own loopback may be.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.text.starts_with("http://")
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A sender: an address, and a name to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The name, if there is one.
    pub name: Option<String>,
    /// The address.
    pub address: String,
}

impl Mailbox {
    /// Splits a text that passed the Campaign's rules.
    pub(crate) fn new(text: &str) -> Self {
        let Some((name, address)) = text.split_once('<') else {
            return Self { name: None, address: text.to_owned() };
        };
        let name = name.trim().trim_matches('"').trim();
        Self {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            address: address.trim_end_matches('>').to_owned(),
        }
    }
}

/// A campaign's HTML: the file, and what it must hash to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The file.
    pub path: PathBuf,
    /// The SHA-256 that was approved, if one was.
    pub sha256: Option<[u8; 32]>,
}

/// HTML above this is no mail: Gmail cuts at 102 KB.
const MAX_CONTENT_BYTES: u64 = 8 << 20;

/// The content cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// The file cannot be read.
    #[error("cannot read the content {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than any mail.
    #[error("the content {} is larger than 8 MiB, which no mail system takes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not the one that was approved.
    #[error(
        "the content {} hashes to sha256:{found}, and the campaign's digest says another: restore \
         the approved file, or have the new one approved and write its digest", .path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// What it hashes to.
        found: String,
    },
}

impl Content {
    /// Reads the file, and holds it against the digest where one is given. Checked at the moment
    /// of use, because a file can change after any earlier one.
    ///
    /// # Errors
    /// [`ContentError`] when it cannot be read, is too large, or is not what was approved.
    pub fn read(&self) -> Result<Vec<u8>, ContentError> {
        let failed = |source| ContentError::Io { path: self.path.clone(), source };
        let mut bytes = Vec::new();
        let mut file = File::open(&self.path).map_err(failed)?.take(MAX_CONTENT_BYTES + 1);
        file.read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > MAX_CONTENT_BYTES {
            return Err(ContentError::TooLarge { path: self.path.clone() });
        }
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        if self.sha256.is_some_and(|approved| approved != found) {
            let found = hex::encode(found);
            return Err(ContentError::Changed { path: self.path.clone(), found });
        }
        Ok(bytes)
    }
}
