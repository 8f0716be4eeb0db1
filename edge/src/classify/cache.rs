//! Traits of user agents seen lately, without the user agents.
//!
//! One cache a core, no lock. An entry is a keyed hash and four bytes of traits: the key is drawn
//! at start and never leaves the process, so that nobody outside can make two user agents collide,
//! and nothing in memory can be read back as a user agent.
//!
//! Its size is fixed: 2,048 sets of two entries of 16 bytes are 64 KiB. A new user agent goes to
//! its set's second place; only one that is asked for again while it is there moves to the first.
//! A flood of random user agents therefore passes through the second places and leaves the popular
//! ones where they are.

use siphasher::sip::SipHasher13;

use super::agent::Traits;
use super::{Classifier, Judgement, RequestSignals, capped};

/// A power of two: the set is some bits of the hash. Mail clients and browsers send a few hundred
/// user agents that matter; 4,096 entries hold them all.
const SETS: usize = 2048;

#[derive(Clone, Copy)]
struct Entry {
    hash: u64,
    traits: Option<Traits>,
}

/// See the [module](self). Neither `Debug` nor `Clone`: it is a core's own.
pub struct VerdictCache {
    hasher: SipHasher13,
    sets: Box<[[Entry; 2]]>,
}

impl VerdictCache {
    /// An empty cache. `key` is random and secret, and another at every start.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        let empty = Entry { hash: 0, traits: None };
        let sets = vec![[empty; 2]; SETS].into_boxed_slice();
        Self { hasher: SipHasher13::new_with_key(&key), sets }
    }

    /// The same as [`Classifier::judge`], mostly without reading the user agent again.
    #[must_use]
    pub fn judge(&mut self, rules: &Classifier, signals: &RequestSignals<'_>) -> Judgement {
        rules.judge_traits(self.read(rules, signals.user_agent), signals)
    }

    fn read(&mut self, rules: &Classifier, user_agent: &[u8]) -> Traits {
        let user_agent = capped(user_agent);
        let hash = self.hasher.hash(user_agent);
        let set = &mut self.sets[hash as usize & (SETS - 1)];
        match set {
            [Entry { hash: known, traits: Some(traits) }, _] if *known == hash => *traits,
            [_, Entry { hash: known, traits: Some(traits) }] if *known == hash => {
                let traits = *traits;
                set.swap(0, 1);
                traits
            }
            _ => {
                let traits = rules.read(user_agent);
                set[1] = Entry { hash, traits: Some(traits) };
                traits
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static RULES: LazyLock<Classifier> = LazyLock::new(|| Classifier::new(None));

    const COMMON: &[u8] = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 \
                            Thunderbird/128.5.0";

    impl VerdictCache {
        fn holds(&self, user_agent: &[u8]) -> bool {
            let hash = self.hasher.hash(user_agent);
            self.sets[hash as usize & (SETS - 1)]
                .iter()
                .any(|entry| entry.hash == hash && entry.traits.is_some())
        }
    }

    #[test]
    fn its_memory_is_fixed_and_small() {
        assert_eq!(size_of::<Entry>() * 2 * SETS, 64 << 10);
        assert_eq!(size_of::<Traits>(), 4);
    }

    #[test]
    fn a_flood_of_random_user_agents_leaves_the_popular_ones_in_place() {
        let mut cache = VerdictCache::new([7; 16]);
        cache.read(&RULES, COMMON);
        cache.read(&RULES, COMMON);
        for n in 0..20_000u32 {
            cache.read(&RULES, format!("random/{n}").as_bytes());
        }
        assert!(cache.holds(COMMON));
    }

    #[test]
    fn only_what_is_looked_at_is_hashed() {
        let mut cache = VerdictCache::new([7; 16]);
        let mut long = vec![b'x'; super::super::USER_AGENT_CAP];
        cache.read(&RULES, &long);
        long.extend_from_slice(&[b'y'; 10_000]);
        let before = cache.sets.iter().flatten().filter(|entry| entry.traits.is_some()).count();
        cache.read(&RULES, &long);
        let after = cache.sets.iter().flatten().filter(|entry| entry.traits.is_some()).count();
        assert_eq!((before, after), (1, 1));
    }

    proptest! {
        #[test]
        fn a_cached_answer_is_the_rules_answer(
            agents in prop::collection::vec(prop::sample::select(vec![
                "", "-", "Mozilla/5.0", "curl/8", "GoogleImageProxy", "Outlook-iOS/2.0", "x",
                "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/124.0.0.0 Safari/537.36",
            ]), 1..40),
            key: [u8; 16],
        ) {
                let mut cache = VerdictCache::new(key);
            for agent in agents {
                prop_assert_eq!(
                    cache.read(&RULES, agent.as_bytes()),
                    RULES.read(agent.as_bytes())
                );
            }
        }
    }
}
