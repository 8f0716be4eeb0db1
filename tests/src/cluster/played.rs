//! A pod's container run as a process of this machine, with its volumes as folders: what a kubelet
//! does, for programs that a test wants to see at work.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::Cluster;
use crate::http;
use crate::ports;
use crate::process::{Process, Recipe};

/// One container and its folders.
pub struct Played {
    /// The process.
    pub process: Process,
    /// Where it listens instead of `--listen` and `--admin`, where it has those.
    pub listen: SocketAddr,
    /// As above.
    pub admin: SocketAddr,
    namespace: String,
    secrets: Vec<Mounted>,
}

/// A Secret as files.
struct Mounted {
    secret: String,
    folder: PathBuf,
    /// Entry and file name; empty: all of them under their own names.
    items: Vec<(String, String)>,
}

impl Played {
    /// Prepares the container of a pod template, to be started with `process.start()`. Its claims
    /// are folders below `volumes`, by the claim's name; a StatefulSet's are named after its pod.
    /// `more` is added to its arguments.
    ///
    /// # Errors
    /// When a Secret is not there, or a volume is of a kind that is not played.
    pub fn new(
        cluster: &Cluster,
        program: &Path,
        (namespace, pod): (&str, &str),
        template: &Value,
        volumes: &Path,
        more: &[&str],
    ) -> Result<Self> {
        let spec = &template["spec"];
        let container = &spec["containers"][0];
        let home = cluster.folder().join("pods").join(pod);
        let (mut folders, mut secrets) = (BTreeMap::new(), Vec::new());
        for mount in container["volumeMounts"].as_array().into_iter().flatten() {
            let (name, path) = (text(&mount["name"])?, text(&mount["mountPath"])?);
            let listed = spec["volumes"].as_array().into_iter().flatten();
            let volume = listed.into_iter().find(|volume| volume["name"] == name);
            let claim = volume.map(|volume| &volume["persistentVolumeClaim"]["claimName"]);
            let folder = match (volume, claim.and_then(Value::as_str)) {
                (None, _) => volumes.join(format!("{name}-{pod}")),
                (_, Some(claim)) => volumes.join(claim),
                (Some(volume), None) if volume["secret"].is_object() => {
                    let folder = home.join(name);
                    let listed = volume["secret"]["items"].as_array().into_iter().flatten();
                    let item = |item: &Value| {
                        Ok((text(&item["key"])?.to_owned(), text(&item["path"])?.to_owned()))
                    };
                    let items = listed.map(item).collect::<Result<_>>()?;
                    let secret = text(&volume["secret"]["secretName"])?.to_owned();
                    secrets.push(Mounted { secret, folder: folder.clone(), items });
                    folder
                }
                (Some(volume), None) => bail!("a volume that is not played: {volume}"),
            };
            fs::create_dir_all(&folder)?;
            folders.insert(path.to_owned(), folder);
        }
        let (listen, admin) = (ports::free()?, ports::free()?);
        let mut args = arguments(container, &folders, listen, admin)?;
        args.extend(more.iter().map(|argument| (*argument).to_owned()));
        let recipe =
            Recipe { name: pod.into(), program: program.to_owned(), args, env: BTreeMap::new() };
        let process = Process::new(recipe, &cluster.folder().join("logs"));
        let played = Self { process, listen, admin, namespace: namespace.to_owned(), secrets };
        played.mount(cluster)?;
        Ok(played)
    }

    /// Brings the Secrets' files up to date, as a kubelet does within about a minute.
    ///
    /// # Errors
    /// When a Secret is not there.
    pub fn mount(&self, cluster: &Cluster) -> Result<()> {
        for Mounted { secret, folder, items } in &self.secrets {
            let object = cluster.get(&["secret", secret, "-n", &self.namespace])?;
            let data = object["data"].as_object().context("the Secret holds nothing")?;
            let mut there = BTreeSet::new();
            for (entry, value) in data {
                let chosen = items.iter().find(|(key, _)| key == entry).map(|(_, path)| path);
                let name = if items.is_empty() { Some(entry) } else { chosen };
                let Some(name) = name else { continue };
                let bytes = STANDARD.decode(text(value)?)?;
                there.insert(name.clone());
                let path = folder.join(name);
                if fs::read(&path).is_ok_and(|old| old == bytes) {
                    continue;
                }
                // Whole or not at all, under a name that programs pass over.
                let draft = folder.join(format!(".{name}"));
                fs::write(&draft, bytes)?;
                fs::rename(&draft, &path)?;
            }
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if !there.contains(entry.file_name().to_str().unwrap_or_default()) {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }

    /// Whether it says that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let answer = http::get(self.admin, "/readyz", Duration::from_secs(2));
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

/// The container's arguments with folders in place of mounts, and ports of this machine.
fn arguments(
    container: &Value,
    folders: &BTreeMap<String, PathBuf>,
    listen: SocketAddr,
    admin: SocketAddr,
) -> Result<Vec<String>> {
    let given = container["args"].as_array().context("the container has no arguments")?;
    let mut args: Vec<String> = Vec::new();
    for argument in given {
        let argument = text(argument)?;
        let placed = match args.last().map(String::as_str) {
            Some("--listen") => listen.to_string(),
            Some("--admin") => admin.to_string(),
            _ => placed(argument, folders)?,
        };
        args.push(placed);
    }
    Ok(args)
}

fn placed(argument: &str, folders: &BTreeMap<String, PathBuf>) -> Result<String> {
    for (path, folder) in folders.iter().rev() {
        let below = argument.strip_prefix(path.as_str());
        let Some(rest) = below.filter(|rest| rest.is_empty() || rest.starts_with('/')) else {
            continue;
        };
        let folder = folder.to_str().context("the folder's name is not text")?;
        return Ok(format!("{folder}{rest}"));
    }
    Ok(argument.to_owned())
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("{value} is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_a_mount_and_ports_are_this_machines() {
        let container = serde_json::json!({"args": [
            "--listen", "0.0.0.0:8080", "--admin", "0.0.0.0:9080", "--keys", "/etc/keys",
            "--lane-log", "/var/lib/lanes", "--x", "/etc/keys-of-others", "--replay",
        ]});
        let folders = BTreeMap::from([
            ("/etc/keys".into(), "/t/k".into()),
            ("/var/lib".into(), "/t/v".into()),
        ]);
        let (listen, admin) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let args = arguments(&container, &folders, listen, admin).unwrap();
        assert_eq!(
            args,
            [
                "--listen",
                "127.0.0.1:1",
                "--admin",
                "127.0.0.1:2",
                "--keys",
                "/t/k",
                "--lane-log",
                "/t/v/lanes",
                "--x",
                "/etc/keys-of-others",
                "--replay",
            ]
        );
    }
}
