//! Who is meant: each id a type of its own, so that none can be taken for another.

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The first 64 bits of SHA-256 over `path`, so that standalone, GitOps and a restored cluster
/// agree on ids without asking anyone.
fn id64(path: &str) -> u64 {
    let digest = Sha256::digest(path.as_bytes());
    u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes"))
}

macro_rules! public_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

public_id! {
    /// A tenant of a region. Zero is no tenant: ledger rows carry it.
    TenantId
}

public_id! {
    /// A campaign of a tenant. Zero is no campaign: ledger rows carry it.
    CampaignId
}

impl TenantId {
    /// The tenant's identity is its namespace in its region, not the resource's name.
    #[must_use]
    pub fn derive(region: &str, namespace: &str) -> Self {
        Self(id64(&format!("{region}/{namespace}")))
    }
}

impl CampaignId {
    /// First 64 bits of SHA-256("region/namespace/name").
    #[must_use]
    pub fn derive(region: &str, namespace: &str, name: &str) -> Self {
        Self(id64(&format!("{region}/{namespace}/{name}")))
    }
}

/// How often a tenant's policy for one mail type was loosened. A cap covers every generation up
/// to its own, so that loosening never reaches mail that was sealed before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u32);

/// What tells one message from another: a random number a message (`anonymous`) or a contact's
/// random id (`individual`). It has neither `Debug` nor `Display`, so that logging one does not
/// compile, and it is wiped when dropped.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Mark(u64);

impl Mark {
    /// Wraps a number that was drawn at random.
    #[must_use]
    pub const fn new(random: u64) -> Self {
        Self(random)
    }

    /// The number, for the code that seals or hashes it.
    #[must_use]
    pub const fn expose(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids are part of every mail ever sent: these numbers must never change.
    #[test]
    fn ids_are_fixed_for_ever() {
        assert_eq!(TenantId::derive("eu", "acme").to_string(), "6aa3107ec1c75032");
        assert_eq!(CampaignId::derive("eu", "acme", "spring").to_string(), "24c0a25c7fa2437f");
    }
}
