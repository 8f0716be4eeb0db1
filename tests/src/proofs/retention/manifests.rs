//! The manifests of the proof: six campaigns and their policies, and what a person changes in them.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{CAMPAIGNS, morning};
use crate::one_machine::QUICKSTART;

/// Days after which `fade` drops the place, the hour, the client and the rows.
pub(super) const FADE: [u16; 4] = [20, 30, 40, 50];
/// Days for which `keep` keeps rows and counters.
pub(super) const KEEP: [u16; 2] = [60, 120];

/// A folder of manifests.
pub(super) struct Folder(tempfile::TempDir);

impl Folder {
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for name in ["newsletter.html", "recipients.csv"] {
            fs::copy(Path::new(QUICKSTART).join(name), folder.path().join(name))?;
        }
        let (region, namespace) = (morning::REGION, morning::NAMESPACE);
        let head = "apiVersion: hushmark.io/v1alpha1\n";
        let [place, hour, client, rows] = FADE;
        let [rows_days, counters_days] = KEEP;
        let region = format!(
            "{head}kind: Region\nmetadata: {{name: {region}}}\nspec:\n  jurisdiction: EU\n  \
             baseUrl: http://127.0.0.1:8080\n  epoch: 5s\n  longestTrackingDays: 30\n  ceilings: \
             {{opens: individual, clicks: individual, keep: {{rowsDays: 90, countersDays: 730}}}}\n\
             ---\n{head}kind: Tenant\nmetadata: {{name: sender, namespace: {namespace}}}\nspec:\n  \
             region: {region}\n"
        );
        let policies = format!(
            "{head}kind: AnonymizationPolicy\nmetadata: {{name: fade, namespace: {namespace}}}\n\
             spec:\n  mode: enforce\n  steps:\n  \
             - {{action: dropPlace, afterDays: {place}}}\n  \
             - {{action: hourToDay, afterDays: {hour}}}\n  \
             - {{action: dropClient, afterDays: {client}}}\n  \
             - {{action: dropRows, afterDays: {rows}}}\n\
             ---\n{head}kind: RetentionPolicy\nmetadata: {{name: keep, namespace: {namespace}}}\n\
             spec:\n  mode: enforce\n  keep: {{rowsDays: {rows_days}, countersDays: {counters_days}}}\n\
             ---\n{head}kind: RetentionPolicy\nmetadata: {{name: held, namespace: {namespace}}}\n\
             spec:\n  mode: enforce\n  keep: {{rowsDays: {rows_days}, countersDays: {counters_days}}}\n  \
             legalHold: {{reason: a court asked for it}}\n\
             ---\n{head}kind: RetentionPolicy\nmetadata: {{name: long, namespace: {namespace}}}\n\
             spec:\n  keep: {{rowsDays: 90, countersDays: 730}}\n"
        );
        let mut campaigns = String::new();
        for n in 0..CAMPAIGNS {
            let mode = morning::mode(n).name();
            let named = match n / 2 {
                0 => "retentionPolicy: keep\n  anonymizationPolicy: fade",
                1 => "retentionPolicy: held\n  anonymizationPolicy: fade",
                _ => "retentionPolicy: long",
            };
            campaigns += &format!(
                "---\n{head}kind: Campaign\nmetadata: {{name: {}, namespace: {namespace}}}\nspec:\n  \
                 type: campaign\n  subject: News\n  from: news@example.org\n  content: {{path: \
                 newsletter.html}}\n  list: {{path: recipients.csv}}\n  tracking: {{opens: {mode}, \
                 clicks: {mode}}}\n  recipients: 1000000\n  {named}\n",
                morning::name(n)
            );
        }
        for (name, text) in
            [("region.yaml", region), ("policies.yaml", policies), ("campaigns.yaml", campaigns)]
        {
            fs::write(folder.path().join(name), text)?;
        }
        Ok(Self(folder))
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The policies with one place of them changed, for as long as `then` takes.
    pub(super) fn with<T>(
        &self,
        from: &str,
        to: &str,
        then: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let path = self.path().join("policies.yaml");
        let good = fs::read_to_string(&path)?;
        ensure!(good.contains(from), "the policies do not say {from}");
        fs::write(&path, good.replacen(from, to, 1))?;
        let done = then();
        fs::write(&path, good)?;
        done
    }
}
