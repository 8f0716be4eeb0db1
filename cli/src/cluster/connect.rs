//! The way to the API server: the kubeconfig as kubectl finds it, and errors in a person's words.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::args::Connection;

/// How long a connection, and one answer, may take.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(30);

/// A client, and the namespace of names that have none.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Connection {
    /// Reads the kubeconfig. Nothing is asked yet.
    pub(crate) async fn connect(&self) -> Result<Connected> {
        let options =
            KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = match &self.kubeconfig {
            Some(path) => {
                let kubeconfig = Kubeconfig::read_from(path);
                let kubeconfig =
                    kubeconfig.with_context(|| format!("cannot use {}", path.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(Into::into)
            }
            None if self.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(Into::into)
            }
            None => Config::infer().await.map_err(anyhow::Error::from),
        };
        let mut config = config.context(
            "cannot tell where the cluster is: give --kubeconfig and --context, or look at what \
             `kubectl config view` says",
        )?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("cannot use the kubeconfig")?;
        Ok(Connected { client, namespace })
    }
}

impl Connected {
    /// Namespace and name of what was typed as NAME or NAMESPACE/NAME.
    pub(crate) fn named<'a>(&'a self, typed: &'a str) -> (&'a str, &'a str) {
        typed.split_once('/').unwrap_or((&self.namespace, typed))
    }
}

/// What the API server said, with what was tried.
pub(crate) fn said(what: impl std::fmt::Display, error: kube::Error) -> anyhow::Error {
    match error {
        kube::Error::Api(status) => anyhow!("cannot {what}: {}", status.message),
        other => anyhow::Error::new(other).context(format!("cannot {what}")),
    }
}

/// Whether the API server knows no such thing.
pub(crate) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Whether the API server lets this person not.
pub(crate) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}
