//! What anybody is told who asks: recipients by the mail's page, those who send mail by commands, and
//! those who look after the machine by its pages of metrics.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::people::Person;
use super::place::Place;
use super::reading::who_asks;
use super::scene::{BY_NAME, Scene, TENANT, TRACKED};
use crate::http;
use crate::http::Kept;

/// What is done with each answer: of which place it is, what was asked, and its bytes.
type Visit<'a> = dyn FnMut(Place, &str, &[u8]) + 'a;

const PATIENCE: Duration = Duration::from_secs(30);

/// Pages: of metrics, and those that each campaign's mail links to, in every language.
pub(super) fn pages(scene: &Scene, people: &[Person], visit: &mut Visit<'_>) -> Result<()> {
    for (name, address) in [("edge", scene.edge_admin()?), ("writer", scene.writer_admin()?)] {
        for path in ["/metrics", "/readyz", "/healthz"] {
            let page = http::get(address, path, PATIENCE)?;
            let page = [page.head.as_bytes(), &page.body].concat();
            visit(Place::Metrics, &format!("{name}{path}"), &page);
        }
    }
    let mut edge = Kept::connect(scene.edge()?, PATIENCE)?;
    let person = people.first().context("there are people")?;
    for (at, (campaign, ..)) in TRACKED.into_iter().enumerate() {
        let page = scene.letter(at, person)?.page.as_deref().context("mail links to its page")?;
        for language in ["de", "en", "es", "fr"] {
            let who = who_asks(person, person.v4.to_string());
            let request =
                format!("GET {page} HTTP/1.1\r\nAccept-Language: {language}\r\n{who}\r\n");
            let (answer, _) = edge.ask(request.as_bytes())?;
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "the page of {campaign} is refused");
            visit(Place::Page, &format!("page of {campaign} in {language}"), answer);
        }
    }
    Ok(())
}

/// Commands that ask, in every form of their answers.
pub(super) fn reports(scene: &Scene, visit: &mut Visit<'_>) -> Result<()> {
    let mut ask = |place: Place, what: &[&str]| -> Result<()> {
        visit(place, &what.join(" "), &scene.command(what)?);
        Ok(())
    };
    let mut in_each_format = |place: Place, what: &[&str]| -> Result<()> {
        ask(place, what)?;
        ask(place, &[what, &["--json"]].concat())?;
        ask(place, &[what, &["--csv"]].concat())
    };
    for (at, (campaign, ..)) in TRACKED.into_iter().enumerate() {
        in_each_format(Place::Report, &["report", campaign])?;
        let names = if at == BY_NAME { Place::Naming } else { Place::Report };
        in_each_format(names, &["export", campaign])?;
        for by in ["--opened", "--clicked"] {
            in_each_format(names, &["segment", "--campaign", campaign, by])?;
        }
    }
    in_each_format(Place::Report, &["log", "--tenant", TENANT])?;
    for by in ["--sent", "--delivered", "--not-delivered"] {
        in_each_format(Place::Naming, &["segment", "--tenant", TENANT, by])?;
    }
    let reader = scene.file("reader")?;
    in_each_format(Place::Naming, &["contact", "--tenant", TENANT, "--person", &reader])?;
    for (campaign, ..) in TRACKED {
        ask(Place::Report, &["counters", campaign])?;
        ask(Place::Report, &["counters", campaign, "--json"])?;
    }
    Ok(())
}
