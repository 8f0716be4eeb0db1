//! The explanation as text. Pure.

use std::fmt::Write as _;

use hushmark_policy::{Kind as Hit, Mode, Place, Tracking};

use super::super::paint::{Paint, wrapped};
use super::recipient::Recipient;
use super::voices::{Consent, Explained, Mail};

/// A terminal's width, less the indent.
const WIDTH: usize = 90;

/// What is stored of a mode's hits.
pub(crate) const fn stored(mode: Mode) -> &'static str {
    match mode {
        Mode::Off => "nothing. Links and pictures of mail that was sent go on working",
        Mode::Overall => {
            "counters of the whole campaign, one dimension a row. Every recipient's links are the \
             same to the byte, so nobody can be told from anybody"
        }
        Mode::Anonymous => {
            "counters, and sketches that estimate how many different messages were hit. A message \
             carries a random mark that is written nowhere beside its owner; the salt of the \
             sketches is destroyed"
        }
        Mode::Individual => {
            "counters, and a row a hit with the contact's random id. The address is sealed \
             elsewhere"
        }
        Mode::LastOpenDay => {
            "the day of each contact's last open with the contact's random id, overwritten by the \
             next: no campaign, no moment, no count. Nothing is counted"
        }
    }
}

/// What is shown of it.
fn shown(mode: Mode, minimum_group: u32, epoch: &str) -> String {
    match mode {
        Mode::Off => "nothing".to_owned(),
        Mode::Overall => format!(
            "how often, once every {epoch}, and never about fewer than {minimum_group} people. No \
             uniques: nobody can tell two hits of one person from hits of two"
        ),
        Mode::Anonymous => format!(
            "how often and by how many, once every {epoch}, and never about fewer than \
             {minimum_group} people"
        ),
        Mode::Individual => format!("every hit of a contact; totals once every {epoch}"),
        Mode::LastOpenDay => {
            "the day, on the contact's page, and who has not opened since a day; no figure"
                .to_owned()
        }
    }
}

/// The whole explanation.
pub(crate) fn say(explained: &Explained, paint: Paint) -> String {
    let Explained { kind, name, region, applied, ready, says, phase, paused, .. } = explained;
    let mut out = String::new();
    let state = match (&explained.data, applied, ready) {
        (Some(_), ..) => "on this machine".to_owned(),
        (None, false, _) => paint.uneasy("not applied"),
        (None, true, true) => paint.good("Ready"),
        (None, true, false) => paint.bad("not Ready"),
    };
    let title = paint.title(&format!("{kind} {name}"));
    let phase = phase.as_ref().map(|phase| format!("  {phase}")).unwrap_or_default();
    _ = writeln!(out, "{title}  {state}{phase}  in Region {region}");
    if *applied && !ready {
        _ = writeln!(out, "  {}", wrapped(says, WIDTH, 2));
    }
    if *applied && !explained.resolved {
        let note = "not in its status yet: this is what its manifests say";
        _ = writeln!(out, "  {}", paint.uneasy(note));
    }
    if let (Some(data), false) = (&explained.data, explained.resolved) {
        let note = format!(
            "`hushmark up` on {data} has not seen these manifests yet: what tightens holds for mail \
             sent before once it starts again"
        );
        _ = writeln!(out, "  {}", paint.uneasy(&wrapped(&note, WIDTH, 2)));
    }
    if *paused {
        let note = "paused by the annotation hushmark.io/paused: what tightens is obeyed, what \
                    loosens waits";
        _ = writeln!(out, "  {}", paint.uneasy(note));
    }
    if let Some(recipient) = &explained.recipient {
        _ = writeln!(out, "  {}", wrapped(&recipient.is_told(), WIDTH, 2));
    }
    for mail in &explained.mail {
        out.push('\n');
        out += &mail_text(explained, mail, paint);
    }
    out.push('\n');
    let place = match explained.place {
        Place::None => "no place is kept",
        Place::Country => "the country is kept, nothing finer",
        Place::Region | Place::City => "the place is kept",
    };
    let place = if kind == &"tenant" {
        format!("place        at most: {place}")
    } else {
        format!("place        {place}")
    };
    _ = writeln!(out, "{place}");
    _ = writeln!(out, "consent      {}", wrapped(&consent(explained), WIDTH - 13, 13));
    if let Some(sent) = explained.recipient.as_ref().and_then(Recipient::sent_mail) {
        _ = writeln!(out, "sent mail    {}", wrapped(&sent, WIDTH - 13, 13));
    }
    if let Some(days) = explained.track_for_days {
        _ = writeln!(
            out,
            "how long     a hit counts for {days} days after sending; links work for ever"
        );
    }
    let of = |hits| explained.mail.iter().find(|mail| mail.hits == hits).map(|mail| mail.mode);
    let [opens, clicks] = Hit::ALL.map(|hits| of(hits).unwrap_or(Mode::Off));
    let kept = explained.kept.iter().flat_map(|kept| kept.told(Tracking { opens, clicks }));
    for (n, line) in kept.enumerate() {
        let name = if n == 0 { "kept" } else { "" };
        _ = writeln!(out, "{name:<12} {}", wrapped(&line, WIDTH - 13, 13));
    }
    let never = "stored: the internet address or the program's name of whoever opens or clicks";
    _ = writeln!(out, "never        {never}");
    out
}

/// Who is asked before mail tracks them.
fn consent(explained: &Explained) -> String {
    let Consent { tenant, from, is_asked } = &explained.consent;
    let keeps_a_day = explained.mail.iter().any(|mail| mail.mode == Mode::LastOpenDay);
    let without = format!(
        "whoever is not on record as having agreed gets the same mail {}",
        if keeps_a_day {
            "with no tracking but the day of the last open"
        } else {
            "without any tracking"
        }
    );
    match (from, is_asked, explained.kind == "tenant") {
        (None, ..) => {
            format!("nobody is asked: spec.consentFrom of Tenant {tenant} says nothing")
        }
        (Some(from), _, true) => format!("asked for where mail is {from} or more: {without}"),
        (Some(from), true, _) => {
            format!("asked for, because Tenant {tenant} wants it from {from} on: {without}")
        }
        (Some(from), false, _) if keeps_a_day => format!(
            "not asked for: Tenant {tenant} wants it from {from} on, and the day of a last open needs \
             none"
        ),
        (Some(from), false, _) => format!(
            "not asked for: Tenant {tenant} wants it from {from} on, and this mail tells less"
        ),
    }
}

fn mail_text(explained: &Explained, mail: &Mail, paint: Paint) -> String {
    let mut out = String::new();
    let hits = match mail.hits {
        Hit::Open => "OPENS",
        Hit::Click => "CLICKS",
    };
    let is_tenant = explained.kind == "tenant";
    let of = if is_tenant { format!(" of {} mail", mail.mail_type.name()) } else { String::new() };
    let at_most = if is_tenant { "at most " } else { "" };
    let mode = paint.title(mail.mode.name());
    let because = mail.because.as_ref().map(|because| format!(", because {because}"));
    _ = writeln!(out, "{hits}{of}  {at_most}{mode}{}", because.unwrap_or_default());
    for voice in &mail.voices {
        let decides = if voice.decides { paint.good("  <- decides") } else { String::new() };
        _ = writeln!(out, "  {:<46} {}{decides}", voice.who, voice.says);
    }
    if let Some(generation) = mail.generation.filter(|_| mail.hits == Hit::Open || is_tenant) {
        let more = "mail of an earlier one stays as restricted as it was";
        _ = writeln!(out, "  {:<46} {generation}; {more}", "mail sealed now is of generation");
    }
    if !is_tenant {
        _ = writeln!(out, "  stored  {}", wrapped(stored(mail.mode), WIDTH - 10, 10));
        let shown = shown(mail.mode, explained.minimum_group, &explained.epoch);
        _ = writeln!(out, "  shown   {}", wrapped(&shown, WIDTH - 10, 10));
    }
    out
}
