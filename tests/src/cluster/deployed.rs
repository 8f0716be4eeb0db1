//! What a Deployment says, run as a process of this machine: nodes that kwok plays run nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Cluster;
use super::audit::account;
use crate::http;
use crate::ports;
use crate::process::{Process, Recipe};

/// One replica of a Deployment: its arguments, its environment, its ServiceAccount.
pub struct Deployed {
    /// The process.
    pub process: Process,
    /// Where its health and metrics are, instead of where the Deployment says.
    pub admin: SocketAddr,
    /// Where an operator is asked for entries of the refusal log: on the one loopback of this
    /// machine each has a port of its own.
    pub asks: SocketAddr,
    /// What the API server calls it.
    pub user: String,
}

impl Deployed {
    /// Prepares the replica `pod` of a Deployment, to be started with `process.start()`. `admin`
    /// is the option that says where its admin page is.
    ///
    /// # Errors
    /// When there is no such Deployment, or it takes something from elsewhere than its pod's fields.
    pub fn new(
        cluster: &Cluster,
        program: &Path,
        (namespace, deployment): (&str, &str),
        pod: &str,
        admin: &str,
    ) -> Result<Self> {
        let object = cluster.get(&["deployment", deployment, "-n", namespace])?;
        let spec = &object["spec"]["template"]["spec"];
        let service_account = spec["serviceAccountName"].as_str().unwrap_or("default");
        let container = &spec["containers"][0];
        let mut env = environment(container, namespace, pod)?;
        let listen = ports::free()?;
        let args = arguments(container, &env, admin, listen)?;
        let kubeconfig = cluster.kubeconfig_of(namespace, service_account)?;
        let kubeconfig = kubeconfig.to_str().context("the folder's name is not text")?;
        env.insert("KUBECONFIG".into(), kubeconfig.to_owned());
        let asks = ports::free()?;
        env.insert("HUSHMARK_OPERATOR_ASKS".into(), asks.to_string());
        let recipe = Recipe { name: pod.into(), program: program.to_owned(), args, env };
        let process = Process::new(recipe, &cluster.folder().join("logs"));
        Ok(Self { process, admin: listen, asks, user: account(namespace, service_account) })
    }

    /// Whether it says that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let answer = http::get(self.admin, "/readyz", Duration::from_secs(2));
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

fn environment(container: &Value, namespace: &str, pod: &str) -> Result<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().context("a variable has no name")?;
        let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str();
        let value = match (variable["value"].as_str(), field) {
            (Some(value), _) => value,
            (None, Some("metadata.name")) => pod,
            (None, Some("metadata.namespace")) => namespace,
            _ => bail!("{name} comes from somewhere that is not here: {variable}"),
        };
        env.insert(name.to_owned(), value.to_owned());
    }
    Ok(env)
}

/// The container's arguments, with `$(NAME)` replaced as the kubelet does, and another admin
/// address.
fn arguments(
    container: &Value,
    env: &BTreeMap<String, String>,
    admin: &str,
    listen: SocketAddr,
) -> Result<Vec<String>> {
    let given = container["args"].as_array().context("the container has no arguments")?;
    let mut args = Vec::new();
    for argument in given {
        let mut argument = argument.as_str().context("an argument is not text")?.to_owned();
        for (name, value) in env {
            argument = argument.replace(&format!("$({name})"), value);
        }
        if !argument.starts_with(&format!("{admin}=")) {
            args.push(argument);
        }
    }
    args.push(format!("{admin}={listen}"));
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pods_fields_reach_its_arguments_as_the_kubelet_would_have_it() {
        let container = serde_json::json!({
            "args": ["--namespace=$(NS)", "--identity=$(POD)", "--admin=0.0.0.0:9082", "--x=$(Y)"],
            "env": [
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            ],
        });
        let env = environment(&container, "hush", "op-0").unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 9));
        let args = arguments(&container, &env, "--admin", listen).unwrap();
        let wanted = ["--namespace=hush", "--identity=op-0", "--x=$(Y)", "--admin=127.0.0.1:9"];
        assert_eq!(args, wanted);
    }
}
