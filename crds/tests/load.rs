//! What a good folder comes to.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is its purpose")]

use std::path::Path;
use std::time::Duration;

use hushmark_crds::plan::{Content, ContentError, NoSuchCampaign};
use hushmark_crds::{directory, plan::Manifests};
use hushmark_policy::{CampaignId, Kind, MailType, Mode, TenantId};

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
    for mode in Mode::of(Kind::Click) {
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

#[test]
fn content_that_is_not_what_was_approved_is_refused_when_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("newsletter.html");
    let approved = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let mut sha256 = [0; 32];
    hex::decode_to_slice(approved, &mut sha256).unwrap();
    let content = Content { path: path.clone(), sha256: Some(sha256) };

    assert!(matches!(content.read(), Err(ContentError::Io { .. })));
    std::fs::write(&path, "hello").unwrap();
    assert_eq!(content.read().unwrap(), b"hello");
    std::fs::write(&path, "hell").unwrap();
    assert!(matches!(content.read(), Err(ContentError::Changed { .. })));
    std::fs::write(&path, vec![b'x'; 9 << 20]).unwrap();
    assert!(matches!(content.read(), Err(ContentError::TooLarge { .. })));
}
