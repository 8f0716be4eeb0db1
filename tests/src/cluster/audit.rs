//! Who asked the API server for what, from its audit log (kubernetes.io/docs/tasks/debug/debug-cluster/audit).

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Cluster;

/// A line a request, once it was answered, and no bodies: Secrets have no business in a log.
pub(super) const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- level: None
  nonResourceURLs: [\"/readyz*\", \"/livez*\", \"/healthz*\"]
- level: Metadata
";

/// A place in the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// One answered request.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asked; see [`account`] for the name of a ServiceAccount.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The API group of what it was about; empty for the core.
    pub group: String,
    /// What it was about: `campaigns`, `campaigns/status`; empty for what is no resource.
    pub resource: String,
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The object's name; empty for a collection.
    pub name: String,
    /// The answer's status.
    pub code: u16,
    /// The path that was asked for, with its query.
    pub uri: String,
    /// What the client calls itself.
    pub agent: String,
}

impl Call {
    /// Whether it was to change something that is stored. A refused one counts: it was asked.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let stores = !self.resource.ends_with("reviews") && !self.resource.ends_with("/token");
        let changes =
            matches!(&*self.verb, "create" | "update" | "patch" | "delete" | "deletecollection");
        changes && stores && !self.uri.contains("dryRun=All")
    }

    /// Whether it was about a Lease, which is renewed however still everything is.
    #[must_use]
    pub fn is_lease(&self) -> bool {
        self.resource == "leases"
    }
}

/// What the API server calls a ServiceAccount.
#[must_use]
pub fn account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// The part of an audit event that is read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Answer,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Object {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: u16,
}

impl From<Event> for Call {
    fn from(event: Event) -> Self {
        let Event { verb, request_uri, user, user_agent, object_ref, response_status } = event;
        let Object { api_group: group, mut resource, subresource, namespace, name } = object_ref;
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        let (user, code) = (user.username, response_status.code);
        let (uri, agent) = (request_uri, user_agent);
        Self { user, verb, group, resource, namespace, name, code, uri, agent }
    }
}

impl Cluster {
    /// Here and now in the audit log.
    ///
    /// # Errors
    /// When there is no log yet.
    pub fn mark(&self) -> Result<Mark> {
        self.fence()?;
        Ok(Mark(self.audit()?.metadata()?.len()))
    }

    /// Everything that was answered since a mark, whoever asked.
    ///
    /// # Errors
    /// When the API server does not answer, or its log cannot be read.
    pub fn calls_since(&self, mark: &Mark) -> Result<Vec<Call>> {
        self.fence()?;
        self.read_since(mark)
    }

    /// What a user asked to change since a mark.
    ///
    /// # Errors
    /// As [`Self::calls_since`].
    pub fn writes_since(&self, mark: &Mark, user: &str) -> Result<Vec<Call>> {
        let calls = self.calls_since(mark)?;
        Ok(calls.into_iter().filter(|call| call.user == user && call.is_write()).collect())
    }

    /// A request is logged a moment after it was answered: one of ours that is in the log has
    /// everything before it that was answered earlier.
    fn fence(&self) -> Result<()> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let from = Mark(self.audit().and_then(|log| Ok(log.metadata()?.len())).unwrap_or_default());
        let path = format!("/version?fence={}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["get", "--raw", &path])?;
        self.wait("a request is in the audit log", || {
            Ok(self.read_since(&from)?.iter().any(|call| call.uri == path))
        })
    }

    fn read_since(&self, mark: &Mark) -> Result<Vec<Call>> {
        let mut log = self.audit()?;
        // One byte before, to see whether a line was being written at the mark: it is of before.
        log.seek(SeekFrom::Start(mark.0.saturating_sub(1)))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        let is_end = |byte: &u8| *byte == b'\n';
        let from =
            if mark.0 == 0 { Some(0) } else { bytes.iter().position(is_end).map(|at| at + 1) };
        let since = from.map_or(&[][..], |from| &bytes[from..]);
        // The last line may still be being written.
        let whole = since.iter().rposition(is_end).map_or(&[][..], |end| &since[..end]);
        let whole = std::str::from_utf8(whole).context("the audit log is not text")?;
        whole
            .lines()
            .map(|line| {
                let event: Event = serde_json::from_str(line)
                    .with_context(|| format!("the audit log has the line {line}"))?;
                Ok(event.into())
            })
            .collect()
    }

    fn audit(&self) -> Result<File> {
        let path = self.folder().join("audit.log");
        File::open(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(line: &str) -> Call {
        serde_json::from_str::<Event>(line).unwrap().into()
    }

    #[test]
    fn a_write_is_told_from_a_question_and_from_a_dry_run() {
        let patch = r#"{"kind":"Event","level":"Metadata","stage":"ResponseComplete","requestURI":
            "/apis/hushmark.io/v1alpha1/namespaces/acme/campaigns/spring/status?fieldManager=o",
            "verb":"patch","user":{"username":"system:serviceaccount:hush:op","groups":[]},
            "userAgent":"op","objectRef":{"resource":"campaigns","namespace":"acme",
            "name":"spring","apiGroup":"hushmark.io","subresource":"status"},
            "responseStatus":{"metadata":{},"code":200}}"#;
        let written = call(patch);
        assert!(written.is_write() && !written.is_lease());
        assert_eq!((&*written.group, &*written.resource), ("hushmark.io", "campaigns/status"));
        assert_eq!((written.user, written.code), (account("hush", "op"), 200));
        assert!(!call(&patch.replace("?fieldManager", "?dryRun=All&fieldManager")).is_write());
        assert!(!call(&patch.replace(r#""patch""#, r#""get""#)).is_write());
        let review = patch.replace("\"campaigns\"", "\"selfsubjectaccessreviews\"");
        let review = review.replace(",\"subresource\":\"status\"", "");
        assert!(!call(&review).is_write());
    }
}
