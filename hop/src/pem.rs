//! What the files of one end hold, parsed: whoever has a [`Pem`] has certificates and a key.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use crate::HopError;

/// A name that errors use, and the bytes that it stands for.
type Named = (String, Vec<u8>);

/// Authorities, and what this end shows. Without `Debug`: it holds a key.
pub struct Pem {
    ca: Named,
    authorities: Vec<CertificateDer<'static>>,
    own: Option<Own>,
}

/// A certificate with its key.
pub struct Own {
    certificate: Named,
    key_name: String,
    key_pem: Zeroizing<Vec<u8>>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Pem {
    /// Parses authorities, and a certificate with its key. The names are for errors.
    ///
    /// # Errors
    /// [`HopError`] names what is no PEM, and a key that is another certificate's.
    pub fn parse(ca: Named, own: Option<(Named, Named)>) -> Result<Self, HopError> {
        let authorities = certificates(&ca)?;
        let own = own.map(|(certificate, key)| Own::parse(certificate, key)).transpose()?;
        Ok(Self { ca, authorities, own })
    }

    /// The authorities as they were read.
    #[must_use]
    pub fn ca_pem(&self) -> &[u8] {
        &self.ca.1
    }

    /// What this end shows.
    #[must_use]
    pub fn own(&self) -> Option<&Own> {
        self.own.as_ref()
    }

    pub(crate) fn authorities(&self) -> &[CertificateDer<'static>] {
        &self.authorities
    }

    pub(crate) fn ca_name(&self) -> &str {
        &self.ca.0
    }

    pub(crate) fn bad_ca(&self, why: &str) -> HopError {
        not_pem(&self.ca.0, "authority", why)
    }
}

impl Own {
    fn parse(certificate: Named, key: Named) -> Result<Self, HopError> {
        let chain = certificates(&certificate)?;
        let (key_name, key_pem) = (key.0, Zeroizing::new(key.1));
        let key = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|error| not_pem(&key_name, "private key", &error.to_string()))?;
        let own = Self { certificate, key_name, key_pem, chain, key };
        CertifiedKey::from_der(own.chain(), own.key(), &ring::default_provider())
            .map_err(|source| own.mismatch(source))?;
        Ok(own)
    }

    /// The certificate as it was read, with those between it and its authority.
    #[must_use]
    pub fn certificate_pem(&self) -> &[u8] {
        &self.certificate.1
    }

    /// The key as it was read.
    #[must_use]
    pub fn key_pem(&self) -> &[u8] {
        &self.key_pem
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    pub(crate) fn mismatch(&self, source: rustls::Error) -> HopError {
        let (certificate, key) = (self.certificate.0.clone(), self.key_name.clone());
        HopError::Pair { certificate, key, source }
    }
}

fn certificates((name, bytes): &Named) -> Result<Vec<CertificateDer<'static>>, HopError> {
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| not_pem(name, "certificate", &error.to_string()))?;
    if found.is_empty() {
        return Err(not_pem(name, "certificate", "there is none in it"));
    }
    Ok(found)
}

fn not_pem(name: &str, what: &'static str, why: &str) -> HopError {
    HopError::NotPem { name: name.to_owned(), what, why: why.to_owned() }
}
