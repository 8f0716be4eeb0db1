//! Proof `unlinking`: who holds every mail, every key but the salt key that is dead, and every byte
//! that is stored, guesses who opened as well as the toss of a coin does.
//!
//! Each trial is two messages of which one was opened, and the attacker says which: the base rate is
//! one half whatever share of the mail is read. The same attacker with the salt key is right.

mod cells;
mod guess;
mod mail;
mod store;
mod urls;

use anyhow::Result;
use fastrand::Rng;

use super::{Run, chance};
use crate::figure::Figures;
use crate::keys::Keys;
use crate::stack::{Shape, Stack};
use guess::Attacker;
use mail::Mail;
use store::Store;

pub(super) fn prove(run: &Run) -> Result<Figures> {
    let mut figures = Figures::default();
    let shape = Shape { edges: 0, writers: 0, ..Shape::default() };
    let stack = Stack::prepare(&run.tools, &shape, run.seed())?;
    stack.start_stores()?;
    let store = Store::new(&stack)?;
    let mut random = Rng::with_seed(run.seed());
    messages(run, &stack, &store, &mut random, &mut figures)?;
    cells::prove(run, &stack, &store, &mut random, &mut figures)?;
    urls::prove(run, &stack, &mut figures)?;
    Ok(figures)
}

fn messages(
    run: &Run,
    stack: &Stack,
    store: &Store,
    random: &mut Rng,
    figures: &mut Figures,
) -> Result<()> {
    let (campaigns, pairs) = run.size((10, 1_000), (2, 200));
    let trials = campaigns * pairs;
    let mails =
        (0..campaigns).map(|n| Mail::send(stack, n, pairs, random)).collect::<Result<Vec<_>>>()?;
    let mut hits: Vec<_> = mails.iter().flat_map(Mail::opens).collect();
    hits.sort_by_key(|hit| hit.at_ms);
    store.hits(&hits)?;
    figures.tell("messages, all of which the attacker holds", trials * 2, "messages");
    figures.exactly("opens stored", store.total()?, hits.len() as u64, "hits");
    store.merge()?;
    let limit = chance::bound(trials, 0.5);
    figures.tell("a coin is right more often once in a million, at most", limit, "guesses");
    let attacker = Attacker::new(stack, &mails)?;
    let salts = stack.keys.salt_folder();
    // The day closed: its salt key was destroyed, and the attacker came after.
    let kept = hushmark_event::Ring::load(&salts)?;
    std::fs::remove_file(salts.join(Keys::last_day().to_string()))?;
    let left = hushmark_event::Ring::load(&salts)?;
    let batch = hushmark_event::Ring::load(&stack.keys.batch_folder())?;
    for (name, keys) in [
        ("by the salt keys of other days", &left),
        ("by the batch keys of all days, the dead one's too", &batch),
    ] {
        for (day, right) in attacker.by_ring(keys, random)? {
            let figure = format!("{name}: right with that of {day}, of {trials}");
            figures.at_most(&figure, right as f64, limit as f64, "guesses");
        }
    }
    for (name, right) in [
        ("by the region's key, as if it were a salt", attacker.by_region_key(random)?),
        ("by the marks themselves", attacker.by_marks(random)?),
        ("by delivery times and the hours of opens", attacker.by_time(random)?),
    ] {
        let figure = format!("{name}: right, of {trials}");
        figures.at_most(&figure, right as f64, limit as f64, "guesses");
    }
    let (_, right) = attacker.by_day(&kept, Keys::last_day(), random)?;
    figures.at_least("with the salt key kept: right", right, trials * 99 / 100, "guesses");
    Ok(())
}
