//! Who is who in a control plane: a CA of its own, certificates, and bearer tokens for people and
//! parts. All of it is in a folder that only its owner may read, and dies with it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Who has a token: the name of the kubeconfig, the user, and its group.
const USERS: &[(&str, &str, &str)] = &[
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("kwok", "kwok", "system:masters"),
    ("kubelet", "system:node:node-1", "system:nodes"),
    ("kube-proxy", "system:kube-proxy", ""),
];

/// The files that the parts are started with.
pub(super) struct Identities {
    pub(super) ca: PathBuf,
    pub(super) ca_key: PathBuf,
    pub(super) server: PathBuf,
    pub(super) server_key: PathBuf,
    /// Signs and verifies the tokens of ServiceAccounts.
    pub(super) accounts_key: PathBuf,
    /// A line a user: token, name, id, group.
    pub(super) tokens: PathBuf,
    /// What the API server shows to a kubelet.
    pub(super) client: PathBuf,
    pub(super) client_key: PathBuf,
    /// What a kubelet shows to those who ask it.
    pub(super) kubelet: PathBuf,
    pub(super) kubelet_key: PathBuf,
}

impl Identities {
    /// The names of the files in a folder.
    pub(super) fn within(folder: &Path) -> Self {
        let file = |name: &str| folder.join(name);
        Self {
            ca: file("ca.crt"),
            ca_key: file("ca.key"),
            server: file("apiserver.crt"),
            server_key: file("apiserver.key"),
            accounts_key: file("accounts.key"),
            tokens: file("tokens.csv"),
            client: file("apiserver-client.crt"),
            client_key: file("apiserver-client.key"),
            kubelet: file("kubelet.crt"),
            kubelet_key: file("kubelet.key"),
        }
    }

    /// What the API server and the kubelet of a real node show to each other.
    pub(super) fn add_node(&self, folder: &Path, node: &str, address: IpAddr) -> Result<()> {
        let names =
            format!("subjectAltName=DNS:{node},IP:{address}\nextendedKeyUsage=serverAuth\n");
        certificate(folder, "kubelet", &format!("/CN={node}"), &names)?;
        let client = "/O=system:masters/CN=kube-apiserver";
        certificate(folder, "apiserver-client", client, "extendedKeyUsage=clientAuth\n")
    }

    /// Makes everything anew, and `NAME.kubeconfig` in `configs` for each user.
    pub(super) fn create(folder: &Path, configs: &Path, address: SocketAddr) -> Result<Self> {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let identities = Self::within(folder);
        authority(folder)?;
        let names =
            "DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc";
        let extensions = format!(
            "subjectAltName={names},IP:{},IP:10.96.0.1\nextendedKeyUsage=serverAuth\n",
            address.ip()
        );
        certificate(folder, "apiserver", "/CN=kube-apiserver", &extensions)?;
        // In its older form (SEC 1): the API server reads public keys from this file too, and finds
        // none in the newer one.
        let key = ["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", "accounts.key"];
        openssl(folder, &key)?;
        let mut tokens = String::new();
        for (name, user, group) in USERS {
            let token = random()?;
            tokens += &format!("{token},{user},{user},\"{group}\"\n");
            let config = configs.join(format!("{name}.kubeconfig"));
            write_kubeconfig(&config, address, &identities.ca, user, &token)?;
        }
        write_secret(&identities.tokens, &tokens)?;
        Ok(identities)
    }
}

/// A kubeconfig with one user and one cluster.
pub(super) fn write_kubeconfig(
    path: &Path,
    address: SocketAddr,
    ca: &Path,
    user: &str,
    token: &str,
) -> Result<()> {
    let ca = ca.display();
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: test
clusters: [{{name: test, cluster: {{server: \"https://{address}\", certificate-authority: \"{ca}\"}}}}]
users: [{{name: \"{user}\", user: {{token: \"{token}\"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: \"{user}\"}}}}]
"
    );
    write_secret(path, &text)
}

fn authority(folder: &Path) -> Result<()> {
    let request = ["req", "-x509", "-days", "365", "-subj", "/CN=hushmark-tests"];
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let files = ["-keyout", "ca.key", "-out", "ca.crt"];
    openssl(folder, &[&request[..], &key, &files].concat())
}

/// A key and a certificate under our authority, `NAME.key` and `NAME.crt`.
fn certificate(folder: &Path, name: &str, subject: &str, extensions: &str) -> Result<()> {
    let file = |ending: &str| format!("{name}.{ending}");
    let (key, request, signed, said) = (file("key"), file("csr"), file("crt"), file("ext"));
    fs::write(folder.join(&said), extensions)?;
    let ask = ["req", "-new", "-subj", subject];
    let with = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(folder, &[&ask[..], &with, &["-keyout", &key, "-out", &request]].concat())?;
    let sign = ["x509", "-req", "-days", "365", "-in", &request, "-out", &signed];
    // No two of one authority may have the same number.
    let number = format!("0x{}", &random()?[..15]);
    let with = ["-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", &number];
    openssl(folder, &[&sign[..], &with, &["-extfile", &said]].concat())
}

fn openssl(folder: &Path, arguments: &[&str]) -> Result<()> {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .context("cannot start openssl: `cargo xtask setup` installs it")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("openssl {} failed: {}", arguments.join(" "), said.trim());
    }
    Ok(())
}

/// 128 random bits, in hexadecimal.
pub(super) fn random() -> Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

pub(super) fn write_secret(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
