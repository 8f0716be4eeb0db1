//! Loads hits as the writer does: its own code makes the rows and sends them, with its settings, in
//! blocks of its largest cut, a ledger row a lane in each. What it leaves behind is what the writer
//! would.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hushmark_event::tables::Target;
use hushmark_event::{BatchBuilder, Cut, Lane, Ring, Sealed};
use hushmark_policy::{Caps, Day, Objected};
use hushmark_writer::behaviour::Behaviour;
use hushmark_writer::entry::{Batch, Content, Entry};
use hushmark_writer::judge::{Judge, Rules};
use hushmark_writer::rows::{CounterRow, HitRow};
use hushmark_writer::store::Address;
use hushmark_writer::{cells, migrate};

use super::expected::Expected;
use super::morning::Morning;
use crate::figure::progress;

/// Records of the writer's largest cut.
const BLOCK: u64 = 200_000;

/// Hits in one batch of a busy edge.
const BATCH: u16 = 500;

/// Lanes that share a block: an edge of two cores.
const LANES: [Lane; 2] =
    [Lane { incarnation: LOADER, core: 0 }, Lane { incarnation: LOADER, core: 1 }];
const LOADER: u64 = 0x10ad_10ad_10ad_10ad;

/// The version of the verdicts' rules that loaded hits were judged by.
const RULES: u16 = 1;

/// The rows of one cut for both targets.
struct Block {
    cut: Cut,
    counters: Vec<CounterRow>,
    hits: Vec<HitRow>,
    end: u64,
}

/// Loads a whole morning, with the schema where it is missing, and says how long it took. Every hit
/// is shown to `expected`.
///
/// # Errors
/// What the engine says.
pub(in crate::proofs) fn load(
    address: &Address,
    salts: &Path,
    morning: &Morning,
    expected: &mut Expected,
) -> Result<Duration> {
    let salts = Ring::load(salts)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(migrate::migrate(&address.client())).context("cannot apply the schema")?;
    let began = Instant::now();
    // One block is made while another is stored and a third waits: 60 MB each.
    let (made, blocks) = sync_channel(1);
    std::thread::scope(|scope| {
        let maker = scope.spawn(move || make(morning, &salts, expected, &made));
        runtime.block_on(store(address, &blocks, morning.hits, began))?;
        drop(blocks);
        maker.join().map_err(|_| anyhow!("the thread that makes rows panicked"))?
    })?;
    Ok(began.elapsed())
}

async fn store(
    address: &Address,
    blocks: &Receiver<Block>,
    hits: u64,
    began: Instant,
) -> Result<()> {
    let connection = address.connect()?;
    let mut told = began;
    for block in blocks {
        connection.insert(Target::Counters, &block.cut, 0, &block.counters).await?;
        connection.insert(Target::Hits, &block.cut, 0, &block.hits).await?;
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            let rate = block.end as f64 / began.elapsed().as_secs_f64();
            let left = (hits - block.end) as f64 / rate;
            progress(&format!(
                "{:.1} of {:.1} million hits are loaded, {rate:.0} a second, {left:.0} s to go",
                block.end as f64 / 1e6,
                hits as f64 / 1e6,
            ));
        }
    }
    Ok(())
}

/// Makes all blocks in order; ends early when nobody stores them any more, who then says why.
fn make(
    morning: &Morning,
    salts: &Ring,
    expected: &mut Expected,
    made: &SyncSender<Block>,
) -> Result<()> {
    let mut numbers = [0; LANES.len()];
    let mut first = 0;
    while first < morning.hits {
        let end = (first + BLOCK).min(morning.hits);
        let block = block(morning, first..end, salts, expected, &mut numbers)?;
        if made.send(block).is_err() {
            break;
        }
        first = end;
    }
    Ok(())
}

fn block(
    morning: &Morning,
    hits: std::ops::Range<u64>,
    salts: &Ring,
    expected: &mut Expected,
    numbers: &mut [u64; LANES.len()],
) -> Result<Block> {
    let mut entries: Vec<(Lane, Entry)> = Vec::new();
    let mut lanes = BTreeMap::<Lane, (u64, u64)>::new();
    let mut builder = BatchBuilder::new(RULES);
    let (first, end) = (hits.start, hits.end);
    for n in hits {
        let drawn = morning.draw(n);
        expected.see(&drawn, RULES);
        builder.push_hit(&drawn.hit);
        if builder.records() == BATCH || n + 1 == end {
            let of = entries.len() % LANES.len();
            numbers[of] += 1;
            let range = lanes.entry(LANES[of]).or_insert((numbers[of], 0));
            range.1 = numbers[of];
            let day = Day::of_unix_ms(drawn.hit.at_ms);
            entries.push((LANES[of], entry(numbers[of], day, &mut builder)?));
        }
    }
    let month = Day::of_unix_ms(morning.draw(first).hit.at_ms).month();
    let (caps, behaviour) = (Caps::default(), Behaviour::new(0));
    let (objected, batch) = (Objected::default(), Ring::default());
    let rules = Rules { caps: &caps, position: 0, objected: &objected, batch: &batch, salts };
    let of_cut: Vec<(Lane, &Entry)> = entries.iter().map(|(lane, entry)| (*lane, entry)).collect();
    let judge = || Judge::new(rules, &behaviour);
    let (counters, _) = cells::counters(&of_cut, month, &mut judge());
    let (hits, _) = cells::hits(&of_cut, month, &mut judge());
    Ok(Block { cut: Cut::new(month, lanes), counters, hits, end })
}

/// What the writer holds of a batch once it was opened.
fn entry(number: u64, day: Day, builder: &mut BatchBuilder) -> Result<Entry> {
    let mut packed = Vec::new();
    let records = builder.take(&mut packed);
    let batch = Batch::read(Sealed { day, records }, packed, |_| {})
        .map_err(|reason| anyhow!("a batch of the load is {}", reason.name()))?;
    Ok(Entry { number, content: Content::Batch(batch) })
}
