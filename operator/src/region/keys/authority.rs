//! The region's own certificate authority and what it signs: read, judged, made. It does no I/O.
//!
//! An authority lives ten years and a certificate one; each is made anew when a third of its life is
//! left. A new authority is trusted for a day before it signs, so that every pod knows it by then;
//! an old one is trusted until it ends, which is after everything that it signed.

use hushmark_hop::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;
use zeroize::Zeroizing;

use super::vault::Data;
use crate::Error;

const DAY: i64 = 86_400;

/// How long an authority lives.
const AUTHORITY_LIFE: i64 = 3_650 * DAY;

/// How long a certificate lives.
const LEAF_LIFE: i64 = 365 * DAY;

/// Pods see a changed Secret within two minutes; one that is away may take longer.
const SETTLED: i64 = DAY;

/// Clocks of nodes differ.
const SKEW: i64 = 3_600;

/// The entries of one end, as a Secret of Kubernetes names them.
pub(super) const CA: &str = "ca.crt";
pub(super) const CERTIFICATE: &str = "tls.crt";
pub(super) const KEY: &str = "tls.key";

/// What a certificate says of itself, as far as it matters here.
struct Said {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    hosts: Vec<String>,
    from: i64,
    until: i64,
}

impl Said {
    fn read(pem: &[u8]) -> Option<Self> {
        let (_, pem) = parse_x509_pem(pem).ok()?;
        let certificate = pem.parse_x509().ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let host = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(host) => Some((*host).to_owned()),
            _ => None,
        };
        let hosts =
            names.iter().flat_map(|names| names.value.general_names.iter().filter_map(host));
        Some(Self {
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
            hosts: hosts.collect(),
            from: certificate.validity().not_before.timestamp(),
            until: certificate.validity().not_after.timestamp(),
        })
    }

    /// A third of its life is left, or less.
    fn is_due(&self, now: i64) -> bool {
        now >= self.until - (self.until - self.from) / 3
    }
}

/// One authority.
struct Authority {
    number: u32,
    pem: String,
    key: Zeroizing<String>,
    said: Said,
}

/// Every authority that is held, the youngest last.
pub(super) struct Authorities(Vec<Authority>);

/// One end of a hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Its common name, for those who read logs.
    pub(super) name: String,
    /// The names under which clients know it; none for who is a client alone.
    pub(super) hosts: Vec<String>,
}

impl Authorities {
    /// From the entries `1.crt`, `1.key`, `2.crt` …; what cannot be read is not there.
    pub(super) fn read(data: &Data) -> Self {
        let text = |entry: String| String::from_utf8(data.get(&entry)?.clone()).ok();
        let mut held: Vec<Authority> = data
            .keys()
            .filter_map(|entry| entry.strip_suffix(".crt")?.parse().ok())
            .filter_map(|number: u32| {
                let pem = text(format!("{number}.crt"))?;
                let key = Zeroizing::new(text(format!("{number}.key"))?);
                let said = Said::read(pem.as_bytes())?;
                Some(Authority { number, pem, key, said })
            })
            .collect();
        held.sort_by_key(|authority| authority.number);
        Self(held)
    }

    /// Whether another one has to be made.
    pub(super) fn want_another(&self, now: i64) -> bool {
        self.0.last().is_none_or(|youngest| youngest.said.is_due(now))
    }

    /// Another one, as the entries under which it is held.
    pub(super) fn another(&self, release: &str, now: i64) -> Result<Data, Error> {
        let number = self.0.last().map_or(1, |youngest| youngest.number + 1);
        let mut params = CertificateParams::default();
        // The time tells it from one of another life of the release.
        params.distinguished_name = named(&format!("{release} authority {number} of {now}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) =
            (moment(now - SKEW)?, moment(now + AUTHORITY_LIFE)?);
        let key = KeyPair::generate().map_err(failed)?;
        let secret = key.serialize_pem();
        let made = CertifiedIssuer::self_signed(params, key).map_err(failed)?;
        Ok(Data::from([
            (format!("{number}.crt"), made.pem().into_bytes()),
            (format!("{number}.key"), secret.into_bytes()),
        ]))
    }

    /// Everything that is trusted: whose life is not over.
    pub(super) fn trusted(&self, now: i64) -> String {
        let living = self.0.iter().filter(|authority| authority.said.until > now);
        living.map(|authority| authority.pem.as_str()).collect()
    }

    /// Who signs: the youngest that everyone knows by now, or the oldest where none is that old.
    fn signer(&self, now: i64) -> Option<&Authority> {
        let known = |authority: &&Authority| authority.said.from + SKEW + SETTLED <= now;
        self.0.iter().rev().find(known).or(self.0.first())
    }

    /// Whether what an end holds is still good: its own, for these hosts, signed by one that is
    /// trusted, and not to be renewed yet.
    pub(super) fn keep(&self, held: &Data, end: &End, now: i64) -> bool {
        let entry = |name: &str| Some((name.to_owned(), held.get(name)?.clone()));
        let (Some(certificate), Some(key)) = (entry(CERTIFICATE), entry(KEY)) else { return false };
        let Some(said) = Said::read(&certificate.1) else { return false };
        let trusted = (CA.to_owned(), self.trusted(now).into_bytes());
        let is_signed = self
            .0
            .iter()
            .any(|authority| authority.said.subject == said.issuer && authority.said.until > now);
        is_signed
            && said.hosts == end.hosts
            && !said.is_due(now)
            && Pem::parse(trusted, Some((certificate, key))).is_ok()
    }

    /// A new certificate for an end, and its key.
    pub(super) fn sign(&self, end: &End, now: i64) -> Result<Data, Error> {
        let signer = self.signer(now).ok_or_else(|| failed("there is no authority"))?;
        let key = KeyPair::from_pem(&signer.key).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&signer.pem, key).map_err(failed)?;
        let mut params = CertificateParams::new(end.hosts.clone()).map_err(failed)?;
        params.distinguished_name = named(&end.name);
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        // Whoever gets hold of an edge's certificate cannot pose as a store.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !end.hosts.is_empty() {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let until = signer.said.until.min(now + LEAF_LIFE);
        (params.not_before, params.not_after) = (moment(now - SKEW)?, moment(until)?);
        let own = KeyPair::generate().map_err(failed)?;
        let made = params.signed_by(&own, &issuer).map_err(failed)?;
        Ok(Data::from([
            (CERTIFICATE.into(), made.pem().into_bytes()),
            (KEY.into(), own.serialize_pem().into_bytes()),
        ]))
    }
}

fn named(name: &str) -> rcgen::DistinguishedName {
    let mut names = rcgen::DistinguishedName::new();
    names.push(DnType::OrganizationName, "Hushmark");
    names.push(DnType::CommonName, name);
    names
}

fn moment(unix: i64) -> Result<OffsetDateTime, Error> {
    OffsetDateTime::from_unix_timestamp(unix).map_err(failed)
}

fn failed(why: impl std::fmt::Display) -> Error {
    Error::Certificates(why.to_string())
}

#[cfg(test)]
mod tests;
