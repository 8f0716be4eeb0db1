//! What changes something: entries of the refusal log, and keys.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hushmark_tests::http;
use serde_json::{Value, json};

use super::stage::Stage;

/// The whole way: kubectl, plugin, API server, port-forward, operator, Redis, status.
pub(crate) fn by_port_forward(stage: &Stage) -> Result<()> {
    let withdraw = ["withdraw", "--campaign", "acme/letter-1", "--only", "opens"];
    let nobody_asked = stage.person(&withdraw)?.ended(1)?;
    ensure!(nobody_asked.contains("say --yes where nobody can be asked"), "{nobody_asked}");
    let sure = [&withdraw[..], &["--yes", "--json"]].concat();
    let first: Value = serde_json::from_str(&stage.person(&sure)?.ended(0)?)?;
    let first = &first["entries"][0];
    let at = first["position"].as_u64().context("the answer has no position")?;
    assert_eq!((&first["appended"], &first["length"]), (&json!(true), &json!(at)));
    let again: Value = serde_json::from_str(&stage.person(&sure)?.ended(0)?)?;
    let again = &again["entries"][0];
    assert_eq!((&again["position"], &again["appended"]), (&json!(at), &json!(false)));
    assert_eq!(again["hash"], first["hash"], "asked twice, it is there once");
    stage.until("the status says so", || {
        let opens = stage.campaign("letter-1")?["status"]["effective"]["opens"].clone();
        Ok(opens == json!({"mode": "off", "decidedBy": "Withdrawal"}))
    })?;
    let text = stage.person(&["explain", "campaign", "acme/letter-1"])?.ended(0)?;
    insta::assert_snapshot!("explain_withdrawn", text);

    let down = ["takedown", "--url", "https://www.acme.example/recalled", "--yes"];
    let text = stage.person(&down)?.ended(0)?;
    let text = text.replace(&format!(" {}", at + 1), " NEXT");
    insta::assert_snapshot!("takedown", stage.settled(&text));
    stage.until("the Region names the head", || Ok(stage.log_length()? == at + 1))?;
    let tenant = ["withdraw", "--tenant", "acme", "--type", "transactional", "--yes"];
    stage.person(&tenant)?.ended(0)?;
    for (arguments, says) in [
        (
            &["takedown", "--kid", "7", "--yes"][..],
            "the operator says: the Region eu has no key 7; it has 1",
        ),
        (&["takedown", "--campaign", "acme/winter", "--yes"], "there is no campaign acme/winter"),
        (&["withdraw", "--tenant", "nobody", "--yes"], "namespace nobody has no Tenant"),
    ] {
        let refused = stage.person(arguments)?.ended(1)?;
        ensure!(refused.contains(says), "{refused}");
    }
    stage.person(&["takedown", "--yes"])?.ended(2)?;
    let deleted = ["takedown", "--campaign", "acme/winter", "--deleted", "--region", "eu", "--yes"];
    stage.person(&deleted)?.ended(0)?;
    stage.until("all are there", || Ok(stage.log_length()? == at + 3))
}

/// Who asked is whom the API server knows; what was refused is told as well.
pub(crate) fn told(stage: &Stage) -> Result<()> {
    let text = stage.person(&["audit"])?.ended(0)?;
    let person = "system:serviceaccount:default:person asked to";
    for says in [
        "end the tracking of campaign ",
        "take down the links to one destination: allowed, entry ",
        "take down key 7: refused, because there is no such thing",
        "end the tracking of tenant ",
        "take down the links of campaign ",
    ] {
        ensure!(text.contains(&format!("{person} {says}")), "{says:?} is not in\n{text}");
    }
    ensure!(text.contains("verified against what Region eu publishes"), "{text}");
    let json: Value = serde_json::from_str(&stage.person(&["audit", "eu", "--json"])?.ended(0)?)?;
    assert_eq!(json["length"], json["entries"].as_array().map_or(0, Vec::len));
    let refused = stage.guest(&["audit"])?.ended(1)?;
    ensure!(refused.contains("you may not create and get pods/portforward"), "{refused}");
    Ok(())
}

pub(crate) fn without_the_right(stage: &Stage) -> Result<()> {
    let before = stage.log_length()?;
    let refused = stage.guest(&["withdraw", "--campaign", "acme/letter-2", "--yes"])?.ended(1)?;
    let says = "you may not create and get pods/portforward in namespace hush-eu";
    ensure!(refused.contains(says), "{refused}");
    assert_eq!(stage.log_length()?, before);
    Ok(())
}

/// The listener itself, spoken to directly.
pub(crate) fn what_makes_no_sense(stage: &Stage) -> Result<()> {
    let at = stage.operator.asks;
    ensure!(at.ip().is_loopback());
    let patience = Duration::from_secs(10);
    let before = stage.log_length()?;
    assert_eq!(http::get(at, "/asks", patience)?.status, 405);
    assert_eq!(http::get(at, "/metrics", patience)?.status, 404);
    // A page in a browser can post, and cannot say that it is JSON.
    assert_eq!(http::post(at, "/asks", b"{}", patience)?.status, 415);
    // One that found a way to say so is told from a person by what browsers add.
    let down = json!({"region": "eu", "refuses": {"takedown": {"kid": 1}}}).to_string();
    let page = ["--header", "origin: https://evil.example"];
    let (status, text) = post(stage, down.as_bytes(), &page)?;
    ensure!(status == 403 && text.contains("no page in a browser may ask"), "{status} {text}");
    let post = |body: &Value| post(stage, body.to_string().as_bytes(), &[]);
    let down = json!({"takedown": {"kid": 1}});
    let campaign = json!({"takedown": {"campaign": "0000000000000007"}});
    for (body, says) in [
        (
            json!({"region": "eu", "of": "acme/letter-1", "refuses": campaign}),
            "say in `of` whose it is",
        ),
        (
            json!({"region": "eu", "refuses": {"contact": {"tenant": "0000000000000007", "id": "0000000000000007"}}}),
            "a cluster has none yet",
        ),
        (json!({"region": "ca", "refuses": down}), "runs the Region eu, and not ca"),
        (json!({"region": "eu", "refuses": {"takedown": {"tenant": "XYZ"}}}), "is no id"),
        (json!({"region": "eu", "refuses": {"pardon": 1}}), "makes no sense"),
        (
            json!({"region": "eu", "refuses": {"cap": {"scope": "all", "up_to": 7, "opens": "off", "clicks": "off", "place": "none"}}}),
            "only the end of a tracking for good",
        ),
    ] {
        let (status, text) = post(&body)?;
        ensure!(status == 422 && text.contains(says), "{status} {text}");
    }
    assert_eq!(self::post(stage, &[b' '; 20_000], &[])?.0, 413);
    assert_eq!(stage.log_length()?, before, "nothing of all that was appended");
    // Who holds a connection open and says nothing keeps nobody else out.
    let idle: Vec<_> = (0..4).map(|_| std::net::TcpStream::connect(at)).collect();
    ensure!(idle.iter().all(Result::is_ok));
    assert_eq!(http::get(at, "/asks", patience)?.status, 405);
    let reached = ["takedown", "--url", "https://www.acme.example/direct", "--yes", "--operator"];
    let address = at.to_string();
    stage.person(&[&reached[..], &[&address]].concat())?.ended(0)?;
    stage.until("it is there", || Ok(stage.log_length()? == before + 1))
}

/// The harness's own client says nothing of JSON.
fn post(stage: &Stage, body: &[u8], more: &[&str]) -> Result<(u16, String)> {
    let mut curl = std::process::Command::new("curl");
    curl.args(more);
    curl.args(["--silent", "--max-time", "20", "--header", "content-type: application/json"]);
    curl.args(["--write-out", "\n%{http_code}", "--data-binary"]);
    let path = stage.cluster.folder().join("body.json");
    std::fs::write(&path, body)?;
    curl.arg(format!("@{}", path.display()));
    let output = curl.arg(format!("http://{}/asks", stage.operator.asks)).output()?;
    let text = String::from_utf8(output.stdout)?;
    let (text, code) = text.rsplit_once('\n').context("curl printed no status")?;
    Ok((code.parse()?, text.to_owned()))
}

pub(crate) fn keys(stage: &Stage) -> Result<()> {
    let asked = stage.person(&["keys", "rotate", "--no-wait", "--json"])?.ended(0)?;
    let asked: Value = serde_json::from_str(&asked)?;
    let region = stage.cluster.get(&["region", "eu"])?;
    assert_eq!(region["metadata"]["annotations"]["hushmark.io/rotate-keys"], asked["asked"]);
    // Edges that kwok plays have no keys, so that nobody will ever seal with the new one.
    let waits = stage.person(&["keys", "rotate", "eu", "--timeout", "2"])?.ended(1)?;
    ensure!(waits.contains("not done within 2 s"), "{waits}");
    let refused = stage.guest(&["keys", "rotate", "eu"])?.ended(1)?;
    ensure!(refused.contains("cannot ask Region eu for a new key"), "{refused}");
    Ok(())
}
