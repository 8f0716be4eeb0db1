//! What a session does beside storing: behaviour verdicts, caps, epochs.

use ed25519_dalek::SigningKey;
use hushmark_event::redis_keys::{
    PUBLISHED, PUBLISHED_EPOCH, REFUSAL_FIELD, REFUSALS, REFUSALS_HEAD,
};
use hushmark_event::refusal::{CapScope, Entry, RefusalLog, Refuses};
use hushmark_event::{Lane, Total, Totals};
use hushmark_policy::{CampaignId, Kind, Mode, Place};

use crate::support::{LosesAnswers, SIGNING, Stack, hit, now_ms, wait_or};

const LANE: Lane = Lane { incarnation: 0x123, core: 0 };
const OTHER: Lane = Lane { incarnation: 0x124, core: 0 };

#[test]
fn a_scanner_is_told_by_what_it_does_later_and_on_another_lane() {
    let stack = Stack::start();
    let mut early = hit(Mode::Anonymous, Kind::Click, 1, 7);
    let person = hit(Mode::Anonymous, Kind::Click, 1, 8);
    let mut late = hit(Mode::Anonymous, Kind::Click, 1, 7);
    (early.link, late.link) = (2, 9);
    late.at_ms += 1_500;
    late.honeypot = true;
    stack.append(LANE, 1, &[early, person]);
    let _writer = stack.writer_with(&["--window-seconds", "3"], &[]);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    stack.append(OTHER, 1, &[late]);
    stack.wait_stored(LANE, 1);
    stack.wait_stored(OTHER, 1);
    let told = stack.query(
        "SELECT value, sum(raw), sum(human) FROM counters \
         WHERE tenant = 1 AND dimension = 'verdict' GROUP BY value ORDER BY value",
    );
    assert_eq!(told, "human\t1\t1\nscanner\t2\t0");
}

#[test]
fn a_cap_that_the_edge_did_not_know_decides_when_the_hit_is_stored() {
    let stack = Stack::start();
    let cap = |n, campaign: u64, mode| Entry {
        n,
        at_ms: now_ms(),
        refuses: Refuses::Cap {
            scope: CapScope::Campaign { id: format!("{campaign:016x}") },
            up_to: 9,
            opens: mode,
            clicks: mode,
            place: Place::None,
        },
    };
    let mut log = RefusalLog::default();
    let entries = [cap(1, 2, Mode::Off), cap(2, 3, Mode::Overall)].map(|entry| entry.to_bytes());
    let mut redis = stack.redis();
    for (n, entry) in entries.iter().enumerate() {
        log.append(entry).unwrap();
        let mut add = redis::cmd("XADD");
        add.arg(REFUSALS).arg(format!("{}-0", n + 1)).arg(REFUSAL_FIELD).arg(entry);
        add.query::<String>(&mut redis).unwrap();
    }
    let head = serde_json::to_vec(&log.sign_head(&SigningKey::from_bytes(&SIGNING))).unwrap();
    redis::cmd("SET").arg(REFUSALS_HEAD).arg(&head).query::<()>(&mut redis).unwrap();
    let mut hits: Vec<_> =
        (1..=3).map(|campaign| hit(Mode::Individual, Kind::Open, campaign, 5)).collect();
    hits.iter_mut().for_each(|hit| hit.country = Some(*b"NO"));
    stack.append(LANE, 1, &hits);
    let start = || stack.writer_in("kept", stack.clickhouse, &["--window-seconds", "0"], &[]);
    let writer = start();
    stack.wait_stored(LANE, 1);
    let of = |what: &str| {
        stack.query(&format!(
            "SELECT campaign, sum(raw), uniqCombined64ArrayMerge(14)(uniq_raw) FROM counters \
             WHERE {what} GROUP BY campaign ORDER BY campaign"
        ))
    };
    assert_eq!(of("tenant = 1 AND dimension = 'total'"), "3\t1\t0\n4\t1\t1");
    assert_eq!(of("tenant = 1 AND dimension = 'country'"), "4\t1\t1");
    assert_eq!(of("dimension = 'drop' AND value = 'capped'"), "0\t1\t0");
    assert_eq!(stack.query("SELECT campaign FROM hits WHERE tenant = 1"), "4");
    assert_eq!(stack.query("SELECT max(position) FROM counters WHERE dimension = 'lane'"), "2");
    drop(writer);

    // Whoever holds more than Redis shows puts it back.
    redis::cmd("DEL").arg(REFUSALS).arg(REFUSALS_HEAD).query::<i64>(&mut redis).unwrap();
    stack.expire_lease();
    let _writer = start();
    wait_or(
        "the refusal log to be put back",
        || stack.logs(),
        || {
            let length: u64 = redis::cmd("XLEN").arg(REFUSALS).query(&mut stack.redis()).unwrap();
            let shown: Option<Vec<u8>> =
                redis::cmd("GET").arg(REFUSALS_HEAD).query(&mut stack.redis()).unwrap();
            length == 2 && shown.is_some_and(|shown| shown == head)
        },
    );
}

#[test]
fn an_epoch_shows_what_may_be_shown_and_no_more() {
    let stack = Stack::start();
    let first = stack.writer(&[]);
    stack.append(LANE, 1, &[hit(Mode::Overall, Kind::Open, 90, 0)]);
    stack.wait_stored(LANE, 1);
    drop(first);
    for (campaign, mode, n) in [(11, "anonymous", 200), (12, "individual", 4)] {
        stack.query(&format!(
            "INSERT INTO campaigns VALUES (1, {campaign}, 'acme', 'c{campaign}', 'campaign', \
             '{mode}', '{mode}', NULL, now64(3))"
        ));
        stack.query(&format!(
            "INSERT INTO sends VALUES (1, {campaign}, 1, now64(3), {n}, '{mode}', '{mode}')"
        ));
    }
    // Campaign ids in these tests are one more than the number.
    let mut hits: Vec<_> = (0..60).map(|n| hit(Mode::Anonymous, Kind::Open, 10, n)).collect();
    hits.iter_mut().take(4).for_each(|hit| hit.client = hushmark_event::Client::Thunderbird);
    hits.iter_mut().skip(40).for_each(|hit| hit.client = hushmark_event::Client::Outlook);
    hits.extend((0..3).map(|n| hit(Mode::Individual, Kind::Click, 11, n % 2)));
    stack.append(LANE, 2, &hits);
    stack.expire_lease();
    let _writer = stack.writer_with(&["--window-seconds", "0", "--epoch-seconds", "1"], &[]);
    stack.wait_stored(LANE, 2);
    let shown = |campaign: u64, kind: &str, dimension: &str| {
        stack.try_query(&format!(
            "SELECT value, raw, human, uniq_raw FROM published FINAL WHERE campaign = {campaign} \
             AND kind = '{kind}' AND dimension = '{dimension}' \
             AND (value != '' OR dimension = 'total') ORDER BY value"
        ))
    };
    wait_or(
        "an epoch",
        || stack.logs(),
        || shown(11, "open", "total").is_ok_and(|t| t == "\t60\t\\N\t60"),
    );
    // Outlook's twenty go with Thunderbird's four, or those could be told by subtraction.
    assert_eq!(shown(11, "open", "client").unwrap(), "Gmail\t36\t\\N\t36");
    assert_eq!(shown(12, "click", "total").unwrap(), "\t3\t3\t2");
    assert_eq!(shown(12, "click", "link").unwrap(), "1\t3\t3\t2");
    // The cells are written first, then how they were counted.
    let how = || {
        stack.query(
            "SELECT campaign, kind, mode, uniques, k, sent FROM published_campaigns FINAL \
             WHERE campaign IN (11, 12) ORDER BY campaign, kind",
        )
    };
    wait_or("the epoch's end", || stack.logs(), || !how().is_empty());
    let expected = "11\topen\tanonymous\tsketch\t10\t200\n11\tclick\tanonymous\tsketch\t10\t200\n\
                    12\topen\tindividual\texact\t10\t4\n12\tclick\tindividual\texact\t10\t4";
    assert_eq!(how(), expected);
    assert_eq!(shown(91, "open", "total").unwrap(), "\t\\N\t\\N\t\\N", "nobody knows of how many");
    // In short in Redis, for the status of campaigns: no more than what the table shows.
    let told = |campaign: u64| -> Option<Totals> {
        let mut get = redis::cmd("HGET");
        get.arg(PUBLISHED).arg(CampaignId(campaign).to_string());
        Totals::parse(&get.query::<Option<Vec<u8>>>(&mut stack.redis()).unwrap()?)
    };
    wait_or("the totals in redis", || stack.logs(), || told(91).is_some());
    let total =
        |raw, human, messages, human_messages| Some(Total { raw, human, messages, human_messages });
    let anonymous = told(11).unwrap();
    assert_eq!(anonymous.opens, total(Some(60), None, Some(60), None));
    assert_eq!(anonymous.clicks, total(None, None, None, None), "none is as little told as nine");
    let individual = told(12).unwrap();
    assert_eq!(individual.clicks, total(Some(3), Some(3), Some(2), Some(2)));
    assert_eq!(individual.opens.unwrap().raw, Some(0));
    assert_eq!(told(91).unwrap().opens, Some(Total::default()));
    let epoch: u32 = redis::cmd("GET").arg(PUBLISHED_EPOCH).query(&mut stack.redis()).unwrap();
    assert!(epoch >= anonymous.epoch);
    // Nine more are fewer than the minimum group.
    let nine: Vec<_> = (100..109).map(|n| hit(Mode::Anonymous, Kind::Open, 10, n)).collect();
    stack.append(LANE, 3, &nine);
    stack.wait_stored(LANE, 3);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(shown(11, "open", "total").unwrap(), "\t60\t\\N\t60");
    assert_eq!(told(11).unwrap().opens, anonymous.opens, "nor in redis");
    stack.append(LANE, 4, &[hit(Mode::Anonymous, Kind::Open, 10, 110)]);
    wait_or(
        "growth by ten",
        || stack.logs(),
        || shown(11, "open", "total").is_ok_and(|text| text == "\t70\t\\N\t70"),
    );
}

#[test]
fn a_cut_whose_answer_was_lost_is_published_without_another_hit() {
    let stack = Stack::start();
    let way = LosesAnswers::start(stack.clickhouse);
    let args = ["--window-seconds", "0", "--epoch-seconds", "1"];
    let _writer = stack.writer_by(way.address, &args, &[]);
    let campaign = 11;
    stack.append(LANE, 1, &[hit(Mode::Anonymous, Kind::Open, campaign - 1, 500)]);
    stack.wait_stored(LANE, 1);
    stack.query(&format!(
        "INSERT INTO campaigns VALUES (1, {campaign}, 'acme', 'c', 'campaign', 'anonymous', \
         'anonymous', NULL, now64(3))"
    ));
    stack.query(&format!(
        "INSERT INTO sends VALUES (1, {campaign}, 1, now64(3), 200, 'anonymous', 'anonymous')"
    ));
    let published = |what: &str| {
        stack.try_query(&format!(
            "SELECT {what} FROM published FINAL WHERE campaign = {campaign} AND kind = 'open' AND \
             dimension = 'total'"
        ))
    };
    wait_or("the first epoch", || stack.logs(), || published("count()").is_ok_and(|n| n == "1"));
    let sixty: Vec<_> =
        (0..60).map(|n| hit(Mode::Anonymous, Kind::Open, campaign - 1, n)).collect();
    way.lose_next();
    stack.append(LANE, 2, &sixty);
    stack.wait_stored(LANE, 2);
    assert!(way.has_lost(), "the answer came through, so this shows nothing");
    wait_or("the cut's epoch", || stack.logs(), || published("raw").is_ok_and(|raw| raw == "61"));
}
