//! Fields that the schema does not know, or values that it does not allow.

use crate::fixture::{Folder, answers, golden, good};

const NO_SPEC: &str = "\
apiVersion: hushmark.io/v1alpha1
kind: Campaign
metadata: {name: a, namespace: acme}
";

const STEPS: &str = "    - { action: dropRows, afterDays: 30 }
    - { action: hourToDay, afterDays: 90 }
";

fn at(moment: &str) -> String {
    format!("  schedule: {{at: {moment}}}\n  list:")
}

fn region(from: &str, to: &str) -> Folder {
    good().edit("region.yaml", from, to)
}

fn tenant(from: &str, to: &str) -> Folder {
    good().edit("tenant.yaml", from, to)
}

fn campaign(from: &str, to: &str) -> Folder {
    good().edit("campaign.yaml", from, to)
}

#[test]
fn unknown_and_missing() {
    let cases = vec![
        ("a typing error", campaign("  tracking:", "  trakcing:")),
        ("a field of another resource", campaign("  list:", "  killSwitch: true\n  list:")),
        ("a field at the top", campaign("spec:", "status: {}\nspec:")),
        ("half of the tracking", campaign("    clicks: overall\n", "")),
        ("an empty field", campaign("  subject: What spring brings", "  subject:")),
        ("no spec", good().file("campaign.yaml", NO_SPEC)),
        (
            "no ceilings",
            region(
                "  ceilings:\n    opens: anonymous\n    clicks: overall\n    place: country\n",
                "",
            ),
        ),
        ("no namespace", campaign("  namespace: acme\n", "")),
        ("a Region with a namespace", region("  name: eu", "  name: eu\n  namespace: x")),
        (
            "several at once",
            campaign("opens: anonymous", "opens: everyone")
                .edit("campaign.yaml", "  subject:", "  subjects:")
                .edit("region.yaml", "minimumGroup: 10", "minimumGroup: 3"),
        ),
    ];
    golden!(answers(cases));
}

#[test]
fn kinds() {
    let cases = vec![
        ("an unknown kind", campaign("kind: Campaign", "kind: Newsletter")),
        ("no kind", campaign("kind: Campaign\n", "")),
        ("an unknown version", campaign("hushmark.io/v1alpha1", "hushmark.io/v1")),
        (
            "a resource of Kubernetes",
            good().file("ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: acme}\n"),
        ),
    ];
    golden!(answers(cases));
}

#[test]
fn values() {
    let cases = vec![
        ("an unknown mode", campaign("opens: anonymous", "opens: everyone")),
        ("an unknown mode in capitals", campaign("opens: anonymous", "opens: Anonymous")),
        ("a day of clicks", campaign("clicks: overall", "clicks: lastOpenDay")),
        ("a day as a ceiling", region("opens: anonymous", "opens: lastOpenDay")),
        ("consent for a day", tenant("  region: eu", "  region: eu\n  consentFrom: lastOpenDay")),
        ("off without quotes", campaign("opens: anonymous", "opens: off")),
        ("off without quotes in a ceiling", region("clicks: overall", "clicks: Off")),
        ("no without quotes", region("jurisdiction: EU", "jurisdiction: no")),
        ("a number for a text", campaign("What spring brings", "2027")),
        ("a list for a text", campaign("What spring brings", "[a, b]")),
        ("a text for a number", region("minimumGroup: 10", "minimumGroup: ten")),
        ("a quoted number", region("minimumGroup: 10", "minimumGroup: \"10\"")),
        ("a broken number", region("minimumGroup: 10", "minimumGroup: 10.5")),
        (
            "a text for fields",
            campaign("  list:\n    path: recipients.csv", "  list: recipients.csv"),
        ),
        ("fields for a list", region("[10.0.0.0/8]", "{a: b}")),
        ("a text for a boolean", tenant("  region: eu", "  region: eu\n  killSwitch: maybe")),
        ("a group too small", region("minimumGroup: 10", "minimumGroup: 1")),
        ("a group too large", region("minimumGroup: 10", "minimumGroup: 99999999999999999999")),
        ("an unknown mail type", campaign("type: campaign", "type: newsletter")),
        ("a place too fine", campaign("  tracking:", "  place: city\n  tracking:")),
        ("an unknown acknowledgement", region("  epoch", "  acknowledgement: memory\n  epoch")),
        ("an empty subject", campaign("What spring brings", "\"\"")),
        ("a long subject", campaign("What spring brings", &"spring ".repeat(200))),
        (
            "a long and strange mode",
            campaign("opens: anonymous", &format!("opens: \"\\e[31m{}\"", "x".repeat(500))),
        ),
        ("a date without a time", campaign("  list:", &at("2026-12-01"))),
        ("a day that no calendar has", campaign("  list:", &at("'2026-02-30T08:00:00Z'"))),
        ("a policy without steps", good().edit("policies.yaml", STEPS, "    []\n")),
        ("an action twice", good().edit("policies.yaml", "action: hourToDay", "action: dropRows")),
        ("a proxy twice", region("[10.0.0.0/8]", "[10.0.0.0/8, 10.0.0.0/8]")),
        (
            "a host twice",
            region(
                "[https://old.example.com]",
                "\n    - https://old.example.com\n    - https://old.example.com",
            ),
        ),
        ("a name in capitals", campaign("name: spring", "name: Spring_2027")),
        ("a namespace with a dot", campaign("namespace: acme", "namespace: acme.example")),
        (
            "a label that is a number",
            campaign("  name: spring", "  labels: {year: 2027}\n  name: spring"),
        ),
    ];
    golden!(answers(cases));
}
