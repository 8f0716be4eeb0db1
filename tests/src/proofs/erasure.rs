//! Proof `erasure`: among a hundred million hits one person is erased while mail is read. Within
//! five minutes no part on the disk holds them, and a receipt says so that a second verifier takes.

pub(super) mod scene;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hushmark_token::{Kid, RegionKeys};

use super::Run;
use super::report::expected::Expected;
use super::report::{self, loader};
use crate::figure::{Figures, progress};
use crate::keys::Keys;
use crate::load::{Job, Load};
use crate::plan::{Minter, Plan, tenant};
use scene::{CAMPAIGN, Scene};

/// From the command to its receipt.
const TARGET_SECONDS: f64 = 300.0;

/// Hits a second that come in meanwhile: 170 million a day.
const INTAKE: u64 = 2_000;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let (hits, campaigns) = run.size((100_000_000, 1_000), (300_000, 20));
    // Nothing is published over half of a load.
    let scene = Scene::start(&run.tools, "1h")?;
    let letters = scene.stamp(CAMPAIGN)?;
    let (who, others) = letters.split_first().ok_or_else(|| anyhow!("nobody gets mail"))?;
    let own = scene.contact_of(who)?;
    others.iter().try_for_each(|letter| scene.open(letter))?;
    scene.wait_rows("tenant != 0", letters.len() as u64)?;

    let morning = report::morning(run.seed(), hits, campaigns, 100_000);
    let salts = scene.machine.data().join("ring/salt");
    let nothing = &mut Expected::of(Vec::new());
    let took = loader::load(&scene.machine.store()?, &salts, &morning, nothing)?;
    figures.measure("loading took", took.as_secs_f64(), "s");
    // The reader who reads most of what was loaded is that person, too: before stampings waited for
    // one another, two at once named somebody by two ids.
    let loaded = morning.contact(0);
    scene.query(&format!(
        "INSERT INTO contacts SELECT tenant, lookup, {loaded}, sealed, addSeconds(at, 1) \
         FROM contacts WHERE contact = {own}"
    ))?;
    let theirs = format!("contact IN ({own}, {loaded})");
    figures.tell(
        "hits stored",
        scene.number("SELECT sum(rows) FROM system.parts WHERE active AND table = 'hits'")?,
        "rows of individual mail",
    );
    let parts = format!("SELECT uniqExact(_part) FROM hits WHERE {theirs}");
    figures.tell("parts with rows of theirs", scene.number(&parts)?, "parts");
    let rows = scene.rows(&theirs)?;
    figures.at_least("rows of theirs", rows, 2, "rows");
    let ids = [own, loaded];
    let before = scene.files_with(&ids)?;
    figures.at_least("files of ClickHouse with an id of theirs, before", before, 1, "files");

    let keys = RegionKeys::load(&scene.machine.data().join("keys"))?;
    let key = keys.get(Kid(1)).ok_or_else(|| anyhow!("there is no region key"))?;
    let counted = counted(&scene)?;
    let intake = Load::start(Job {
        targets: vec![scene.machine.edge()?],
        connections: 16,
        plan: Plan::Newsletters { seed: run.seed(), campaigns: 40 },
        minter: Minter::new(Kid(1), key, Keys::last_day()),
        first: 0,
        count: u64::MAX,
        rate: Some(run.size(INTAKE, 200)),
        patience: Duration::from_secs(30),
        latency_every: 1,
    });
    progress("erasing");
    let behind = |scene: &Scene| {
        // First what was answered: what is counted meanwhile makes the difference too small by a query.
        let answered = intake.progress().answered();
        Ok(answered.saturating_sub(self::counted(scene)? - counted))
    };
    let (receipt, took, behind) = erase_beside(&scene, &who.to, &behind)?;
    run.limit(
        &mut figures,
        "from the command to its receipt",
        took.as_secs_f64(),
        TARGET_SECONDS,
        "s",
    );
    let rate = run.size(INTAKE, 200) as f64;
    figures.tell("answered hits not counted yet meanwhile, at most", behind, "hits");
    figures.measure("which is an intake of", behind as f64 / rate, "s");
    let more = self::counted(&scene)? - counted;
    figures.at_least("hits of others stored meanwhile", more, 1, "hits");
    let intake = intake.stop()?;
    figures.tell("hits that came in meanwhile", intake.answered.count(), "hits");
    figures.exactly("of these answered wrongly", intake.wrong_count, 0, "hits");

    figures.exactly(
        "receipts that the second verifier takes",
        u64::from(scene.is_verified(&receipt)?),
        1,
        "receipts",
    );
    let says = scene::reached(&receipt, "hits")?;
    figures.exactly("rows that the receipt names", says, rows, "rows");
    figures.exactly("rows of theirs, after", scene.rows(&theirs)?, 0, "rows");
    let contacts = format!("SELECT count() FROM contacts WHERE {theirs}");
    figures.exactly("contacts of theirs, after", scene.number(&contacts)?, 0, "rows");
    figures.exactly("files with an id of theirs, after", scene.files_with(&ids)?, 0, "files");

    // What still comes of them is answered, and not stored.
    scene.open(who)?;
    let open = format!("tenant = {} AND kind = 'open' AND NOT ({theirs})", tenant().0);
    let stored = scene.rows(&open)?;
    scene.open(&others[0])?;
    scene.wait_rows(&open, stored + 1)?;
    figures.exactly("rows of theirs that came later", scene.rows(&theirs)?, 0, "rows");
    Ok(figures)
}

/// Runs the command, and looks at how many answered hits wait to be counted meanwhile, at most.
fn erase_beside(
    scene: &Scene,
    address: &str,
    behind: &(dyn Fn(&Scene) -> Result<u64> + Sync),
) -> Result<(std::path::PathBuf, Duration, u64)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| -> Result<u64> {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(behind(scene)?);
                thread::sleep(Duration::from_millis(500));
            }
            Ok(most)
        });
        let began = Instant::now();
        let receipt = scene.erase(address);
        let took = began.elapsed();
        over.store(true, Ordering::Relaxed);
        let most = watch.join().map_err(|_| anyhow!("the watch panicked"))?;
        Ok((receipt?, took, most?))
    })
}

/// Hits that are counted by now.
fn counted(scene: &Scene) -> Result<u64> {
    scene.number("SELECT sum(raw) FROM counters WHERE tenant != 0 AND dimension = 'total'")
}
