//! What a good folder comes to.

use std::path::Path;
use std::time::Duration;

use hushmark_crds::plan::NoSuchCampaign;
use hushmark_crds::{directory, plan::Manifests};
use hushmark_policy::{CampaignId, MailType, Mode, TenantId};

fn quickstart() -> Manifests {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    directory(&folder).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(|f| format!("{f}\n")).collect::<String>())
    })
}

#[test]
fn the_quickstart_shows_every_mode() {
    let manifests = quickstart();
    assert_eq!(manifests.region.base_url.as_str(), "http://127.0.0.1:8080");
    assert_eq!(
        (manifests.region.base_url.host(), manifests.region.base_url.port()),
        ("127.0.0.1", 8080)
    );
    assert_eq!(manifests.region.epoch, Duration::from_secs(10));
    assert_eq!(manifests.region.minimum_group, 10);
    for mode in Mode::ALL {
        let campaign = manifests.campaign(&format!("spring-{mode}")).unwrap();
        assert_eq!((campaign.opens.mode, campaign.clicks.mode), (mode, mode));
        assert_eq!(campaign.id, CampaignId::derive("local", "acme", &campaign.name));
        assert_eq!(campaign.tenant, TenantId::derive("local", "acme"));
        assert_eq!(campaign.mail_type, MailType::Campaign);
        assert_eq!(campaign.from.address, "news@acme.example");
        assert_eq!(campaign.from.name.as_deref(), Some("Acme News"));
        assert!(campaign.content.path.ends_with("examples/quickstart/newsletter.html"));
        assert!(campaign.list.as_ref().is_some_and(|l| l.ends_with("quickstart/recipients.csv")));
        assert_eq!(manifests.tenant_of(campaign).namespace, "acme");
    }
    assert_eq!(manifests.campaign("acme/spring-off").unwrap().track_for_days, 400);
    assert_eq!(manifests.campaign("spring-individual").unwrap().track_for_days, 90);
}

#[test]
fn a_campaign_that_is_not_there_is_answered_with_those_that_are() {
    let refused = quickstart().campaign("autumn").unwrap_err();
    assert!(matches!(refused, NoSuchCampaign::Unknown { .. }));
    assert_eq!(
        refused.to_string(),
        "no campaign \"autumn\"; there are: acme/spring-anonymous, acme/spring-individual, \
         acme/spring-off, acme/spring-overall"
    );
}
