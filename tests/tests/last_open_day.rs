//! The day of a contact's last open from end to end: what is stored of it, what is told of it, and that
//! it goes with whoever withdraws, objects or is erased.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hushmark_policy::Day;
use hushmark_tests::http;
use hushmark_tests::letters::{self, Letter};
use hushmark_tests::one_machine::{OneMachine, QUICKSTART};
use hushmark_tests::tools::Tools;
use tempfile::TempDir;

const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Ann, Ben, Cy, Dan and Eve.
const PEOPLE: [&str; 5] = ["ann", "ben", "cy", "dan", "eve"];

fn address(who: &str) -> String {
    format!("{who}@example.org")
}

/// The quickstart with a campaign that keeps the day of the last open, and its page.
fn manifests(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(QUICKSTART)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let list: String = PEOPLE.iter().map(|who| format!("{},A,B,Ghent\n", address(who))).collect();
    fs::write(folder.join("recipients.csv"), format!("address,first_name,last_name,city\n{list}"))?;
    let path = folder.join("newsletter.html");
    let link = "<p><a href=\"{{tracking-page}}\">What this mail records</a></p></body>";
    fs::write(&path, fs::read_to_string(&path)?.replace("</body>", link))?;
    let path = folder.join("campaigns.yaml");
    let campaign = "---\napiVersion: hushmark.io/v1alpha1\nkind: Campaign\nmetadata:\n  \
         name: hygiene\n  namespace: acme\nspec:\n  type: campaign\n  subject: News\n  \
         from: Acme News <news@acme.example>\n  content:\n    path: newsletter.html\n  list:\n    \
         path: recipients.csv\n  tracking:\n    opens: lastOpenDay\n    clicks: overall\n";
    Ok(fs::write(&path, fs::read_to_string(&path)? + campaign)?)
}

struct Scene {
    folder: TempDir,
    up: OneMachine,
    letters: Vec<Letter>,
}

impl Scene {
    fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let [data, its, out] = ["data", "manifests", "mails"].map(|name| folder.path().join(name));
        fs::create_dir(&data)?;
        fs::create_dir(&its)?;
        manifests(&its)?;
        let up = OneMachine::start_with(&Tools::from_env()?, &data, &its)?;
        let said = up.ask(&["stamp", "hygiene", "--out", out.to_str().unwrap()])?;
        ensure!(said.contains("opens lastOpenDay, because the campaign says so"), "{said}");
        let letters = letters::read(&out, &up.base_url()?)?;
        ensure!(letters.len() == PEOPLE.len());
        Ok(Self { folder, up, letters })
    }

    fn letter(&self, who: &str) -> Result<&Letter> {
        let found = self.letters.iter().find(|letter| letter.to == address(who));
        found.with_context(|| format!("{who} has no message"))
    }

    fn open(&self, who: &str) -> Result<()> {
        let pixel = self.letter(who)?.pixel.as_deref().context("no pixel")?;
        ensure!(http::get(self.up.edge()?, pixel, ANSWERS_WITHIN)?.status == 200);
        Ok(())
    }

    fn number(&self, sql: &str) -> Result<u64> {
        let answer = self.up.query(sql)?.text();
        answer.trim().parse().with_context(|| format!("ClickHouse answered {answer}"))
    }

    fn wait(&self, what: &str, sql: &str, n: u64) -> Result<()> {
        self.up.wait(what, |_| self.number(sql).is_ok_and(|found| found == n))
    }

    /// Contacts of the list by a day.
    fn segment(&self, by: &str, day: Day) -> Result<Vec<String>> {
        let day = day.to_string();
        let said = self.up.ask(&["segment", "--tenant", "acme", by, &day, "--json"])?;
        let found: serde_json::Value = serde_json::from_str(&said)?;
        let all = found["addresses"].as_array().context("no addresses")?;
        Ok(all.iter().filter_map(|it| Some(it.as_str()?.split_once('@')?.0.to_owned())).collect())
    }

    /// A file with one person in it.
    fn person(&self, who: &str) -> Result<String> {
        let path = self.folder.path().join(who);
        fs::write(&path, address(who))?;
        Ok(path.to_str().unwrap().to_owned())
    }

    fn contact(&self, who: &str) -> Result<String> {
        self.up.ask(&["contact", "--tenant", "acme", "--person", &self.person(who)?])
    }
}

#[test]
fn one_day_a_contact_is_kept_and_goes_with_them() -> Result<()> {
    let scene = Scene::start()?;
    let today = Day::parse(scene.up.query("SELECT toDate(now('UTC'))")?.text().trim()).unwrap();
    let yesterday = Day(today.0 - 1);
    ensure!(scene.segment("--not-opened-since", yesterday)? == PEOPLE);
    ensure!(scene.segment("--opened-since", yesterday)?.is_empty());

    for who in ["ann", "ann", "ben", "cy", "dan"] {
        scene.open(who)?;
    }
    let all = "SELECT uniqExact(contact) FROM last_opens";
    scene.wait("four days are kept", all, 4)?;
    // What was yesterday's is overwritten by today's: as if all had opened the day before.
    scene
        .up
        .query("ALTER TABLE last_opens UPDATE day = day - 1 WHERE 1 SETTINGS mutations_sync = 2")?;
    ensure!(scene.segment("--opened-since", yesterday)? == ["ann", "ben", "cy", "dan"]);
    ensure!(scene.segment("--opened-since", today)?.is_empty());
    ensure!(scene.contact("ann")?.contains(&format!("last open on {yesterday}, ")));
    scene.open("ann")?;
    scene.open("cy")?;
    scene.open("dan")?;
    scene.wait(
        "three days are today's",
        "SELECT count() FROM last_opens WHERE day = toDate(now('UTC'))",
        3,
    )?;
    scene.up.query("OPTIMIZE TABLE last_opens FINAL")?;
    ensure!(scene.number("SELECT count() FROM last_opens")? == 4, "more than one row a contact");
    ensure!(scene.segment("--opened-since", today)? == ["ann", "cy", "dan"]);
    ensure!(scene.segment("--not-opened-since", today)? == ["ben", "eve"]);
    ensure!(scene.contact("ann")?.contains(&format!("last open on {today}, ")));
    ensure!(!scene.contact("eve")?.contains("last open on"));
    nothing_else_is_stored(&scene)?;
    what_is_told(&scene)?;
    whoever_goes_is_gone(&scene, today)?;
    scene.up.stop()?;
    Ok(())
}

fn nothing_else_is_stored(scene: &Scene) -> Result<()> {
    for (table, rows) in [("hits", "tenant != 0"), ("counters", "tenant != 0 AND kind = 'open'")] {
        let found = scene.number(&format!("SELECT count() FROM {table} WHERE {rows}"))?;
        ensure!(found == 0, "{found} rows of {table}");
    }
    let columns = "SELECT arrayStringConcat(groupArray(name), ' ') FROM system.columns \
                   WHERE database = currentDatabase() AND table = 'last_opens'";
    let columns = scene.up.query(columns)?.text();
    ensure!(columns.trim() == "tenant contact day", "{columns}");
    Ok(())
}

fn what_is_told(scene: &Scene) -> Result<()> {
    let said = scene.up.ask(&["segment", "--tenant", "acme", "--opened"])?;
    let because =
        "0 who opened hygiene: opens are lastOpenDay, only the day of a contact's last open";
    ensure!(said.contains(because), "{said}");
    let said = || scene.up.ask(&["report", "hygiene"]);
    scene.up.wait("an epoch told it", |_| said().is_ok())?;
    let (report, kept) = (said()?, "only the day of each contact's last open is kept");
    ensure!(
        report.contains(&format!("OPENS  lastOpenDay: {kept}; nothing is counted")),
        "{report}"
    );
    let page = scene.letter("eve")?.page.as_deref().context("no page")?;
    let page = http::get(scene.up.edge()?, page, ANSWERS_WITHIN)?.text();
    ensure!(page.contains("on which day you last opened a mail of this sender"), "{page}");
    ensure!(page.contains("<form method=\"post\">"), "{page}");
    let said = scene.up.ask(&["explain", "hygiene"])?;
    ensure!(said.contains("the day of each contact's last open"), "{said}");
    Ok(())
}

/// Ann withdraws by the sender, Cy objects by the page of a message, and Dan is erased.
fn whoever_goes_is_gone(scene: &Scene, today: Day) -> Result<()> {
    let (ann, dan) = (scene.person("ann")?, scene.person("dan")?);
    scene.up.ask(&["withdraw", "--tenant", "acme", "--people", &ann])?;
    ensure!(scene.segment("--opened-since", today)? == ["cy", "dan"], "it is told at once");
    let page = scene.letter("cy")?.page.clone().context("no page")?;
    let answer = http::post(scene.up.edge()?, &page, b"", ANSWERS_WITHIN)?;
    ensure!(answer.text().contains("Your objection holds"), "{}", answer.text());
    let out = scene.up.ask(&["erase", "--tenant", "acme", "--people", &dan])?;
    let receipts = scene.folder.path().join("data/receipts");
    let receipt = fs::read_dir(&receipts)?.next().context("no receipt")??.path();
    let receipt = fs::read_to_string(receipt)?;
    ensure!(receipt.contains("last_opens"), "{out}\n{receipt}");
    for who in ["ann", "cy", "dan", "ben"] {
        scene.open(who)?;
    }
    let all = "SELECT uniqExact(contact) FROM last_opens";
    scene.wait("Ben opened", "SELECT count() FROM last_opens WHERE day = toDate(now('UTC'))", 1)?;
    scene.wait("Ben alone is left", all, 1)?;
    ensure!(scene.segment("--opened-since", today)? == ["ben"]);
    ensure!(scene.segment("--not-opened-since", today)? == ["eve"]);
    for who in ["ann", "cy"] {
        let page = scene.contact(who)?;
        ensure!(!page.contains("last open on") && page.contains("ended their tracking"), "{page}");
    }
    Ok(())
}
