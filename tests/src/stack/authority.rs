//! A private authority, and the folders of certificates that it signs, as Secrets are mounted.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hushmark_hop::Files;
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};

/// Everything of a stack is on this machine.
const HOSTS: [&str; 2] = ["127.0.0.1", "localhost"];

/// One authority. What it signs can be told from another's, and nothing trusts it by itself.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When no key can be drawn.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Its own certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes a folder with `ca.crt`, `tls.crt` and `tls.key`, or replaces what is in it: one end of
    /// a hop, which trusts the given authorities.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn issue(&self, folder: &Path, trusted: &[&Self]) -> Result<Files> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(HOSTS.map(str::to_owned))?;
        let certificate = params.signed_by(&key, &self.0)?;
        fs::create_dir_all(folder)?;
        let trusted: String = trusted.iter().map(|authority| authority.pem()).collect();
        fs::write(folder.join("ca.crt"), trusted)?;
        fs::write(folder.join("tls.crt"), certificate.pem())?;
        fs::write(folder.join("tls.key"), key.serialize_pem())?;
        Ok(Files::in_folder(folder))
    }
}

/// The folders of one stack's ends.
pub struct Hops {
    /// Who signed them all at the start.
    pub authority: Authority,
    folder: PathBuf,
}

/// Who has an end.
#[derive(Clone, Copy, Debug)]
pub enum End {
    /// redis-server.
    Redis,
    /// The engine.
    ClickHouse,
    /// Every edge.
    Edge,
    /// Every writer.
    Writer,
    /// This program.
    Test,
}

impl Hops {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let hops = Self { authority: Authority::new("first")?, folder: folder.join("tls") };
        for end in [End::Redis, End::ClickHouse, End::Edge, End::Writer, End::Test] {
            hops.authority.issue(&hops.folder(end), &[&hops.authority])?;
        }
        Ok(hops)
    }

    /// The folder of an end's files.
    #[must_use]
    pub fn folder(&self, end: End) -> PathBuf {
        self.folder.join(format!("{end:?}").to_lowercase())
    }

    /// Its files.
    #[must_use]
    pub fn files(&self, end: End) -> Files {
        Files::in_folder(&self.folder(end))
    }

    /// The files as options of a program: `--redis-ca` and its companions.
    pub(super) fn options(&self, end: End, store: &str) -> Result<Vec<String>> {
        let folder = self.folder(end);
        let file = |name: &str| {
            let path = folder.join(name).to_str().map(str::to_owned);
            path.context("the temporary folder's name is not text")
        };
        Ok(vec![
            format!("--{store}-ca"),
            file("ca.crt")?,
            format!("--{store}-certificate"),
            file("tls.crt")?,
            format!("--{store}-key"),
            file("tls.key")?,
        ])
    }
}
