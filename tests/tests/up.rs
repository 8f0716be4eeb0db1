//! The life of `hushmark up`: one a folder, children that die come back, and what a killed `up`
//! leaves behind is stopped by the next, and nothing else is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hushmark_tests::http;
use hushmark_tests::one_machine::{OneMachine, QUICKSTART, run};
use hushmark_tests::tools::Tools;
use rustix::process::{Pid, Signal, kill_process};

fn lives(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}

#[test]
fn a_second_up_on_the_folder_is_refused_and_disturbs_nothing() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = OneMachine::start(&Tools::from_env()?, data.path())?;
    let before = up.children()?;
    let second = up.run(&["up", QUICKSTART])?;
    let complained = String::from_utf8_lossy(&second.stderr);
    ensure!(second.status.code() == Some(1), "{}", second.status);
    ensure!(complained.contains("is in use by `hushmark up` with process id"), "{complained}");
    ensure!(up.children()? == before && before.values().all(|pid| lives(*pid)));
    up.stop()?;
    Ok(())
}

/// The engine's port is open to every user of the machine; what is in it is the owner's alone.
#[test]
fn who_cannot_read_the_data_folder_reads_and_changes_nothing_by_the_engines_port() -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(60);
    let data = tempfile::tempdir()?;
    let up = OneMachine::start(&Tools::from_env()?, data.path())?;
    let address = up.clickhouse()?;
    let password = up.clickhouse_password()?;
    let statements = [
        "SELECT count() FROM hits".to_owned(),
        format!("SELECT file('{}')", data.path().join("refusal.key").display()),
        "ALTER TABLE withdrawals DELETE WHERE 1".to_owned(),
        "INSERT INTO consents (tenant) VALUES (1)".to_owned(),
    ];
    for sql in &statements {
        let bare = http::post(address, "/", sql.as_bytes(), PATIENCE)?;
        ensure!(bare.status == 401, "{sql}: {}\n{}", bare.head, bare.text());
        let wrong = http::post_with_password(address, "guess", sql.as_bytes(), PATIENCE)?;
        ensure!(wrong.status == 403, "{sql}: {}\n{}", wrong.head, wrong.text());
    }
    ensure!(up.query("SELECT count() FROM withdrawals")?.text() == "0\n");

    // Whoever has the folder has the password, and nobody else sees it.
    let file = data.path().join("clickhouse.password");
    ensure!(fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600);
    for pid in up.children()?.values() {
        for what in ["cmdline", "environ"] {
            let told = fs::read(format!("/proc/{pid}/{what}"))?;
            ensure!(
                !String::from_utf8_lossy(&told).contains(&password),
                "it is in the {what} of {pid}"
            );
        }
    }
    let state = fs::read_to_string(data.path().join("state.json"))?;
    ensure!(!state.contains(&password) && !up.said().contains(&password));
    for log in fs::read_dir(data.path().join("logs"))? {
        let log = log?.path();
        ensure!(!fs::read_to_string(&log)?.contains(&password), "it is in {}", log.display());
    }
    up.stop()?;

    let again = OneMachine::start(&Tools::from_env()?, data.path())?;
    ensure!(again.clickhouse_password()? != password, "what was known once is known no more");
    again.query("SELECT count() FROM hits")?;
    again.stop()?;
    Ok(())
}

#[test]
fn a_user_or_a_password_is_not_taken_where_everybody_reads_it() -> Result<()> {
    let (tools, data) = (Tools::from_env()?, tempfile::tempdir()?);
    let url = "http://someone:secret@127.0.0.1:8123";
    let output = run(&tools, data.path(), &["up", QUICKSTART, "--clickhouse", url])?;
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{}", output.status);
    ensure!(complained.contains("--clickhouse-password-file"), "{complained}");
    Ok(())
}

#[test]
fn a_child_that_dies_is_started_again_and_a_line_says_so() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = OneMachine::start(&Tools::from_env()?, data.path())?;
    let before = up.children()?;
    for pid in before.values() {
        kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).unwrap();
    }
    up.wait("every child is another process", |up| {
        up.children().is_ok_and(|children| {
            children.iter().all(|(name, pid)| before[name] != *pid && lives(*pid))
        })
    })?;
    let after = up.children()?;
    let said = up.stop()?;
    for name in before.keys() {
        ensure!(said.contains(&format!("{name} ended by itself")), "{said}");
    }
    ensure!(after.values().all(|pid| !lives(*pid)), "Ctrl-C left a child behind");
    Ok(())
}

#[test]
fn what_a_killed_up_leaves_behind_is_stopped_by_the_next_and_nothing_else_is() -> Result<()> {
    let (data, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let tools = Tools::from_env()?;
    let bystander = OneMachine::start(&tools, other.path())?;
    let up = OneMachine::start(&tools, data.path())?;
    let left = up.children()?;
    up.kill9()?;
    ensure!(left.values().all(|pid| lives(*pid)), "the children should have outlived it");
    let next = OneMachine::start(&tools, data.path())?;
    ensure!(left.values().all(|pid| !lives(*pid)), "a child was left running");
    ensure!(next.said().contains("which an earlier `up` left behind"), "{}", next.said());
    ensure!(bystander.children()?.values().all(|pid| lives(*pid)), "a bystander was stopped");
    next.stop()?;
    bystander.stop()?;
    Ok(())
}

#[test]
fn manifests_that_cannot_be_used_start_nothing() -> Result<()> {
    let (tools, folder) = (Tools::from_env()?, tempfile::tempdir()?);
    for entry in fs::read_dir(QUICKSTART)? {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        let text = text.replace("opens: individual", "opens: everyone");
        fs::write(folder.path().join(entry.file_name()), text)?;
    }
    let data = folder.path().join("data");
    let manifests = folder.path().display().to_string();
    let output = run(&tools, &data, &["up", &manifests])?;
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{}", output.status);
    ensure!(
        complained.contains("unknown mode \"everyone\"; allowed: off, overall"),
        "{complained}"
    );
    ensure!(complained.contains("campaigns.yaml:"), "{complained}");
    ensure!(!data.exists(), "a data folder was made");
    Ok(())
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_left_running() -> Result<()> {
    let (tools, data) = (Tools::from_env()?, tempfile::tempdir()?);
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let listen = taken.local_addr()?.to_string();
    let output = run(&tools, data.path(), &["up", QUICKSTART, "--listen", &listen])?;
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(1), "{}", output.status);
    ensure!(complained.contains(&format!("cannot listen on {listen}")), "{complained}");
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().context("the folder's name is not text")
}

/// Whoever may write to Redis may ask; what makes no sense must not keep others waiting.
#[test]
fn a_withdrawal_is_in_the_refusal_log_although_nonsense_was_asked_before() -> Result<()> {
    let data = tempfile::tempdir()?;
    let up = OneMachine::start(&Tools::from_env()?, data.path())?;
    for nonsense in [r#"{"takedown":{"tenant":"XYZ"}}"#, "please"] {
        let socket = data.path().join("redis/redis.sock");
        let mut ask = Command::new("redis-cli");
        ask.arg("-s").arg(socket).args(["XADD", "asks", "*", "e", nonsense]);
        ensure!(ask.output()?.status.success());
    }
    let asked = ["withdraw", "--tenant", "acme", "--type", "campaign", "--only", "opens"];
    let done = up.run(&asked)?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    insta::assert_snapshot!(String::from_utf8(done.stdout)?, @"withdrawn: opens of tenant acme, campaign mail are counted no more, mail that was sent included; edges obey within a second");
    let log = fs::read_to_string(data.path().join("refusals/log.jsonl"))?;
    let last = log.lines().last().context("the log is empty")?;
    let says = r#""up_to":4294967295,"opens":"off","clicks":"individual","place":"city"}}}"#;
    ensure!(last.ends_with(says), "{last}");

    // Who asked for it is in the audit log, which verifies without anything that runs.
    let audit = data.path().join("audit.jsonl");
    let whole = || -> Result<String> {
        let part = |name: &str| fs::read_to_string(data.path().join("audit").join(name));
        Ok(part("log.jsonl")? + &part("head.json")?)
    };
    up.wait("the audit log has it", |_| whole().is_ok_and(|log| log.contains("withdraw")))?;
    let verify = |log: &str| -> Result<Output> {
        fs::write(&audit, log)?;
        let key = data.path().join("refusal.pub");
        let arguments = ["audit", "verify", path(&audit)?, "--key", path(&key)?];
        up.run(&arguments)
    };
    let log = whole()?;
    ensure!(
        log.lines().count() == 2 && log.contains(r#""action":{"withdraw":{"tenant":""#),
        "{log}"
    );
    let verified = verify(&log)?;
    ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let refused = verify(&log.replacen("uid ", "uid 9", 1))?;
    ensure!(refused.status.code() == Some(1), "{}", refused.status);

    for (mistaken, says) in [
        (&["withdraw", "--tenant", "nobody"][..], "no tenant in namespace nobody; there are acme"),
        (&["withdraw", "--campaign", "acme/winter"], "winter"),
    ] {
        let refused = up.run(mistaken)?;
        let complained = String::from_utf8(refused.stderr)?;
        ensure!(refused.status.code() == Some(1) && complained.contains(says), "{complained}");
    }
    let usage = up.run(&["withdraw", "--only", "opens"])?;
    ensure!(usage.status.code() == Some(2), "{}", usage.status);
    let said = up.stop()?;
    ensure!(said.matches("to the refusal log makes no sense").count() == 2, "{said}");
    Ok(())
}
