//! Manifests that are right one by one and wrong together.

use hushmark_crds::directory;
use hushmark_policy::Mode;
use hushmark_policy::resolve::Source;

use crate::fixture::{Folder, answers, golden, good};

const SECOND_REGION: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Region
metadata: {name: us}
spec:
  jurisdiction: US
  baseUrl: https://us.example.com
  ceilings: {opens: \"off\", clicks: \"off\"}
";

const SECOND_TENANT: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Tenant
metadata: {name: acme-two, namespace: acme}
spec: {region: eu}
";

#[test]
fn wrong_together() {
    let (region, tenant, campaign) = ("region.yaml", "tenant.yaml", "campaign.yaml");
    let text = |file| String::from_utf8(good().bytes(file).to_vec()).unwrap();
    let cases = vec![
        ("no region", good().without(region)),
        (
            "nothing at all",
            good().without(region).without(tenant).without(campaign).without("policies.yaml"),
        ),
        ("two regions", good().file("z.yaml", SECOND_REGION)),
        (
            "one host twice",
            good().edit(region, "[https://old.example.com]", "[https://t.example.com:443]"),
        ),
        ("one region twice", good().file("z.yaml", text(region))),
        ("a region that is not here", good().edit(tenant, "region: eu", "region: us")),
        ("no tenant", good().without(tenant)),
        (
            "a tenant in another namespace",
            good().edit(tenant, "namespace: acme", "namespace: acme-two"),
        ),
        ("two tenants in one namespace", good().file("z.yaml", SECOND_TENANT)),
        ("one campaign twice", good().file("z.yaml", text(campaign))),
        (
            "one campaign twice in a file",
            good().file(campaign, format!("{0}---\n{0}", text(campaign))),
        ),
        ("one tenant twice", good().file("z.yaml", text(tenant))),
        ("a policy that is not here", good().edit(campaign, "two-years", "ten-years")),
        (
            "a policy of another kind",
            good().edit(campaign, "retentionPolicy", "anonymizationPolicy"),
        ),
    ];
    golden!(answers(cases));
}

/// A region that limits what policies keep.
fn kept_at_most(keep: &str) -> Folder {
    let with = format!("    place: country\n    keep: {{{keep}}}\n");
    good().edit("region.yaml", "    place: country\n", &with)
}

#[test]
fn above_a_ceiling() {
    let (region, tenant, campaign) = ("region.yaml", "tenant.yaml", "campaign.yaml");
    let cases = vec![
        ("a campaign's opens", good().edit(campaign, "opens: anonymous", "opens: individual")),
        ("the day of a last open", good().edit(campaign, "opens: anonymous", "opens: lastOpenDay")),
        ("a campaign's clicks", good().edit(campaign, "clicks: overall", "clicks: anonymous")),
        (
            "both",
            good().edit(campaign, "opens: anonymous", "opens: individual").edit(
                campaign,
                "clicks: overall",
                "clicks: individual",
            ),
        ),
        ("a tenant's default", good().edit(tenant, "clicks: overall", "clicks: individual")),
        (
            "a default for transactional mail",
            good().edit(tenant, "    campaign:", "    transactional:").edit(
                tenant,
                "opens: anonymous",
                "opens: individual",
            ),
        ),
        (
            "a killed tenant's campaign",
            good().edit(tenant, "  region: eu", "  region: eu\n  killSwitch: true").edit(
                campaign,
                "opens: anonymous",
                "opens: individual",
            ),
        ),
        (
            "a place",
            good().edit(region, "    place: country\n", "").edit(
                campaign,
                "  list:",
                "  place: country\n  list:",
            ),
        ),
        ("rows and counters kept too long", kept_at_most("rowsDays: 60, countersDays: 365")),
        ("rows kept as long as counters", {
            let keep = "    rowsDays: 90\n    countersDays: 730\n";
            let without = "    countersDays: 730\n";
            kept_at_most("rowsDays: 60").edit("policies.yaml", keep, without)
        }),
        ("a campaign that no policy ends", {
            kept_at_most("countersDays: 730").edit(campaign, "  retentionPolicy: two-years\n", "")
        }),
        ("steps that come after all is removed", {
            let both = "retentionPolicy: two-years\n  anonymizationPolicy: fade";
            let folder = good().edit(campaign, "retentionPolicy: two-years", both);
            let folder =
                folder.edit("policies.yaml", "dropRows, afterDays: 30", "dropRows, afterDays: 90");
            folder.edit("policies.yaml", "hourToDay, afterDays: 90", "hourToDay, afterDays: 800")
        }),
        ("too many days", good().edit(campaign, "  list:", "  trackForDays: 401\n  list:")),
    ];
    golden!(answers(cases));
}

#[test]
fn a_fault_elsewhere_is_not_taken_for_a_missing_resource() {
    let folder = good().edit("tenant.yaml", "region: eu", "regions: eu");
    let refused = folder.refused();
    assert!(refused.lines().all(|line| line.starts_with("tenant.yaml:")), "{refused}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let faults = directory("/nowhere/at/all".as_ref()).unwrap_err();
    assert_eq!(
        faults[0].to_string(),
        "/nowhere/at/all: cannot read this folder of manifests: \
         No such file or directory (os error 2)"
    );
}

/// What is not refused comes out as the policy says: the stricter of tenant and campaign, and
/// nothing where nobody says anything.
#[test]
fn what_passes_is_resolved() {
    let plan = good().edit("campaign.yaml", "opens: anonymous", "opens: overall").load().unwrap();
    let campaign = plan.campaign("spring").unwrap();
    assert_eq!((campaign.opens.mode, &campaign.opens.source), (Mode::Overall, &Source::Campaign));

    let tracking = "  tracking:\n    opens: anonymous\n    clicks: overall\n";
    let silent = good().edit("campaign.yaml", tracking, "").edit(
        "campaign.yaml",
        "type: campaign",
        "type: transactional",
    );
    let plan = silent.load().unwrap();
    let campaign = plan.campaign("spring").unwrap();
    assert_eq!((campaign.opens.mode, &campaign.opens.source), (Mode::Off, &Source::NothingSaid));

    let killed = good().edit("tenant.yaml", "  region: eu", "  region: eu\n  killSwitch: true");
    let plan = killed.load().unwrap();
    let campaign = plan.campaign("spring").unwrap();
    assert_eq!((campaign.clicks.mode, &campaign.clicks.source), (Mode::Off, &Source::KillSwitch));
}
