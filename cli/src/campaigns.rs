//! Campaigns as their manifests say, written down for the publisher.

use std::fs;

use anyhow::{Context, Result, bail};
use clickhouse::Row;
use hushmark_crds::Manifests;
use hushmark_policy::CampaignId;
use hushmark_report::ClickHouse;
use serde::{Deserialize, Serialize};

use crate::data::State;

#[derive(Row, Serialize)]
struct CampaignRow<'a> {
    tenant: u64,
    campaign: u64,
    namespace: &'a str,
    name: &'a str,
    mail_type: i8,
    opens: i8,
    clicks: i8,
    declared: Option<u64>,
    at: i64,
}

/// Records every campaign. A row replaces the one before it.
pub(crate) async fn record(
    clickhouse: &ClickHouse,
    manifests: &Manifests,
    now_ms: u64,
) -> Result<()> {
    let client = clickhouse.client().with_setting("async_insert", "0");
    let write = async {
        let mut insert = client.insert::<CampaignRow<'_>>("campaigns").await?;
        for campaign in &manifests.campaigns {
            insert
                .write(&CampaignRow {
                    tenant: campaign.tenant.0,
                    campaign: campaign.id.0,
                    namespace: &campaign.namespace,
                    name: &campaign.name,
                    mail_type: campaign.mail_type as i8,
                    opens: campaign.opens.mode as i8,
                    clicks: campaign.clicks.mode as i8,
                    declared: campaign.declared_recipients,
                    at: i64::try_from(now_ms).unwrap_or(i64::MAX),
                })
                .await?;
        }
        insert.end().await
    };
    write.await.context("cannot record the campaigns in ClickHouse")
}

/// What `hushmark stamp` will need and is not there, told by whoever starts: a typing error in a path
/// should not wait for the day of the mailing. Nothing else needs these files.
pub(crate) fn missing(manifests: &Manifests) -> Vec<String> {
    let files = manifests.campaigns.iter().flat_map(|campaign| {
        let content = ("spec.content.path", &campaign.content.path);
        let list = campaign.list.as_ref().map(|path| ("spec.list.path", path));
        [Some(content), list].into_iter().flatten().map(move |file| (campaign, file))
    });
    let told = files.filter_map(|(campaign, (field, path))| {
        let error = fs::metadata(path).err()?;
        let (name, path) = (campaign.full_name(), path.display());
        Some(format!("campaign {name} cannot be stamped: {field}, {path}: {error}"))
    });
    told.collect()
}

/// Fails when no manifest ever named the campaign, and says which there are. A campaign that was
/// taken out of the manifests is still known; ClickHouse is asked about no other.
pub(crate) async fn known(state: &State, asked: &str, id: CampaignId) -> Result<()> {
    #[derive(Row, Deserialize)]
    struct Known {
        campaign: u64,
        name: String,
    }
    if state.campaigns.contains(&id.to_string()) {
        return Ok(());
    }
    let query = "SELECT campaign, concat(namespace, '/', name) AS name FROM campaigns FINAL \
                 ORDER BY name";
    let client = state.clickhouse()?.client();
    let rows: Vec<Known> = client.query_raw(query).fetch_all().await.with_context(|| {
        format!(
            "{asked} is not in the manifests, and ClickHouse cannot be asked whether it ever \
                 was: is `hushmark up` running?"
        )
    })?;
    if rows.iter().all(|row| row.campaign != id.0) {
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        bail!("no campaign {asked}; there are: {}", names.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_not_there_is_told_of_before_the_day_of_the_mailing() {
        let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart");
        let mut manifests = hushmark_crds::directory(quickstart.as_ref()).unwrap();
        assert!(missing(&manifests).is_empty());
        let campaign = manifests.campaigns.iter_mut().find(|it| it.list.is_some()).unwrap();
        campaign.list = Some("/no/people.csv".into());
        let name = campaign.full_name();
        let told = missing(&manifests);
        let begins = format!("campaign {name} cannot be stamped: spec.list.path, /no/people.csv");
        assert!(told.len() == 1 && told[0].starts_with(&begins), "{told:?}");
    }
}
