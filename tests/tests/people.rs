//! Deliveries, segments, contacts, exports and the log, from stamping to what is printed: what
//! anonymous mail may tell of single people is nothing, and what it may tell of mail is all there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use hushmark_tests::one_machine::{OneMachine, QUICKSTART};
use hushmark_tests::tools::Tools;
use hushmark_tests::{http, letters};
use hushmark_token::{RegionKeys, Route, Verifier};

/// So many people are on the list.
const PEOPLE: usize = 40;

/// So many of them open: with a minimum group of ten they may be told, and so may the others.
const READERS: usize = 25;

/// The quickstart's manifests with a list of our own, and two templates of transactional mail.
fn manifests(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(QUICKSTART)? {
        let entry = entry?;
        fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    let list: String = (0..PEOPLE).map(|n| format!("{},Ann,A,Ghent\n", address(n))).collect();
    let list = format!("address,first_name,last_name,city\n{list}");
    fs::write(folder.join("recipients.csv"), list)?;
    let tenant = fs::read_to_string(folder.join("tenant.yaml"))?;
    let all = "opens: individual\n      clicks: individual\n  #";
    let tenant = tenant.replace("opens: \"off\"\n      clicks: overall\n  #", all);
    fs::write(folder.join("tenant.yaml"), tenant)?;
    let mut campaigns = fs::read_to_string(folder.join("campaigns.yaml"))?;
    for (name, mode) in [("receipt", "anonymous"), ("reset", "individual")] {
        campaigns += &format!(
            "---\napiVersion: hushmark.io/v1alpha1\nkind: Campaign\nmetadata:\n  name: {name}\n  \
             namespace: acme\nspec:\n  type: transactional\n  subject: Yours\n  \
             from: Acme <service@acme.example>\n  content:\n    path: newsletter.html\n  list:\n    \
             path: recipients.csv\n  tracking:\n    opens: {mode}\n    clicks: {mode}\n"
        );
    }
    Ok(fs::write(folder.join("campaigns.yaml"), campaigns)?)
}

fn address(n: usize) -> String {
    format!("reader-{n:02}@example.org")
}

struct Scene {
    tools: Tools,
    up: OneMachine,
    out: tempfile::TempDir,
}

impl Scene {
    /// Runs a command with something on its standard input.
    fn output(&self, input: &str, arguments: &[&str]) -> Result<Output> {
        let mut child = Command::new(self.tools.program("hushmark")?)
            .arg("--data")
            .arg(self.up.data())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("hushmark does not start")?;
        let mut stdin = child.stdin.take().context("it has no standard input")?;
        // One that asks for none may be gone already.
        drop(stdin.write_all(input.as_bytes()));
        drop(stdin);
        Ok(child.wait_with_output()?)
    }

    /// What a command prints that has to succeed.
    fn ask(&self, input: &str, arguments: &[&str]) -> Result<String> {
        let output = self.output(input, arguments)?;
        let complained = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}: {complained}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What a command complains of that has to fail.
    fn refused(&self, input: &str, arguments: &[&str]) -> Result<String> {
        let output = self.output(input, arguments)?;
        ensure!(output.status.code() == Some(1), "{arguments:?}: {}", output.status);
        ensure!(output.stdout.is_empty(), "{arguments:?} printed something all the same");
        Ok(String::from_utf8(output.stderr)?)
    }

    fn stamp(&self, campaign: &str) -> Result<()> {
        let out = self.out.path().join(campaign);
        self.up.ask(&["stamp", campaign, "--out", out.to_str().unwrap()])?;
        Ok(())
    }

    /// The paths of the pixels in a campaign's messages, in the list's order.
    fn pixels(&self, campaign: &str) -> Result<Vec<String>> {
        let letters = letters::read(&self.out.path().join(campaign), &self.up.base_url()?)?;
        let in_order = letters.iter().enumerate().all(|(n, letter)| letter.to == address(n));
        ensure!(in_order && letters.len() == PEOPLE, "{campaign}: not the list's messages");
        let pixels = letters.into_iter().map(|letter| letter.pixel);
        pixels.collect::<Option<_>>().context("a message without a pixel")
    }

    fn open(&self, pixel: &str) -> Result<()> {
        let answer = http::get(self.up.edge()?, pixel, Duration::from_secs(5))?;
        ensure!(answer.status == 200, "{}", answer.head);
        Ok(())
    }

    fn query(&self, sql: &str) -> Result<Vec<u8>> {
        Ok(self.up.query(sql)?.body)
    }

    fn json(&self, arguments: &[&str]) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.up.ask(&[arguments, &["--json"]].concat())?)?)
    }

    /// How many opens the last epoch published, and of how many messages.
    fn published(&self, campaign: &str) -> Result<(usize, usize)> {
        let report = self.json(&["report", campaign])?;
        let number = |it: &serde_json::Value| it.as_u64().map_or(0, |it| it as usize);
        let total = &report["kinds"][0]["total"];
        Ok((number(&total["raw"]), number(&total["uniq_raw"])))
    }

    fn segment(&self, campaign: &str, by: &str) -> Result<Vec<String>> {
        let found = self.json(&["segment", "--campaign", campaign, by])?;
        let addresses = found["addresses"].as_array().context("no addresses")?;
        Ok(addresses.iter().map(|it| it.as_str().unwrap().to_owned()).collect())
    }

    /// What is printed, without what another day would change.
    fn said(&self, input: &str, arguments: &[&str]) -> Result<String> {
        let said = self.ask(input, arguments)?;
        let today = String::from_utf8(self.query("SELECT toDate(now('UTC'))")?)?;
        let mut lines = Vec::new();
        for line in said.replace(today.trim(), "TODAY").lines() {
            // 12:34:56 UTC
            let (mut kept, mut rest) = (String::new(), line);
            while let Some((before, after)) = rest.split_once(" UTC") {
                kept += before.get(..before.len() - 8).unwrap_or(before);
                kept += "HH:MM:SS UTC";
                rest = after;
            }
            lines.push(kept + rest);
        }
        Ok(lines.join("\n"))
    }
}

/// Waits until an epoch has just begun: the writer takes hits ten seconds after they came, and so all
/// of them are published at once by the next but one.
fn within_one_epoch() {
    let into_epoch = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 10;
    while !(2..4).contains(&into_epoch()) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn all(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(address).collect()
}

#[test]
fn mail_is_known_in_every_mode_and_readers_in_individual_alone() -> Result<()> {
    let (data, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
    manifests(folder.path())?;
    let tools = Tools::from_env()?;
    let up = OneMachine::start_with(&tools, data.path(), folder.path())?;
    let scene = Scene { tools, up, out: tempfile::tempdir()? };
    let every = ["spring-off", "spring-overall", "spring-anonymous", "spring-individual"];
    for campaign in every.into_iter().chain(["receipt", "reset"]) {
        scene.stamp(campaign)?;
        ensure!(scene.segment(campaign, "--sent")? == all(0..PEOPLE), "{campaign}");
    }
    no_mark_is_written(&scene)?;
    deliveries(&scene, &every)?;
    let readers = [
        ("receipt", READERS),
        ("spring-anonymous", READERS),
        ("spring-individual", 3),
        ("reset", 3),
    ];
    let mut pixels = Vec::new();
    for (campaign, n) in readers {
        pixels.extend(scene.pixels(campaign)?.into_iter().take(n));
    }
    within_one_epoch();
    pixels.iter().try_for_each(|pixel| scene.open(pixel))?;
    let told = "SELECT count() FROM published FINAL \
                WHERE kind = 'open' AND dimension = 'total' AND uniq_raw >= 3 FORMAT TSV";
    let is_told = || scene.query(told).is_ok_and(|answer| answer == b"4\n");
    scene.up.wait("an epoch told all of it", |_| is_told())?;
    segments(&scene)?;
    contacts(&scene)?;
    exports(&scene)?;
    log(&scene)?;
    whoever_withdraws_is_in_no_list_of_readers(&scene)?;
    whoever_looks_is_in_the_audit_log(&scene)?;
    a_completed_campaign_forgets_who_was_on_its_list(&scene, folder.path())?;
    scene.up.stop()?;
    Ok(())
}

/// The marks of all anonymous messages, looked for in every form in all of what is stored.
fn no_mark_is_written(scene: &Scene) -> Result<()> {
    let mut verifier = Verifier::new(RegionKeys::load(&scene.up.data().join("keys"))?);
    let mut marks = |campaign: &str| -> Result<Vec<u64>> {
        let mut mark = |path: String| -> Result<u64> {
            let token = path.strip_prefix("/o/").and_then(|rest| rest.strip_suffix(".gif"));
            let token = token.context("not a pixel's path")?;
            let claims = verifier.verify(Route::Open, token.as_bytes())?.claims;
            Ok(claims.mark.context("no mark")?.expose())
        };
        scene.pixels(campaign)?.into_iter().map(&mut mark).collect()
    };
    let tables = ["contacts", "deliveries", "sends", "campaigns"];
    let stored: Vec<(Vec<u8>, String)> = tables
        .iter()
        .map(|table| {
            let rows = scene.query(&format!("SELECT * FROM {table} FORMAT RowBinary"))?;
            let text = scene.query(&format!("SELECT * FROM {table} FORMAT TSV"))?;
            Ok((rows, String::from_utf8_lossy(&text).into_owned()))
        })
        .collect::<Result<_>>()?;
    let is_written = |mark: u64| {
        let bytes = [mark.to_le_bytes(), mark.to_be_bytes()];
        let texts = [mark.to_string(), format!("{mark:016x}")];
        stored.iter().any(|(rows, text)| {
            let raw = |it: &[u8; 8]| rows.windows(8).any(|window| window == it);
            bytes.iter().any(raw) || texts.iter().any(|it| text.contains(it))
        })
    };
    for campaign in ["spring-anonymous", "receipt"] {
        let written = marks(campaign)?.into_iter().filter(|mark| is_written(*mark)).count();
        ensure!(written == 0, "{campaign}: {written} marks are written down");
    }
    // The same search finds what is written on purpose.
    ensure!(marks("spring-individual")?.into_iter().all(is_written), "it finds nothing at all");

    // The rows of deliveries are the same for every campaign: they tell nothing of its messages.
    let rows = |campaign: &str| {
        scene.query(&format!(
            "SELECT contact, event, day FROM deliveries WHERE campaign = (SELECT campaign FROM \
             campaigns FINAL WHERE name = '{campaign}') FORMAT TSV"
        ))
    };
    let anonymous = rows("spring-anonymous")?;
    ensure!(anonymous.iter().filter(|byte| **byte == b'\n').count() == PEOPLE);
    ensure!(anonymous == rows("spring-individual")? && anonymous == rows("spring-off")?);
    let days = "SELECT countIf(at != toStartOfDay(at)) FROM contacts FORMAT TSV";
    ensure!(scene.query(days)? == b"0\n", "a contact's moment is finer than a day");
    let addresses = scene.query("SELECT count() FROM contacts WHERE sealed LIKE '%example%'")?;
    ensure!(addresses == b"0\n", "an address is stored in the open");
    Ok(())
}

fn deliveries(scene: &Scene, campaigns: &[&str]) -> Result<()> {
    let taken: String = all(0..30).iter().map(|it| format!("{}\n", it.to_uppercase())).collect();
    for campaign in campaigns {
        let said = scene.said(&taken, &["delivered", campaign, "--people", "-"])?;
        ensure!(said == format!("local/acme/{campaign}: 30 messages delivered on TODAY"), "{said}");
        let refused = format!("{}\n", address(35));
        scene.ask(&refused, &["delivered", campaign, "--people", "-", "--failed"])?;
        ensure!(scene.segment(campaign, "--delivered")? == all(0..30), "{campaign}");
        ensure!(scene.segment(campaign, "--not-delivered")? == all(30..PEOPLE), "{campaign}");
    }
    // A word is taken back by the next, on the same day as well.
    let last = format!("{}\n", address(35));
    scene.ask(&last, &["delivered", "spring-off", "--people", "-"])?;
    ensure!(scene.segment("spring-off", "--delivered")?.contains(&address(35)));

    let strangers = format!("{}\nnobody@example.org\n", address(1));
    let complained = scene.refused(&strangers, &["delivered", "spring-off", "--people", "-"])?;
    insta::assert_snapshot!(complained, @"error: 1 of 2 people had no message of local/acme/spring-off, so nothing was changed: `hushmark segment --campaign spring-off --sent` says who had one");
    let complained = scene.refused("x\n", &["delivered", "spring-off", "--people", "-"])?;
    ensure!(complained.contains("line 1 is no address, so nothing was changed"), "{complained}");
    let complained = scene.refused("", &["delivered", "winter", "--people", "-"])?;
    ensure!(complained.contains("no campaign winter; there are: acme/receipt"), "{complained}");
    Ok(())
}

fn segments(scene: &Scene) -> Result<()> {
    ensure!(scene.segment("spring-individual", "--opened")? == all(0..3));
    for campaign in ["spring-anonymous", "spring-overall", "spring-off", "receipt"] {
        ensure!(scene.segment(campaign, "--opened")?.is_empty(), "{campaign}");
        ensure!(scene.segment(campaign, "--clicked")?.is_empty(), "{campaign}");
    }
    let said = scene.said("", &["segment", "--campaign", "spring-anonymous", "--opened"])?;
    insta::assert_snapshot!(said, @r"
    local/acme/spring-anonymous, opened: 0 contacts
    0 who opened spring-anonymous: opens are anonymous, who owns a message's mark is written nowhere
    ");
    let said = scene.said("", &["segment", "--tenant", "acme", "--opened"])?;
    insta::assert_snapshot!(said, @r"
    local/acme, opened: 3 contacts
    0 who opened spring-off: opens are off, nothing is recorded
    0 who opened spring-overall: opens are overall, every recipient has the same links
    0 who opened receipt, spring-anonymous: opens are anonymous, who owns a message's mark is written nowhere
    reader-00@example.org
    reader-01@example.org
    reader-02@example.org
    ");
    let csv =
        scene.said("", &["segment", "--campaign", "spring-individual", "--opened", "--csv"])?;
    ensure!(csv == format!("address\n{}", all(0..3).join("\n")), "{csv}");
    for wrong in [&["segment", "--opened"][..], &["segment", "--tenant", "acme"]] {
        ensure!(scene.output("", wrong)?.status.code() == Some(2), "{wrong:?}");
    }
    let complained = scene.refused("", &["segment", "--tenant", "nobody", "--sent"])?;
    ensure!(complained.contains("no tenant in namespace nobody; there are acme"), "{complained}");
    Ok(())
}

fn contacts(scene: &Scene) -> Result<()> {
    let page = ["contact", "--tenant", "acme", "--person", "-"];
    insta::assert_snapshot!(scene.said(&address(1), &page)?);
    let complained = scene.refused("nobody@example.org", &page)?;
    insta::assert_snapshot!(complained, @"error: tenant acme has no contact with this address: no mail was stamped for it; check its spelling");
    let two = format!("{}\n{}\n", address(1), address(2));
    let complained = scene.refused(&two, &page)?;
    insta::assert_snapshot!(complained, @"error: standard input names 2 people: give one address");
    Ok(())
}

fn exports(scene: &Scene) -> Result<()> {
    let csv = scene.said("", &["export", "spring-anonymous", "--csv"])?;
    ensure!(!csv.contains("example.org"), "an address is in it: {csv}");
    let of = |event: &str| csv.lines().filter(|line| line.contains(&format!(",{event},"))).count();
    ensure!((of("sent"), of("delivered"), of("failed"), of("opened")) == (40, 30, 1, 1), "{csv}");
    let mut shapes: Vec<&str> = csv.lines().collect();
    shapes.dedup();
    let (opens, _) = scene.published("spring-anonymous")?;
    insta::assert_snapshot!(shapes.join("\n").replace(&format!("data,{opens}"), "data,OPENS"));
    let csv = scene.said("", &["export", "spring-individual", "--csv"])?;
    let named = "opened,TODAY,reader-02@example.org,Anonymized data,1";
    ensure!(csv.contains(named), "{csv}");
    Ok(())
}

fn log(scene: &Scene) -> Result<()> {
    let (opens, people) = scene.published("receipt")?;
    ensure!(opens >= 10 && people == opens, "{opens} {people}");
    let said = scene.said("", &["log", "--tenant", "acme"])?;
    let said = said.replace(&format!("{opens:>10}  receipt"), "     OPENS  receipt");
    // Hits of one second are in no order.
    let mut lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"));
    let csv = scene.said("", &["log", "--tenant", "acme", "--csv"])?;
    let anonymized = ",Anonymized,receipt,Anonymized,Anonymized,Anonymized";
    let of = |event: &str| csv.matches(&format!(",{event}{anonymized}")).count();
    ensure!((of("Opened"), of("First opening")) == (opens, people), "{csv}");
    let known: HashSet<String> = (0..3).map(address).collect();
    let named = csv.lines().filter(|line| line.contains("@example.org"));
    ensure!(named.clone().count() == 6, "an Opened and a First opening of each: {csv}");
    ensure!(named.clone().all(|line| known.iter().any(|it| line.contains(it.as_str()))), "{csv}");
    ensure!(!csv.contains("spring"), "mail that is not transactional: {csv}");
    Ok(())
}

fn whoever_withdraws_is_in_no_list_of_readers(scene: &Scene) -> Result<()> {
    let who = scene.up.data().join("who");
    fs::write(&who, address(1))?;
    scene.up.ask(&["withdraw", "--tenant", "acme", "--people", who.to_str().unwrap()])?;
    ensure!(scene.segment("spring-individual", "--opened")? == [address(0), address(2)]);
    ensure!(scene.segment("spring-individual", "--sent")? == all(0..PEOPLE), "mail is not hits");
    let csv = scene.up.ask(&["log", "--tenant", "acme", "--csv"])?;
    ensure!(!csv.contains(&address(1)), "{csv}");
    let csv = scene.up.ask(&["export", "spring-individual", "--csv"])?;
    ensure!(!csv.lines().any(|it| it.contains("opened,") && it.contains(&address(1))), "{csv}");
    let page = scene.said(&address(1), &["contact", "--tenant", "acme", "--person", "-"])?;
    ensure!(page.contains("opens     0, because they ended their tracking"), "{page}");
    Ok(())
}

fn whoever_looks_is_in_the_audit_log(scene: &Scene) -> Result<()> {
    let log = fs::read_to_string(scene.up.data().join("audit/log.jsonl"))?;
    for what in ["segment", "contact", "export", "log"] {
        ensure!(log.contains(&format!(r#""action":{{"read":{{"what":"{what}""#)), "{what}: {log}");
    }
    ensure!(!log.contains("example.org"), "an address is in the audit log");
    Ok(())
}

fn a_completed_campaign_forgets_who_was_on_its_list(scene: &Scene, manifests: &Path) -> Result<()> {
    // Nothing else names contacts beside campaigns: hits do so by their policy, where they are rows.
    let both = "SELECT table FROM system.columns WHERE database = currentDatabase() AND \
                name IN ('campaign', 'contact') AND table NOT LIKE '%\\_in' AND \
                table NOT LIKE '%\\_shape' GROUP BY table HAVING count() = 2 ORDER BY table FORMAT TSV";
    ensure!(scene.query(both)? == b"deliveries\nhits\n", "another table says who had whose mail");

    let campaign = "spring-anonymous";
    let counts = |csv: &str| {
        let of = |event: &str| csv.matches(&format!(",{event},")).count();
        [of("sent"), of("delivered"), of("failed")]
    };
    let before = scene.ask("", &["export", campaign, "--csv"])?;
    let asked = scene.refused("", &["complete", campaign])?;
    ensure!(asked.contains("say --yes where nobody can be asked"), "{asked}");
    let said = scene.said("", &["complete", campaign, "--yes"])?;
    insta::assert_snapshot!(said, @r"
    completed: local/acme/spring-anonymous on TODAY; its recipient list went, with 40 people on it. What stays is how many:
      sent      TODAY          40
      delivered TODAY          30
      failed    TODAY           1
    ");
    let rows = format!(
        "SELECT count() FROM deliveries WHERE campaign = (SELECT campaign FROM campaigns FINAL \
         WHERE name = '{campaign}') FORMAT TSV"
    );
    ensure!(scene.query(&rows)? == b"0\n", "rows of the list are there");
    ensure!(scene.segment(campaign, "--sent")?.is_empty());
    let said = scene.said("", &["segment", "--campaign", campaign, "--delivered"])?;
    ensure!(said.contains("completed on TODAY, and its recipient list went"), "{said}");
    let page = scene.said(&address(2), &["contact", "--tenant", "acme", "--person", "-"])?;
    ensure!(!page.contains(campaign) && page.contains("spring-individual"), "{page}");
    let after = scene.ask("", &["export", campaign, "--csv"])?;
    ensure!(counts(&after) == counts(&before) && !after.contains("example.org"), "{after}");
    ensure!(scene.segment("spring-individual", "--sent")? == all(0..PEOPLE), "another's list");
    let again = scene.refused("", &["complete", campaign, "--yes"])?;
    ensure!(again.contains("and no mail was stamped since: nothing was changed"), "{again}");
    let late = scene.refused(&address(2), &["delivered", campaign, "--people", "-"])?;
    ensure!(late.contains("its recipient list went"), "{late}");

    // A plan shows what is left of lists, and a legal hold keeps one.
    let plan = scene.output("", &["plan", "two-years"])?;
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    ensure!(plan.contains("in 5 lists; 1 list went, counted"), "{plan}");
    let policies = fs::read_to_string(manifests.join("policies.yaml"))?;
    let held = policies.replacen("  keep:", "  legalHold:\n    reason: a court asked\n  keep:", 1);
    fs::write(manifests.join("policies.yaml"), held)?;
    let kept = scene.refused("", &["complete", "spring-individual", "--yes"])?;
    ensure!(kept.contains("a legal hold keeps acme/spring-individual (a court asked)"), "{kept}");
    ensure!(scene.segment("spring-individual", "--sent")? == all(0..PEOPLE), "it was held");
    let log = fs::read_to_string(scene.up.data().join("audit/log.jsonl"))?;
    ensure!(log.matches(r#""action":{"complete":{"tenant":"#).count() == 2, "{log}");
    ensure!(log.matches(r#""outcome":{"refused":"legal_hold"}"#).count() == 1, "{log}");
    Ok(())
}
