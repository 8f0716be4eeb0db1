//! A folder in which everything is right, and ways to spoil it.

use std::fmt::Write as _;
use std::path::Path;

use hushmark_crds::plan::Manifests;
use hushmark_crds::{ManifestError, directory};

const REGION: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Region
metadata:
  name: eu
spec:
  jurisdiction: EU
  baseUrl: https://t.example.com
  formerBaseUrls: [https://old.example.com]
  trustedProxies: [10.0.0.0/8]
  placeDatabase: country.mmdb
  ceilings:
    opens: anonymous
    clicks: overall
    place: country
  epoch: 1h
  minimumGroup: 10
  egress:
    - purpose: sends the mail
      host: smtp.example.com:587
      jurisdiction: DE
";

const TENANT: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Tenant
metadata:
  name: acme
  namespace: acme
spec:
  region: eu
  defaults:
    campaign:
      opens: anonymous
      clicks: overall
";

const CAMPAIGN: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Campaign
metadata:
  name: spring
  namespace: acme
spec:
  type: campaign
  subject: What spring brings
  from: Acme News <news@acme.example>
  content:
    path: newsletter.html
  list:
    path: recipients.csv
  tracking:
    opens: anonymous
    clicks: overall
  retentionPolicy: two-years
";

const POLICIES: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: RetentionPolicy
metadata: { name: two-years, namespace: acme }
spec:
  mode: plan
  keep:
    rowsDays: 90
    countersDays: 730
---
apiVersion: hushmark.io/v1alpha1
kind: AnonymizationPolicy
metadata: { name: fade, namespace: acme }
spec:
  mode: plan
  steps:
    - { action: dropRows, afterDays: 30 }
    - { action: hourToDay, afterDays: 90 }
";

/// A golden under `snapshots/` that shows the answers and not the code that asked.
macro_rules! golden {
    ($answers:expr) => {
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => true }, {
            insta::assert_snapshot!($answers);
        })
    };
}
pub(crate) use golden;

/// A folder before it is written.
#[derive(Clone)]
pub(crate) struct Folder {
    files: Vec<(String, Vec<u8>)>,
}

/// The folder in which everything is right.
pub(crate) fn good() -> Folder {
    let files = [
        ("campaign.yaml", CAMPAIGN),
        ("policies.yaml", POLICIES),
        ("region.yaml", REGION),
        ("tenant.yaml", TENANT),
    ];
    Folder { files: files.map(|(name, text)| (name.to_owned(), text.into())).to_vec() }
}

impl Folder {
    /// With the first `from` of a file replaced.
    pub(crate) fn edit(mut self, file: &str, from: &str, to: &str) -> Self {
        let (_, bytes) = self.files.iter_mut().find(|(name, _)| name == file).unwrap();
        let text = std::str::from_utf8(bytes).unwrap();
        assert!(text.contains(from), "{file} has no {from:?} to replace");
        *bytes = text.replacen(from, to, 1).into();
        self
    }

    /// With a file more, or other content of one that is there.
    pub(crate) fn file(mut self, file: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.retain(|(name, _)| name != file);
        self.files.push((file.to_owned(), bytes.into()));
        self
    }

    /// Without a file.
    pub(crate) fn without(mut self, file: &str) -> Self {
        self.files.retain(|(name, _)| name != file);
        self
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, file: &str) -> &[u8] {
        &self.files.iter().find(|(name, _)| name == file).unwrap().1
    }

    /// Writes it and reads it back.
    pub(crate) fn load(&self) -> Result<Manifests, Vec<ManifestError>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        directory(folder.path()).map_err(|faults| relative(folder.path(), faults))
    }

    /// What is wrong with it, as a person reads it.
    pub(crate) fn refused(&self) -> String {
        let faults = self.load().expect_err("this folder has to be refused");
        assert!(!faults.is_empty());
        faults.iter().fold(String::new(), |mut all, fault| {
            writeln!(all, "{fault}").unwrap();
            all
        })
    }
}

/// Without the temporary folder's name, which differs each time.
fn relative(folder: &Path, faults: Vec<ManifestError>) -> Vec<ManifestError> {
    let mut faults = faults;
    for fault in &mut faults {
        let short = fault.file.strip_prefix(folder).unwrap_or(&fault.file).to_owned();
        fault.file = if short.as_os_str().is_empty() { "FOLDER".into() } else { short };
        fault.message = fault.message.replace(&format!("{}/", folder.display()), "");
    }
    faults
}

/// Goldens of several folders: what was done to each, and the answer.
pub(crate) fn answers(cases: Vec<(&str, Folder)>) -> String {
    cases.iter().fold(String::new(), |mut all, (what, folder)| {
        write!(all, "# {what}\n{}\n", folder.refused()).unwrap();
        all
    })
}

#[test]
fn what_is_spoiled_here_is_right_before() {
    good().load().unwrap();
}
