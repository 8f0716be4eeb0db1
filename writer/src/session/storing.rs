//! From a cut that is written down to rows that every target holds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hushmark_event::tables::{LAST_OPENS, Target};
use hushmark_event::{Cut, Lane};
use hushmark_policy::Day;

use super::{IDLE, Session, SessionError, now_ms};
use crate::cells::{self, Tally};
use crate::entry::{DeadReason, Entry};
use crate::failpoints::{self, Point};
use crate::judge::{Judge, Rules};
use crate::rows::{CounterRow, HitRow, LastOpenRow};
use crate::store::StoreError;
use crate::told;

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Each round is one death of the engine at one moment. More of them in a row mean that it answers
/// inserts and does not show them, which no repeat can mend.
const MOST_ROUNDS: u32 = 8;

/// The lane of ledger rows where there is no lane: no edge ever draws it.
const NO_LANE: Lane = Lane { incarnation: 0, core: 0 };

/// The rows of one target.
enum Body {
    Counters(Vec<CounterRow>, Tally),
    /// And the days of last opens, which have no ledger of their own: they are stored before the rows
    /// that prove them, and storing them twice changes nothing.
    Hits(Vec<HitRow>, Vec<LastOpenRow>),
}

/// Growing waits between tries.
struct Backoff(Duration);

impl Backoff {
    const fn new() -> Self {
        Self(Duration::from_millis(100))
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(LONGEST_WAIT);
    }
}

impl Session {
    /// Stores a cut that is written down, for as long as it takes, and takes the note away.
    pub(super) async fn store(&mut self, cut: Cut) -> Result<(), SessionError> {
        let shared = Arc::clone(&self.parts.shared);
        let _no_epoch_reads_now = shared.gate.lock().await;
        if self.connection_used.elapsed() > IDLE {
            self.connection = None;
        }
        let left = match self.store_whole(&cut).await? {
            None => cut,
            Some(text) => {
                tracing::error!(error = text, "a cut was refused, storing its entries one by one");
                self.store_singly(cut).await?
            }
        };
        if !failpoints::off("cut") {
            self.parts.fenced.set_cut(Some(&left), None).await?;
        }
        self.queues.stored(&self.ledger);
        self.observe();
        Ok(())
    }

    /// Replaces a cut that was refused by cuts of one entry, in order; one that is refused alone
    /// becomes a dead letter, and its ledger row is stored without it. Returns the last cut.
    async fn store_singly(&mut self, cut: Cut) -> Result<Cut, SessionError> {
        let entries: Vec<(Lane, u64)> =
            self.queues.of_cut(&cut).map(|(lane, entry)| (lane, entry.number)).collect();
        let mut written = cut;
        for (lane, number) in entries {
            if number <= self.ledger.stored_by_all(lane) {
                continue;
            }
            let lanes = [(lane, (number, number))].into();
            let single = Cut { month: written.month.clone(), lanes };
            if single != written {
                self.parts.fenced.set_cut(Some(&written), Some(&single)).await?;
                written = single;
            }
            while let Some(text) = self.store_whole(&written).await? {
                tracing::error!(%lane, number, error = text, "an entry was refused alone");
                if !self.dead.contains(&(lane, number)) {
                    self.bury(lane, number, DeadReason::Refused).await?;
                }
                self.queues.bury(lane, number);
                // Without the entry only the ledger row is left, which nothing can refuse.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(written)
    }

    /// Sends a cut to every target that does not hold it. `Some` is the text of a data error.
    async fn store_whole(&mut self, cut: &Cut) -> Result<Option<String>, SessionError> {
        let mut sent_before = !self.goes_on(cut);
        let mut sent_here = false;
        for target in Target::ALL {
            let mut round = 0;
            let mut body = None;
            let mut asked_anew = false;
            let mut backoff = Backoff::new();
            let mut tries = 0;
            while !self.ledger.holds(target, cut) {
                if !self.parts.lease.is_valid() {
                    return Err(SessionError::LeaseLost);
                }
                if self.connection.is_none() {
                    self.ask_ledger().await?;
                    asked_anew = true;
                    continue;
                }
                // What is sent again is made from what the ledger says now. What turned out to be
                // stored stays: its campaigns have to be told to the publisher below.
                if std::mem::take(&mut asked_anew) {
                    body = None;
                }
                let rows = body.get_or_insert_with(|| self.body(target, cut));
                failpoints::pass(Point::BetweenLookupAndInsert);
                tries += 1;
                if tries > 1 {
                    self.parts.status.metrics.repeats.inc();
                }
                match self.send(target, cut, round, rows).await {
                    Ok(()) if !sent_before => {
                        sent_here = true;
                        self.learn(target, cut);
                    }
                    Ok(()) => match self.is_proven(target, cut).await {
                        Some(true) => {
                            sent_here = true;
                            self.learn(target, cut);
                        }
                        Some(false) => {
                            let table = target.table();
                            tracing::warn!(table, round, "a token is known and its rows are not");
                            round += 1;
                            if round > MOST_ROUNDS {
                                return Err(SessionError::Unproven(table));
                            }
                            backoff.wait().await;
                        }
                        None => {}
                    },
                    Err(error) => {
                        sent_before = true;
                        if let Some(text) = self.after_failure(target, cut, error).await? {
                            return Ok(Some(text));
                        }
                        self.observe();
                        backoff.wait().await;
                    }
                }
            }
            self.connection_used = Instant::now();
            if let Some(Body::Counters(rows, tally)) = &body {
                self.parts.status.metrics.add(tally);
                // Rows are in order, so this finds each campaign once.
                let ids = rows.iter().map(|row| (row.tenant, row.campaign));
                let mut ids: Vec<_> = ids.filter(|(tenant, _)| *tenant != 0).collect();
                ids.dedup();
                self.parts.shared.touch(ids);
                failpoints::pass(Point::AfterFirstTarget);
            }
        }
        // Of a cut that every target held already a predecessor may have sent the next one, too.
        if sent_here {
            self.stored_here.extend(cut.lanes.keys());
        }
        Ok(None)
    }

    /// Whether a cut goes on where this session stored before, so that nobody ever sent it: all
    /// that was sent before the session began at what the ledger said then. The engine cannot
    /// know the token of such a cut, and so its answer proves that the rows are stored. That it
    /// took another cut may also mean that it died between its note of the token and the part.
    fn goes_on(&self, cut: &Cut) -> bool {
        cut.lanes.keys().any(|lane| self.stored_here.contains(lane))
    }

    /// Whether the ledger has what was just answered; `None` if it could not be asked.
    async fn is_proven(&mut self, target: Target, cut: &Cut) -> Option<bool> {
        if failpoints::off("proof") || failpoints::off("ledger") {
            return Some(true);
        }
        self.ask_again(target).await;
        self.connection.as_ref()?;
        let mut sent = self.queues.of_cut(cut);
        Some(sent.all(|(lane, entry)| entry.number <= self.ledger.stored(target, lane)))
    }

    async fn send(
        &self,
        target: Target,
        cut: &Cut,
        round: u32,
        body: &Body,
    ) -> Result<(), StoreError> {
        let Some(connection) = &self.connection else {
            return Err(StoreError::Lost("there is no connection".into()));
        };
        let begun = Instant::now();
        match body {
            Body::Counters(rows, _) => connection.insert(target, cut, round, rows).await?,
            Body::Hits(rows, last_opens) => {
                connection.insert_again(LAST_OPENS, last_opens).await?;
                connection.insert(target, cut, round, rows).await?;
            }
        }
        self.parts.status.metrics.insert_seconds.observe(begun.elapsed().as_secs_f64());
        self.parts.status.troubled(None);
        Ok(())
    }

    /// What to do after a send that failed. `Some` is the text of a data error that stands.
    async fn after_failure(
        &mut self,
        target: Target,
        cut: &Cut,
        error: StoreError,
    ) -> Result<Option<String>, SessionError> {
        match &error {
            StoreError::Running => tracing::info!(target = target.table(), "insert still runs"),
            error => {
                tracing::warn!(target = target.table(), %error, "insert failed");
                self.parts.status.troubled(Some(told::clickhouse(error)));
            }
        }
        match error {
            // Its fate is unknown, and so is that of everything on its connection.
            StoreError::Lost(_) if !failpoints::off("one-connection") => self.connection = None,
            StoreError::Lost(_) => {}
            StoreError::Running | StoreError::Refused(_) => self.ask_again(target).await,
            StoreError::Data(text) => {
                self.ask_again(target).await;
                if self.connection.is_some() && !self.ledger.holds(target, cut) {
                    return Ok(Some(text));
                }
            }
        }
        Ok(None)
    }

    /// Asks a target on the connection that is open; if that fails, the connection is gone.
    async fn ask_again(&mut self, target: Target) {
        let Some(connection) = &self.connection else { return };
        match connection.ledger(target).await {
            Ok(answer) => self.ledger.learn(target, answer),
            Err(error) => {
                tracing::warn!(%error, "ledger could not be asked");
                self.connection = None;
            }
        }
    }

    /// Opens a new connection and asks both targets, until they answer.
    pub(super) async fn ask_ledger(&mut self) -> Result<(), SessionError> {
        let mut backoff = Backoff::new();
        loop {
            if !self.parts.lease.is_valid() {
                return Err(SessionError::LeaseLost);
            }
            match self.try_ask_ledger().await {
                Ok(()) => {
                    self.parts.status.troubled(None);
                    return Ok(());
                }
                Err(error) => {
                    tracing::warn!(%error, "waiting for clickhouse");
                    self.parts.status.troubled(Some(told::clickhouse(&error)));
                }
            }
            self.observe();
            backoff.wait().await;
        }
    }

    async fn try_ask_ledger(&mut self) -> Result<(), StoreError> {
        let connection = self.parts.clickhouse.connect()?;
        for target in Target::ALL {
            let answer = connection.ledger(target).await?;
            self.ledger.learn(target, answer);
            self.filtered_by = self.filtered_by.max(connection.position(target).await?);
        }
        self.connection = Some(connection);
        self.connection_used = Instant::now();
        Ok(())
    }

    /// Inserts ledger rows alone, so that every target shows by which length of the refusal log all
    /// that comes from here on is filtered, also where nothing comes. They say of each lane what is
    /// stored anyway, so that they can be sent twice. What fails is tried again.
    pub(super) async fn show_position(&mut self) -> Result<(), SessionError> {
        if self.connection_used.elapsed() > IDLE {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.ask_ledger().await?;
        }
        let position = self.parts.refusals.length();
        let month = Day::of_unix_ms(now_ms()).month().first_day().0;
        let mut lanes: Vec<Lane> = self.queues.lanes().collect();
        if lanes.is_empty() {
            lanes.push(NO_LANE);
        }
        for target in Target::ALL {
            let stored = lanes.iter().map(|lane| (*lane, self.ledger.stored(target, *lane)));
            let Some(connection) = &self.connection else { return Ok(()) };
            let sent = match target {
                Target::Counters => {
                    let row = |at: (Lane, u64)| CounterRow::ledger(at, month, position);
                    connection
                        .insert_again(target.landing(), &stored.map(row).collect::<Vec<_>>())
                        .await
                }
                Target::Hits => {
                    let row = |at: (Lane, u64)| HitRow::ledger(at, month, position);
                    connection
                        .insert_again(target.landing(), &stored.map(row).collect::<Vec<_>>())
                        .await
                }
            };
            if let Err(error) = sent {
                tracing::warn!(target = target.table(), %error, "ledger rows were not inserted");
                self.connection = None;
                return Ok(());
            }
        }
        self.connection_used = Instant::now();
        self.parts.shared.set_ledger(position);
        Ok(())
    }

    fn learn(&mut self, target: Target, cut: &Cut) {
        self.ledger.learn(target, cut.lanes.iter().map(|(lane, (_, last))| (*lane, *last)));
    }

    fn body(&self, target: Target, cut: &Cut) -> Body {
        let entries: Vec<(Lane, &Entry)> = self
            .queues
            .of_cut(cut)
            .filter(|(lane, entry)| entry.number > self.ledger.stored(target, *lane))
            .collect();
        let month = Day::parse(&format!("{}-01", cut.month)).unwrap_or(Day(0)).month();
        let log = self.parts.refusals.log();
        let keys = &self.parts.keys;
        let rules = Rules {
            caps: log.caps(),
            position: log.length(),
            objected: self.objections.objected(),
            batch: &keys.batch,
            salts: &keys.salts,
        };
        let mut judge = Judge::new(rules, &self.behaviour);
        // A large cut takes a second in a debug build; the lease is renewed meanwhile.
        tokio::task::block_in_place(|| match target {
            Target::Counters => {
                let (rows, tally) = cells::counters(&entries, month, &mut judge);
                Body::Counters(rows, tally)
            }
            Target::Hits => {
                let (rows, last_opens) = cells::hits(&entries, month, &mut judge);
                Body::Hits(rows, last_opens)
            }
        })
    }
}
