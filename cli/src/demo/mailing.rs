//! One campaign of the demo, stamped as for real.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hushmark_crds::CampaignPlan;
use hushmark_policy::{CampaignId, TenantId, Tracking};

use super::mail::{self, Letter, Page};
use crate::data::{DataFolder, State};
use crate::files;
use crate::stamp::{plural, stamp};

/// So many of a list's messages are opened: their numbers stay in the range in which a sketch
/// counts exactly.
const READERS_MAX: usize = 1_000;

/// A campaign whose messages are in people's mailboxes.
pub(super) struct Mailing {
    /// `region/namespace/name`.
    pub(super) name: String,
    pub(super) ids: (TenantId, CampaignId),
    pub(super) tracking: Tracking,
    /// A letter for every reader, or one for all of them.
    pub(super) letters: Vec<Letter>,
    pub(super) readers: usize,
}

impl Mailing {
    /// Stamps a campaign and reads its messages back. They are removed at once: who got which mark
    /// is written nowhere.
    pub(super) async fn stamp(
        data: &Path,
        folder: &DataFolder,
        state: &State,
        campaign: &CampaignPlan,
    ) -> Result<Self> {
        let outbox = Outbox::new(folder.path("demo"))?;
        let out = outbox.0.join(campaign.id.to_string());
        let asked = campaign.full_name();
        let done = stamp(data, &asked, &out, false).await?;
        let html = String::from_utf8(campaign.content.read()?).context("the newsletter")?;
        let letters = mail::letters(&out, &Page::read(&html)?, &state.base_url)?;
        drop(outbox);
        let readers = usize::try_from(done.recipients).unwrap_or(usize::MAX).min(READERS_MAX);
        let mailing = Self {
            name: format!("{}/{asked}", state.region),
            ids: (campaign.tenant, campaign.id),
            tracking: campaign.tracking(),
            letters,
            readers,
        };
        ensure!(
            !mailing.is_off() || mailing.letters.iter().all(|letter| *letter == Letter::default()),
            "{asked} is off, and yet its mail is tracked"
        );
        Ok(mailing)
    }

    /// Whether nothing of it is tracked.
    pub(super) fn is_off(&self) -> bool {
        self.tracking.is_off()
    }
}

impl fmt::Display for Mailing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = plural(self.letters.len() as u64, "message");
        write!(f, "{}: {messages}, ", self.name)?;
        match self.tracking {
            Tracking { opens, clicks } if opens == clicks => write!(f, "opens and clicks {opens}"),
            Tracking { opens, clicks } => write!(f, "opens {opens}, clicks {clicks}"),
        }
    }
}

/// Where stamped messages lie until they are read: empty before, gone after, whatever happens.
struct Outbox(PathBuf);

impl Outbox {
    fn new(folder: PathBuf) -> Result<Self> {
        // A demo that was killed could not remove its own.
        remove(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        files::private_folder(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            eprintln!("cannot remove {}: {error}; do so by hand", self.0.display());
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
