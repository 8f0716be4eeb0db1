use std::path::Path;

use hushmark_policy::{Day, Mode};

use super::*;

const BOTH: fn(Mode) -> Tracking = |mode| Tracking { opens: mode, clicks: mode };

/// The quickstart, where the tenant's campaigns may tell `most`, and one campaign asks for that.
fn manifests(most: Tracking) -> Manifests {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
    let mut manifests = hushmark_crds::directory(&quickstart).unwrap();
    manifests.tenants[0].campaign = Some(most);
    manifests.campaigns.retain(|campaign| campaign.name == "spring-individual");
    for campaign in &mut manifests.campaigns {
        campaign.opens.mode = campaign.opens.mode.strictest(most.opens);
        campaign.clicks.mode = campaign.clicks.mode.strictest(most.clicks);
    }
    manifests
}

#[test]
fn a_tenant_that_turns_anonymous_reaches_all_its_mail_and_turning_back_new_mail_alone() {
    let root = tempfile::tempdir().unwrap();
    let (folder, _claimed) = DataFolder::claim(root.path()).unwrap();
    keys::make(&folder, Day(20_000), 0).unwrap();
    let mut appender = Appender::open(&folder).unwrap();
    let individual = manifests(BOTH(Mode::Individual));
    let (tenant, mail_type) = (individual.tenants[0].id, MailType::Campaign);
    let scheduled = individual.campaigns[0].id;
    // A campaign that was deleted since: its mail is in mailboxes all the same.
    let deleted = CampaignId(0xdead);
    let tells = |appender: &Appender, campaign, generation| {
        let mail = Mail { tenant, mail_type, campaign: Some(campaign) };
        mail.capped(appender.journal.log().caps(), generation).tracking
    };
    appender.apply_manifests(&individual, 1).unwrap();
    let before = appender.applied.generation(tenant, mail_type);
    assert_eq!(tells(&appender, deleted, before), BOTH(Mode::Individual));

    // Opens alone first: clicks are decided apart.
    let less = Tracking { opens: Mode::Anonymous, clicks: Mode::Individual };
    appender.apply_manifests(&manifests(less), 2).unwrap();
    assert_eq!(tells(&appender, deleted, before), less);
    appender.apply_manifests(&manifests(BOTH(Mode::Anonymous)), 3).unwrap();
    for campaign in [scheduled, deleted] {
        assert_eq!(tells(&appender, campaign, before), BOTH(Mode::Anonymous));
    }
    assert_eq!(appender.applied.generation(tenant, mail_type), before, "nothing is freer");

    appender.apply_manifests(&individual, 4).unwrap();
    let after = appender.applied.generation(tenant, mail_type);
    assert!(after > before);
    for campaign in [scheduled, deleted] {
        assert_eq!(tells(&appender, campaign, before), BOTH(Mode::Anonymous), "mail that was sent");
        assert_eq!(tells(&appender, campaign, after), BOTH(Mode::Individual), "mail to come");
    }
    // Another type of mail is another policy.
    let other = Mail { tenant, mail_type: MailType::Transactional, campaign: None };
    let transactional = other.capped(appender.journal.log().caps(), before).tracking;
    assert_eq!(transactional, BOTH(Mode::Individual), "no cap was ever asked for");
    assert!(appender.applied.is_of(&individual));
    assert!(!appender.applied.is_of(&manifests(less)), "manifests that `up` has not seen yet");
}
