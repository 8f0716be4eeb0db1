//! The operator that works: which pod it is, and what it answers.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use ed25519_dalek::VerifyingKey;
use http_body_util::Full;
use hushmark_crds::Region;
use hushmark_event::ask::{self, Declined};
use hushmark_event::audit::Name;
use hyper::{Request, header};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connect::Connected;
use super::port::{to_address, to_pod};
use super::world::get;

/// Where the operator is reached.
pub(super) enum To {
    Address(SocketAddr),
    Pod { namespace: String, name: String },
}

impl To {
    /// An address that the person gave, or the pod that holds the Lease of a Region's release.
    pub(super) async fn find(
        at: &Connected,
        region: &Region,
        address: Option<SocketAddr>,
    ) -> Result<Self> {
        if let Some(address) = address {
            return Ok(Self::Address(address));
        }
        let name = region.name_any();
        let owner = region.status.as_ref().and_then(|status| status.owner.as_ref());
        let owner = owner.with_context(|| {
            format!("no release runs Region {name} yet, so nobody can append to its refusal log")
        })?;
        let lease = format!("hushmark-region-{name}");
        let lease: Option<Lease> = get(&at.client, &owner.namespace, &lease).await?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity);
        let holder = holder.filter(|holder| !holder.is_empty()).with_context(|| {
            format!("no operator of Region {name} works: see `kubectl hushmark status {name}`")
        })?;
        Ok(Self::Pod { namespace: owner.namespace.clone(), name: holder })
    }

    /// Posts a question and reads its answer.
    pub(super) async fn post<A: DeserializeOwned>(
        &self,
        at: &Connected,
        path: &str,
        question: &impl Serialize,
    ) -> Result<A> {
        let body = serde_json::to_vec(question).context("cannot write the request")?;
        let request = Request::post(path)
            .header(header::HOST, "hushmark-operator")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .context("cannot write the request")?;
        let answer = match self {
            Self::Address(address) => to_address(*address, request).await?,
            Self::Pod { namespace, name } => {
                to_pod(&at.client, (namespace, name), ask::PORT, request).await?
            }
        };
        if answer.status.is_success() {
            return serde_json::from_slice(&answer.body)
                .context("the operator's answer is none: is it of this version?");
        }
        match serde_json::from_slice::<Declined>(&answer.body) {
            Ok(Declined { error }) => bail!("the operator says: {error}"),
            Err(_) => bail!("the operator answers {}: is it of this version?", answer.status),
        }
    }
}

/// Who the API server takes this person for. The operator writes it down, and cannot check it. One
/// who may not ask the API server, as everybody who is somebody may, stays unknown.
pub(super) async fn who_asks(client: &Client) -> Name {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let nothing = SelfSubjectReview { metadata: Default::default(), status: None };
    let review = reviews.create(&PostParams::default(), &nothing).await.ok();
    let name = review.and_then(|review| review.status?.user_info?.username);
    Name::of(&name.unwrap_or_default())
}

/// The key that a Region's logs are signed by, as its status names it.
pub(super) fn log_key(region: &Region) -> Result<VerifyingKey> {
    let name = region.name_any();
    let key = region.status.as_ref().and_then(|status| status.log_key.as_deref());
    let key = key.with_context(|| {
        format!("Region {name} does not name the key of its logs: upgrade its operator")
    })?;
    let bytes = hex::decode(key).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok());
    key.with_context(|| format!("status.logKey of Region {name} is no key"))
}
