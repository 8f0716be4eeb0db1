//! What an edge says of itself in Redis, and what can be concluded from it. `WIRE.md`, "Redis".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Seconds that a heartbeat lives: three times as long as it takes to the next one.
pub const LIFE_SECONDS: u8 = 10;

/// What every heartbeat's key begins with; edges are found by `SCAN` for it.
pub const HEARTBEATS: &str = "edge:*";

/// One process's word. A program that knows more fields may add them: others are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The pod or machine.
    pub pod: String,
    /// Numbers of the region keys it holds; none for a replay, which verifies nothing.
    #[serde(default)]
    pub kids: Vec<u16>,
    /// The first and last day of its ring.
    #[serde(default)]
    pub ring: [String; 2],
    /// Entries of the refusal log that it obeys; absent while it has no verified copy.
    #[serde(default)]
    pub refusals: Option<u64>,
    /// Bytes in its lane logs.
    #[serde(default)]
    pub log_bytes: u64,
    /// Whether its folder holds nothing that Redis does not have, of dead processes either.
    pub log_empty: bool,
    /// Whether it is about to end.
    #[serde(default)]
    pub draining: bool,
}

/// Why an edge keeps a key from sealing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacks {
    /// It lives and does not have the key; these it has.
    Key(Vec<u16>),
    /// It should live and has no heartbeat: it starts, or Redis is out of its reach.
    Heartbeat,
}

/// Who keeps a key from sealing: edges that live without it, and those of `wanted` of which nobody
/// knows. A link sealed under the key is one that every edge opens only where this is empty.
#[must_use]
pub fn lacking<'a>(
    beats: &[Heartbeat],
    wanted: impl IntoIterator<Item = &'a str>,
    kid: u16,
) -> BTreeMap<String, Lacks> {
    let serves = |beat: &&Heartbeat| !beat.kids.is_empty();
    let silent = wanted.into_iter().filter(|pod| {
        // A process that is about to end does not speak for the one that takes its place.
        !beats.iter().filter(serves).any(|beat| beat.pod == **pod && !beat.draining)
    });
    let mut lacking: BTreeMap<String, Lacks> =
        silent.map(|pod| (pod.to_owned(), Lacks::Heartbeat)).collect();
    for beat in beats.iter().filter(serves).filter(|beat| !beat.kids.contains(&kid)) {
        lacking.insert(beat.pod.clone(), Lacks::Key(beat.kids.clone()));
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(pod: &str, kids: &[u16]) -> Heartbeat {
        Heartbeat { pod: pod.into(), kids: kids.into(), log_empty: true, ..Heartbeat::default() }
    }

    #[test]
    fn a_heartbeat_is_this_json() {
        let beat = Heartbeat {
            ring: ["2026-11-21".into(), "2027-12-31".into()],
            refusals: Some(3),
            ..edge("eu-edge-0", &[1, 2])
        };
        let text = r#"{"pod":"eu-edge-0","kids":[1,2],"ring":["2026-11-21","2027-12-31"],"refusals":3,"log_bytes":0,"log_empty":true,"draining":false}"#;
        assert_eq!(serde_json::to_string(&beat).unwrap(), text);
        assert_eq!(serde_json::from_str::<Heartbeat>(text).unwrap(), beat);
        let later = r#"{"pod":"x","log_empty":false,"what":"a later version says"}"#;
        assert!(!serde_json::from_str::<Heartbeat>(later).unwrap().log_empty);
    }

    #[test]
    fn a_key_is_held_back_by_who_lacks_it_and_by_who_is_silent() {
        let beats = [edge("a", &[1, 2]), edge("b", &[1])];
        let lacking = lacking(&beats, ["a", "b", "c"], 2);
        let expected = [("b", Lacks::Key(vec![1])), ("c", Lacks::Heartbeat)];
        assert_eq!(lacking, expected.map(|(pod, why)| (pod.to_owned(), why)).into());
        assert!(super::lacking(&beats, ["a", "b"], 1).is_empty());
    }

    #[test]
    fn one_that_nobody_asked_for_counts_while_it_lives() {
        assert_eq!(lacking(&[edge("a", &[2]), edge("old", &[1])], ["a"], 2).len(), 1);
    }

    #[test]
    fn a_replay_holds_nothing_back_and_speaks_for_no_edge() {
        assert!(lacking(&[edge("a", &[])], [], 2).is_empty());
        assert_eq!(lacking(&[edge("a", &[])], ["a"], 2).len(), 1);
        let ending = Heartbeat { draining: true, ..edge("a", &[1, 2]) };
        assert_eq!(lacking(&[ending], ["a"], 2)["a"], Lacks::Heartbeat);
    }
}
