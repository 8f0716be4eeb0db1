//! Which APIs of others this cluster has. Everyone who can log in may ask for that.

use std::collections::BTreeSet;

use crate::apply::Kind;
use crate::config::OptionalApi;
use crate::{Context, Error};

/// Those that the chart gave rights for and whose kinds are all there.
pub(super) async fn usable(ctx: &Context) -> Result<BTreeSet<OptionalApi>, Error> {
    let mut usable = BTreeSet::new();
    for &api in &ctx.config.optional_api {
        if is_there(ctx, api).await? {
            usable.insert(api);
        }
    }
    Ok(usable)
}

async fn is_there(ctx: &Context, api: OptionalApi) -> Result<bool, Error> {
    let kinds = Kind::of_api(api);
    let Some(group_version) = kinds.first().map(|kind| kind.resource().api_version) else {
        return Ok(false);
    };
    match ctx.client.list_api_group_resources(&group_version).await {
        Ok(found) => {
            let has = |kind: &Kind| found.resources.iter().any(|it| it.kind == kind.name());
            Ok(kinds.iter().all(has))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Error::api(format!("ask for the kinds of {group_version}"))(error)),
    }
}
