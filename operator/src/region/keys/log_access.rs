//! What stands in the cluster and suffices for kill switches, takedowns and the day rings. Nothing
//! is made here, so that it serves where nothing can be made.

use std::collections::BTreeMap;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use hushmark_crds::Region;
use k8s_openapi::api::core::v1::Secret;

use super::certificates::shown;
use super::vault::{Vault, data_of};
use super::{OPERATOR, REDIS_AUTH, REFUSAL_KEY, redis_address, signing_key_of};
use crate::redis_link::RedisAddress;
use crate::region::validate::{Store, StoreKind, undeclared};
use crate::{Context, Error};

/// What the refusal log needs.
#[derive(Clone)]
pub(in crate::region) struct LogAccess {
    /// Signs the log's head.
    pub(in crate::region) signing: Arc<SigningKey>,
    /// Where Redis is, and as whom to ask it.
    pub(in crate::region) redis: RedisAddress,
}

/// What stands of a Region that cannot be made as its spec wants; none where it was never made.
/// `secrets` are those that the Region refers to.
pub(in crate::region) async fn log_access(
    ctx: &Context,
    region: &Region,
    secrets: &BTreeMap<String, Secret>,
) -> Result<Option<LogAccess>, Error> {
    let vault = Vault::new(ctx);
    let key = vault.get(&vault.named(REFUSAL_KEY)).await?;
    let Some(signing) = key.as_ref().and_then(signing_key_of) else { return Ok(None) };
    // A store that cannot be used, or may not be, is what the Region's condition is about.
    let what = StoreKind::Redis;
    let Ok(store) = Store::read(region, what, secrets) else { return Ok(None) };
    if undeclared(region, &store, what).is_some() {
        return Ok(None);
    }
    let (data, own) = match &store {
        Store::Managed => {
            let own = vault.get(&vault.named(&format!("{OPERATOR}-tls"))).await?;
            let own = own.map(|data| shown(data, true));
            (vault.get(&vault.named(REDIS_AUTH)).await?, own)
        }
        Store::External(external) => (secrets.get(&external.secret).cloned().map(data_of), None),
    };
    let Some(data) = data else { return Ok(None) };
    let redis = redis_address(&ctx.config, &store, data, own);
    Ok(Some(LogAccess { signing: Arc::new(signing), redis }))
}
