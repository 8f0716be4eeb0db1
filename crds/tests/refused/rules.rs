//! The CEL rules: each refuses with its own words, at the right line. That each refuses at least
//! two is in `tests/bad.rs`.

use hushmark_crds::{Campaign, Region, Tenant};

use crate::fixture::{Folder, answers, golden, good};

/// What is wrong, and the folder.
type Case = (&'static str, Folder);

fn region(from: &str, to: &str) -> Folder {
    good().edit("region.yaml", from, to)
}

fn campaign(from: &str, to: &str) -> Folder {
    good().edit("campaign.yaml", from, to)
}

fn policies(from: &str, to: &str) -> Folder {
    good().edit("policies.yaml", from, to)
}

fn region_cases() -> Vec<Case> {
    let base = "https://t.example.com";
    let former = "[https://old.example.com]";
    let database = "  placeDatabase: country.mmdb\n";
    vec![
        ("a jurisdiction in small letters", region("jurisdiction: EU", "jurisdiction: eu")),
        ("a jurisdiction in words", region("jurisdiction: EU", "jurisdiction: Germany")),
        ("a slash at the end of the URL", region(base, "https://t.example.com/")),
        ("a user in the URL", region(base, "https://me@t.example.com")),
        ("another scheme", region(base, "ftp://t.example.com")),
        ("port 65536", region(base, "https://t.example.com:65536")),
        ("plain http", region(base, "http://t.example.com")),
        ("plain http in a private network", region(base, "http://10.0.0.1:8080")),
        (
            "plain http to a name that begins like loopback",
            region(base, "http://127.0.0.1.example.com"),
        ),
        ("a path in a former URL", region(former, "[https://old.example.com/t]")),
        ("plain http in a former URL", region(former, "[http://old.example.com]")),
        ("the same host, new and former", region(former, "[https://t.example.com]")),
        ("the same among others", region(former, "[https://a.example.com, https://t.example.com]")),
        ("a proxy by name", region("[10.0.0.0/8]", "[proxy.example.com]")),
        ("a proxy without a prefix", region("[10.0.0.0/8]", "[10.0.0.0/8, 10.0.0.1]")),
        ("a database of another kind", region("country.mmdb", "country.csv")),
        ("a database without an end", region("country.mmdb", "country")),
        ("a place and no database", region(database, "")),
        ("a place and an empty database", region(database, "  placeDatabase:\n")),
        ("an epoch in milliseconds", region("epoch: 1h", "epoch: 500ms")),
        ("an epoch of nothing", region("epoch: 1h", "epoch: 0s")),
        ("a key for weeks", region("epoch: 1h", "keys: {rotateEvery: 12w}\n  epoch: 1h")),
        ("a key for no day", region("epoch: 1h", "keys: {rotateEvery: 0d}\n  epoch: 1h")),
        ("an epoch longer than a day", region("epoch: 1h", "epoch: 25h")),
        ("a scheme in an egress host", region("smtp.example.com:587", "https://smtp.example.com")),
        ("an egress host with a star", region("smtp.example.com:587", "\"*.example.com\"")),
        ("an egress to a country in words", region("jurisdiction: DE", "jurisdiction: Germany")),
        ("an egress to a country in small letters", region("jurisdiction: DE", "jurisdiction: de")),
    ]
}

fn campaign_cases() -> Vec<Case> {
    let list = "  list:\n    path: recipients.csv\n";
    let from = "Acme News <news@acme.example>";
    let content = "    path: newsletter.html\n";
    let digest = |text: &str| format!("{content}    digest: {text}\n");
    vec![
        ("no list", campaign(list, "")),
        ("an empty list", campaign(list, "  list:\n")),
        (
            "a line break in the subject",
            campaign("What spring brings", "\"Spring\\nBcc: all@acme.example\""),
        ),
        ("a bell in the subject", campaign("What spring brings", "\"Spring \\a\"")),
        ("a sender without an address", campaign(from, "Acme News")),
        ("two senders", campaign(from, "a@acme.example, b@acme.example")),
        ("a line break in the sender", campaign(from, "\"Acme\\nBcc: x <news@acme.example>\"")),
        ("content elsewhere", campaign("newsletter.html", "/etc/passwd")),
        ("content above", campaign("newsletter.html", "a/../../secret.html")),
        ("a list above", campaign("recipients.csv", "../recipients.csv")),
        ("a list without a name", campaign("recipients.csv", "\"\"")),
        ("a short digest", campaign(content, &digest("sha256:abcd"))),
        (
            "a digest of another kind",
            campaign(content, &digest("md5:d41d8cd98f00b204e9800998ecf8427e")),
        ),
    ]
}

fn policy_cases() -> Vec<Case> {
    let keep = "    rowsDays: 90\n    countersDays: 730\n";
    vec![
        ("hours of a week", policies("hourToDay, afterDays: 90", "hourToDay, afterDays: 7")),
        (
            "keeping nothing in particular",
            policies("  keep:\n    rowsDays: 90\n    countersDays: 730\n", "  keep: {}\n"),
        ),
        ("keeping what is left empty", policies(keep, "    rowsDays:\n    countersDays:\n")),
        ("rows longer than counters", policies("countersDays: 730", "countersDays: 89")),
        ("rows much longer than counters", policies("rowsDays: 90", "rowsDays: 3000")),
    ]
}

#[test]
fn rules_of_regions() {
    golden!(answers(region_cases()));
}

#[test]
fn rules_of_campaigns() {
    golden!(answers(campaign_cases()));
}

#[test]
fn rules_of_policies() {
    golden!(answers(policy_cases()));
}

fn words(errors: &[kube::core::cel::ValidationError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

/// A change to a resource that is there, and the answer of its transition rules.
fn changes() -> Vec<(&'static str, String)> {
    fn object<T: serde::de::DeserializeOwned>(folder: &Folder, file: &str) -> T {
        serde_saphyr::from_slice(folder.bytes(file)).unwrap()
    }
    let region_change = |from, to| {
        let (old, new): (Region, Region) =
            (object(&good(), "region.yaml"), object(&region(from, to), "region.yaml"));
        new.validate_cel_update(&old).map_err(|e| words(&e))
    };
    let tenant_change = |from, to| {
        let spoiled = good().edit("tenant.yaml", from, to);
        let (old, new): (Tenant, Tenant) =
            (object(&good(), "tenant.yaml"), object(&spoiled, "tenant.yaml"));
        new.validate_cel_update(&old).map_err(|e| words(&e))
    };
    let campaign_change = |old: Folder, new: Folder| {
        let (old, new): (Campaign, Campaign) =
            (object(&old, "campaign.yaml"), object(&new, "campaign.yaml"));
        new.validate_cel_update(&old).map_err(|e| words(&e))
    };
    let transactional = || campaign("type: campaign", "type: transactional");
    region_change("minimumGroup: 10", "minimumGroup: 11").expect("a group may grow");
    campaign_change(good(), campaign("What spring", "What autumn")).expect("a subject may change");
    vec![
        ("another law", region_change("jurisdiction: EU", "jurisdiction: US").unwrap_err()),
        (
            "another law in Europe",
            region_change("jurisdiction: EU", "jurisdiction: DE").unwrap_err(),
        ),
        ("a smaller group", region_change("minimumGroup: 10", "minimumGroup: 9").unwrap_err()),
        ("the smallest group", region_change("minimumGroup: 10", "minimumGroup: 5").unwrap_err()),
        ("another region", tenant_change("region: eu", "region: us").unwrap_err()),
        ("a region renamed", tenant_change("region: eu", "region: eu-1").unwrap_err()),
        ("to transactional", campaign_change(good(), transactional()).unwrap_err()),
        ("to campaign", campaign_change(transactional(), good()).unwrap_err()),
    ]
}

#[test]
fn what_cannot_change() {
    let text: String =
        changes().iter().map(|(what, answer)| format!("# {what}\n{answer}\n")).collect();
    golden!(text);
}
