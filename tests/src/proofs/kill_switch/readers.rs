//! The edge and the writer of a region whose Redis has a password, and readers of its mail.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use hushmark_policy::{CampaignId, Generation, MailType, Mode, Place, TenantId};
use hushmark_token::{Claims, Route, Sealer};

use crate::cluster::{Cluster, Release};
use crate::http;
use crate::keys::Keys;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::stack::{Stack, wait_ready};
use crate::tools::Tools;

/// One reader follows a link so often.
const EVERY: Duration = Duration::from_millis(10);

/// How long the writer may take to store what is on its way.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// The edge and the writer.
pub struct Servers {
    edge: SocketAddr,
    edge_admin: SocketAddr,
    processes: [Process; 2],
}

impl Servers {
    /// Starts both with what the operator made: its Redis, and its key under the refusal log.
    ///
    /// # Errors
    /// What did not start, with the end of its log.
    pub fn start(
        tools: &Tools,
        cluster: &Cluster,
        release: &Release,
        stack: &Stack,
    ) -> Result<Self> {
        let folder = stack.folder();
        // Each keeps a copy of the refusal log in its own.
        let (lane_log, state) = (folder.join("edge"), folder.join("writer"));
        std::fs::create_dir_all(&lane_log)?;
        std::fs::create_dir_all(&state)?;
        let secret = |name: &str, key: &str| cluster.secret(&release.namespace, name, key);
        let url = String::from_utf8(secret("redis-outside", "url")?)?;
        let password = folder.join("redis.password");
        std::fs::write(&password, secret("redis-outside", "password")?)?;
        let refusal = folder.join("refusal.pub");
        std::fs::write(&refusal, secret(&format!("{}-refusal-pub", release.name), "refusal.pub")?)?;

        let (listen, edge_admin, writer_admin) = (ports::free()?, ports::free()?, ports::free()?);
        let text = |path: &std::path::Path| path.display().to_string();
        let shared = [
            ("--redis", url.trim().to_owned()),
            ("--redis-password-file", text(&password)),
            ("--ring", text(&stack.keys.batch_folder())),
            ("--refusal-key", text(&refusal)),
        ];
        let edge = [
            ("--listen", listen.to_string()),
            ("--admin", edge_admin.to_string()),
            ("--keys", text(&stack.keys.region_folder())),
            ("--lane-log", text(&lane_log)),
            ("--threads", "1".to_owned()),
        ];
        let writer = [
            ("--clickhouse", format!("http://{}", stack.clickhouse.address)),
            ("--salts", text(&stack.keys.salt_folder())),
            ("--admin", writer_admin.to_string()),
            ("--state", text(&state)),
            ("--epoch-seconds", "10".to_owned()),
            ("--window-seconds", "1".to_owned()),
        ];
        let start = |name: &str, own: &[(&str, String)], admin: SocketAddr| -> Result<Process> {
            let args = shared.iter().chain(own);
            let args = args.flat_map(|(flag, value)| [(*flag).to_owned(), value.clone()]).collect();
            let program = tools.program(&format!("hushmark-{name}"))?;
            let recipe = Recipe { name: name.to_owned(), program, args, env: BTreeMap::new() };
            let process = Process::new(recipe, &folder.join("logs"));
            process.start()?;
            wait_ready(name, &process, || {
                let ready = http::get(admin, "/readyz", Duration::from_secs(2));
                ready.is_ok_and(|answer| answer.status == 200)
            })?;
            Ok(process)
        };
        let writer = start("writer", &writer, writer_admin)?;
        let edge = start("edge", &edge, edge_admin)?;
        Ok(Self { edge: listen, edge_admin, processes: [writer, edge] })
    }

    /// Number of entries in the edge's refusal log.
    ///
    /// # Errors
    /// When the edge does not tell.
    pub fn refusals(&self) -> Result<u64> {
        const NAME: &str = "hushmark_edge_refusal_log_length ";
        let page = http::get(self.edge_admin, "/metrics", Duration::from_secs(5))?.text();
        let value = page.lines().find_map(|line| line.strip_prefix(NAME));
        value.and_then(|value| value.parse().ok()).context("the edge tells no length of its log")
    }

    /// The ends of both logs.
    #[must_use]
    pub fn last_words(&self) -> String {
        self.processes.each_ref().map(Process::last_words).join("\n")
    }
}

/// One answered request, each to a link of its own.
pub struct Hit {
    /// Which link.
    pub link: u16,
    /// Of which generation the mail was.
    pub generation: u32,
    /// When it was asked for.
    pub sent: Instant,
    /// What was answered.
    pub status: u16,
}

/// Somebody who follows links of one tenant's mail, at a steady rate.
pub struct Reader {
    /// The generation of the mail that is read now.
    pub generation: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Hit>>>,
}

impl Reader {
    /// Begins to read the mail of a tenant's first campaign.
    #[must_use]
    pub fn start(stack: &Stack, servers: &Servers, namespace: &'static str) -> Self {
        let (generation, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let campaign = campaign(namespace);
        let sealer = Sealer::new(stack.keys.kid, &stack.keys.region, campaign);
        let (edge, now, ends) = (servers.edge, generation.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut hits = Vec::new();
            for link in 1..u16::MAX {
                if ends.load(Ordering::Relaxed) {
                    break;
                }
                hits.push(read(edge, &sealer, namespace, link, now.load(Ordering::Relaxed))?);
                sleep(EVERY);
            }
            Ok(hits)
        });
        Self { generation, stop, thread }
    }

    /// Everything that was read.
    ///
    /// # Errors
    /// What a request failed with.
    pub fn stop(self) -> Result<Vec<Hit>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("a reader panicked"))?
    }
}

fn campaign(namespace: &str) -> CampaignId {
    CampaignId::derive("eu", namespace, "letter-1")
}

fn read(
    edge: SocketAddr,
    sealer: &Sealer,
    namespace: &str,
    link: u16,
    generation: u32,
) -> Result<Hit> {
    let claims = Claims {
        tenant: TenantId::derive("eu", namespace),
        campaign: campaign(namespace),
        generation: Generation(generation),
        mode: Mode::Overall,
        mail_type: MailType::Campaign,
        place: Place::None,
        honeypot: false,
        mark: None,
        link,
        last_day: Keys::last_day(),
        destination: Some("https://news.example.org/".to_owned()),
        apart: None,
    };
    let token = sealer.seal(Route::Click, &claims).context("a link cannot be sealed")?;
    let sent = Instant::now();
    let path = format!("/{}/{token}", Route::Click.segment());
    let answer = http::get(edge, &path, Duration::from_secs(10))?;
    Ok(Hit { link, generation, sent, status: answer.status })
}

/// How often each link of a tenant was counted, once at least so many links are.
///
/// # Errors
/// When ClickHouse cannot be asked.
pub fn counted(stack: &Stack, namespace: &str, wanted: usize) -> Result<HashMap<u16, u64>> {
    let (tenant, campaign) = (TenantId::derive("eu", namespace).0, campaign(namespace).0);
    let sql = format!(
        "SELECT value, sum(raw) FROM counters WHERE tenant = {tenant} AND campaign = {campaign} \
         AND dimension = 'link' GROUP BY value"
    );
    let until = Instant::now() + STORED_WITHIN;
    loop {
        let text = stack.clickhouse.query(&sql)?;
        let counts: HashMap<u16, u64> = text
            .lines()
            .filter_map(|line| {
                let (link, count) = line.split_once('\t')?;
                Some((link.parse().ok()?, count.parse().ok()?))
            })
            .collect();
        if counts.len() >= wanted || Instant::now() > until {
            return Ok(counts);
        }
        sleep(Duration::from_millis(200));
    }
}
