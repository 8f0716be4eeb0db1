//! One process of a release works, the others stand by: a Lease says which.
//!
//! No clock of another machine is believed: a Lease is dead when it has not changed for its own
//! length on the clock of the one who looks. Whoever cannot renew stops writing well before that
//! ([`Fence`]) and goes on trying; whoever finds that another has it ends the process, because
//! nothing else surely stops everything that is under way.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{sleep, timeout};

use crate::client::Fence;
use crate::config::Config;
use crate::{Error, context};

/// How long a Lease lives that is not renewed. A process that is killed is followed within this and
/// [`LOOK_EVERY`].
const LIFE: Duration = Duration::from_secs(10);

/// How often it is renewed, and how long after the last time its holder still writes.
const RENEW_EVERY: Duration = Duration::from_secs(2);
const WRITES_FOR: Duration = Duration::from_secs(7);

/// How often one who stands by looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A candidate for the Lease of a region in this namespace.
pub struct Candidate {
    api: Api<Lease>,
    fence: Fence,
    name: String,
    identity: String,
}

/// A Lease that is held.
pub struct Held {
    candidate: Candidate,
    lease: Lease,
}

/// What was last seen of a Lease, and since when it has not changed.
struct Seen {
    version: Option<String>,
    since: Instant,
}

impl Seen {
    fn new(now: Instant) -> Self {
        Self { version: None, since: now }
    }

    /// Whether the Lease may be taken: nobody holds it, this process itself does (an earlier life
    /// of the same pod), or it has not changed for as long as it lives.
    fn may_take(&mut self, lease: &Lease, identity: &str, now: Instant) -> bool {
        let version = lease.metadata.resource_version.clone();
        if self.version != version {
            *self = Self { version, since: now };
        }
        let spec = lease.spec.clone().unwrap_or_default();
        let life = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
        let life = life.map_or(LIFE, Duration::from_secs);
        match spec.holder_identity.as_deref() {
            None | Some("") => true,
            Some(holder) => holder == identity || now.duration_since(self.since) >= life,
        }
    }
}

/// The Lease as this identity holds it from `now` on.
fn taken(old: &Lease, identity: &str, now: Timestamp) -> Lease {
    let before = old.spec.clone().unwrap_or_default();
    let same = before.holder_identity.as_deref() == Some(identity);
    let transitions = before.lease_transitions.unwrap_or(0) + i32::from(!same);
    let spec = LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(LIFE.as_secs()).ok(),
        acquire_time: before.acquire_time.filter(|_| same).or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..before
    };
    Lease { spec: Some(spec), ..old.clone() }
}

impl Candidate {
    /// A candidate for the Lease that the command line names. `fence` is opened while it is held.
    #[must_use]
    pub fn new(client: Client, fence: Fence, config: &Config) -> Self {
        Self {
            api: Api::namespaced(client, &config.namespace),
            fence,
            name: config.lease(),
            identity: config.identity.clone(),
        }
    }

    /// Waits until the Lease is held. An API server that does not answer is waited for.
    pub async fn acquire(self) -> Held {
        let mut seen = Seen::new(Instant::now());
        let mut told = String::new();
        loop {
            let asked = Instant::now();
            match timeout(PATIENCE, self.try_acquire(&mut seen)).await {
                Ok(Ok(Ok(lease))) => {
                    self.fence.open_until(asked + WRITES_FOR);
                    tracing::info!(lease = self.name, identity = self.identity, "leads");
                    return Held { candidate: self, lease };
                }
                Ok(Ok(Err(holder))) => {
                    if told != holder {
                        tracing::info!(lease = self.name, holder, "standing by");
                        told = holder;
                    }
                }
                Ok(Err(error)) => tracing::warn!(lease = self.name, %error, "lease not asked"),
                Err(_) => tracing::warn!(lease = self.name, "the API server does not answer"),
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The Lease, or who holds it.
    async fn try_acquire(&self, seen: &mut Seen) -> Result<Result<Lease, String>, kube::Error> {
        let post = PostParams::default();
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            return lost_race(self.create().await);
        };
        if !seen.may_take(&lease, &self.identity, Instant::now()) {
            let spec = lease.spec.unwrap_or_default();
            return Ok(Err(spec.holder_identity.unwrap_or_default()));
        }
        let mine = taken(&lease, &self.identity, now());
        lost_race(self.api.replace(&self.name, &post, &mine).await)
    }
}

impl Candidate {
    async fn create(&self) -> Result<Lease, kube::Error> {
        let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
        let new = taken(&Lease { metadata, spec: None }, &self.identity, now());
        self.api.create(&PostParams::default(), &new).await
    }
}

/// A conflict means that somebody was quicker.
fn lost_race(answer: Result<Lease, kube::Error>) -> Result<Result<Lease, String>, kube::Error> {
    match answer {
        Ok(lease) => Ok(Ok(lease)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(Err("somebody quicker".into())),
        Err(error) => Err(error),
    }
}

fn warn_once(told: &mut bool, error: &str) {
    if !std::mem::replace(told, true) {
        tracing::warn!(error, "the lease is not renewed: nothing is written until it is");
    }
}

fn now() -> Timestamp {
    context::now()
}

impl Held {
    /// The Lease's uid, which names this release's hold on a Region.
    #[must_use]
    pub fn uid(&self) -> String {
        self.lease.metadata.uid.clone().unwrap_or_default()
    }

    /// Renews until another process has it. While that cannot be told, nothing is written.
    pub async fn keep(&mut self) -> Error {
        let mut told = false;
        loop {
            sleep(RENEW_EVERY).await;
            let asked = Instant::now();
            match timeout(PATIENCE, self.renew()).await {
                Ok(Ok(true)) => {
                    self.candidate.fence.open_until(asked + WRITES_FOR);
                    if std::mem::take(&mut told) {
                        tracing::info!("the lease is renewed again");
                    }
                }
                Ok(Ok(false)) => return Error::LeaseLost(self.candidate.name.clone()),
                Ok(Err(error)) => warn_once(&mut told, &error.to_string()),
                Err(_) => warn_once(&mut told, "the API server does not answer"),
            }
        }
    }

    /// Whether it is still held afterwards.
    async fn renew(&mut self) -> Result<bool, kube::Error> {
        match self.write().await {
            // Somebody took it, or edited it: only the first is the end.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let Candidate { api, name, identity, .. } = &self.candidate;
                let lease = api.get(name).await?;
                let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_ref());
                if holder != Some(identity) {
                    return Ok(false);
                }
                self.lease = lease;
                self.lease = self.write().await?;
            }
            // Somebody deleted it: whoever makes it anew has it.
            Err(kube::Error::Api(status)) if status.code == 404 => {
                match lost_race(self.candidate.create().await)? {
                    Ok(lease) => self.lease = lease,
                    Err(_) => return Ok(false),
                }
            }
            written => self.lease = written?,
        }
        Ok(true)
    }

    /// Only over the version that was last seen here: that it succeeds says that nobody else had it
    /// in between.
    async fn write(&self) -> Result<Lease, kube::Error> {
        let Candidate { api, name, identity, .. } = &self.candidate;
        let mine = taken(&self.lease, identity, now());
        api.replace(name, &PostParams::default(), &mine).await
    }

    /// Lets go, so that the next one need not wait. What cannot be released expires.
    pub async fn release(self) {
        let Self { candidate: Candidate { api, name, .. }, mut lease } = self;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
        }
        let post = PostParams::default();
        match timeout(PATIENCE, api.replace(&name, &post, &lease)).await {
            Ok(Ok(_)) => tracing::info!(lease = name, "let go"),
            _ => tracing::warn!(lease = name, "not let go: it expires by itself"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        let mut lease = taken(&Lease::default(), holder, Timestamp::UNIX_EPOCH);
        lease.metadata.resource_version = Some(version.to_owned());
        lease
    }

    #[test]
    fn a_lease_is_taken_only_when_it_stood_still_for_its_whole_life() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut seen = Seen::new(start);
        assert!(!seen.may_take(&lease("other", "1"), "me", after(0)));
        assert!(!seen.may_take(&lease("other", "1"), "me", after(9)));
        assert!(!seen.may_take(&lease("other", "2"), "me", after(11)), "it was renewed");
        assert!(!seen.may_take(&lease("other", "2"), "me", after(20)));
        assert!(seen.may_take(&lease("other", "2"), "me", after(21)));
    }

    #[test]
    fn nobodys_lease_and_ones_own_are_taken_at_once() {
        let mut seen = Seen::new(Instant::now());
        assert!(seen.may_take(&lease("", "1"), "me", Instant::now()));
        assert!(seen.may_take(&lease("me", "1"), "me", Instant::now()));
        assert!(seen.may_take(&Lease::default(), "me", Instant::now()));
    }

    #[test]
    fn a_renewal_keeps_the_time_of_taking_and_a_take_over_counts_as_one() {
        let later = Timestamp::from_second(60).unwrap();
        let first = lease("a", "1");
        let renewed = taken(&first, "a", later).spec.unwrap();
        assert_eq!(renewed.lease_transitions, Some(1));
        assert_eq!(renewed.acquire_time, Some(MicroTime(Timestamp::UNIX_EPOCH)));
        assert_eq!(renewed.renew_time, Some(MicroTime(later)));
        let followed = taken(&first, "b", later).spec.unwrap();
        assert_eq!(followed.lease_transitions, Some(2));
        assert_eq!(followed.acquire_time, Some(MicroTime(later)));
    }
}
