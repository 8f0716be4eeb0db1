//! Deaths and stops at the worst moments. Each scene has to leave every hit stored once, and has
//! to fail once the part that it tests is switched off: so each part is known to be needed.

mod scenes;
mod stage;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};

use super::super::Run;
use crate::figure::{Figures, progress};
use scenes::SCENES;
use stage::Stage;

/// One moment, and the parts without which it goes wrong.
struct Scene {
    /// What happens, in words.
    name: &'static str,
    /// Parts of the writer, `cut`, `token`, `ledger` and `one-connection`, or several with commas:
    /// each time these are switched off the scene has to go wrong.
    needs: &'static [&'static str],
    play: fn(&mut Stage) -> Result<()>,
}

/// Scenes that are played at once: mostly they wait, for a lease to run out or a program to start.
const AT_ONCE: usize = 3;

pub(super) fn prove(run: &Run, figures: &mut Figures) -> Result<()> {
    let mut plays = Vec::new();
    for (seed, scene) in (run.seed()..).zip(SCENES) {
        plays.push((scene, None, seed));
        plays.extend(scene.needs.iter().map(|part| (scene, Some(*part), seed)));
    }
    let found = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some((scene, without, seed)) = plays.get(next.fetch_add(1, Ordering::Relaxed)) {
            let outcome = play(run, scene, *without, *seed)?;
            found.lock().expect("nobody panics with it").insert((scene.name, *without), outcome);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            worker.join().map_err(|_| anyhow!("a scene panicked"))??;
        }
        Ok(())
    })?;
    let found = found.into_inner().expect("nobody panics with it");
    for (scene, without, _) in &plays {
        let found = &found[&(scene.name, *without)];
        match without {
            None => figures.must(scene.name, found.words(), "every hit stored once", found.right()),
            Some(part) => {
                let name = format!("{}; without the {part}", scene.name);
                figures.must(name, found.words(), "has to go wrong", !found.right());
            }
        }
    }
    Ok(())
}

fn play(run: &Run, scene: &Scene, without: Option<&str>, seed: u64) -> Result<stage::Found> {
    progress(&format!(
        "scene: {}{}",
        scene.name,
        without.map_or(String::new(), |w| format!(", without {w}"))
    ));
    let mut stage = Stage::set(&run.tools, without, seed)?;
    (scene.play)(&mut stage)
        .and_then(|()| stage.find())
        .with_context(|| format!("in the scene `{}`:\n{}", scene.name, stage.logs()))
}
