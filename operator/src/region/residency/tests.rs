use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::*;

fn place(pod: &str, region: Option<&str>) -> Place {
    Place {
        pod: pod.into(),
        node: format!("node-of-{pod}"),
        region: region.map(Into::into),
        is_operator: pod.starts_with("operator"),
    }
}

fn volume(claim: &str, regions: Option<&[&str]>) -> Volume {
    let regions = regions.map(|all| all.iter().map(|&region| region.to_owned()).collect());
    Volume { claim: claim.into(), name: format!("volume-of-{claim}"), regions }
}

fn probe(pod: &str, restricted: ProbeResult, control: ProbeResult) -> EgressProbe {
    let at = Time(Timestamp::from_second(1_000).unwrap());
    EgressProbe { node: format!("node-of-{pod}"), question: "q".into(), at, restricted, control }
}

/// Everything is as it should be, until a test changes it.
struct Scene {
    selector: BTreeMap<String, String>,
    facts: Facts,
    open: Vec<String>,
    asked: Option<Asked>,
    probes: Vec<EgressProbe>,
    trouble: Option<&'static str>,
}

impl Scene {
    fn good() -> Self {
        let central = Some("eu-central");
        let facts = Facts {
            places: vec![place("a", central), place("b", central), place("operator", central)],
            volumes: vec![volume("a", Some(&["eu-central"]))],
            ..Facts::default()
        };
        let blocked = |pod| probe(pod, ProbeResult::TimedOut, ProbeResult::Reached);
        Self {
            selector: BTreeMap::from([(REGION_OF_NODE.to_owned(), "eu-central".to_owned())]),
            facts,
            open: Vec::new(),
            asked: Some(Asked { target: "192.0.2.1:443".into(), question: "q".into() }),
            probes: vec![blocked("a"), blocked("b")],
            trouble: None,
        }
    }

    fn judged(&self) -> Wanted {
        judge(&Case {
            selector: &self.selector,
            facts: &self.facts,
            open: self.open.clone(),
            asked: self.asked.as_ref(),
            probes: &self.probes,
            trouble: self.trouble,
        })
    }

    /// Judged after a change.
    fn with(change: impl FnOnce(&mut Self)) -> (Status, &'static str) {
        let mut scene = Self::good();
        change(&mut scene);
        let wanted = scene.judged();
        (wanted.status, wanted.reason)
    }
}

use Status::{False, True, Unknown};

#[test]
fn it_is_proven_only_where_nothing_is_missing() {
    let wanted = Scene::good().judged();
    assert_eq!((wanted.status, wanted.reason), (True, "Proven"), "{}", wanted.message);
    assert!(wanted.message.contains("on each of 2 nodes"), "{}", wanted.message);
    for blocked in [ProbeResult::Refused, ProbeResult::Unreachable] {
        assert_eq!(Scene::with(|it| it.probes[0].restricted = blocked).0, True);
    }
}

#[test]
fn without_the_positive_control_it_is_unknown() {
    for control in ProbeResult::ALL.into_iter().filter(|it| *it != ProbeResult::Reached) {
        let judged = Scene::with(|it| it.probes[1].control = control);
        assert_eq!(judged, (Unknown, "ControlFailed"), "{control:?}");
    }
}

#[test]
fn a_pod_that_tried_nothing_shows_nothing() {
    for restricted in [ProbeResult::NoAnswer, ProbeResult::NotResolved] {
        let judged = Scene::with(|it| it.probes[0].restricted = restricted);
        assert_eq!(judged, (Unknown, "ProbeFailed"), "{restricted:?}");
    }
}

#[test]
fn one_connection_that_got_through_is_enough_to_say_no() {
    let through = |it: &mut Scene| it.probes[1].restricted = ProbeResult::Reached;
    assert_eq!(Scene::with(through), (False, "EgressOpen"));
    // Also where other things are not known, and where the control fails.
    let judged = Scene::with(|it| {
        through(it);
        it.probes[1].control = ProbeResult::TimedOut;
        it.facts.volumes[0].regions = None;
    });
    assert_eq!(judged, (False, "EgressOpen"));
}

#[test]
fn an_answer_to_another_question_or_from_another_node_counts_for_nothing() {
    assert_eq!(Scene::with(|it| it.probes[0].question = "old".into()), (Unknown, "Probing"));
    assert_eq!(Scene::with(|it| it.probes[0].node = "elsewhere".into()), (Unknown, "Probing"));
    assert_eq!(Scene::with(|it| it.probes.clear()), (Unknown, "Probing"));
    let stale = Scene::with(|it| {
        it.probes[0].question = "old".into();
        it.probes[0].restricted = ProbeResult::Reached;
    });
    assert_eq!(stale, (Unknown, "Probing"), "what it says of other policies is no news");
}

#[test]
fn without_a_target_it_says_what_to_set() {
    let mut scene = Scene::good();
    scene.asked = None;
    let wanted = scene.judged();
    assert_eq!((wanted.status, wanted.reason), (Unknown, "EgressNotProbed"));
    assert!(wanted.message.contains("set spec.egressProbe.target"), "{}", wanted.message);
    let refused = Scene::with(|it| it.trouble = Some("exceeded quota"));
    assert_eq!(refused, (Unknown, "ProbeRefused"));
}

#[test]
fn what_the_policies_leave_open_is_not_proven_away() {
    let judged = Scene::with(|it| it.open = vec!["port 8123 for ch.example.com".into()]);
    assert_eq!(judged, (Unknown, "EgressNotLimited"));
    let judged = Scene::with(|it| it.facts.strangers = vec!["allow-all".into()]);
    assert_eq!(judged, (Unknown, "OtherPolicies"));
}

#[test]
fn one_pod_elsewhere_is_enough_to_say_no() {
    let judged = Scene::with(|it| {
        it.facts.places[0].region = Some("us-east".into());
        it.facts.places[1].region = None;
    });
    assert_eq!(judged, (False, "OutsideTheRegion"));
}

#[test]
fn a_volume_that_may_be_elsewhere_says_no_and_one_that_is_silent_says_nothing() {
    let at = |regions: Option<&'static [&'static str]>| {
        Scene::with(move |it| it.facts.volumes.push(volume("redis", regions)))
    };
    assert_eq!(at(Some(&["us-east"])), (False, "VolumesOutside"));
    assert_eq!(at(Some(&["eu-central", "us-east"])), (False, "VolumesOutside"));
    assert_eq!(at(None), (Unknown, "VolumesUnlabelled"));
    assert_eq!(at(Some(&["eu-central"])).0, True);
}

#[test]
fn the_operator_elsewhere_is_told_where_it_is_pinned() {
    let told = |places: &[Place]| {
        let mut scene = Scene::good();
        scene.facts.places = places.to_vec();
        scene.judged().message
    };
    let operator = place("operator", Some("us-east"));
    let message = told(&[operator.clone(), place("edge", Some("eu-central"))]);
    assert!(message.contains("operator.nodeSelector: name topology"), "{message}");
    assert!(!message.contains("Delete them"), "that would not move it: {message}");
    let message = told(&[operator, place("edge", Some("us-east"))]);
    assert!(message.contains("Delete them"), "{message}");
}

#[test]
fn what_is_not_known_of_pods_and_nodes_is_said() {
    assert_eq!(Scene::with(|it| it.facts.places[1].region = None), (Unknown, "NodesUnlabelled"));
    assert_eq!(Scene::with(|it| it.facts.places.clear()), (Unknown, "NothingRuns"));
    assert_eq!(Scene::with(|it| it.selector.clear()), (Unknown, "NotPinned"));
}
