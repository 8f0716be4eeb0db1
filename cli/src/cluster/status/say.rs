//! The screen as text. Pure.

use std::fmt::Write as _;

use hushmark_crds::Replicas;

use super::super::paint::{Paint, wrapped};
use super::judge::{Amiss, Count, NotReady, RegionSummary, Summary};

/// Lines of what is not Ready; the rest is counted.
const LINES: usize = 15;

/// A terminal's width, less the indent.
const WIDTH: usize = 96;

/// The whole screen.
pub(crate) fn say(summary: &Summary, paint: Paint) -> String {
    let mut out = String::new();
    if summary.regions.is_empty() {
        out += "no Region: apply one, as docs/install.md says\n";
    }
    for region in &summary.regions {
        out += &region_text(region, paint);
        out.push('\n');
    }
    let not_ready = &summary.not_ready;
    if !not_ready.is_empty() {
        _ = writeln!(out, "{}", paint.title(&format!("NOT READY  {}", not_ready.len())));
        for one in not_ready.iter().take(LINES) {
            let NotReady { kind, name, reason, message, for_ } = one;
            let since = if for_.is_empty() { String::new() } else { format!(", for {for_}") };
            _ = writeln!(out, "  {} {name}  {}{since}", kind.to_lowercase(), paint.bad(reason));
            _ = writeln!(out, "      {}", wrapped(message, WIDTH - 6, 6));
        }
        if let more @ 1.. = not_ready.len().saturating_sub(LINES) {
            _ = writeln!(out, "  and {more} more: --json lists all");
        }
        out.push('\n');
    }
    for unseen in &summary.unseen {
        _ = writeln!(out, "not shown: {unseen}");
    }
    let all = if summary.well { paint.good("all is well") } else { paint.bad("not all is well") };
    out + &all + "\n"
}

fn region_text(region: &RegionSummary, paint: Paint) -> String {
    let mut out = String::new();
    let RegionSummary { name, jurisdiction, base_url, ready, .. } = region;
    let state = if *ready { paint.good("Ready") } else { paint.bad("not Ready") };
    let title = paint.title(&format!("REGION {name}"));
    _ = writeln!(out, "{title}  {state}  {jurisdiction}  {base_url}");
    let mut line = |what: &str, says: &str| _ = writeln!(out, "  {what:<12} {says}");
    line("release", region.release.as_deref().unwrap_or("none"));
    let operator = &region.operator;
    let says = match operator.works {
        Some(true) => operator.says.clone(),
        Some(false) => paint.bad(&operator.says),
        None => paint.uneasy(&operator.says),
    };
    line("operator", &says);
    line("edges", &replicas(region.edges, paint));
    line("writers", &replicas(region.writers, paint));
    line("keys", region.keys.as_deref().unwrap_or("none yet"));
    line("refusal log", region.refusal_log.as_deref().unwrap_or("not read yet"));
    line("tenants", &count(&region.tenants, paint));
    let phases: Vec<String> =
        region.phases.iter().map(|(phase, n)| format!("{n} {phase}")).collect();
    let phases = if phases.is_empty() { String::new() } else { format!("; {}", phases.join(", ")) };
    line("campaigns", &format!("{}{phases}", count(&region.campaigns, paint)));
    for pod in &region.pods {
        line("pod", &paint.uneasy(&wrapped(pod, WIDTH - 15, 15)));
    }
    for Amiss { type_, status, reason, message, for_ } in &region.conditions {
        let of = format!("{type_} is {status}");
        let of = if *ready { paint.uneasy(&of) } else { paint.bad(&of) };
        _ = writeln!(out, "  {of}, {reason}, for {for_}");
        if !message.is_empty() {
            _ = writeln!(out, "      {}", wrapped(message, WIDTH - 6, 6));
        }
    }
    out
}

fn replicas(replicas: Option<Replicas>, paint: Paint) -> String {
    let Some(Replicas { desired, ready }) = replicas else { return "not made yet".to_owned() };
    let text = format!("{ready} of {desired} ready");
    if ready < desired { paint.bad(&text) } else { text }
}

fn count(count: &Count, paint: Paint) -> String {
    let Count { all, ready, killed } = count;
    let mut text = format!("{ready} of {all} Ready");
    if ready < all {
        text = paint.bad(&text);
    }
    if *killed > 0 {
        text += &paint.uneasy(&format!("; kill switch on for {killed}"));
    }
    text
}
