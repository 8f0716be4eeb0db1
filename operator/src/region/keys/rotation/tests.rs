use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

impl Held {
    /// Keys of these numbers, made for no request.
    pub(in crate::region) fn of(kids: impl IntoIterator<Item = u16>) -> Self {
        Self { kids: kids.into_iter().collect(), obeyed: None }
    }
}

fn at(day: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + day * 86_400).unwrap()
}

fn next(kids: &[u16], sealing: Option<u16>, asked: [Option<&str>; 2], day: i64) -> Next {
    let kids = kids.iter().copied().collect();
    let facts = Facts {
        kids: &kids,
        sealing: sealing.map(|kid| (kid, at(0))),
        obeyed: [asked[0], None],
        asked: asked[1],
        every: Some(90),
        now: at(day),
    };
    facts.next()
}

#[test]
fn the_first_key_seals_at_once_and_any_other_is_confirmed() {
    assert_eq!(next(&[1], None, [None; 2], 0), Next::First(1));
    assert_eq!(next(&[1, 2], None, [None; 2], 0), Next::Confirm(2), "the status was lost");
    assert_eq!(next(&[1, 2], Some(1), [None; 2], 0), Next::Confirm(2), "a rotation goes on");
    assert_eq!(next(&[1, 2], Some(2), [None; 2], 0), Next::Rest);
}

#[test]
fn a_key_is_made_when_it_is_due_and_when_a_new_request_is_there() {
    assert_eq!(next(&[1], Some(1), [None; 2], 89), Next::Rest);
    assert_eq!(next(&[1], Some(1), [None; 2], 90), Next::Distribute(2));
    assert_eq!(next(&[1], Some(1), [None, Some("a")], 1), Next::Distribute(2));
    assert_eq!(next(&[1, 7], Some(7), [Some("a"), Some("b")], 1), Next::Distribute(8));
    assert_eq!(next(&[1], Some(1), [Some("a"), Some("a")], 1), Next::Rest, "it was obeyed");
    assert_eq!(next(&[1], Some(1), [Some("a"), None], 1), Next::Rest, "it was taken away");
    assert_eq!(next(&[1, 2], Some(1), [Some("a"), Some("b")], 1), Next::Confirm(2), "one by one");
    assert_eq!(next(&[u16::MAX], Some(u16::MAX), [None; 2], 90), Next::NoNumberLeft);
}

#[test]
fn an_annotation_asks_for_what_it_says_and_for_nothing_where_it_is_empty() {
    let of = |value: &str| asked(&BTreeMap::from([(ROTATE_KEYS.to_owned(), value.to_owned())]));
    assert_eq!(of(" 2026-11-22 "), Some("2026-11-22".to_owned()));
    assert_eq!(of("  "), None);
    assert_eq!(of(&"x".repeat(1_000)).map(|it| it.len()), Some(ASKED_LEN));
}

#[test]
fn who_is_waited_for_is_named() {
    let lacking = BTreeMap::from([
        ("eu-edge-0".to_owned(), Lacks::Key(vec![1, 2])),
        ("eu-edge-1".to_owned(), Lacks::Heartbeat),
    ]);
    let told = told(&lacking);
    assert!(told.starts_with("waits for eu-edge-0 (has 1, 2), eu-edge-1 (no heartbeat). "));
    let many = (0..20).map(|n| (format!("e{n:02}"), Lacks::Heartbeat)).collect();
    assert!(super::told(&many).contains("e07 (no heartbeat), 12 more."));
}

/// A region without a cluster: what is written where, and edges that are slow to see it.
#[derive(Clone, Debug)]
struct Model {
    /// The Secret.
    kids: BTreeSet<u16>,
    obeyed: Option<String>,
    /// The status: which key seals, since when, and the last request.
    sealing: Option<(u16, Timestamp)>,
    asked: Option<String>,
    /// What the operator's watch last told it of the status.
    seen: (Option<(u16, Timestamp)>, Option<String>),
    /// The annotation.
    wish: Option<String>,
    wishes: u32,
    desired: usize,
    /// Keys of each edge that lives, by ordinal; its pod's folder may have more.
    edges: BTreeMap<usize, BTreeSet<u16>>,
    now: Timestamp,
    made: u32,
}

/// What happens.
#[derive(Clone, Debug)]
enum Deed {
    /// The operator looks, and dies after so many of its writes.
    Look {
        dies_after: u8,
    },
    /// The watch brings the status as it is.
    Watch,
    /// An edge sees the Secret as it is.
    Reload(usize),
    /// An edge starts with the Secret as it is.
    Start(usize),
    /// An edge ends.
    End(usize),
    Scale(usize),
    Wish,
    Days(i64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = prop_oneof![
        5 => (0u8..4).prop_map(|dies_after| Deed::Look { dies_after }),
        3 => Just(Deed::Watch),
        4 => (0usize..4).prop_map(Deed::Reload),
        2 => (0usize..4).prop_map(Deed::Start),
        1 => (0usize..4).prop_map(Deed::End),
        1 => (0usize..4).prop_map(Deed::Scale),
        2 => Just(Deed::Wish),
        1 => (1i64..60).prop_map(Deed::Days),
    ];
    proptest::collection::vec(one, 0..80)
}

impl Model {
    fn new() -> Self {
        Self {
            kids: [1].into(),
            obeyed: None,
            sealing: None,
            asked: None,
            seen: (None, None),
            wish: None,
            wishes: 0,
            desired: 2,
            edges: BTreeMap::new(),
            now: at(0),
            made: 0,
        }
    }

    fn beats(&self) -> Vec<Heartbeat> {
        let beat = |(ordinal, kids): (&usize, &BTreeSet<u16>)| Heartbeat {
            pod: format!("edge-{ordinal}"),
            kids: kids.iter().copied().collect(),
            ..Heartbeat::default()
        };
        self.edges.iter().map(beat).collect()
    }

    /// As `turn` does it, with a death at each write.
    fn look(&mut self, dies_after: u8) {
        let mut writes = dies_after;
        let mut dies = || {
            let dies = writes == 0;
            writes = writes.saturating_sub(1);
            dies
        };
        let facts = Facts {
            kids: &self.kids,
            sealing: self.seen.0,
            obeyed: [self.obeyed.as_deref(), self.seen.1.as_deref()],
            asked: self.wish.as_deref(),
            every: Some(90),
            now: self.now,
        };
        let mut next = facts.next();
        if let Next::Distribute(kid) = next {
            if dies() {
                return;
            }
            assert!(self.kids.insert(kid), "a number is given once");
            self.obeyed = self.wish.clone().or(self.obeyed.take());
            self.made += 1;
            next = Next::Confirm(kid);
        }
        let wanted: Vec<String> =
            (0..self.desired).map(|ordinal| format!("edge-{ordinal}")).collect();
        let sealing = match next {
            Next::First(kid) => Some(kid),
            Next::Confirm(kid) => {
                let wanted = wanted.iter().map(String::as_str);
                lacking(&self.beats(), wanted, kid).is_empty().then_some(kid)
            }
            Next::Rest | Next::Distribute(_) | Next::NoNumberLeft => None,
        };
        if dies() {
            return;
        }
        self.asked = self.obeyed.clone().or(self.seen.1.clone());
        if let Some(kid) = sealing {
            let before = self.sealing.map_or(0, |(kid, _)| kid);
            assert!(kid >= before, "sealing never goes back");
            self.sealing = Some((kid, self.now));
        }
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Look { dies_after } => self.look(dies_after),
            Deed::Watch => self.seen = (self.sealing, self.asked.clone()),
            Deed::Reload(ordinal) => {
                let kids = self.kids.clone();
                self.edges.entry(ordinal).and_modify(|edge| *edge = kids);
            }
            // A volume that a kubelet mounts anew holds the Secret as it is.
            Deed::Start(ordinal) => drop(self.edges.insert(ordinal, self.kids.clone())),
            Deed::End(ordinal) => drop(self.edges.remove(&ordinal)),
            Deed::Scale(desired) => self.desired = desired,
            Deed::Wish => {
                self.wishes += 1;
                self.wish = Some(self.wishes.to_string());
            }
            Deed::Days(days) => self.now += SignedDuration::from_hours(24 * days),
        }
    }

    /// No link is sealed that an edge cannot open, and nothing is done twice.
    fn holds(&self) {
        let sealing = self.sealing.map(|(kid, _)| kid);
        for (ordinal, kids) in &self.edges {
            if let Some(kid) = sealing {
                assert!(kids.contains(&kid), "edge {ordinal} lacks the sealing key {kid}");
            }
        }
        let ahead = self.kids.iter().filter(|kid| Some(**kid) > sealing.or(Some(1))).count();
        assert!(ahead <= 1, "one rotation at a time");
        assert!(sealing.is_none_or(|kid| self.kids.contains(&kid)));
    }
}

proptest! {
    #[test]
    fn no_key_seals_that_a_living_edge_lacks_and_every_crash_is_gone_on_from(deeds in deeds()) {
        let mut model = Model::new();
        for deed in deeds {
            model.act(deed);
            model.holds();
        }
        // Once everybody is well again, the last request is obeyed, and then nothing changes.
        for round in 0..4 {
            model.act(Deed::Watch);
            model.act(Deed::Look { dies_after: 9 });
            (0..4).for_each(|ordinal| model.act(Deed::Start(ordinal)));
            model.holds();
            if round == 3 {
                prop_assert_eq!(&model.obeyed, &model.wish);
            }
        }
        model.act(Deed::Watch);
        let (made, sealing) = (model.made, model.sealing);
        prop_assert_eq!(sealing.map(|(kid, _)| kid), model.kids.last().copied());
        for _ in 0..3 {
            model.act(Deed::Look { dies_after: 9 });
            model.act(Deed::Watch);
        }
        prop_assert_eq!((model.made, model.sealing), (made, sealing));
    }
}
