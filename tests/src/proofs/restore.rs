//! Proof `restore`: ClickHouse's files are put back from before an erasure. Nothing is published and
//! nothing is reported before the person is erased again, which nobody has to ask for.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow, bail, ensure};

use super::Run;
use super::erasure::scene::{CAMPAIGN, NAMESPACE, Scene, text};
use crate::figure::Figures;

/// How long the writer may take to catch up, which ends a proof that hangs.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let scene = Scene::start(&run.tools, "10s")?;
    let letters = scene.stamp(CAMPAIGN)?;
    let (who, others) = letters.split_first().ok_or_else(|| anyhow!("nobody gets mail"))?;
    let id = scene.contact_of(who)?;
    others.iter().try_for_each(|letter| scene.open(letter))?;
    scene.wait_rows("tenant != 0", letters.len() as u64)?;
    wait_published(&scene, letters.len() as u64)?;

    let backup = scene.path("backup");
    let scene = scene.restart(|data| copy(&data.join("clickhouse"), &backup))?;
    let receipt = scene.erase(&who.to)?;
    figures.exactly("receipts that verify", u64::from(scene.is_verified(&receipt)?), 1, "receipts");
    let theirs = format!("contact = {id}");
    figures.exactly("rows of theirs once erased", scene.rows(&theirs)?, 0, "rows");

    // An epoch is named by when it began, and the backup is older than one by now.
    let epochs_before = now_seconds()?.saturating_sub(EPOCH_SECONDS);
    let scene = scene.restart(|data| {
        std::fs::remove_dir_all(data.join("clickhouse"))?;
        copy(&backup, &data.join("clickhouse"))
    })?;
    let person = scene.path("person");
    std::fs::write(&person, &who.to)?;
    let watched = watch(&scene, &theirs, epochs_before, text(&person)?)?;
    figures.tell("looks while rows of theirs were back", watched.looks, "looks");
    figures.at_least(
        "reports refused until the person was erased again",
        watched.refused,
        1,
        "reports",
    );
    figures.exactly("reports shown while they were back", watched.shown, 0, "reports");
    figures.exactly("other answers shown before that", watched.others_shown, 0, "answers");
    figures.exactly("epochs published while they were back", watched.published, 0, "epochs");
    figures.measure(
        "from the start until reports are shown again",
        watched.took.as_secs_f64(),
        "s",
    );
    figures.exactly("rows of theirs in the end", scene.rows(&theirs)?, 0, "rows");
    figures.exactly("files with their id in the end", scene.files_with(&[id])?, 0, "files");

    // The backup knew nothing of what keeps the person from being tracked anew.
    let again = scene.path("again");
    let again = text(&again)?;
    let said = scene.machine.ask(&["stamp", CAMPAIGN, "--out", again])?;
    let is_spared = said.contains("1 recipient ended their tracking");
    figures.exactly("of the next mailing not tracked", u64::from(is_spared), 1, "people");
    let rows = scene.rows("tenant != 0")?;
    figures.exactly("rows of others", rows, others.len() as u64, "rows");
    Ok(figures)
}

/// The quickstart's, of which an erasure takes several.
const EPOCH_SECONDS: u64 = 10;

fn now_seconds() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

/// What was seen between the start and the first report.
struct Watched {
    looks: u64,
    refused: u64,
    shown: u64,
    /// Whatever else tells of people or of hits.
    others_shown: u64,
    published: u64,
    took: Duration,
}

/// Asks again and again. What is asked first was true before what is asked last: a report or an
/// epoch that is there while rows are found afterwards was made of them, and whatever else is shown
/// before a report is refused was shown too early.
fn watch(scene: &Scene, theirs: &str, epoch_before: u64, person: &str) -> Result<Watched> {
    let began = Instant::now();
    let others: [&[&str]; 5] = [
        &["counters", CAMPAIGN],
        &["segment", "--campaign", CAMPAIGN, "--opened"],
        &["contact", "--tenant", NAMESPACE, "--person", person],
        &["export", CAMPAIGN],
        &["log", "--tenant", NAMESPACE],
    ];
    let (mut looks, mut refused, mut shown, mut published) = (0, 0, 0, 0);
    let mut others_shown = 0;
    loop {
        let epoch = epoch(scene)?;
        let told: Vec<_> =
            others.iter().map(|command| scene.machine.run(command)).collect::<Result<_>>()?;
        let report = scene.machine.run(&["report", CAMPAIGN])?;
        let are_back = scene.rows(theirs)? > 0;
        looks += u64::from(are_back);
        published += u64::from(are_back && epoch > epoch_before);
        shown += u64::from(are_back && report.status.success());
        if report.status.success() {
            let took = began.elapsed();
            return Ok(Watched { looks, refused, shown, others_shown, published, took });
        }
        for answer in told.iter().chain([&report]) {
            let complained = String::from_utf8_lossy(&answer.stderr);
            let is_shown = answer.status.success();
            ensure!(is_shown || complained.contains("demands an erasure"), "{complained}");
            others_shown += u64::from(is_shown);
        }
        refused += 1;
        if began.elapsed() > PATIENCE {
            bail!("no report is shown again\n{}", scene.machine.said());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// When the last epoch was published, seconds since 1970.
fn epoch(scene: &Scene) -> Result<u64> {
    scene.number(
        "SELECT toUnixTimestamp(max(epoch)) FROM published_campaigns \
         WHERE tenant = 0 AND campaign = 0",
    )
}

fn wait_published(scene: &Scene, opens: u64) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    let published = "SELECT max(raw) FROM published WHERE kind = 'open' AND dimension = 'total'";
    while scene.query(published)?.parse::<u64>().unwrap_or(0) < opens {
        ensure!(Instant::now() < until, "nothing is published");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-a").args([from, to]).status()?;
    ensure!(copied.success(), "{} cannot be copied", from.display());
    Ok(())
}
