//! The entry as text, in the order of the article. Pure.

use std::fmt::Write as _;

use super::super::paint::{Paint, wrapped};
use super::entry::Entry;

/// A terminal's width, less the indent.
const WIDTH: usize = 92;

/// How far what stands under a heading is indented.
const INDENT: usize = 4;

/// The whole entry.
pub(super) fn say(entry: &Entry, paint: Paint) -> String {
    let Entry { campaign, subject, as_of, jurisdiction, .. } = entry;
    let mut page = Page { out: String::new(), paint };
    let title = paint.title(&format!("Record of processing: campaign {campaign}"));
    _ = writeln!(page.out, "{title}\nGDPR, Article 30(1), as of {as_of}. Subject: {subject}");

    page.heading("(a) Controller");
    match &entry.controller {
        None => page.line("not said"),
        Some(controller) => {
            page.line(&controller.name);
            page.line(&controller.contact);
            let others = [
                ("representative", &controller.representative),
                ("data protection officer", &controller.data_protection_officer),
            ];
            for (who, how) in others {
                if let Some(how) = how {
                    page.line(&format!("{who}: {how}"));
                }
            }
        }
    }
    page.heading("(b) Purposes");
    entry.purposes.iter().for_each(|purpose| page.line(purpose));
    page.heading("(c) People and data");
    entry.people.iter().for_each(|people| page.line(people));
    entry.data.iter().for_each(|item| page.line(&format!("{}: {}", item.what, item.says)));
    page.heading("(d) Recipients");
    if entry.recipients.is_empty() {
        page.line("none: nothing leaves the region's stack");
    }
    for to in &entry.recipients {
        page.line(&format!("{} ({}): {}", to.host, to.jurisdiction, to.purpose));
    }
    page.heading("(e) Transfers to third countries");
    let mut transfers = entry.recipients.iter().filter(|to| to.is_transfer).peekable();
    if transfers.peek().is_none() {
        page.line(&format!("none; the data is under the law of {jurisdiction}"));
    }
    for to in transfers {
        let safeguards = "say in your register on what this rests (Articles 45 to 49)";
        page.line(&format!("to {}, at {}: {safeguards}", to.jurisdiction, to.host));
    }
    page.heading("(f) Time limits");
    entry.limits.iter().for_each(|item| page.line(&format!("{}: {}", item.what, item.says)));
    page.heading("(g) Measures");
    entry.measures.iter().for_each(|measure| page.line(measure));

    if !entry.lacks.is_empty() {
        let heading = paint.bad("Not said anywhere, and to be given");
        _ = writeln!(page.out, "\n{heading}");
        entry.lacks.iter().for_each(|lack| page.line(lack));
    }
    page.out
}

struct Page {
    out: String,
    paint: Paint,
}

impl Page {
    fn heading(&mut self, text: &str) {
        _ = writeln!(self.out, "\n{}", self.paint.title(text));
    }

    fn line(&mut self, text: &str) {
        _ = writeln!(self.out, "  - {}", wrapped(text, WIDTH, INDENT));
    }
}
