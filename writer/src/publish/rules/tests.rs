use super::*;

fn count(raw: u64, human: u64, people: u64) -> Count {
    Count { raw, human, uniq_raw: Some(people), uniq_human: Some(people.min(human)) }
}

fn counted(mode: Mode, cells: &[(Dimension, &str, Count)]) -> Counted {
    let mut counted = Counted::default();
    for (dimension, value, count) in cells {
        counted.cells.insert((*dimension, (*value).to_owned()), *count);
    }
    counted.cells.insert((Dimension::Mode, mode.name().to_owned()), count(1, 1, 1));
    counted
}

fn of(recipients: u64) -> Terms {
    Terms { recipients, k: 10, epoch: 1_795_000_000 }
}

fn three_clients(mode: Mode, [a, b, c]: [u64; 3]) -> Counted {
    let of = |n| count(n, n / 2, n);
    let clients = [("a", of(a)), ("b", of(b)), ("c", of(c))];
    let mut cells = vec![(Dimension::Total, "", of(a + b + c))];
    cells.extend(clients.map(|(name, count)| (Dimension::Client, name, count)));
    counted(mode, &cells)
}

fn names(shown: &BTreeMap<Place, Shown>) -> Vec<&str> {
    let named = shown.iter().filter(|((dimension, value), shown)| {
        shown.raw.is_some() && (*dimension == Dimension::Total || !value.is_empty())
    });
    named.map(|((_, value), _)| value.as_str()).collect()
}

#[test]
fn a_small_cell_and_the_one_that_would_tell_it_are_not_even_named() {
    let counted = three_clients(Mode::Anonymous, [60, 30, 3]);
    let shown = counted.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
    assert_eq!(names(&shown), ["", "a"]);
    assert_eq!(shown.len(), 3, "with the total of the table");
}

#[test]
fn a_withheld_total_withholds_the_tables_that_would_add_up_to_it() {
    let counted = three_clients(Mode::Anonymous, [80, 70, 45]);
    let shown = counted.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
    assert_eq!(names(&shown), Vec::<&str>::new());
}

#[test]
fn what_was_shown_of_known_readers_is_withheld_once_they_are_not_known() {
    for people in [3, 60] {
        let cells = |people| {
            let total = (Dimension::Total, "", count(people, people, people));
            counted(Mode::Anonymous, &[total])
        };
        let nothing = BTreeMap::new();
        let known = cells(people).shown(Mode::Individual, &nothing, &of(200));
        assert_eq!(names(&known), [""]);
        let now = cells(people).shown(Mode::Anonymous, &known, &of(200));
        assert_eq!(names(&now), Vec::<&str>::new(), "{people}");
        let one_more = cells(people + 1).shown(Mode::Anonymous, &now, &of(200));
        assert_eq!(names(&one_more), Vec::<&str>::new(), "{people}");
        let group_more = cells(people + 10).shown(Mode::Anonymous, &one_more, &of(200));
        assert_eq!(names(&group_more), [""], "{people}");
    }
}

#[test]
fn rules_are_told_with_the_total_and_move_on_with_it() {
    let with_rules = |people: u64, versions: &[&str]| {
        let mut cells = vec![(Dimension::Total, "", count(people, people, people))];
        cells.extend(versions.iter().map(|version| (Dimension::Rules, *version, count(1, 1, 1))));
        counted(Mode::Anonymous, &cells)
    };
    let told = |counted: &Counted, told: &[u16], before: &BTreeMap<Place, Shown>| {
        let shown = counted.shown(Mode::Anonymous, before, &of(200));
        (counted.rules_told(Mode::Anonymous, told, before, &shown), shown)
    };
    let nothing = BTreeMap::new();
    let one = with_rules(1, &["1"]);
    assert_eq!(told(&one, &[], &nothing).0, [0; 0], "it would say that somebody opened");
    assert_eq!(one.rules_told(Mode::Individual, &[], &nothing, &nothing), [1]);
    let (rules, before) = told(&with_rules(40, &["1"]), &[], &nothing);
    assert_eq!(rules, [1]);
    let one_more = with_rules(41, &["1", "2"]);
    assert_eq!(told(&one_more, &rules, &before).0, [1], "it would say when somebody opened");
    let more = with_rules(60, &["1", "2"]);
    assert_eq!(told(&more, &rules, &before).0, [1, 2]);
}

#[test]
fn who_agreed_to_be_known_is_shown_as_counted() {
    let mut counted = three_clients(Mode::Individual, [2, 1, 1]);
    let shown = |counted: &Counted| counted.shown(Mode::Individual, &BTreeMap::new(), &of(4));
    assert_eq!(names(&shown(&counted)), ["", "a", "b", "c"]);
    assert_eq!(counted.uniques(Mode::Individual), Uniques::Sketch);
    counted.rows.insert((Dimension::Total, String::new()), (4, 3, 2));
    assert_eq!(counted.uniques(Mode::Individual), Uniques::Exact);
    let total = shown(&counted)[&(Dimension::Total, String::new())];
    assert_eq!(total.raw, Some(Measure { hits: 4, uniq: Some(3) }));
}

#[test]
fn one_hit_of_a_stricter_mode_makes_all_of_it_guarded() {
    let mut counted = three_clients(Mode::Individual, [20, 20, 20]);
    assert_eq!(counted.mode(Mode::Individual), Mode::Individual);
    counted.cells.insert((Dimension::Mode, "overall".into()), count(1, 1, 1));
    assert_eq!(counted.mode(Mode::Individual), Mode::Overall);
    assert_eq!(counted.mode(Mode::Off), Mode::Overall, "switched off later");
    let shown = counted.shown(Mode::Overall, &BTreeMap::new(), &of(200));
    assert!(shown.values().all(|s| s.raw.is_none_or(|raw| raw.uniq.is_none())));
}

#[test]
fn what_was_shown_stays_when_nearly_everybody_is_counted() {
    let first = three_clients(Mode::Anonymous, [60, 30, 30]);
    let before = first.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
    assert_eq!(names(&before), ["", "a", "b", "c"]);
    let later = three_clients(Mode::Anonymous, [130, 30, 35]);
    assert_eq!(later.shown(Mode::Anonymous, &before, &of(200)), before);
}

#[test]
fn what_is_told_is_what_the_epoch_shows_and_nothing_else() {
    let totals = |mode, raw: [u64; 3]| {
        told(mode, &three_clients(mode, raw).shown(mode, &BTreeMap::new(), &of(200)))
    };
    let shown = totals(Mode::Anonymous, [60, 30, 30]).unwrap();
    assert_eq!((shown.raw, shown.messages), (Some(120), Some(120)));
    assert_eq!(totals(Mode::Anonymous, [3, 2, 2]), Some(Total::default()), "withheld");
    assert_eq!(totals(Mode::Individual, [3, 2, 2]).unwrap().raw, Some(7));
    let nothing = BTreeMap::new();
    assert_eq!(told(Mode::Off, &nothing), None);
    assert_eq!(told(Mode::Overall, &nothing), Some(Total::default()));
    assert_eq!(told(Mode::Individual, &nothing).unwrap().raw, Some(0));
}

#[test]
fn what_a_policy_removed_is_not_shown_and_the_rest_is() {
    for mode in [Mode::Anonymous, Mode::Individual] {
        let whole = three_clients(mode, [60, 30, 30]);
        let before = whole.shown(mode, &BTreeMap::new(), &of(200));
        assert_eq!(names(&before), ["", "a", "b", "c"]);
        let mut less = whole.clone();
        less.cells.retain(|(dimension, _), _| *dimension != Dimension::Client);
        let shown = less.shown(mode, &before, &of(200));
        assert_eq!(names(&shown), [""], "{mode}");
        assert_eq!(shown.len(), before.len(), "what was shown is written as withheld");
    }
}

#[test]
fn a_month_that_went_takes_what_was_shown_with_it() {
    let first = three_clients(Mode::Anonymous, [60, 30, 30]);
    let before = first.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
    let less = three_clients(Mode::Anonymous, [57, 30, 30]);
    let shown = less.shown(Mode::Anonymous, &before, &of(200));
    assert_eq!(names(&shown), Vec::<&str>::new(), "three people would show");
    let grown = |by: u64| {
        let more = three_clients(Mode::Anonymous, [60 + by, 30 + by, 30 + by]);
        more.shown(Mode::Anonymous, &shown, &of(200))
    };
    assert_eq!(names(&grown(9)), [""], "nine would show in each client");
    assert_eq!(names(&grown(10)), ["", "a", "b", "c"]);
    let known = three_clients(Mode::Individual, [57, 30, 30]);
    let total =
        known.shown(Mode::Individual, &before, &of(200))[&(Dimension::Total, String::new())];
    assert_eq!(total.raw.map(|raw| raw.hits), Some(117), "who agreed to be known");
}

/// A tenant that turns to `anonymous` has shown every single hit until then.
#[test]
fn what_was_shown_of_known_readers_is_no_first_release() {
    let known = three_clients(Mode::Individual, [60, 30, 30]);
    let before = known.shown(Mode::Individual, &BTreeMap::new(), &of(200));
    let one_more = three_clients(Mode::Anonymous, [61, 30, 30]);
    let shown = one_more.shown(Mode::Anonymous, &before, &of(200));
    assert_eq!(names(&shown), Vec::<&str>::new(), "the total was held to no mark, either");
    let more = three_clients(Mode::Anonymous, [70, 40, 40]);
    assert_eq!(names(&more.shown(Mode::Anonymous, &shown, &of(200))), ["", "a", "b", "c"]);
}

#[test]
fn a_new_value_of_one_person_leaves_its_table_as_it_was_while_the_total_moves() {
    let first = three_clients(Mode::Anonymous, [60, 30, 30]);
    let before = first.shown(Mode::Anonymous, &BTreeMap::new(), &of(200));
    let mut later = three_clients(Mode::Anonymous, [70, 30, 31]);
    later.cells.insert((Dimension::Client, "d".into()), count(1, 0, 1));
    let shown = later.shown(Mode::Anonymous, &before, &of(200));
    let total = shown[&(Dimension::Total, String::new())];
    assert_eq!(total.raw.map(|raw| raw.hits), Some(131));
    let clients = |of: &BTreeMap<Place, Shown>| {
        let rows = of.iter().filter(|((dimension, _), _)| *dimension == Dimension::Client);
        rows.map(|(place, cell)| (place.clone(), *cell)).collect::<Vec<_>>()
    };
    assert_eq!(clients(&shown), clients(&before));
}

#[test]
fn an_hour_is_shown_when_nothing_of_it_is_on_its_way_any_more() {
    let hours = counted(
        Mode::Anonymous,
        &[
            (Dimension::Total, "", count(80, 40, 80)),
            (Dimension::Hour, "2026-11-18T09", count(50, 25, 50)),
            (Dimension::Hour, "2026-11-18T10", count(30, 15, 30)),
        ],
    );
    // 2026-11-18, at so many minutes past nine, UTC.
    let at = |minutes: u32| Terms { epoch: 1_794_992_400 + minutes * 60, ..of(200) };
    let shown = |minutes| hours.shown(Mode::Anonymous, &BTreeMap::new(), &at(minutes));
    assert_eq!(names(&shown(69)), [""]);
    assert_eq!(names(&shown(70)), ["", "2026-11-18T09"]);
}
