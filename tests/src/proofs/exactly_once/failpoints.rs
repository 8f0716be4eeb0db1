//! Deaths and stops at the worst moments. Each scene has to leave every hit stored once, and has
//! to fail once the part that it tests is switched off: so each part is known to be needed.

mod scenes;
mod stage;

use anyhow::{Context, Result};

use super::super::Run;
use crate::figure::{Figures, progress};
use scenes::SCENES;
use stage::Stage;

/// One moment, and the parts without which it goes wrong.
struct Scene {
    /// What happens, in words.
    name: &'static str,
    /// Parts of the writer, `cut`, `token`, `ledger`, `proof` and `one-connection`, or several with
    /// commas: each time these are switched off the scene has to go wrong.
    needs: &'static [&'static str],
    play: fn(&mut Stage) -> Result<()>,
}

pub(super) fn prove(run: &Run, figures: &mut Figures) -> Result<()> {
    for (seed, scene) in (run.seed()..).zip(SCENES) {
        let found = play(run, scene, None, seed)?;
        figures.must(scene.name, found.words(), "every hit stored once", found.right());
        for part in scene.needs {
            let found = play(run, scene, Some(part), seed)?;
            let name = format!("{}; without the {part}", scene.name);
            figures.must(name, found.words(), "has to go wrong", !found.right());
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
