//! Mutual TLS on a hop: from the files of one end to what rustls needs.
//!
//! A hop is a connection between two programs of a region. Both ends show a certificate, and each
//! trusts the authorities of its own file and no other: no list of public authorities is consulted,
//! because a store that one of those vouches for is still not ours.
//!
//! Files, that of a password among them, are read each time that something connects, so that a
//! renewed certificate needs no restart; what is open stays open.

mod password;
mod pem;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use password::{PasswordError, PasswordFile};
pub use pem::{Own, Pem};

/// Why a hop's files cannot be used. None of it tells what a key file holds.
#[derive(Debug, thiserror::Error)]
pub enum HopError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{name} holds no {what} in PEM: {why}")]
    NotPem {
        /// The file, or the entry of a Secret.
        name: String,
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate and the key do not belong together, or are of a kind that is not known.
    #[error("{certificate} and {key} cannot be used together: {source}")]
    Pair {
        /// The certificate's file or entry.
        certificate: String,
        /// The key's file or entry.
        key: String,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A server has to show a certificate, and was given none.
    #[error("a server needs a certificate and a key beside {0}")]
    NoOwn(String),
    /// The authorities cannot be asked to verify clients.
    #[error("{name} cannot be used to verify clients: {why}")]
    Verifier {
        /// The authorities' file or entry.
        name: String,
        /// What is wrong with them.
        why: String,
    },
    /// rustls cannot do what it was built for.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// A host that no certificate can name.
    #[error("{0:?} is no host that a certificate can name")]
    Host(String),
    /// Three files that do not make one end of a hop.
    #[error("{0}")]
    Incomplete(&'static str),
}

/// Where the files of one end of a hop are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Authorities whose certificates the other end may show.
    pub ca: PathBuf,
    /// What this end shows: certificate and key. A client of a store that asks for none has none.
    pub own: Option<(PathBuf, PathBuf)>,
}

impl Files {
    /// From what may be given on a command line; nothing at all is no TLS.
    ///
    /// # Errors
    /// [`HopError::Incomplete`] when a part is missing.
    pub fn from_options(
        ca: Option<PathBuf>,
        certificate: Option<PathBuf>,
        key: Option<PathBuf>,
    ) -> Result<Option<Self>, HopError> {
        match (ca, certificate, key) {
            (None, None, None) => Ok(None),
            (Some(ca), None, None) => Ok(Some(Self { ca, own: None })),
            (Some(ca), Some(certificate), Some(key)) => {
                Ok(Some(Self { ca, own: Some((certificate, key)) }))
            }
            (None, ..) => Err(HopError::Incomplete("a certificate or key needs the authorities")),
            (Some(_), ..) => Err(HopError::Incomplete("a certificate and its key go together")),
        }
    }

    /// A folder as a Secret of Kubernetes is mounted: `ca.crt`, `tls.crt` and `tls.key`.
    #[must_use]
    pub fn in_folder(folder: &Path) -> Self {
        let own = (folder.join("tls.crt"), folder.join("tls.key"));
        Self { ca: folder.join("ca.crt"), own: Some(own) }
    }

    /// What the files hold now.
    ///
    /// # Errors
    /// [`HopError`] names the file.
    pub fn read(&self) -> Result<Pem, HopError> {
        let read = |path: &Path| {
            let failed = |source| HopError::Read { path: path.to_owned(), source };
            std::fs::read(path).map_err(failed).map(|bytes| (path.display().to_string(), bytes))
        };
        let own = match &self.own {
            Some((certificate, key)) => Some((read(certificate)?, read(key)?)),
            None => None,
        };
        Pem::parse(read(&self.ca)?, own)
    }

    /// The client's end, from the files as they are now.
    ///
    /// # Errors
    /// [`HopError`] names the file.
    pub fn client(&self) -> Result<Arc<ClientConfig>, HopError> {
        self.read()?.client()
    }

    /// The server's end, from the files as they are now.
    ///
    /// # Errors
    /// [`HopError`] names the file.
    pub fn server(&self) -> Result<Arc<ServerConfig>, HopError> {
        self.read()?.server()
    }
}

/// The name that a host's certificate has to bear.
///
/// # Errors
/// [`HopError::Host`].
pub fn server_name(host: &str) -> Result<ServerName<'static>, HopError> {
    let bare = host.trim_matches(['[', ']']).to_owned();
    ServerName::try_from(bare).map_err(|_| HopError::Host(host.to_owned()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Pem {
    fn roots(&self) -> Result<RootCertStore, HopError> {
        let mut roots = RootCertStore::empty();
        for authority in self.authorities() {
            roots.add(authority.clone()).map_err(|error| self.bad_ca(&error.to_string()))?;
        }
        Ok(roots)
    }

    /// The client's end of a hop.
    ///
    /// # Errors
    /// [`HopError`] names what cannot be used.
    pub fn client(&self) -> Result<Arc<ClientConfig>, HopError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let config = match self.own() {
            Some(own) => builder
                .with_client_auth_cert(own.chain(), own.key())
                .map_err(|source| own.mismatch(source))?,
            None => builder.with_no_client_auth(),
        };
        Ok(Arc::new(config))
    }

    /// The server's end of a hop. Who shows no certificate of these authorities is refused in the
    /// handshake.
    ///
    /// # Errors
    /// [`HopError`] names what cannot be used.
    pub fn server(&self) -> Result<Arc<ServerConfig>, HopError> {
        let own = self.own().ok_or_else(|| HopError::NoOwn(self.ca_name().to_owned()))?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
                .build()
                .map_err(|error| HopError::Verifier {
                    name: self.ca_name().to_owned(),
                    why: error.to_string(),
                })?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.chain(), own.key())
            .map_err(|source| own.mismatch(source))?;
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests;
