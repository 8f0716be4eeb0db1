//! Against a real redis-server: what is appended, what is asked for, and what is never done.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use hushmark_event::ask::Ask;
use hushmark_event::audit::{Action, Ended, Gone, Name, Principal, Target, verify};
use hushmark_event::chain::Hash32;
use hushmark_event::plans::{Past, Stopped};
use hushmark_event::redis_keys::{
    ASKS, AUDIT, AUDIT_HEAD, ERASED, QUESTION_FIELD, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD,
};
use hushmark_event::refusal::{Erased, RefusalLog, SignedHead, Takedown};
use hushmark_policy::TenantId;
use redis::streams::StreamRangeReply;
use redis::{AsyncConnectionConfig, Client, cmd};

use super::*;

/// A redis-server on a socket, with the design's durability. It ends with its handle.
struct Redis {
    child: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Redis {
    async fn start() -> (Self, MultiplexedConnection) {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("redis.sock");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", ""])
            .arg("--unixsocket")
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is on PATH: apt-get install redis-server");
        let redis = Self { child, socket, _folder: folder };
        let connection = redis.connect().await;
        (redis, connection)
    }

    async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(format!("unix://{}", self.socket.display())).unwrap();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(Duration::from_secs(10)))
            .set_connection_timeout(Some(Duration::from_secs(10)));
        for _ in 0..500 {
            if let Ok(mut redis) =
                client.get_multiplexed_async_connection_with_config(&config).await
                && cmd("PING").query_async::<String>(&mut redis).await.is_ok()
            {
                return redis;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("redis-server does not answer");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn down(kid: u16) -> Refuses {
    Refuses::Takedown(Takedown::Kid(kid))
}

/// What Jane asks for.
fn asked(refuses: Refuses) -> (Question, Refuses) {
    let ask = Ask { region: "eu".into(), by: Name::of("jane"), of: None, refuses };
    (ask.question().unwrap(), ask.refuses)
}

async fn ask(redis: &mut MultiplexedConnection, text: &str) {
    let add = cmd("XADD").arg(&[ASKS, "*", REFUSAL_FIELD, text]).query_async::<String>(redis).await;
    add.unwrap();
}

/// What an edge that trusts the key makes of Redis.
async fn as_an_edge_reads_it(redis: &mut MultiplexedConnection) -> RefusalLog {
    let entries: StreamRangeReply =
        cmd("XRANGE").arg(&[REFUSALS, "-", "+"]).query_async(redis).await.unwrap();
    let mut log = RefusalLog::default();
    for entry in entries.ids {
        let bytes: Vec<u8> = entry.get(REFUSAL_FIELD).unwrap();
        assert_eq!(entry.id, format!("{}-0", log.length() + 1));
        log.append(&bytes).unwrap();
    }
    let head: Vec<u8> = cmd("GET").arg(REFUSALS_HEAD).query_async(redis).await.unwrap();
    let head: SignedHead = serde_json::from_slice(&head).unwrap();
    log.verify_head(&head, &key().verifying_key()).unwrap();
    log
}

async fn known(redis: &mut MultiplexedConnection) -> BothKnown {
    let log = as_an_edge_reads_it(redis).await;
    BothKnown {
        refusals: Known { length: log.length(), hash: log.hash() },
        audit: Known::default(),
    }
}

async fn started(redis: &mut MultiplexedConnection) -> Refusals {
    let refusals = Refusals::default();
    refusals.round(redis, &key(), &BothKnown::default(), 1).await.unwrap();
    refusals
}

#[tokio::test]
async fn an_empty_log_has_a_head_so_that_edges_become_ready() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 0);
    assert_eq!(refusals.shown().log.unwrap().length(), 0);
}

#[tokio::test]
async fn what_is_appended_is_chained_and_signed_and_only_once() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    refusals.append(&mut redis, &key(), vec![down(1), down(2)], 5).await.unwrap();
    refusals.append(&mut redis, &key(), vec![down(2), down(3)], 6).await.unwrap();
    let log = as_an_edge_reads_it(&mut redis).await;
    assert_eq!(log.length(), 3);
    assert_eq!(refusals.shown().log.unwrap().hash(), log.hash());
}

#[tokio::test]
async fn what_is_asked_twice_is_there_once_and_both_are_told_where() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    refusals.append(&mut redis, &key(), vec![down(1)], 5).await.unwrap();
    let first = refusals.ask(&mut redis, &key(), asked(down(2)), 6).await.unwrap();
    refusals.append(&mut redis, &key(), vec![down(3)], 7).await.unwrap();
    let again = refusals.ask(&mut redis, &key(), asked(down(2)), 8).await.unwrap();
    assert_eq!((first.position, first.appended, first.length), (2, true, 2));
    assert_eq!((again.position, again.appended, again.length), (2, false, 3));
    let log = as_an_edge_reads_it(&mut redis).await;
    assert_eq!((log.length(), log.hash()), (3, again.hash));

    // Another process, which did not append it, knows its place as well.
    let second = Refusals::default();
    second.round(&mut redis, &key(), &BothKnown::default(), 1).await.unwrap();
    let there = second.ask(&mut redis, &key(), asked(down(2)), 9).await.unwrap();
    assert_eq!((there.position, there.appended), (2, false));
}

#[tokio::test]
async fn nothing_is_appended_before_the_log_is_read() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = Refusals::default();
    let refused = refusals.append(&mut redis, &key(), vec![down(1)], 5).await;
    assert!(matches!(refused, Err(Error::Refusals(_))));
}

#[tokio::test]
async fn requests_are_answered_and_nonsense_is_taken_out() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    let objection = r#"{"contact":{"tenant":"0000000000000001","id":"0000000000000009"}}"#;
    ask(&mut redis, objection).await;
    ask(&mut redis, objection).await;
    ask(&mut redis, r#"{"contact":{"tenant":"XYZ","id":"0000000000000009"}}"#).await;
    // Whoever may write here is a server, and speaks for recipients alone.
    ask(&mut redis, r#"{"takedown":{"kid":9}}"#).await;
    ask(&mut redis, "please").await;
    refusals.round(&mut redis, &key(), &BothKnown::default(), 1).await.unwrap();
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 1);
    let left: u64 = cmd("XLEN").arg(ASKS).query_async(&mut redis).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn another_process_goes_on_where_the_first_stopped() {
    let (_server, mut redis) = Redis::start().await;
    let first = started(&mut redis).await;
    first.append(&mut redis, &key(), (0..1_200).map(down).collect(), 5).await.unwrap();
    let known = known(&mut redis).await;
    let second = Refusals::default();
    second.round(&mut redis, &key(), &known, 1).await.unwrap();
    second.append(&mut redis, &key(), vec![down(7), down(5_000)], 6).await.unwrap();
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 1_201);
}

#[tokio::test]
async fn of_two_appenders_one_gives_way_and_no_log_is_torn() {
    let (server, mut redis) = Redis::start().await;
    let mut other = server.connect().await;
    let (one, two) = (started(&mut redis).await, started(&mut other).await);
    for n in 0..20 {
        let a = one.append(&mut redis, &key(), vec![down(n)], 5).await;
        let b = two.append(&mut other, &key(), vec![down(1_000 + n)], 5).await;
        assert!(a.is_ok() || b.is_ok() || n > 0, "somebody gets through");
        // A lost race is told, and the next look reads anew.
        one.round(&mut redis, &key(), &BothKnown::default(), 1).await.ok();
        two.round(&mut other, &key(), &BothKnown::default(), 1).await.ok();
    }
    let log = as_an_edge_reads_it(&mut redis).await;
    assert!(log.length() >= 20, "{}", log.length());
}

#[tokio::test]
async fn nothing_is_appended_on_a_log_that_got_shorter() {
    let (_server, mut redis) = Redis::start().await;
    let first = started(&mut redis).await;
    first.append(&mut redis, &key(), vec![down(1), down(2)], 5).await.unwrap();
    let known = known(&mut redis).await;
    cmd("FLUSHALL").query_async::<()>(&mut redis).await.unwrap();

    let second = Refusals::default();
    let refused = second.round(&mut redis, &key(), &known, 1).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "refusal log: redis shows 0 entries, and the Region's status names 2: waiting for an edge \
         or the writer to put its copy back; if none has one, restore redis from its volume"
    );
    assert!(second.append(&mut redis, &key(), vec![down(3)], 6).await.is_err());
    let length: u64 = cmd("XLEN").arg(REFUSALS).query_async(&mut redis).await.unwrap();
    assert_eq!(length, 0);

    // Whoever holds more puts it back; then the other goes on.
    first.round(&mut redis, &key(), &known, 1).await.unwrap();
    second.round(&mut redis, &key(), &known, 1).await.unwrap();
    second.append(&mut redis, &key(), vec![down(3)], 6).await.unwrap();
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 3);
}

#[tokio::test]
async fn another_log_and_a_strangers_entries_are_refused() {
    let (_server, mut redis) = Redis::start().await;
    let first = started(&mut redis).await;
    first.append(&mut redis, &key(), vec![down(1)], 5).await.unwrap();
    let refusals = Known { length: 1, hash: "ab".repeat(32) };
    let of_another = BothKnown { refusals, audit: Known::default() };
    let refused = Refusals::default().round(&mut redis, &key(), &of_another, 1).await.unwrap_err();
    assert!(refused.to_string().contains("another log than the one that the Region's status"));

    let stranger = SigningKey::from_bytes(&[8; 32]);
    let refused = Refusals::default()
        .round(&mut redis, &stranger, &BothKnown::default(), 1)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("does not verify"), "{refused}");

    let entry = r#"{"n":2,"at_ms":1,"refuses":{"takedown":{"kid":4}}}"#;
    let mut add = cmd("XADD");
    add.arg(&[REFUSALS, "2-0", REFUSAL_FIELD, entry]);
    add.query_async::<String>(&mut redis).await.unwrap();
    let refused =
        Refusals::default().round(&mut redis, &key(), &BothKnown::default(), 1).await.unwrap_err();
    assert!(refused.to_string().contains("no signed head covers"), "{refused}");
    assert!(first.append(&mut redis, &key(), vec![down(2)], 6).await.is_err());
}

/// The audit log as a file that anybody can verify.
async fn audit_file(refusals: &Refusals) -> verify::log_file::VerifiedLog {
    let AuditPage { head, entries } = refusals.page(&key(), 0).await.unwrap();
    let text = verify::log_file::to_text(entries.iter().map(String::as_str), &head);
    verify::log_file::verify(text.as_bytes(), &key().verifying_key()).unwrap()
}

#[tokio::test]
async fn who_asked_is_appended_with_what_was_asked_for_and_no_policys_change_is() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    refusals.append(&mut redis, &key(), vec![down(1)], 5).await.unwrap();
    assert_eq!(audit_file(&refusals).await.entries.len(), 0, "a policy is nobody's request");
    let first = refusals.ask(&mut redis, &key(), asked(down(2)), 6).await.unwrap();
    let again = refusals.ask(&mut redis, &key(), asked(down(2)), 7).await.unwrap();
    assert_eq!((first.audited, again.audited), (1, 2), "who asks again is told of again");
    let refused = Outcome::Refused(Reason::Unknown);
    refusals.note(&mut redis, &key(), (asked(down(9)).0, refused), 8).await.unwrap();
    let entries = audit_file(&refusals).await.entries;
    let outcomes: Vec<Outcome> = entries
        .iter()
        .filter_map(|entry| match &entry.says {
            Says::Asked(asked) => Some(asked.outcome),
            Says::Receipt(_) => None,
        })
        .collect();
    let there = Outcome::Allowed { position: Some(2) };
    assert_eq!(outcomes, [there, there, refused]);
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 2);
}

#[tokio::test]
async fn an_objection_is_told_of_once_and_servers_speak_for_nobody_else() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    let contact = |id: &str| {
        let id = id.to_owned();
        Refuses::Contact { tenant: "0000000000000007".into(), id }
    };
    let says = |by, action| serde_json::to_string(&Question { by, action }).unwrap();
    let target = || Target::Tenant(TenantId(7));
    let jane = Principal::Kubernetes(Name::of("jane"));
    for (id, question) in [
        ("00000000000000aa", says(Principal::Recipient, Action::Object(target()))),
        ("00000000000000bb", says(jane, Action::Erase(target()))),
    ] {
        let text = serde_json::to_string(&contact(id)).unwrap();
        let mut add = cmd("XADD");
        add.arg(&[ASKS, "*", REFUSAL_FIELD, &text, QUESTION_FIELD, &question]);
        add.query_async::<String>(&mut redis).await.unwrap();
    }
    refusals.round(&mut redis, &key(), &BothKnown::default(), 1).await.unwrap();
    refusals.round(&mut redis, &key(), &BothKnown::default(), 2).await.unwrap();
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 2);
    let [told] = &audit_file(&refusals).await.entries[..] else { panic!("one is told of") };
    let Says::Asked(told) = &told.says else { panic!("it is no receipt") };
    assert_eq!(told.by, Principal::Recipient);
    assert_eq!(told.outcome, Outcome::Allowed { position: Some(1) });
}

#[tokio::test]
async fn an_erasure_gets_one_receipt_once_the_writer_says_that_it_ended() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    let erase = || asked(Refuses::Erase(Erased::Tenant("0000000000000007".into())));
    let answer = refusals.ask(&mut redis, &key(), erase(), 1_795_000_000_000).await.unwrap();
    let round = async |redis: &mut MultiplexedConnection| {
        refusals.round(redis, &key(), &BothKnown::default(), 1_795_000_060_000).await.unwrap();
        refusals.receipt(&key(), answer.position).await.unwrap()
    };
    assert_eq!(round(&mut redis).await, None, "nobody says that anything is gone");
    let gone = vec![Gone { name: "counters".into(), rows: 12, parts: 1 }];
    let ended = Ended { ledger: 1, ended_ms: 1_795_000_059_000, gone };
    let mut told = cmd("HSET");
    told.arg(ERASED).arg(answer.position).arg(serde_json::to_string(&ended).unwrap());
    told.query_async::<()>(&mut redis).await.unwrap();
    let file = round(&mut redis).await.unwrap();
    let verified = verify::receipt(file.as_bytes(), &key().verifying_key()).unwrap();
    assert_eq!((verified.receipt.position, verified.receipt.reached[0].rows), (1, 12));

    refusals.ask(&mut redis, &key(), erase(), 1_795_000_070_000).await.unwrap();
    assert_eq!(round(&mut redis).await.as_ref(), Some(&file), "asked again, it is the same one");
    assert_eq!(audit_file(&refusals).await.entries.len(), 3);

    // Another process hands out the same bytes.
    let second = Refusals::default();
    second.round(&mut redis, &key(), &BothKnown::default(), 1).await.unwrap();
    assert_eq!(second.receipt(&key(), answer.position).await.unwrap(), Some(file));
}

#[tokio::test]
async fn a_plan_that_the_writer_stopped_is_told_of_once_under_the_name_of_who_demanded_it() {
    let (_server, mut redis) = Redis::start().await;
    let refusals = started(&mut redis).await;
    let plan = Hash32([1; 32]);
    let action = Action::EnforcePlan { tenant: TenantId(7), plan };
    let by = Principal::Kubernetes(Name::of("jane"));
    let what = (Question { by, action }, Outcome::Allowed { position: None });
    let entry = refusals.note(&mut redis, &key(), what, 1).await.unwrap();
    let stopped = Some(Stopped { reason: Reason::LegalHold, said: "a hold".into() });
    let past = |plan, stopped| Past { entry, plan, ended_ms: 2, done: Vec::new(), stopped };
    for past in [
        past(plan, None),
        past(Hash32([2; 32]), stopped.clone()),
        past(plan, stopped.clone()),
        past(plan, stopped),
    ] {
        refusals.stopped(&mut redis, &key(), &past, 3).await.unwrap();
    }
    let entries = audit_file(&refusals).await.entries;
    let [_, told] = &entries[..] else { panic!("one is told of: {}", entries.len()) };
    let Says::Asked(told) = &told.says else { panic!("it is no receipt") };
    assert_eq!(told.by, Principal::Kubernetes(Name::of("jane")));
    assert_eq!(told.outcome, Outcome::Refused(Reason::LegalHold));
}

#[tokio::test]
async fn without_its_audit_log_nothing_is_asked_for_and_policies_still_hold() {
    let (_server, mut redis) = Redis::start().await;
    let first = started(&mut redis).await;
    first.ask(&mut redis, &key(), asked(down(1)), 5).await.unwrap();
    let mut known = known(&mut redis).await;
    let there = audit_file(&first).await.head;
    known.audit = Known { length: there.length, hash: there.hash };
    cmd("DEL").arg(&[AUDIT, AUDIT_HEAD]).query_async::<()>(&mut redis).await.unwrap();

    let second = Refusals::default();
    let missing = second.round(&mut redis, &key(), &known, 6).await.unwrap_err().to_string();
    assert!(missing.contains("audit log: redis shows 0 entries"), "{missing}");
    assert!(missing.contains("waiting for the writer to put its copy back"), "{missing}");
    let refused = second.ask(&mut redis, &key(), asked(down(2)), 7).await.unwrap_err();
    assert_eq!(refused.to_string(), missing);
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 1, "and nothing was appended");
    second.append(&mut redis, &key(), vec![down(3)], 8).await.unwrap();
    let objection = r#"{"contact":{"tenant":"0000000000000001","id":"0000000000000004"}}"#;
    ask(&mut redis, objection).await;
    second.round(&mut redis, &key(), &known, 9).await.unwrap_err();
    assert_eq!(as_an_edge_reads_it(&mut redis).await.length(), 3, "a recipient need not wait");

    // Whoever holds more puts it back.
    first.round(&mut redis, &key(), &known, 10).await.ok();
    first.round(&mut redis, &key(), &known, 10).await.unwrap();
    second.round(&mut redis, &key(), &known, 11).await.unwrap();
    let answer = second.ask(&mut redis, &key(), asked(down(2)), 12).await.unwrap();
    assert_eq!((answer.audited, answer.position), (2, 4));
    let left: u64 = cmd("XLEN").arg(ASKS).query_async(&mut redis).await.unwrap();
    assert_eq!(left, 0);
}
