//! What a search came to, as figures: nothing may be found, and what was planted has to be.

use super::NOBODY;
use super::forms::{Find, Form};
use super::numbers::Number;
use super::people::Kind;
use super::place::Place;
use super::places::{Search, Searched};
use crate::figure::{Figures, progress};

/// Nothing may be found. Returns how many bytes were searched.
pub(super) fn clean(
    figures: &mut Figures,
    when: &str,
    searched: &Searched,
    whom: &Search<'_>,
) -> u64 {
    for (place, (bytes, unpacked)) in &searched.bytes {
        let mb = (*bytes + *unpacked) as f64 / 1e6;
        figures.measure(format!("{when}: searched of {}", place.name()), mb, "MB");
    }
    let is_named = |place: Place, find: Find| {
        place == Place::Naming && find == Find { kind: Kind::Address, form: Form::Raw }
    };
    for kind in Kind::ALL {
        let of_kind = searched.found.iter().filter(|((_, it), _)| it.kind == kind);
        let wrong = of_kind.filter(|((place, find), _)| !is_named(*place, *find));
        let sum: u64 = wrong.map(|(_, times)| times).sum();
        figures.exactly(&format!("{when}: {} found", kind.name()), sum, 0, "times");
    }
    for ((place, find), times) in &searched.found {
        if is_named(*place, *find) {
            figures.tell(format!("{when}: addresses in {}", place.name()), *times, "times");
        } else {
            let example = &searched.example[&(*place, *find)];
            let what = format!("{} {}", find.kind.name(), find.form.name());
            progress(&format!("{what}: {times} times in {}, first {example}", place.name()));
        }
    }
    counted(figures, when, searched, whom);
    let unread: Vec<&str> = searched.unread.iter().map(String::as_str).collect();
    figures.tell(format!("{when}: tables that cannot be read"), unread.join(", "), "");
    figures.exactly(&format!("{when}: blocks not unpacked"), searched.unread_blocks, 0, "blocks");
    searched.sum()
}

/// IPv4 addresses as numbers are not found more often than those of people who never were.
fn counted(figures: &mut Figures, when: &str, searched: &Searched, whom: &Search<'_>) {
    let mut too_many = 0;
    for (place, seen) in &searched.seen {
        for number in Number::ALL {
            let counted = whom.numbers.count(seen, number);
            too_many += u64::from(!counted.holds());
            if counted.people + counted.nobody > 0 {
                let what = format!("{when}: people by {} in {}", number.name(), place.name());
                let of_nobody = format!(
                    "{} people, and {} of {NOBODY} times as many who never were",
                    counted.people, counted.nobody
                );
                figures.tell(what, of_nobody, "");
                let least = whom.numbers.least(counted.nobody);
                let least = least.map_or_else(|| "none".to_owned(), |it| it.to_string());
                progress(&format!("  a store of so many people would have been seen: {least}"));
            }
        }
    }
    let name = format!("{when}: places with more IPv4 addresses as numbers than chance makes");
    figures.exactly(&name, too_many, 0, "places and forms");
}

/// What is planted in each place: every kind of secret in every form.
pub(super) fn expected() -> impl Iterator<Item = Find> {
    Kind::ALL.into_iter().flat_map(|kind| Form::all().map(move |form| Find { kind, form }))
}

/// Everything that was planted has to be found where it was planted.
pub(super) fn found(figures: &mut Figures, searched: &Searched, whom: &Search<'_>) {
    for place in Place::ALL {
        // A table's comment is text: UTF-16 and raw numbers have no place there.
        let text_alone = place == Place::SystemTable;
        let wanted: Vec<Find> =
            expected().filter(|find| !(text_alone && find.form == Form::Utf16)).collect();
        let is_found = |find: &&Find| searched.found.contains_key(&(place, **find));
        let found = wanted.iter().filter(is_found).count();
        let name = format!("planted in {}, and found", place.name());
        figures.exactly(&name, found as u64, wanted.len() as u64, "kinds and forms");
        let forms = Number::ALL.into_iter().filter(|it| !(text_alone && *it == Number::Bytes));
        let is_seen = |number: &Number| {
            searched.seen.get(&place).is_some_and(|it| !whom.numbers.count(it, *number).holds())
        };
        let (seen, missed): (Vec<Number>, Vec<Number>) = forms.partition(is_seen);
        missed.iter().for_each(|it| progress(&format!("  missed: {}", it.name())));
        let wanted = (seen.len() + missed.len()) as u64;
        let name = format!("planted in {}, and seen against chance", place.name());
        figures.exactly(&name, seen.len() as u64, wanted, "forms of numbers");
    }
}
