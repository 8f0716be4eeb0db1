//! TLS 1.2 and 1.3 by rustls, with a certificate that changes while the edge runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;

/// HTTP/2's name in ALPN (RFC 9113, 3.1).
pub(super) const HTTP2: &[u8] = b"h2";

/// Why a certificate cannot be used. None of it tells what a key file holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the kind.
    #[error("{path} holds no {what}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file names no certificate.
    #[error("{0} holds no certificate: expected PEM, the server's own first")]
    Empty(PathBuf),
    /// The certificate and the key do not belong together, or are of a kind that is not known.
    #[error("{certificate} and {key} cannot be used together: {source}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// The system gives no random numbers for tickets.
    #[error("no key for session tickets: {0}")]
    Tickets(rustls::Error),
}

/// Where certificate and key are.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// The certificate that new connections are shown.
pub(crate) struct Certificate(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificate {
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self(RwLock::new(Arc::new(read(files)?))))
    }

    /// Reads the files again; connections that are open keep what they have.
    pub(crate) fn reload(&self, files: &TlsFiles) -> Result<(), TlsError> {
        let new = Arc::new(read(files)?);
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let failed = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::File { path, what, source }
    };
    let path = &files.certificate;
    let chain = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed(path, "certificate"))?;
    if chain.is_empty() {
        return Err(TlsError::Empty(path.clone()));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(failed(&files.key, "private key"))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| TlsError::Pair {
        certificate: path.clone(),
        key: files.key.clone(),
        source,
    })
}

/// The server's side of TLS, one for all cores, so that a ticket of one is good on every other.
///
/// No early data: what comes before the handshake is done can be sent again by anybody who saw it,
/// and would be counted again.
pub(crate) fn acceptor(certificate: Arc<Certificate>) -> Result<TlsAcceptor, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Tickets)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP2.to_vec(), b"http/1.1".to_vec()];
    // Tickets are with the clients: nothing of a connection stays here once it is closed.
    config.ticketer = ring::Ticketer::new().map_err(TlsError::Tickets)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 1;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
