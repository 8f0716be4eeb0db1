//! People read their mail: through a proxy that writes where they are into a header, with programs
//! that say more about them than they are asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;

use super::people::Person;
use super::scene::{ENDED, Letter, Scene};
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

/// Lets people read, `count` times in all. `letters` are those of each campaign.
pub(super) fn read(
    scene: &Scene,
    people: &[Person],
    letters: &[Vec<Letter>],
    (count, seed): (u64, u64),
    answered: &Answered,
) -> Result<()> {
    std::thread::scope(|scope| {
        let proxies: Vec<_> = (0..CONNECTIONS)
            .map(|n| {
                let share = count / CONNECTIONS + u64::from(n < count % CONNECTIONS);
                let random = Rng::with_seed(seed ^ n << 32);
                scope.spawn(move || proxy(scene, people, letters, (share, random), answered))
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
    letters: &[Vec<Letter>],
    (share, mut random): (u64, Rng),
    answered: &Answered,
) -> Result<()> {
    let mut connection = Kept::connect(scene.edge, Duration::from_secs(30))?;
    for n in 0..share {
        let at = random.usize(..people.len());
        let campaign = random.usize(..letters.len());
        let person = &people[at];
        let all = &letters[campaign];
        let letter = all.get(at % all.len()).context("a campaign has letters")?;
        let target = &letter[if random.bool() { 0 } else { random.usize(..letter.len()) }];
        let status = ask(&mut connection, &request(person, target, &mut random))?;
        let right = if target.starts_with("/o/") { "200" } else { "302" };
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

fn ask(connection: &mut Kept, request: &str) -> Result<String> {
    let (answer, _) = connection.ask(request.as_bytes())?;
    let status = answer.get(9..12).context("an answer begins with its status")?;
    Ok(String::from_utf8_lossy(status).into_owned())
}

/// Some programs append the address to links, some send it as where they come from, or as a cookie.
fn request(person: &Person, target: &str, random: &mut Rng) -> String {
    let Person { address, v4, v6, user_agent, .. } = person;
    let from = if random.bool() { v4.to_string() } else { v6.to_string() };
    let (query, more) = match random.u8(..4) {
        0 => (format!("?email={address}"), String::new()),
        1 => (String::new(), format!("Referer: https://mail.example/box/{address}\r\n")),
        2 => (String::new(), format!("Cookie: user={address}\r\n")),
        _ => (String::new(), String::new()),
    };
    format!(
        "GET {target}{query} HTTP/1.1\r\nHost: t.example.org\r\nUser-Agent: {user_agent}\r\n\
         X-Forwarded-For: {from}\r\n{more}\r\n"
    )
}
