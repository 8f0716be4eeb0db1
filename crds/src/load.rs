//! A folder of manifests, read and checked. Every fault is collected, with its file, its line,
//! its field and what is allowed.
//!
//! Path of a file: [`directory`] finds it → `tree` parses the YAML within limits → `schema` checks
//! each document against its CRD → `resource` runs the CEL rules and makes it a typed resource →
//! `cross` checks what no single resource can know, and makes the plan.

mod cross;
mod resource;
mod schema;
mod tree;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::plan::Manifests;

pub use resource::{Found, Other, Resources};
pub use schema::quoted;

/// No manifest that a person writes comes near; above it a file is something else by mistake.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// One thing that is wrong, as a person reads it:
/// `campaign.yaml:14: spec.tracking.opens: unknown mode "all"; allowed: off, overall, …`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct ManifestError {
    /// The file, or the folder if no file is to blame.
    pub file: PathBuf,
    /// The line in the file, from 1.
    pub line: Option<u64>,
    /// The field, like `spec.tracking.opens`.
    pub field: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl ManifestError {
    fn of_file(file: &Path, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: None, field: None, message: message.into() }
    }
}

/// Reads every `*.yaml` and `*.yml` of a folder, not of its subfolders: the files that
/// `kubectl apply -f FOLDER` would take.
///
/// # Errors
/// All that is wrong, in the order of files and lines. Nothing may be started then.
pub fn directory(folder: &Path) -> Result<Manifests, Vec<ManifestError>> {
    let mut faults = Vec::new();
    let mut found = resource::Resources::default();
    let kinds = resource::Kinds::new();
    let files = manifest_files(folder).map_err(|fault| vec![fault])?;
    for path in &files {
        match read(path) {
            Ok(text) => kinds.read_file(path, &text, &mut found, &mut faults),
            Err(fault) => faults.push(fault),
        }
    }
    let manifests = cross::check(folder, &found, !faults.is_empty(), &mut faults);
    faults.sort();
    match manifests {
        Some(manifests) if faults.is_empty() => Ok(manifests),
        _ => Err(faults),
    }
}

/// Reads the manifests of a folder, or one file, each checked by itself. What they come to beside
/// what a cluster has already is for the caller to say, with [`crate::fits`].
///
/// # Errors
/// All that is wrong, in the order of files and lines.
pub fn resources(path: &Path) -> Result<Resources, Vec<ManifestError>> {
    let mut faults = Vec::new();
    let mut found = Resources { others: Some(Vec::new()), ..Resources::default() };
    let kinds = resource::Kinds::new();
    let files = if path.is_dir() { manifest_files(path) } else { Ok(vec![path.to_owned()]) };
    for path in files.map_err(|fault| vec![fault])? {
        match read(&path) {
            Ok(text) => kinds.read_file(&path, &text, &mut found, &mut faults),
            Err(fault) => faults.push(fault),
        }
    }
    cross::each_once(&found, &mut faults);
    faults.sort();
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn manifest_files(folder: &Path) -> Result<Vec<PathBuf>, ManifestError> {
    let failed = |e: std::io::Error| {
        ManifestError::of_file(folder, format!("cannot read this folder of manifests: {e}"))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_yaml = path.extension().is_some_and(|end| end == "yaml" || end == "yml");
        if is_yaml && !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String, ManifestError> {
    let failed = |e: std::io::Error| ManifestError::of_file(path, format!("cannot read it: {e}"));
    let mut bytes = Vec::new();
    // One byte more than allowed tells that there is more, whatever the size was a moment ago.
    let mut file = File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ManifestError::of_file(
            path,
            "is larger than 1 MiB, which no manifest is: move it out of the folder, or split it",
        ));
    }
    String::from_utf8(bytes).map_err(|e| {
        let before = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let mut fault = ManifestError::of_file(path, "is not UTF-8 text: save it as UTF-8");
        fault.line = Some(line);
        fault
    })
}
