//! What policies remove, on the real engine: to the row, once however often it is begun, and no row
//! of the ledger.

use hushmark_policy::retention::{Due, Step};
use hushmark_policy::{CampaignId, Day, TenantId};
use hushmark_writer::migrate::migrate;
use hushmark_writer::retention::{Reach, carry_out, found, overdue};
use hushmark_writer::store::Address;

use crate::support::{Stack, now_ms};

/// The first day that is not touched.
const BEFORE: &str = "2026-03-10";

struct Tables {
    stack: Stack,
    client: clickhouse::Client,
    runtime: tokio::runtime::Runtime,
}

impl Tables {
    /// Two campaigns of tenant 1 with a hit an hour in March, and ledger rows among them.
    fn new() -> Self {
        let stack = Stack::start();
        let url = format!("http://{}", stack.clickhouse);
        let client = Address { url, tls: None, user: None, password: None }.client();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let tables = Self { stack, client, runtime };
        tables.wait(migrate(&tables.client)).unwrap();
        tables.stack.query(
            "INSERT INTO hits_in SELECT 1, 1 + number % 2, number, toDateTime('2026-03-01 00:30:00', \
             'UTC') + intDiv(number, 2) * 3600, 'open', 0, 'human', 1, 'phone', 'gmail', 'ios', 'DE', \
             '2026-03-01', '', 0, 0 FROM numbers(960)",
        );
        tables.stack.query(
            "INSERT INTO hits_in SELECT 0, 0, 0, toDateTime(0, 'UTC'), 'open', 0, 'human', 0, '', '', \
             '', '', '2026-03-01', '0000000000000001.0', 5, 0",
        );
        for dimension in ["total", "country", "client", "device", "system", "hour", "lane"] {
            let (tenant, campaign) = if dimension == "lane" { (0, 0) } else { (1, 1) };
            tables.stack.query(&format!(
                "INSERT INTO counters_in SELECT {tenant}, {campaign}, 'open', '{dimension}', \
                 if('{dimension}' = 'hour', concat('2026-03-', leftPad(toString(1 + number), 2, '0'), \
                 'T09'), toString(number)), '2026-03-01', 7, 7, [number], [number], 3, 0 \
                 FROM numbers(20)"
            ));
        }
        tables
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn reach(step: Step, before: &str) -> Reach {
        let due = Due { step, before: Day::parse(before).unwrap(), gone_before: Day(0) };
        Reach { tenant: TenantId(1), campaigns: vec![CampaignId(1)], due }
    }

    /// Rows by table that a step is due for.
    fn due(&self, step: Step, before: &str) -> Vec<(String, u64)> {
        let found = self.wait(found(&self.client, &Self::reach(step, before))).unwrap();
        found.into_iter().map(|found| (found.table + " " + &found.part, found.rows)).collect()
    }

    fn carry_out(&self, step: Step, before: &str) {
        self.wait(carry_out(&self.client, &Self::reach(step, before))).unwrap();
        assert!(self.due(step, before).is_empty(), "{step}");
    }

    fn number(&self, sql: &str) -> u64 {
        self.stack.query(sql).parse().unwrap()
    }

    /// What no step may touch: the ledger, and the other campaign.
    fn untouched(&self) -> [String; 2] {
        [
            "SELECT count(), sum(cityHash64(*)) FROM hits WHERE campaign != 1",
            "SELECT count(), sum(raw * cityHash64(value, last)) FROM counters WHERE campaign != 1",
        ]
        .map(|sql| self.stack.query(sql))
    }
}

fn named(all: &[(&str, u64)]) -> Vec<(String, u64)> {
    all.iter().map(|(name, rows)| ((*name).to_owned(), *rows)).collect()
}

#[test]
fn each_step_takes_what_it_was_found_due_for_and_nothing_else() {
    let tables = Tables::new();
    let untouched = tables.untouched();
    // Nine days of 24 hits; counters of a month that is not over stay.
    assert_eq!(tables.due(Step::Place, BEFORE), named(&[("hits ", 216)]));
    tables.carry_out(Step::Place, BEFORE);
    let kept = "SELECT count() FROM hits WHERE campaign = 1 AND country = 'DE'";
    assert_eq!(tables.number(kept), 480 - 216);

    let months = "2026-04-01";
    let client =
        [("hits ", 480), ("counters client", 20), ("counters device", 20), ("counters system", 20)];
    assert_eq!(tables.due(Step::Client, months), named(&client));
    tables.carry_out(Step::Client, months);

    assert_eq!(tables.due(Step::Hour, BEFORE), named(&[("hits ", 216), ("counters hour", 9)]));
    tables.carry_out(Step::Hour, BEFORE);
    let days = "SELECT countIf(at = toStartOfDay(at)), count() FROM hits WHERE campaign = 1";
    assert_eq!(tables.stack.query(days), "216\t480");

    assert_eq!(tables.due(Step::Rows, BEFORE), named(&[("hits ", 216)]));
    tables.carry_out(Step::Rows, BEFORE);
    tables.carry_out(Step::Counters, months);
    assert_eq!(tables.number("SELECT count() FROM counters WHERE campaign = 1"), 0);
    assert_eq!(tables.number("SELECT count() FROM hits WHERE campaign = 1"), 480 - 216);
    assert_eq!(tables.untouched(), untouched);
}

/// Wherever a death came: before copies, among them, before or after the originals went.
#[test]
fn a_row_is_there_once_wherever_the_making_of_days_was_cut_short() {
    let tables = Tables::new();
    let untouched = tables.untouched();
    let copy = |which: &str| {
        tables.stack.query(&format!(
            "INSERT INTO hits SELECT tenant, campaign, contact, toDateTime(toStartOfDay(at), 'UTC'), \
             kind, link, verdict, rules, device, client, system, country, month, lane, 2, position \
             FROM hits WHERE campaign = 1 AND last = 0 AND at < toDateTime('2026-03-10', 'UTC') \
             AND {which}"
        ));
    };
    let cases: [(&str, &dyn Fn()); 4] = [
        ("a part of the copies was made", &|| copy("contact % 4 = 0")),
        ("all copies were made", &|| copy("1")),
        ("the originals are gone as well", &|| {
            copy("1");
            let gone = "ALTER TABLE hits DELETE WHERE campaign = 1 AND last = 0 AND \
                        at < toDateTime('2026-03-10', 'UTC') SETTINGS mutations_sync = 1";
            tables.stack.query(gone);
        }),
        ("nothing was done", &|| ()),
    ];
    for (name, death) in cases {
        death();
        tables.carry_out(Step::Hour, BEFORE);
        let once = "SELECT count(), uniqExact(contact), countIf(last = 1), countIf(last = 2) FROM \
                    hits WHERE campaign = 1";
        assert_eq!(tables.stack.query(once), "480\t480\t216\t0", "{name}");
        // As it was, for the next case.
        tables
            .stack
            .query("ALTER TABLE hits DELETE WHERE campaign = 1 SETTINGS mutations_sync = 1");
        tables.stack.query(
            "INSERT INTO hits SELECT tenant, 1, contact - 1, at, kind, link, verdict, rules, device, \
             client, system, country, month, lane, 0, 0 FROM hits WHERE campaign = 2 \
             SETTINGS insert_deduplicate = 0",
        );
    }
    assert_eq!(tables.untouched(), untouched);
}

#[test]
fn what_is_overdue_is_told_by_step_and_what_is_held_is_not() {
    let tables = Tables::new();
    let today = Day::of_unix_ms(now_ms());
    let since = |text: &str| today.0 - Day::parse(text).unwrap().0;
    let policies = |rows_days: u16, held: bool| {
        tables.stack.query(&format!(
            "INSERT INTO policies VALUES (1, 1, {rows_days}, 0, 0, 0, {}, {held}, now64(3))",
            since("2026-04-01")
        ));
        let told = tables.wait(overdue(&tables.client, today)).unwrap();
        ["rows", "hour", "counters"].map(|step| told[step])
    };
    assert_eq!(policies(since(BEFORE), false), [216, 0, 120]);
    assert_eq!(policies(since(BEFORE), true), [0, 0, 0]);
    assert_eq!(policies(0, false), [0, 0, 120]);
}
