//! Secrets of the release: read, made, changed. Never deleted.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::config::Config;
use crate::region::build::labels;
use crate::{Context, Error, FIELD_MANAGER};

/// What a Secret holds, by entry.
pub(super) type Data = BTreeMap<String, Vec<u8>>;

/// Entries that change; `None` takes one out.
pub(super) type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// What a Secret notes beside its entries.
pub(super) type Notes = BTreeMap<String, String>;

/// A Secret as it was read.
pub(super) struct Stored {
    pub(super) data: Data,
    /// Its annotations.
    pub(super) annotations: Notes,
    /// Its version: a change goes over this one alone.
    pub(super) version: String,
}

impl From<Secret> for Stored {
    fn from(secret: Secret) -> Self {
        Self {
            version: secret.metadata.resource_version.clone().unwrap_or_default(),
            annotations: secret.metadata.annotations.clone().unwrap_or_default(),
            data: data_of(secret),
        }
    }
}

/// The Secrets of a release.
pub(super) struct Vault<'a> {
    api: Api<Secret>,
    config: &'a Config,
}

impl<'a> Vault<'a> {
    pub(super) fn new(ctx: &'a Context) -> Self {
        Self {
            api: Api::namespaced(ctx.client.clone(), &ctx.config.namespace),
            config: &ctx.config,
        }
    }

    pub(super) const fn config(&self) -> &Config {
        self.config
    }

    /// The full name of one of the release's Secrets.
    pub(super) fn named(&self, part: &str) -> String {
        self.config.named(part)
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Data>, Error> {
        Ok(self.get_versioned(name).await?.map(|(data, _)| data))
    }

    /// What it holds, and its version.
    pub(super) async fn get_versioned(&self, name: &str) -> Result<Option<(Data, String)>, Error> {
        Ok(self.stored(name).await?.map(|stored| (stored.data, stored.version)))
    }

    /// All of it.
    pub(super) async fn stored(&self, name: &str) -> Result<Option<Stored>, Error> {
        let found = self.api.get_opt(name).await;
        let found = found.map_err(Error::api(format!("read the Secret {name}")))?;
        Ok(found.map(Stored::from))
    }

    /// Makes a Secret. If somebody else was quicker, theirs is the one.
    pub(super) async fn create(&self, name: &str, data: Data) -> Result<Data, Error> {
        Ok(self.create_noted(name, data, Notes::new()).await?.data)
    }

    /// As [`Self::create`], with annotations.
    pub(super) async fn create_noted(
        &self,
        name: &str,
        data: Data,
        notes: Notes,
    ) -> Result<Stored, Error> {
        let bytes = data.into_iter().map(|(entry, bytes)| (entry, ByteString(bytes))).collect();
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                // No ownerReference: keys outlive the Region and the release.
                labels: Some(labels(self.config, "keys")),
                annotations: (!notes.is_empty()).then_some(notes),
                ..ObjectMeta::default()
            },
            data: Some(bytes),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match self.api.create(&params, &secret).await {
            Ok(secret) => {
                tracing::info!(secret = name, "made");
                Ok(secret.into())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                let found = self.stored(name).await?;
                found.ok_or_else(|| Error::Blocked(format!("the Secret {name} comes and goes")))
            }
            Err(error) => Err(Error::api(format!("make the Secret {name}"))(error)),
        }
    }

    /// Makes a Secret hold this, by as little writing as there is to do.
    pub(super) async fn hold(&self, name: &str, wanted: Data) -> Result<(), Error> {
        let Some((found, version)) = self.get_versioned(name).await? else {
            return self.create(name, wanted).await.map(drop);
        };
        let differs = |(entry, bytes): &(String, Vec<u8>)| found.get(entry) != Some(bytes);
        let changes: Changes =
            wanted.into_iter().filter(differs).map(|(entry, bytes)| (entry, Some(bytes))).collect();
        if changes.is_empty() {
            return Ok(());
        }
        tracing::info!(secret = name, "put right");
        self.change(name, &changes, &version).await
    }

    /// Changes entries of the version that was read, and of no other.
    pub(super) async fn change(
        &self,
        name: &str,
        changes: &Changes,
        version: &str,
    ) -> Result<(), Error> {
        self.change_noted(name, changes, &Notes::new(), version).await
    }

    /// As [`Self::change`], and annotations in the same write.
    pub(super) async fn change_noted(
        &self,
        name: &str,
        changes: &Changes,
        notes: &Notes,
        version: &str,
    ) -> Result<(), Error> {
        let encode = |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| STANDARD.encode(bytes));
        let data: BTreeMap<&String, Option<String>> =
            changes.iter().map(|(entry, bytes)| (entry, encode(bytes))).collect();
        let metadata = json!({"resourceVersion": version, "annotations": notes});
        let patch = json!({"metadata": metadata, "data": data});
        let params =
            PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        self.api
            .patch(name, &params, &Patch::Merge(&patch))
            .await
            .map(drop)
            .map_err(Error::api(format!("change the Secret {name}")))
    }
}

pub(super) fn data_of(secret: Secret) -> Data {
    secret.data.into_iter().flatten().map(|(entry, bytes)| (entry, bytes.0)).collect()
}
