//! The user's whole way on a real node, in pods of our own images: two regions installed, mail
//! read while the release is upgraded, its key replaced and its stores' passwords lost, then
//! counted, published, switched off and taken down, and all of it uninstalled with its data kept.
//!
//! It takes root: `cargo xtask test` runs it, `--no-node` leaves it out.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hushmark_tests::cluster::{Campaign, Cluster, Forward, Hit, Installed, Reader, Release, Shape};
use hushmark_tests::figure::progress;
use hushmark_tests::http;
use hushmark_tests::tools::Tools;
use serde_json::Value;

/// The manifests that docs/install.md walks through.
const QUICKSTART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/kubernetes");

/// How often a reader follows a link.
const EVERY: Duration = Duration::from_millis(10);

/// How long the writer may take to store what is on its way: it judges each hit ten seconds after
/// it came.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// How long pods may take to go.
const GONE_WITHIN: Duration = Duration::from_secs(180);

#[test]
#[ignore = "takes root and a real node: `cargo xtask test` runs it"]
fn the_users_whole_way_in_pods_of_our_own_images() -> Result<()> {
    let mut clock = Clock(Instant::now());
    let cluster = Cluster::start_as(&Tools::from_env()?, &Shape::real())?;
    clock.tell("a real node is Ready");
    Release::install_crds(&cluster)?;
    let eu = Installed::install(&cluster, "eu", &[])?;
    let ca = Installed::install(&cluster, "ca", &[])?;
    clock.tell("two releases are installed");
    for file in ["eu", "ca", "acme"] {
        cluster.apply(&fs::read_to_string(format!("{QUICKSTART}/{file}.yaml"))?)?;
    }
    for release in [&eu, &ca] {
        release.wait_ready(&cluster)?;
    }
    for tenant in ["acme", "acme-canada"] {
        let ready = ["wait", "tenant,campaign", "--all", "-n", tenant, "--for=condition=Ready"];
        cluster.kubectl(&[&ready[..], &["--timeout=60s"]].concat())?;
    }
    clock.tell("both Regions, their Tenants and Campaigns are Ready");
    pods_run_our_images_and_nothing_restarted(&cluster, &[&eu, &ca])?;
    a_stranger_reaches_the_edge_alone(&cluster, &eu)?;

    let (acme, canada) =
        (Campaign::new("eu", "acme", "spring"), Campaign::new("ca", "acme-canada", "spring"));
    let readers = [(&eu, &acme), (&ca, &canada)].map(|(release, campaign)| {
        let (key, edge) = (release.region_key(&cluster)?, release.edge(&cluster)?);
        Ok::<_, anyhow::Error>(Reader::start(campaign, &key, edge, EVERY))
    });
    let [in_europe, in_canada] = readers;
    let (in_europe, in_canada) = (in_europe?, in_canada?);
    sleep(Duration::from_secs(2));

    // Another release of the same images: every pod of the region is replaced.
    cluster.tag_images("next")?;
    let images = ["operator", "edge", "writer", "redis", "clickhouse"];
    let next: Vec<String> = images.iter().map(|name| format!("image.{name}.tag=next")).collect();
    eu.upgrade(&cluster, &next.iter().map(String::as_str).collect::<Vec<_>>())?;
    every_pod_is_of(&cluster, &eu, "next")?;
    eu.wait_ready(&cluster)?;
    clock.tell("one region is upgraded");
    let later = a_new_key_seals_and_lost_passwords_are_replaced(&cluster, &eu)?;
    clock.tell("it has another key, and its stores have other passwords");
    let read_later = Reader::start(&later, &eu.region_key(&cluster)?, eu.edge(&cluster)?, EVERY);
    sleep(Duration::from_secs(2));
    let (in_europe, in_canada) = (in_europe.stop()?, in_canada.stop()?);
    let read_later = read_later.stop()?;

    for (release, campaign, hits) in
        [(&eu, &acme, &in_europe), (&eu, &later, &read_later), (&ca, &canada, &in_canada)]
    {
        let failed: Vec<_> =
            hits.iter().filter(|hit| !hit.was_led_on()).map(|hit| &hit.answer).collect();
        ensure!(
            failed.is_empty(),
            "{} of {} requests failed: {failed:?}",
            failed.len(),
            hits.len()
        );
        let clickhouse = release.clickhouse(&cluster)?;
        each_counted_once(&cluster, release, &clickhouse, campaign, hits)?;
        let name = &release.name;
        clock.tell(&format!("{name}: {} hits led on, each counted once", hits.len()));
    }
    its_status_withholds_what_one_reader_did(&cluster, &acme)?;
    clock.tell("an epoch reached the Campaign's status");
    a_killed_tenant_is_counted_no_more(&cluster, &eu, &ca, &acme, &canada)?;
    clock.tell("a tenant was switched off, and its links went on working");
    what_is_taken_down_leads_nowhere(&cluster, &eu, &acme)?;
    clock.tell("a campaign was taken down");
    uninstalled_and_installed_again_it_knows_what_it_counted(&cluster, &eu, &acme)?;
    clock.tell("uninstalled, installed again, and nothing forgotten");
    Ok(())
}

/// Says how long each part of the way took.
struct Clock(Instant);

impl Clock {
    fn tell(&mut self, what: &str) {
        progress(&format!("{:>6.1} s  {what}", self.0.elapsed().as_secs_f64()));
        self.0 = Instant::now();
    }
}

fn pods(cluster: &Cluster, release: &Installed) -> Result<Vec<Value>> {
    let list = cluster.get(&["pods", "-n", &release.namespace])?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

fn pods_run_our_images_and_nothing_restarted(
    cluster: &Cluster,
    releases: &[&Installed],
) -> Result<()> {
    for release in releases {
        let mut images = BTreeSet::new();
        for pod in pods(cluster, release)? {
            let container = &pod["status"]["containerStatuses"][0];
            ensure!(container["restartCount"] == 0, "{}", cluster.pods_report(&release.namespace));
            images.insert(container["image"].as_str().unwrap_or_default().to_owned());
        }
        let names = ["clickhouse", "edge", "operator", "redis", "writer"];
        let version = env!("CARGO_PKG_VERSION");
        let ours = names.map(|name| format!("docker.io/library/hushmark-{name}:{version}"));
        ensure!(images.iter().eq(&ours), "{images:?} run, and not our five images");
    }
    Ok(())
}

/// This machine is in no policy: what it reaches, anybody does.
fn a_stranger_reaches_the_edge_alone(cluster: &Cluster, release: &Installed) -> Result<()> {
    let patience = Duration::from_secs(1);
    let edge = http::get(release.edge(cluster)?, "/", patience)?;
    ensure!(edge.status == 404, "the edge answered {}", edge.status);
    let namespace = &release.namespace;
    for (part, port) in
        [("clickhouse-0", 8123), ("clickhouse-0", 8443), ("redis-0", 6379), ("edge-0", 9080)]
    {
        let address = cluster.pod_address(namespace, &release.named(part))?;
        let reached = http::get(SocketAddr::new(address, port), "/ping", patience);
        ensure!(reached.is_err(), "anybody reaches {part} at port {port}");
    }
    Ok(())
}

/// Waits until every pod runs images of a tag.
fn every_pod_is_of(cluster: &Cluster, release: &Installed, tag: &str) -> Result<()> {
    let ending = format!(":{tag}");
    let upgraded = cluster.wait("every pod is upgraded", || {
        Ok(pods(cluster, release)?.iter().all(|pod| {
            let status = &pod["status"]["containerStatuses"][0];
            let image = pod["spec"]["containers"][0]["image"].as_str();
            image.is_some_and(|image| image.ends_with(&ending)) && status["ready"] == true
        }))
    });
    upgraded.with_context(|| cluster.pods_report(&release.namespace))
}

/// Both under load: every pod has to fetch what changed, and the stores begin again with it.
/// Returns a campaign to read under the new key.
fn a_new_key_seals_and_lost_passwords_are_replaced(
    cluster: &Cluster,
    release: &Installed,
) -> Result<Campaign> {
    let before = release.region_key(cluster)?.0;
    for store in ["redis-auth", "clickhouse-auth"] {
        let secret = release.named(store);
        cluster.kubectl(&["delete", "secret", &secret, "-n", &release.namespace])?;
    }
    let rotated = cluster.hushmark(&["keys", "rotate", &release.name, "--timeout", "240"]);
    rotated.with_context(|| cluster.pods_report(&release.namespace))?;
    ensure!(release.region_key(cluster)?.0 > before, "the newest key is still {}", before.0);
    release.wait_ready(cluster)?;
    Ok(Campaign::new(&release.name, "acme", "under-a-new-key"))
}

/// What an epoch published reaches the Campaign: that there is something, and no figure, because
/// all of it was one reader's.
fn its_status_withholds_what_one_reader_did(cluster: &Cluster, campaign: &Campaign) -> Result<()> {
    let until = Instant::now() + STORED_WITHIN;
    loop {
        let object = cluster.get(&["campaign", &campaign.name, "-n", &campaign.namespace])?;
        let clicks = object["status"]["counts"]["clicks"].clone();
        if clicks["shown"] == "withheld" {
            ensure!(clicks["raw"].is_null() && clicks["human"].is_null(), "{clicks}");
            return Ok(());
        }
        ensure!(Instant::now() < until, "nothing was published: {clicks}");
        sleep(Duration::from_millis(300));
    }
}

/// By a port-forward to the operator, into the signed log, to every edge.
fn what_is_taken_down_leads_nowhere(
    cluster: &Cluster,
    release: &Installed,
    campaign: &Campaign,
) -> Result<()> {
    let whole = format!("{}/{}", campaign.namespace, campaign.name);
    cluster.hushmark(&["takedown", "--campaign", &whole, "--yes"])?;
    sleep(Duration::from_secs(1));
    let (key, edge) = (release.region_key(cluster)?, release.edge(cluster)?);
    let reader = Reader::start(campaign, &key, edge, EVERY);
    sleep(Duration::from_secs(1));
    let hits = reader.stop()?;
    let led_on = hits.iter().filter(|hit| hit.was_led_on()).count();
    ensure!(led_on == 0, "{led_on} of {} links lead on after a takedown", hits.len());
    ensure!(hits.iter().all(|hit| hit.answer.is_ok()), "an edge fell silent");
    Ok(())
}

fn each_counted_once(
    cluster: &Cluster,
    release: &Installed,
    clickhouse: &Forward,
    campaign: &Campaign,
    hits: &[Hit],
) -> Result<()> {
    let until = Instant::now() + STORED_WITHIN;
    loop {
        let counted = campaign.counted(clickhouse)?;
        let twice = counted.iter().find(|(_, count)| **count != 1);
        ensure!(twice.is_none(), "link {twice:?} was counted more than once");
        let missing = hits.iter().filter(|hit| !counted.contains_key(&hit.link)).count();
        if missing == 0 {
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "{missing} of {} hits are not counted:\n{}",
            hits.len(),
            cluster.pods_report(&release.namespace)
        );
        sleep(Duration::from_millis(300));
    }
}

/// `kubectl patch`, and a second later nothing of that tenant counts, while its links lead on and
/// the other region's mail is counted.
fn a_killed_tenant_is_counted_no_more(
    cluster: &Cluster,
    eu: &Installed,
    ca: &Installed,
    acme: &Campaign,
    canada: &Campaign,
) -> Result<()> {
    let clickhouse = [eu.clickhouse(cluster)?, ca.clickhouse(cluster)?];
    let before = [acme.counted(&clickhouse[0])?, canada.counted(&clickhouse[1])?];
    let kill = r#"{"spec":{"killSwitch":true}}"#;
    cluster.kubectl(&["patch", "tenant", "acme", "-n", "acme", "--type=merge", "-p", kill])?;
    sleep(Duration::from_secs(1));
    // Another campaign of each tenant: a link that was read before is not told from these.
    let (late, control) =
        (Campaign::new("eu", "acme", "late"), Campaign::new("ca", "acme-canada", "late"));
    let killed = Reader::start(&late, &eu.region_key(cluster)?, eu.edge(cluster)?, EVERY);
    let untouched = Reader::start(&control, &ca.region_key(cluster)?, ca.edge(cluster)?, EVERY);
    sleep(Duration::from_secs(2));
    let (killed, untouched) = (killed.stop()?, untouched.stop()?);
    ensure!(killed.iter().chain(&untouched).all(Hit::was_led_on), "a link did not lead on");
    each_counted_once(cluster, ca, &clickhouse[1], &control, &untouched)?;
    let counted = late.counted(&clickhouse[0])?.len();
    ensure!(counted == 0, "{counted} of {} hits of a killed tenant were counted", killed.len());
    let after = [acme.counted(&clickhouse[0])?, canada.counted(&clickhouse[1])?];
    ensure!(before == after, "what was counted before changed");
    Ok(())
}

fn uninstalled_and_installed_again_it_knows_what_it_counted(
    cluster: &Cluster,
    release: &Installed,
    campaign: &Campaign,
) -> Result<()> {
    let namespace = &release.namespace;
    let kept = |what: &str| -> Result<BTreeSet<String>> {
        let names = cluster.kubectl(&["get", what, "-n", namespace, "-o", "name"])?;
        // Helm's own memory of the release goes with it.
        let ours = names.lines().filter(|name| !name.contains("helm"));
        Ok(ours.map(str::to_owned).collect())
    };
    let before = campaign.counted(&release.clickhouse(cluster)?)?;
    let (secrets, claims) = (kept("secrets")?, kept("persistentvolumeclaims")?);
    ensure!(claims.len() >= 4, "claims of two edges, Redis and ClickHouse: {claims:?}");

    let gone = ["delete", "region", &release.name, "--cascade=foreground", "--timeout=100s"];
    cluster.kubectl(&gone)?;
    release.uninstall(cluster)?;
    let until = Instant::now() + GONE_WITHIN;
    while !pods(cluster, release)?.is_empty() {
        ensure!(Instant::now() < until, "pods stay:\n{}", cluster.pods_report(namespace));
        sleep(Duration::from_millis(300));
    }
    ensure!(secrets == kept("secrets")?, "Secrets went: {secrets:?}");
    ensure!(claims == kept("persistentvolumeclaims")?, "claims went: {claims:?}");
    cluster.kubectl(&["get", "crd", "regions.hushmark.io"])?;
    cluster.kubectl(&["get", "tenant", "acme", "-n", "acme"])?;

    let again = Installed::install(cluster, &release.name, &[])?;
    cluster.apply(&fs::read_to_string(format!("{QUICKSTART}/{}.yaml", release.name))?)?;
    again.wait_ready(cluster)?;
    let after = campaign.counted(&again.clickhouse(cluster)?)?;
    ensure!(before == after, "{} links were counted, and now {}", before.len(), after.len());
    Ok(())
}
