//! People read their mail: through a proxy that writes where they are into a header, with programs
//! that say more about them than they are asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;

use super::people::Person;
use super::scene::{ENDED, Scene, TRACKED};
use crate::http::Kept;

/// Connections of the proxy, each on a thread of its own.
const CONNECTIONS: u64 = 16;

/// One hit in so many is accompanied by a request for what is not there, with the address in it.
const STRAY: u64 = 100;

/// What was answered.
#[derive(Debug, Default)]
pub(super) struct Answered {
    pub(super) hits: AtomicU64,
    /// Those of campaigns that are counted.
    pub(super) counted: AtomicU64,
    pub(super) strays: AtomicU64,
}

/// Lets people read, `count` times in all.
pub(super) fn read(
    scene: &Scene,
    people: &[Person],
    (count, seed): (u64, u64),
    answered: &Answered,
) -> Result<()> {
    std::thread::scope(|scope| {
        let proxies: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                let share = count / CONNECTIONS + u64::from(n < count % CONNECTIONS);
                let random = Rng::with_seed(seed ^ n << 32);
                scope.spawn(move || proxy(scene, people, (share, random), answered))
            })
            .collect();
        proxies
            .into_iter()
            .try_for_each(|proxy| proxy.join().map_err(|_| anyhow!("a reader panicked"))?)
    })
}

fn proxy(
    scene: &Scene,
    people: &[Person],
    (share, mut random): (u64, Rng),
    answered: &Answered,
) -> Result<()> {
    let mut connection = Kept::connect(scene.edge()?, Duration::from_secs(30))?;
    for n in 0..share {
        let person = random.choice(people).context("there are people")?;
        let campaign = random.usize(..TRACKED.len());
        let letter = scene.letter(campaign, person)?;
        let (target, right) = match (&letter.pixel, random.choice(&letter.links)) {
            (Some(pixel), _) if random.bool() => (pixel, "200"),
            (_, Some(link)) => (link, "302"),
            _ => return Err(anyhow!("a letter has a pixel and links: {letter:?}")),
        };
        let status = ask(&mut connection, &request(person, target, &mut random))?;
        ensure!(status == right, "a hit was answered {status}, not {right}");
        answered.hits.fetch_add(1, Ordering::Relaxed);
        answered.counted.fetch_add(u64::from(campaign != ENDED), Ordering::Relaxed);
        if n % STRAY == 0 {
            let stray = format!("/unsubscribe/{}", person.address);
            let status = ask(&mut connection, &request(person, &stray, &mut random))?;
            ensure!(status == "404", "what is not there was answered {status}");
            answered.strays.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// A reader presses the button of a mail's page.
pub(super) fn object(scene: &Scene, person: &Person, page: &str) -> Result<Vec<u8>> {
    let mut connection = Kept::connect(scene.edge()?, Duration::from_secs(30))?;
    let who = who_asks(person, person.v6.to_string());
    let request = format!("POST {page} HTTP/1.1\r\nContent-Length: 0\r\n{who}\r\n");
    let (answer, _) = connection.ask(request.as_bytes())?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "an objection is refused");
    Ok(answer.to_vec())
}

fn ask(connection: &mut Kept, request: &str) -> Result<String> {
    let (answer, _) = connection.ask(request.as_bytes())?;
    let status = answer.get(9..12).context("an answer begins with its status")?;
    Ok(String::from_utf8_lossy(status).into_owned())
}

/// Some programs append the address to links, some send it as where they come from, as who they are,
/// or as a cookie.
fn request(person: &Person, target: &str, random: &mut Rng) -> String {
    let Person { address, v4, v6, .. } = person;
    let from = if random.bool() { v4.to_string() } else { v6.to_string() };
    let (query, more) = match random.u8(..5) {
        0 => (format!("?email={address}"), String::new()),
        1 => (String::new(), format!("Referer: https://mail.example/box/{address}\r\n")),
        2 => (String::new(), format!("Cookie: user={address}\r\n")),
        3 => (String::new(), format!("From: {address}\r\n")),
        _ => (String::new(), String::new()),
    };
    let who = who_asks(person, from);
    format!("GET {target}{query} HTTP/1.1\r\n{who}{more}\r\n")
}

/// What every request of a person says of them.
pub(super) fn who_asks(person: &Person, from: String) -> String {
    let agent = &person.user_agent;
    format!("Host: t.example.org\r\nUser-Agent: {agent}\r\nX-Forwarded-For: {from}\r\n")
}
