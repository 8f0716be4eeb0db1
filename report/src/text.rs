//! A report for people: tables, and a sparkline of the hours.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};
use hushmark_event::Verdict;
use hushmark_event::cell::Dimension;
use hushmark_policy::{Day, Mode};

use crate::model::{Cell, KindReport, Report, Uniques};

/// The tables of a report, in the order in which people ask.
const TABLES: [(Dimension, &str); 6] = [
    (Dimension::Link, "link"),
    (Dimension::Client, "client"),
    (Dimension::Device, "device"),
    (Dimension::System, "system"),
    (Dimension::Country, "country"),
    (Dimension::Verdict, "verdict"),
];

/// Renders a report as text of at most 80 columns.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    let epoch = Moment(report.epoch);
    line(&mut out, format_args!("{}", report.campaign));
    line(
        &mut out,
        format_args!("as of {epoch}; an epoch lasts {}", duration(report.epoch_seconds)),
    );
    for kind in &report.kinds {
        out.push('\n');
        render_kind(&mut out, report, kind);
    }
    if report.kinds.iter().any(|kind| kind.mode.counts()) {
        let verdicts = Verdict::ALL.iter().filter(|verdict| verdict.is_human());
        let verdicts: Vec<&str> = verdicts.map(|verdict| verdict.name()).collect();
        line(&mut out, format_args!("\nhuman: the verdicts {}", verdicts.join(", ")));
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a string takes any text");
}

fn render_kind(out: &mut String, report: &Report, kind: &KindReport) {
    let title = format!("{}s", kind.kind.name()).to_uppercase();
    if kind.mode == Mode::Off {
        return line(out, format_args!("{title}  off: nothing is recorded"));
    }
    if kind.mode == Mode::LastOpenDay {
        let kept = "only the day of each contact's last open is kept; nothing is counted";
        return line(out, format_args!("{title}  {}: {kept}", kind.mode));
    }
    line(out, format_args!("{title}  {}; {}", kind.mode, kind.uniques.because()));
    let rules: Vec<String> = kind.rules.iter().map(u16::to_string).collect();
    if !rules.is_empty() {
        line(out, format_args!("verdicts by rules version {}", rules.join(", ")));
    }
    let all = measures(kind, None);
    let mut table = self::table("", &all);
    let mut sent = vec!["sent".to_owned(), kind.sent.to_string()];
    sent.resize(1 + all.len(), String::new());
    table.add_row(sent);
    table.add_row(row("all".to_owned(), &kind.total, &all));
    table_lines(out, &table);
    for (dimension, title) in TABLES {
        let Some(rows) = kind.tables.get(&dimension).filter(|rows| !rows.is_empty()) else {
            continue;
        };
        let measures = measures(kind, Some(dimension));
        let mut table = self::table(title, &measures);
        for (value, numbers) in rows {
            table.add_row(row(value.clone(), numbers, &measures));
        }
        out.push('\n');
        table_lines(out, &table);
    }
    if let Some(hours) = kind.tables.get(&Dimension::Hour).filter(|hours| !hours.is_empty()) {
        render_hours(out, hours);
    }
    if kind.mode.is_guarded() {
        let k = report.minimum_group;
        line(out, format_args!("\nwithheld: the number, or what it leaves of another, is about"));
        line(out, format_args!("fewer than {k} people; values that are withheld are not listed"));
    }
}

/// A column: its title, and what it shows of a cell.
type Measure = (&'static str, fn(&Cell) -> Option<u64>);

/// The columns of a table. A verdict says itself whether it is about people, so that its table
/// needs no columns of human hits.
fn measures(kind: &KindReport, dimension: Option<Dimension>) -> Vec<Measure> {
    let all: [Measure; 4] = [
        ("raw", |cell| cell.raw),
        ("human", |cell| cell.human),
        ("unique raw", |cell| cell.uniq_raw),
        ("unique human", |cell| cell.uniq_human),
    ];
    let known = if kind.uniques == Uniques::None { 2 } else { 4 };
    let of_people = dimension != Some(Dimension::Verdict);
    let wanted = all.into_iter().take(known);
    wanted.filter(|(title, _)| of_people || !title.ends_with("human")).collect()
}

fn table(title: &str, measures: &[Measure]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(std::iter::once(title).chain(measures.iter().map(|(title, _)| *title)));
    for (i, column) in table.column_iter_mut().enumerate() {
        let width = if i == 0 { 20 } else { 15 };
        column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
        if i > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

fn row(value: String, cell: &Cell, measures: &[Measure]) -> Vec<String> {
    let numbers = measures.iter().map(|(_, of)| number(of(cell)));
    std::iter::once(value).chain(numbers).collect()
}

/// Without the spaces that a table leaves at the end of a line.
fn table_lines(out: &mut String, table: &Table) {
    for text in table.lines() {
        line(out, format_args!("{}", text.trim_end()));
    }
}

/// A number, or one word for every reason not to show it: telling the reasons apart would tell
/// whether it was nearly nobody or nearly everybody.
pub(crate) fn number(n: Option<u64>) -> String {
    n.map_or_else(|| "withheld".to_owned(), |n| n.to_string())
}

/// One bar an hour from the first to the last; hours that are withheld or empty are blank.
fn render_hours(out: &mut String, hours: &[(String, Cell)]) {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let index = |text: &str| {
        let (day, hour) = text.split_once('T')?;
        Some(u64::from(Day::parse(day)?.0) * 24 + hour.parse::<u64>().ok()?)
    };
    let at: Vec<(u64, u64)> = hours
        .iter()
        .filter_map(|(hour, cell)| Some((index(hour)?, cell.raw.unwrap_or(0))))
        .collect();
    let (Some((first, _)), Some((last, _))) = (at.first(), at.last()) else { return };
    // A year of hours would not fit a line: from the third day on a bar is wider than an hour.
    let per_bar = (last - first + 1).div_ceil(72);
    let mut bars = vec![0u64; ((last - first) / per_bar + 1) as usize];
    for (hour, n) in &at {
        bars[((hour - first) / per_bar) as usize] += n;
    }
    let most = bars.iter().copied().max().unwrap_or(0).max(1);
    let spark: String = bars
        .iter()
        .map(|n| if *n == 0 { ' ' } else { BARS[((n * 7).div_ceil(most)) as usize] })
        .collect();
    let (from, to) = (&hours[0].0, &hours[hours.len() - 1].0);
    line(out, format_args!("\nhours {from} to {to} UTC, most {most} in {per_bar} h"));
    line(out, format_args!("{spark}"));
}

fn duration(seconds: u32) -> String {
    match seconds {
        s if s % 86_400 == 0 => format!("{} d", s / 86_400),
        s if s % 3_600 == 0 => format!("{} h", s / 3_600),
        s if s % 60 == 0 => format!("{} min", s / 60),
        s => format!("{s} s"),
    }
}

/// A moment as people write it, in UTC.
pub(crate) struct Moment(pub(crate) u32);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = Day::of_unix_ms(u64::from(self.0) * 1_000);
        let (h, m, s) = (self.0 / 3_600 % 24, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{day} {h:02}:{m:02}:{s:02} UTC")
    }
}
