use super::*;

const TARGET: &str = "192.0.2.1:443";
const DAY: i64 = 24 * 3_600;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn asked(question: &str) -> Asked {
    Asked { target: TARGET.into(), question: question.into() }
}

fn nodes(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn pod(node: &str, role: ProbeRole, question: &str, said: Option<&str>) -> ProbePod {
    ProbePod {
        name: format!("{node}-{role:?}"),
        uid: format!("uid-of-{node}-{role:?}"),
        role,
        node: node.into(),
        question: question.into(),
        made: at(0),
        ended: said.map(str::to_owned),
        going: false,
    }
}

fn pair(node: &str, said: [Option<&str>; 2]) -> Vec<ProbePod> {
    let [restricted, control] = said;
    vec![
        pod(node, ProbeRole::Restricted, "q", restricted),
        pod(node, ProbeRole::Control, "q", control),
    ]
}

const BLOCKED: [Option<&str>; 2] = [Some("TimedOut 192.0.2.1:443"), Some("Reached 192.0.2.1:443")];

#[test]
fn a_node_is_asked_once_and_its_pods_go_when_the_answer_is_known() {
    let (asked, nodes) = (asked("q"), nodes(&["a"]));
    let first = plan(Some(&asked), &nodes, &[], &[], at(0));
    assert_eq!(first.make.len(), 2, "one of each: {first:?}");
    assert!(first.goes_on && first.known.is_empty());

    let running = pair("a", [None, None]);
    let second = plan(Some(&asked), &nodes, &[], &running, at(5));
    assert_eq!(second, Plan { goes_on: true, ..Plan::default() }, "they run");

    let ended = pair("a", BLOCKED);
    let third = plan(Some(&asked), &nodes, &[], &ended, at(10));
    assert_eq!(third.known[0].restricted, ProbeResult::TimedOut);
    assert_eq!(third.known[0].control, ProbeResult::Reached);
    assert!(third.remove.is_empty(), "the status has to have it first");

    let fourth = plan(Some(&asked), &nodes, &third.known, &ended, at(11));
    assert_eq!((fourth.remove.len(), fourth.make.len(), fourth.goes_on), (2, 0, false));
    let rest = plan(Some(&asked), &nodes, &fourth.known, &[], at(DAY - 1));
    assert_eq!(rest, Plan { known: third.known, ..Plan::default() }, "at rest nothing is done");
}

#[test]
fn an_answer_grows_old_and_one_that_proves_nothing_sooner() {
    let (asked, nodes) = (asked("q"), nodes(&["a"]));
    let known = |said| plan(Some(&asked), &nodes, &[], &pair("a", said), at(10)).known;
    let makes = |known: &[EgressProbe], now| plan(Some(&asked), &nodes, known, &[], at(now)).make;
    let proven = known(BLOCKED);
    assert!(makes(&proven, 9 + DAY).is_empty());
    let again = plan(Some(&asked), &nodes, &proven, &[], at(10 + DAY));
    assert_eq!((again.make.len(), again.known), (2, proven), "it stands until there is another");
    let open = [Some("Reached 192.0.2.1:443"), Some("Reached 192.0.2.1:443")];
    for doubted in [open, [Some("TimedOut 192.0.2.1:443"); 2], [Some(""), BLOCKED[1]]] {
        let doubted = known(doubted);
        assert!(makes(&doubted, 3_600).is_empty());
        assert_eq!(makes(&doubted, 3_611).len(), 2, "{doubted:?}");
    }
}

#[test]
fn another_question_asks_anew_and_removes_who_still_asks_the_old_one() {
    let (old, new, nodes) = (asked("q"), asked("r"), nodes(&["a"]));
    let known = plan(Some(&old), &nodes, &[], &pair("a", BLOCKED), at(0)).known;
    let next = plan(Some(&new), &nodes, &known, &pair("a", [None, None]), at(1));
    assert_eq!((next.make.len(), next.remove.len()), (2, 2));
}

#[test]
fn a_pod_that_comes_to_no_end_is_an_answer_and_so_is_one_that_says_something_else() {
    let (asked, nodes) = (asked("q"), nodes(&["a"]));
    let stuck = pair("a", [None, BLOCKED[1]]);
    assert!(plan(Some(&asked), &nodes, &[], &stuck, at(PATIENCE)).known.is_empty());
    let known = plan(Some(&asked), &nodes, &[], &stuck, at(PATIENCE + 1)).known;
    assert_eq!(known[0].restricted, ProbeResult::NoAnswer);
    let other = pair("a", [Some("TimedOut 192.0.2.1:80"), Some("")]);
    let known = plan(Some(&asked), &nodes, &[], &other, at(1)).known;
    assert_eq!([known[0].restricted, known[0].control], [ProbeResult::NoAnswer; 2]);
}

#[test]
fn few_nodes_are_probed_at_once_and_all_of_them_in_the_end() {
    let asked = asked("q");
    let names: Vec<String> = (0..11).map(|number| format!("n{number:02}")).collect();
    let nodes: BTreeSet<String> = names.iter().cloned().collect();
    let (mut known, mut pods, mut rounds) = (Vec::new(), Vec::new(), 0);
    loop {
        let plan = plan(Some(&asked), &nodes, &known, &pods, at(rounds));
        if !plan.goes_on {
            assert!(plan.make.is_empty());
            break;
        }
        known = plan.known;
        let gone: BTreeSet<String> = plan.remove.into_iter().map(|(name, _)| name).collect();
        pods.retain(|pod: &ProbePod| !gone.contains(&pod.name));
        for (node, role) in plan.make {
            let said = if role == ProbeRole::Control { BLOCKED[1] } else { BLOCKED[0] };
            pods.push(pod(&node, role, "q", said));
        }
        assert!(pods.len() <= 4 * AT_ONCE, "{} pods", pods.len());
        rounds += 1;
    }
    assert_eq!(known.len(), 11);
    assert!(rounds < 12, "{rounds}");
}

#[test]
fn what_is_not_asked_any_more_leaves_nothing_behind() {
    let (asked, both) = (asked("q"), nodes(&["a"]));
    let known = plan(Some(&asked), &both, &[], &pair("a", BLOCKED), at(0)).known;
    let end = plan(None, &both, &known, &pair("a", BLOCKED), at(1));
    assert_eq!((end.known.len(), end.remove.len(), end.goes_on), (0, 2, false));
    // A rollout empties a node for a moment, and autoscaling for ever.
    let moved = plan(Some(&asked), &nodes(&["b"]), &known, &[], at(1));
    assert_eq!(moved.known, known);
    assert!(plan(Some(&asked), &nodes(&["b"]), &known, &[], at(DAY)).known.is_empty());
}

#[test]
fn one_that_is_being_deleted_is_waited_for() {
    let (asked, nodes) = (asked("q"), nodes(&["a"]));
    let mut pods = pair("a", BLOCKED);
    pods[0].going = true;
    let plan = plan(Some(&asked), &nodes, &[], &pods, at(1));
    assert!(plan.known.is_empty() && plan.make.is_empty() && plan.remove.is_empty());
}
