//! Files that are no manifests at all.

use proptest::prelude::*;

use crate::fixture::{answers, golden, good};

/// "A billion laughs": nine levels, ten times each.
fn anchor_bomb() -> String {
    let level = |n: usize| {
        let items = vec![format!("*a{}", n - 1); 10].join(", ");
        format!("a{n}: &a{n} [{items}]\n")
    };
    format!("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{}", (1..9).map(level).collect::<String>())
}

#[test]
fn not_yaml() {
    let campaign = "campaign.yaml";
    let cases = vec![
        (
            "a bracket is open",
            good().edit(campaign, "path: recipients.csv", "path: [recipients.csv"),
        ),
        ("a quote is open", good().edit(campaign, "subject: What", "subject: \"What")),
        ("a colon too many", good().edit(campaign, "subject: What", "subject: What: now")),
        ("indented with a tab", good().edit(campaign, "  tracking:", "\ttracking:")),
        ("a tab after spaces", good().edit(campaign, "    opens:", "  \topens:")),
        ("indented too little", good().edit(campaign, "  subject:", " subject:")),
        ("a field twice", good().edit(campaign, "  subject:", "  type: campaign\n  subject:")),
        ("an anchor that is not there", good().edit(campaign, "What spring brings", "*spring")),
        ("not UTF-8", good().file(campaign, b"kind: Campaign\nname: \xff\xfe\n")),
        ("a list", good().file(campaign, "- kind: Campaign\n")),
        ("prose", good().file(campaign, "Dear reader\n")),
    ];
    golden!(answers(cases));
}

#[test]
fn too_much() {
    let deep = format!("{}x{}", "[".repeat(100), "]".repeat(100));
    let cases = vec![
        ("an anchor bomb", good().file("bomb.yaml", anchor_bomb())),
        ("an anchor that holds itself", good().file("bomb.yaml", "a: &a [*a]\n")),
        ("a hundred brackets deep", good().file("deep.yaml", deep)),
        ("ten megabytes of one text", good().file("big.yaml", vec![b'x'; 10 << 20])),
        ("ten megabytes of lines", good().file("big.yaml", "- x\n".repeat(10 << 18))),
        ("as many entries as fit", good().file("many.yaml", "- x\n".repeat((1 << 20) / 4 - 1))),
    ];
    golden!(answers(cases));
}

#[test]
fn anchors_that_help_a_person_are_welcome() {
    let folder = good().edit(
        "tenant.yaml",
        "    campaign:\n      opens: anonymous\n      clicks: overall\n",
        "    campaign: &modes\n      opens: anonymous\n      clicks: overall\n    \
         transactional: *modes\n",
    );
    let tenants = folder.load().unwrap().tenants;
    assert_eq!(tenants[0].campaign, tenants[0].transactional);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a file holds, the answer is a plan or a list of faults, each with its file.
    #[test]
    fn no_file_makes_it_panic(
        at in 0.0..1.0f64,
        cut in 0..40usize,
        put in prop_oneof![
            ".{0,12}",
            "[ \t\n:&*\\[\\]{}\"'#!|>%@,?-]{1,12}",
            Just("null".to_owned()),
        ],
    ) {
        for file in ["campaign.yaml", "region.yaml", "policies.yaml"] {
            let good = good();
            let bytes = good.bytes(file);
            let from = (bytes.len() as f64 * at) as usize;
            let to = (from + cut).min(bytes.len());
            let spoiled = [&bytes[..from], put.as_bytes(), &bytes[to..]].concat();
            if let Err(faults) = good.clone().file(file, spoiled).load() {
                prop_assert!(!faults.is_empty());
                prop_assert!(faults.iter().all(|f| !f.file.as_os_str().is_empty()));
                prop_assert!(faults.iter().all(|f| !f.to_string().contains('\n')));
            }
        }
    }
}
