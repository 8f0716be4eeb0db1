//! Stores hits as the writer does: its own judge and cells make the rows, its own connection sends
//! them, the real engine makes sketches of them and merges them as housekeeping would.

use std::cell::Cell;
use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow};
use hushmark_event::tables::Target;
use hushmark_event::{BatchBuilder, Cut, Hit, Lane, Ring, Sealed};
use hushmark_policy::{Caps, Day, Objected};
use hushmark_writer::behaviour::Behaviour;
use hushmark_writer::entry::{Batch, Content, Entry};
use hushmark_writer::judge::{Judge, Rules};
use hushmark_writer::rows::CounterRow;
use hushmark_writer::store::Address;
use hushmark_writer::{cells, migrate};
use tokio::runtime::Runtime;

use crate::plan::tenant;
use crate::stack::{ClickHouse, Stack};

/// Hits of one insert, so that many parts are merged.
const CUT: usize = 500;
const LANE: Lane = Lane { incarnation: 0x0a11_0a11_0a11_0a11, core: 0 };

/// The counters of a stack.
pub(super) struct Store<'a> {
    clickhouse: &'a ClickHouse,
    address: Address,
    salts: Ring,
    runtime: Runtime,
    last: Cell<u64>,
}

impl<'a> Store<'a> {
    pub(super) fn new(stack: &'a Stack) -> Result<Self> {
        let url = stack.clickhouse.url();
        let address = Address { url, tls: None, user: None, password: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(migrate::migrate(&address.client())).context("cannot apply the schema")?;
        let salts = Ring::load(&stack.keys.salt_folder())?;
        Ok(Self { clickhouse: &stack.clickhouse, address, salts, runtime, last: Cell::new(0) })
    }

    /// The rows that the writer makes of hits, in one cut.
    pub(super) fn rows(&self, hits: &[Hit]) -> Result<Vec<CounterRow>> {
        let number = self.last.get() + 1;
        self.last.set(number);
        let first = hits.first().context("a cut holds a hit")?;
        let day = Day::of_unix_ms(first.at_ms);
        let mut builder = BatchBuilder::new(1);
        hits.iter().for_each(|hit| builder.push_hit(hit));
        let mut packed = Vec::new();
        let records = builder.take(&mut packed);
        let batch = Batch::read(Sealed { day, records }, packed, |_| {})
            .map_err(|reason| anyhow!("a batch of the proof is {}", reason.name()))?;
        let entry = Entry { number, content: Content::Batch(batch) };
        let (caps, objected, behaviour) = (Caps::default(), Objected::default(), Behaviour::new(0));
        let (batch, salts) = (&Ring::default(), &self.salts);
        let rules = Rules { caps: &caps, position: 0, objected: &objected, batch, salts };
        let mut judge = Judge::new(rules, &behaviour);
        Ok(cells::counters(&[(LANE, &entry)], day.month(), &mut judge).0)
    }

    /// Sends the rows of the last cut.
    pub(super) fn send(&self, rows: &[CounterRow], day: Day) -> Result<()> {
        let number = self.last.get();
        let cut = Cut::new(day.month(), BTreeMap::from([(LANE, (number, number))]));
        let connection = self.address.connect()?;
        Ok(self.runtime.block_on(connection.insert(Target::Counters, &cut, 0, rows))?)
    }

    /// Stores hits, cut by cut, in the order of their arrival.
    pub(super) fn hits(&self, hits: &[Hit]) -> Result<()> {
        for cut in hits.chunks(CUT) {
            self.send(&self.rows(cut)?, Day::of_unix_ms(cut[0].at_ms))?;
        }
        Ok(())
    }

    /// What housekeeping does within the hour.
    pub(super) fn merge(&self) -> Result<()> {
        self.clickhouse.query("OPTIMIZE TABLE counters FINAL").map(drop)
    }

    /// Hits in the counters.
    pub(super) fn total(&self) -> Result<u64> {
        self.clickhouse.number(&format!(
            "SELECT sum(raw) FROM counters WHERE tenant = {} AND dimension = 'total'",
            tenant().0
        ))
    }
}
