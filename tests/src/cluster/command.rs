//! kubectl, helm and kubeconform against a control plane, with what they print.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Cluster;

/// Seconds after which a command is killed: an API server that hangs would hang it for ever.
const LONGEST: &str = "300";

/// A command that ended with an error, for tests that expect one.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What it said about that.
    pub message: String,
}

impl Cluster {
    /// Runs kubectl as the administrator and returns what it prints.
    ///
    /// # Errors
    /// What it says when it fails.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.kubectl_as(&self.kubeconfig(), arguments)
    }

    /// Runs kubectl as someone.
    ///
    /// # Errors
    /// What it says when it fails.
    pub fn kubectl_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
        said(arguments, self.run("kubectl", kubeconfig, arguments, None)?)
    }

    /// An object or a list of them as JSON: `get(&["pods", "-n", "demo"])`.
    ///
    /// # Errors
    /// What kubectl says when it fails.
    pub fn get(&self, what: &[&str]) -> Result<Value> {
        let text = self.kubectl(&[&["get"][..], what, &["-o", "json"]].concat())?;
        serde_json::from_str(&text).context("kubectl printed something that is not JSON")
    }

    /// What an entry of a Secret holds.
    ///
    /// # Errors
    /// When there is no such Secret.
    pub fn secret(&self, namespace: &str, name: &str, entry: &str) -> Result<Vec<u8>> {
        let path = format!("jsonpath={{.data.{}}}", entry.replace('.', "\\."));
        decoded(&self.kubectl(&["get", "secret", name, "-n", namespace, "-o", &path])?)
    }

    /// Applies manifests as the administrator.
    ///
    /// # Errors
    /// What the API server says against them.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "-f", "-"];
        said(&arguments, self.run("kubectl", &self.kubeconfig(), &arguments, Some(yaml))?)
    }

    /// Applies manifests that have to be refused, and returns what the API server says.
    ///
    /// # Errors
    /// When they are taken.
    pub fn refuse(&self, yaml: &str) -> Result<Refusal> {
        let arguments = ["apply", "-f", "-"];
        let output = self.run("kubectl", &self.kubeconfig(), &arguments, Some(yaml))?;
        if output.status.success() {
            bail!("the API server took what it should refuse:\n{yaml}");
        }
        Ok(Refusal { message: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }

    /// Runs helm as the administrator and returns what it prints.
    ///
    /// # Errors
    /// What it says when it fails.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        said(arguments, self.run("helm", &self.kubeconfig(), arguments, None)?)
    }

    /// Runs `kubectl hushmark` as the administrator and returns what it prints.
    ///
    /// # Errors
    /// What it says when it fails.
    pub fn hushmark(&self, arguments: &[&str]) -> Result<String> {
        said(arguments, self.hushmark_ended(arguments)?)
    }

    /// Runs `kubectl hushmark` as the administrator, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn hushmark_ended(&self, arguments: &[&str]) -> Result<Output> {
        // Under this name kubectl starts it, and by this name it knows that it is a plugin.
        let plugin = self.folder().join("kubectl-hushmark");
        if !plugin.exists() {
            std::os::unix::fs::symlink(self.tools.program("hushmark")?, &plugin)?;
        }
        let mut command = Command::new("timeout");
        command.arg(LONGEST).arg(plugin).args(arguments);
        command.env("KUBECONFIG", self.kubeconfig()).stdin(Stdio::null());
        command.output().context("cannot start hushmark")
    }

    /// Runs one of the control plane's programs as someone, whatever comes of it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(
        &self,
        program: &str,
        kubeconfig: &Path,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Result<Output> {
        // coreutils' timeout ends what hangs.
        let mut command = Command::new("timeout");
        command.arg(LONGEST).arg(self.tools.cluster_program(program)?).args(arguments);
        // What they keep between calls belongs to this control plane, not to the person.
        command.env("HOME", self.folder().join("home")).env("KUBECONFIG", kubeconfig);
        for name in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME", "XDG_CACHE_HOME"] {
            command.env_remove(name);
        }
        command.stdin(match input {
            Some(text) => Stdio::from(file_of(text)?),
            None => Stdio::null(),
        });
        command.output().with_context(|| format!("cannot start {program}"))
    }
}

/// A file without a name that holds a text.
pub(crate) fn file_of(text: &str) -> Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(file)
}

/// A Secret's value; coreutils read base64.
fn decoded(text: &str) -> Result<Vec<u8>> {
    let mut base64 = Command::new("base64");
    let output = base64.arg("--decode").stdin(Stdio::from(file_of(text)?)).output();
    let output = output.context("cannot start base64 (coreutils)")?;
    if !output.status.success() {
        bail!("the API server's base64 cannot be read");
    }
    Ok(output.stdout)
}

fn said(arguments: &[&str], output: Output) -> Result<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        bail!(
            "`{}` ended with {}:\n{}{}",
            arguments.join(" "),
            output.status,
            text(&output.stdout),
            text(&output.stderr)
        );
    }
    Ok(text(&output.stdout))
}
