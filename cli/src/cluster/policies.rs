//! `plan POLICY` and `enforce`: what a policy of the cluster would remove, as the writer counted it,
//! and the demand that it does.
//!
//! The operator hands both on: what the writer tells of its plan, and the entry of the audit log
//! that the writer obeys. Neither asks ClickHouse for anything by itself.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hushmark_crds::{AnonymizationPolicy, Region, RetentionPolicy};
use hushmark_event::ask::enforce::{
    ENFORCE_PATH, EnforceAnswer, EnforceAsk, PLANS_PATH, PlanAnswer, PlanQuestion,
};
use hushmark_event::chain::Hash32;
use hushmark_event::plans::{Past, PolicyKind, Told};
use hushmark_policy::Day;
use kube::ResourceExt as _;

use super::args::{self, Sure};
use super::ask::tenant_meant;
use super::connect::Connected;
use super::operator::{To, who_asks};
use super::world::get;
use crate::report::print;
use crate::retention::say::{self, Json, JsonDone, Way};
use crate::retention::stores::Beyond;

/// How often it is asked whether it is done.
const EVERY: Duration = Duration::from_secs(2);

/// A policy, its Region, and whom to ask about it.
struct Meant {
    at: Connected,
    region: Region,
    to: To,
    of: PlanQuestion,
}

impl Meant {
    async fn find(
        connection: &args::Connection,
        typed: &str,
        operator: Option<std::net::SocketAddr>,
    ) -> Result<Self> {
        let at = connection.connect().await?;
        let (kind, name) = named(typed);
        let (kind, namespace) = (meant(&at, kind, name).await?, at.namespace.clone());
        let (region, _) = tenant_meant(&at, &namespace, &Sure::default()).await?;
        let to = To::find(&at, &region, operator).await?;
        let policy = format!("{namespace}/{name}");
        let of = PlanQuestion { region: region.name_any(), kind, policy };
        Ok(Self { at, region, to, of })
    }

    async fn ask(&self) -> Result<PlanAnswer> {
        self.to.post(&self.at, PLANS_PATH, &self.of).await
    }
}

/// Kind and name of what was typed as KIND/NAME or NAME.
fn named(typed: &str) -> (Option<PolicyKind>, &str) {
    let Some((kind, name)) = typed.split_once('/') else { return (None, typed) };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "retentionpolicy" | "retentionpolicies" | "retpol" => PolicyKind::Retention,
        "anonymizationpolicy" | "anonymizationpolicies" | "anonpol" => PolicyKind::Anonymization,
        _ => return (None, typed),
    };
    (Some(kind), name)
}

/// The kind of the policy that the namespace has by that name.
async fn meant(at: &Connected, kind: Option<PolicyKind>, name: &str) -> Result<PolicyKind> {
    let namespace = &at.namespace;
    if name.contains('/') {
        bail!(
            "say which policy as NAME, retentionpolicy/NAME or anonymizationpolicy/NAME, and its \
             namespace with -n"
        );
    }
    let of = |wanted| kind.is_none_or(|kind| kind == wanted);
    let mut found = Vec::new();
    if of(PolicyKind::Retention)
        && get::<RetentionPolicy>(&at.client, namespace, name).await?.is_some()
    {
        found.push(PolicyKind::Retention);
    }
    if of(PolicyKind::Anonymization)
        && get::<AnonymizationPolicy>(&at.client, namespace, name).await?.is_some()
    {
        found.push(PolicyKind::Anonymization);
    }
    match found[..] {
        [one] => Ok(one),
        [] => bail!("there is no policy {name} in namespace {namespace}"),
        _ => bail!(
            "namespace {namespace} has two policies named {name}: say retentionpolicy/{name} or \
             anonymizationpolicy/{name}"
        ),
    }
}

/// Shows the newest plan.
pub(crate) async fn plan(options: &args::PlanPolicy) -> Result<ExitCode> {
    let meant = Meant::find(&options.connection, &options.policy, options.operator).await?;
    let PlanAnswer { enforces, told } = meant.ask().await?;
    let PlanQuestion { kind, policy, .. } = &meant.of;
    let Told { plan, made_ms, begun, .. } = told.with_context(|| {
        format!(
            "the writer has made no plan yet of what {} {policy} says now: ask again in a minute; \
             `kubectl hushmark status` says whether a writer works",
            kind.name()
        )
    })?;
    let beyond = beyond();
    let said = if options.json {
        let whole = Json { hash: plan.hash(), made_ms, plan: &plan, beyond: &beyond };
        serde_json::to_string_pretty(&whole).context("cannot write JSON")? + "\n"
    } else {
        let way = Way { tool: "kubectl hushmark", policy: plan.typed(), enforces };
        let mut text = say::plan(&plan, &beyond, Day::of_unix_ms(made_ms), &way);
        if let Some(begun) = begun {
            text += &format!("it is being carried out: entry {} of the audit log\n", begun.entry);
        }
        text
    };
    print(&said)?;
    Ok(if plan.is_empty() { ExitCode::SUCCESS } else { super::CHANGES.into() })
}

/// Demands that a plan is carried out, and waits until the writer did.
pub(crate) async fn enforce(options: &args::Enforce) -> Result<ExitCode> {
    let plan = Hash32::parse(&options.plan).context("the plan's hash is none")?;
    let mut meant = Meant::find(&options.connection, &options.policy, options.operator).await?;
    let by = who_asks(&meant.at.client).await;
    let said = by.as_str().to_owned();
    let ask = EnforceAsk { of: meant.of.clone(), by, plan };
    let EnforceAnswer { entry } = meant.to.post(&meant.at, ENFORCE_PATH, &ask).await?;
    eprintln!(
        "demanded by entry {entry} of the audit log, which says that {said} asked for it; waiting \
         for the writer to carry it out"
    );
    let Past { done, stopped, .. } = wait(&mut meant, options, (entry, plan)).await?;
    if let Some(stopped) = stopped {
        bail!("{}", stopped.said);
    }
    let PlanQuestion { kind, policy, .. } = &meant.of;
    let text = if options.json {
        let whole = JsonDone { plan, policy, steps: &done };
        serde_json::to_string_pretty(&whole).context("cannot write JSON")? + "\n"
    } else {
        say::done((*kind, policy), &done)
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What became of a plan, once it ended.
async fn wait(
    meant: &mut Meant,
    options: &args::Enforce,
    (entry, plan): (u64, Hash32),
) -> Result<Past> {
    let until = Instant::now() + Duration::from_secs(options.timeout);
    let mut said = String::new();
    loop {
        let trouble = match meant.ask().await {
            Ok(PlanAnswer { told: Some(told), .. }) => {
                if let Some(last) = told.last.filter(|last| last.entry == entry) {
                    return Ok(last);
                }
                if told.begun.is_none() && told.plan.hash() != plan {
                    bail!(
                        "a newer plan was made before the writer read entry {entry}, so nothing was \
                         changed: look at `{}`, and give its hash",
                        told.plan.again()
                    );
                }
                String::new()
            }
            Ok(PlanAnswer { told: None, .. }) => String::new(),
            // Another pod may work by now.
            Err(error) => {
                if let Ok(found) = To::find(&meant.at, &meant.region, options.operator).await {
                    meant.to = found;
                }
                format!("asking again: {error:#}")
            }
        };
        if Instant::now() > until {
            bail!(
                "it is demanded and goes on by itself, but has not ended within {} s: the log of \
                 the writer that works says what it waits for; run the same command again to wait \
                 longer. {trouble}",
                options.timeout
            );
        }
        if !trouble.is_empty() && trouble != said {
            eprintln!("{trouble}");
        }
        said = trouble;
        tokio::time::sleep(EVERY).await;
    }
}

/// What no policy reaches. What is in it now is known to nobody who could tell it here.
fn beyond() -> Vec<Beyond> {
    let sealed = "sealed under their day's key; a day closes 7 days after it ended at the latest, \
                  and then nobody can read them";
    [
        ("redis and lane logs", sealed),
        ("day keys", "each is destroyed when its day closes"),
        (
            "resources",
            "Campaigns and policies, etcd's history and backups of it: no hit is in them",
        ),
        ("logs", "what was refused and who asked for what stays; no hit is in it"),
    ]
    .map(|(store, because)| Beyond { store, holds: String::new(), because: because.into() })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_named_with_its_kind_or_without() {
        for (typed, meant) in [
            ("short", (None, "short")),
            ("retentionpolicy/short", (Some(PolicyKind::Retention), "short")),
            ("RetPol/short", (Some(PolicyKind::Retention), "short")),
            ("anonpol/fade", (Some(PolicyKind::Anonymization), "fade")),
            ("acme/short", (None, "acme/short")),
        ] {
            assert_eq!(named(typed), meant);
        }
    }
}
