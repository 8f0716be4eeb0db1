//! The lines that a proof prints, and the table made of them.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One thing measured. `holds` is absent where there is no target, as for a peer.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Figure {
    pub(crate) figure: String,
    pub(crate) value: Value,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) target: String,
    pub(crate) holds: Option<bool>,
}

/// The last line; what a proof says beyond this is kept as it is.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
pub(crate) struct Verdict {
    pub(crate) proof: String,
    pub(crate) holds: bool,
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    Figure(Figure),
    Verdict(Verdict),
}

pub(crate) fn read(line: &str) -> Result<Line> {
    Ok(serde_json::from_str(line)?)
}

pub(crate) fn show(figures: &[Figure], verdict: &Verdict) {
    print!("{}", table(figures, verdict));
}

fn table(figures: &[Figure], verdict: &Verdict) -> String {
    let rows: Vec<[String; 4]> = figures
        .iter()
        .map(|figure| {
            let holds = match figure.holds {
                Some(true) => "holds",
                Some(false) => "DOES NOT HOLD",
                None => "",
            };
            let value = format!("{} {}", shown(&figure.value), figure.unit);
            [figure.figure.clone(), value.trim_end().into(), figure.target.clone(), holds.into()]
        })
        .collect();
    let head = ["figure", "measured", "target", ""].map(String::from);
    let widths: Vec<usize> = (0..4)
        .map(|column| {
            let cells = rows.iter().chain([&head]).map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for row in [&head].into_iter().chain(&rows) {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    let judgement = if verdict.holds { "holds" } else { "DOES NOT HOLD" };
    text + &format!("\n{}: {judgement}\n", verdict.proof)
}

/// Whole numbers with their thousands apart, others to about four figures.
fn shown(value: &Value) -> String {
    match (value.as_u64(), value.as_f64(), value) {
        (Some(whole), _, _) => thousands(whole),
        (None, Some(number), _) if number.abs() >= 10_000.0 => format!("{number:.0}"),
        (None, Some(number), _) if number.abs() >= 100.0 => format!("{number:.1}"),
        (None, Some(number), _) => format!("{number:.2}"),
        (_, _, Value::String(text)) => text.clone(),
        (_, _, other) => other.to_string(),
    }
}

fn thousands(whole: u64) -> String {
    let digits = whole.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_and_a_verdict_are_told_apart() {
        let figure = r#"{"figure":"p99","value":1.5,"unit":"ms","target":"2","holds":true}"#;
        assert!(matches!(read(figure).unwrap(), Line::Figure(f) if f.holds == Some(true)));
        let peer = r#"{"figure":"nginx","value":1.08,"unit":"x","target":"","holds":null}"#;
        assert!(matches!(read(peer).unwrap(), Line::Figure(f) if f.holds.is_none()));
        let last = r#"{"proof":"edge","holds":false,"short":true}"#;
        assert!(matches!(read(last).unwrap(), Line::Verdict(v) if v.more["short"] == true));
        assert!(read("ready").is_err());
    }

    #[test]
    fn the_table_says_what_was_measured_and_what_does_not_hold() {
        let figure = |name: &str, value: Value, holds| Figure {
            figure: name.into(),
            value,
            unit: "hits".into(),
            target: "at least 1,000,000".into(),
            holds,
        };
        let figures =
            [figure("sent", 1_234_567.into(), Some(true)), figure("lost", 2.into(), Some(false))];
        let verdict = Verdict { proof: "exactly-once".into(), holds: false, more: Map::new() };
        let expected = "\
figure  measured        target
sent    1,234,567 hits  at least 1,000,000  holds
lost    2 hits          at least 1,000,000  DOES NOT HOLD

exactly-once: DOES NOT HOLD
";
        assert_eq!(table(&figures, &verdict), expected);
    }
}
