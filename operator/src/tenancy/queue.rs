//! Who is looked at next. Each object is in it once, however often it changed.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use super::world::{Key, Kind};

/// How long a campaign steps back while its tenant is at work.
const STEP_BACK: Duration = Duration::from_millis(20);

/// Bounded by the number of objects: each is in one place at a time.
#[derive(Default)]
pub(super) struct Queue {
    tenants: VecDeque<Key>,
    others: VecDeque<Key>,
    queued: HashSet<Key>,
    later: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
    running: HashSet<Key>,
    /// Running ones that changed meanwhile.
    again: HashSet<Key>,
    /// Tenants at work, by namespace.
    busy: HashMap<String, usize>,
    has_settled: bool,
}

impl Queue {
    /// It is to be looked at as soon as can be.
    pub(super) fn add(&mut self, key: Key) {
        if self.running.contains(&key) {
            self.again.insert(key);
            return;
        }
        self.forget_later(&key);
        if self.queued.insert(key.clone()) {
            if key.kind == Kind::Tenant {
                *self.busy.entry(key.namespace.clone()).or_insert(0) += 1;
                self.tenants.push_back(key);
            } else {
                self.others.push_back(key);
            }
        }
    }

    /// It is to be looked at then, unless it is before.
    pub(super) fn add_later(&mut self, key: Key, at: Instant) {
        let is_sooner = self.due.get(&key).is_some_and(|due| *due <= at);
        if is_sooner || self.queued.contains(&key) || self.running.contains(&key) {
            return;
        }
        self.forget_later(&key);
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    fn forget_later(&mut self, key: &Key) {
        if let Some(at) = self.due.remove(key) {
            self.later.remove(&(at, key.clone()));
        }
    }

    /// The next one, tenants first. A campaign whose tenant is at work steps back, so that it is
    /// judged by what the tenant says then.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Key> {
        while let Some((at, key)) = self.later.first().cloned() {
            if at > now {
                break;
            }
            self.add(key);
        }
        if let Some(key) = self.tenants.pop_front() {
            self.queued.remove(&key);
            self.release(&key);
            return Some(key);
        }
        while let Some(key) = self.others.pop_front() {
            self.queued.remove(&key);
            if !self.busy.contains_key(&key.namespace) {
                return Some(key);
            }
            self.add_later(key, now + STEP_BACK);
        }
        None
    }

    fn release(&mut self, key: &Key) {
        if let Some(count) = self.busy.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                self.busy.remove(&key.namespace);
            }
        }
    }

    /// Something is done about it now.
    pub(super) fn started(&mut self, key: Key) {
        if key.kind == Kind::Tenant {
            *self.busy.entry(key.namespace.clone()).or_insert(0) += 1;
        }
        self.running.insert(key);
    }

    /// It is done, or failed.
    pub(super) fn ended(&mut self, key: &Key) {
        if self.running.remove(key) && key.kind == Kind::Tenant {
            self.release(key);
        }
        if self.again.remove(key) {
            self.add(key.clone());
        }
    }

    /// When something is due by itself; at once if something waits already.
    pub(super) fn next_at(&self) -> Option<Instant> {
        let later = self.later.first().map(|(at, _)| *at);
        let waits = !self.tenants.is_empty() || !self.others.is_empty();
        // While all hands are busy one that ends wakes the loop; this is for the others.
        if waits { Some(Instant::now() + Duration::from_millis(5)) } else { later }
    }

    /// How many wait, by kind.
    pub(super) fn depths(&self) -> [(Kind, usize); 2] {
        [(Kind::Tenant, self.tenants.len()), (Kind::Campaign, self.others.len())]
    }

    /// True once, when the start is over.
    pub(super) fn settle(&mut self) -> bool {
        !std::mem::replace(&mut self.has_settled, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: Kind, name: &str) -> Key {
        Key { kind, namespace: "acme".into(), name: name.into() }
    }

    #[test]
    fn tenants_come_first_and_campaigns_wait_for_theirs() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let (tenant, campaign) = (key(Kind::Tenant, "acme"), key(Kind::Campaign, "spring"));
        queue.add(campaign.clone());
        queue.add(tenant.clone());
        queue.add(campaign.clone());
        assert_eq!(queue.pop(now), Some(tenant.clone()));
        queue.started(tenant.clone());
        assert_eq!(queue.pop(now), None, "the tenant is at work");
        queue.ended(&tenant);
        assert_eq!(queue.pop(now + STEP_BACK), Some(campaign));
        assert_eq!(queue.pop(now + STEP_BACK), None, "each is there once");
    }

    #[test]
    fn what_changes_while_it_is_written_is_looked_at_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let one = key(Kind::Campaign, "spring");
        queue.add(one.clone());
        let popped = queue.pop(now).unwrap();
        queue.started(popped);
        queue.add(one.clone());
        assert_eq!(queue.pop(now), None);
        queue.ended(&one);
        assert_eq!(queue.pop(now), Some(one));
    }

    #[test]
    fn the_sooner_of_two_moments_counts() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let one = key(Kind::Campaign, "spring");
        let second = Duration::from_secs(1);
        queue.add_later(one.clone(), now + 5 * second);
        queue.add_later(one.clone(), now + second);
        queue.add_later(one.clone(), now + 9 * second);
        assert_eq!(queue.next_at(), Some(now + second));
        assert_eq!(queue.pop(now), None);
        assert_eq!(queue.pop(now + second), Some(one));
        assert_eq!(queue.next_at(), None);
    }
}
