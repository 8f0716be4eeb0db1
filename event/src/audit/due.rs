//! Erasures that were asked for and have no receipt yet, and the receipt that each gets once the
//! writer has said what became of it. The same on one machine and in a cluster.

use std::collections::{BTreeMap, BTreeSet};

use hushmark_policy::Day;
use serde::{Deserialize, Serialize};

use super::Pin;
use super::entry::{Action, Asked, Entry, Outcome, Says, Target};
use super::receipt::{Reached, Receipt, Store, Unreached};
use super::text::Name;
use crate::ring::HOLD_DAYS;

/// Edges obey within a second, and clocks differ by less.
const OBEYED_WITHIN_MS: u64 = 60_000;

/// An erasure that was asked for and has no receipt yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Whose data.
    pub target: Target,
    /// The entry of the audit log in which it was asked for.
    pub request: u64,
    /// When that was, in milliseconds since 1970.
    pub asked_ms: u64,
}

impl Pending {
    /// Whether what ended then can be this erasure. What ended before it was asked for is another
    /// log's, whose entries have the same numbers: ClickHouse outlived that log.
    #[must_use]
    pub const fn can_have_ended(&self, ended_ms: u64) -> bool {
        ended_ms >= self.asked_ms
    }
}

/// Erasures by the refusal log's entry, as the audit log tells of them.
#[derive(Clone, Debug, Default)]
pub struct Due {
    pending: BTreeMap<u64, Pending>,
    ended: BTreeSet<u64>,
}

impl Due {
    /// Keeps what an entry says about erasures, once it is the log's last.
    pub fn learn(&mut self, entry: &Entry) {
        match &entry.says {
            // One that was asked for again has its receipt, and gets no second one.
            Says::Asked(Asked {
                action: Action::Erase(target),
                outcome: Outcome::Allowed { position: Some(position) },
                ..
            }) if !self.ended.contains(position) => {
                let (request, asked_ms) = (entry.n, entry.at_ms);
                let pending = Pending { target: target.clone(), request, asked_ms };
                self.pending.entry(*position).or_insert(pending);
            }
            Says::Asked(_) => {}
            Says::Receipt(receipt) => {
                self.pending.remove(&receipt.position);
                self.ended.insert(receipt.position);
            }
        }
    }

    /// Those that have no receipt yet, by the refusal log's entry.
    #[must_use]
    pub const fn pending(&self) -> &BTreeMap<u64, Pending> {
        &self.pending
    }
}

/// What became of an erasure, as the writer tells it once nothing of it is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The refusal log's length that every target's ledger showed.
    pub ledger: u64,
    /// When everything was looked for, in milliseconds since 1970.
    pub ended_ms: u64,
    /// What went, a table once.
    pub gone: Vec<Gone>,
}

/// What went of one table, or of Redis where the name begins with `redis: `.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// The table, as `erased` in ClickHouse names it.
    pub name: String,
    /// Rows or fields.
    pub rows: u64,
    /// Parts that held them.
    pub parts: u64,
}

/// Where the stack runs that erased: what else may hold some of it depends on that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One machine. A tenant's key is a file there, and whether one was destroyed is said here.
    OneMachine {
        /// How many.
        keys_destroyed: u64,
    },
    /// A cluster. It has no tenant keys; manifests are in Kubernetes' own store.
    Cluster,
}

impl Pending {
    /// The receipt of this erasure, which the refusal log demands by the entry `position`.
    #[must_use]
    pub fn receipt(
        self,
        position: u64,
        ended: &Ended,
        place: &Place,
        previous: Option<Pin>,
    ) -> Receipt {
        let mut reached: Vec<Reached> = ended.gone.iter().map(Gone::reached).collect();
        if let (Target::Tenant(_), Place::OneMachine { keys_destroyed: keys }) =
            (&self.target, place)
        {
            let name = Name::of("the tenant's key");
            let bytes = keys * 32;
            reached.push(Reached { store: Store::Keys, name, rows: *keys, bytes, parts: *keys });
        }
        Receipt {
            request: self.request,
            position,
            ledger: ended.ledger,
            asked_ms: self.asked_ms,
            ended_ms: ended.ended_ms,
            reached,
            unreached: self.unreached(place),
            previous,
            erased: self.target,
        }
    }

    /// Where something of it may still lie.
    fn unreached(&self, place: &Place) -> Vec<Unreached> {
        let sealed_last = Day::of_unix_ms(self.asked_ms + OBEYED_WITHIN_MS);
        // It is closed as this day begins.
        let closed = Some(sealed_last.plus(1 + HOLD_DAYS));
        let of = |store, name: &str, until| Unreached { store, name: Name::of(name), until };
        let mut all = vec![
            of(Store::Redis, "hits under way, sealed; each is refused when it is opened", closed),
            of(
                Store::LaneLogs,
                "hits under way, sealed; each is refused when it is opened",
                closed,
            ),
            of(Store::Dead, "hits that could not be stored, sealed", closed),
        ];
        let again = "of ClickHouse: erased again before one that is restored serves";
        match (&self.target, place) {
            (Target::Tenant(_), Place::OneMachine { .. }) => all.extend([
                of(Store::Backups, "of ClickHouse: addresses and attributes are shredded", None),
                of(
                    Store::Keys,
                    "copies of the tenant's key; with one, such a backup can be read",
                    None,
                ),
            ]),
            (_, Place::OneMachine { .. } | Place::Cluster) => {
                all.push(of(Store::Backups, again, None));
            }
        }
        if *place == Place::Cluster {
            all.extend([
                of(Store::Etcd, "its manifests while they are applied, and their history", None),
                of(Store::Backups, "of etcd, and what Git keeps of manifests", None),
            ]);
        }
        all.push(of(Store::Mail, "messages that were sent or stamped, and lists outside", None));
        all
    }
}

impl Gone {
    /// ClickHouse does not tell how many bytes of a part single rows take.
    fn reached(&self) -> Reached {
        let (store, name) = match self.name.strip_prefix("redis: ") {
            Some(name) => (Store::Redis, name),
            None => (Store::Clickhouse, self.name.as_str()),
        };
        Reached { store, name: Name::of(name), rows: self.rows, bytes: 0, parts: self.parts }
    }
}

#[cfg(test)]
mod tests {
    use hushmark_policy::TenantId;

    use super::*;
    use crate::audit::{AuditLog, Principal};

    fn asked(target: &Target, position: u64) -> Says {
        let outcome = Outcome::Allowed { position: Some(position) };
        let by = Principal::Kubernetes(Name::of("jane"));
        Says::Asked(Asked { by, action: Action::Erase(target.clone()), outcome })
    }

    #[test]
    fn what_is_asked_for_twice_gets_one_receipt() {
        let (mut log, mut due) = (AuditLog::default(), Due::default());
        let mut say = |due: &mut Due, says| {
            let text = log.prepare(says, 1_795_000_000_000).unwrap();
            due.learn(&log.append(text.as_bytes()).unwrap());
        };
        let target = Target::Tenant(TenantId(7));
        say(&mut due, asked(&target, 3));
        say(&mut due, asked(&target, 3));
        let (position, pending) = due.pending().first_key_value().unwrap();
        assert_eq!((*position, pending.request, due.pending().len()), (3, 1, 1));
        let gone = vec![
            Gone { name: "hits".into(), rows: 4, parts: 2 },
            Gone { name: "redis: published totals".into(), rows: 1, parts: 0 },
        ];
        let ended = Ended { ledger: 3, ended_ms: 1_795_000_060_000, gone };
        let receipt = pending.clone().receipt(3, &ended, &Place::Cluster, None);
        let stores: Vec<Store> = receipt.unreached.iter().map(|it| it.store).collect();
        assert_eq!(receipt.reached.len(), 2, "a cluster has no tenant keys: {receipt:?}");
        assert!(stores.contains(&Store::Etcd) && stores.contains(&Store::Backups));
        say(&mut due, Says::Receipt(receipt));
        say(&mut due, asked(&target, 3));
        assert!(due.pending().is_empty());
    }

    #[test]
    fn on_one_machine_a_tenants_key_is_counted() {
        let pending = Pending { target: Target::Tenant(TenantId(7)), request: 1, asked_ms: 5 };
        let ended = Ended { ledger: 1, ended_ms: 6, gone: Vec::new() };
        let place = Place::OneMachine { keys_destroyed: 1 };
        let receipt = pending.receipt(1, &ended, &place, None);
        assert_eq!((receipt.reached[0].store, receipt.reached[0].bytes), (Store::Keys, 32));
        assert!(receipt.unreached.iter().all(|it| it.store != Store::Etcd));
    }
}
