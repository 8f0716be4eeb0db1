//! What can be said of ways in and out: kinds of others, policies, logs in front of the edge. Pure.

use crate::apply::{Applied, Kind};
use crate::conditions::{APIS_AVAILABLE, EGRESS_LIMITED, Status, Wanted};
use crate::region::build::{quiet_logs, speaks_tls};
use crate::region::validate::{Host, Store, ValidatedRegion};

/// Whether what is in front of the edge keeps no log of addresses and tokens.
pub(super) const ACCESS_LOGS_OFF: &str = "AccessLogsOff";

/// Whether what is in front of the edge is told that the edge speaks TLS.
pub(super) const FRONT_SPEAKS_TLS: &str = "FrontSpeaksTls";

/// Whether every kind of others that is asked for can be made; nothing where none is.
pub(super) fn available(region: &ValidatedRegion) -> Option<Wanted> {
    if region.asked_apis().is_empty() {
        return None;
    }
    let missing = region.missing_apis();
    Some(if missing.is_empty() {
        Wanted::new(APIS_AVAILABLE, Status::True, "Available", "")
    } else {
        Wanted::new(APIS_AVAILABLE, Status::False, "ApiMissing", missing.join(". "))
    })
}

/// Ports that are open to every address, because a policy knows no names.
fn open_by_name(region: &ValidatedRegion) -> Vec<String> {
    [&region.redis, &region.clickhouse]
        .into_iter()
        .filter_map(|store| match store {
            Store::External(at) if matches!(at.host, Host::Name(_)) => {
                Some(format!("port {} for {}", at.port, at.host))
            }
            Store::External(_) | Store::Managed => None,
        })
        .collect()
}

/// What the policies leave open, as far as is known from what was rendered and applied.
pub(in crate::region) fn left_open(region: &ValidatedRegion, applied: &Applied) -> Vec<String> {
    let named = open_by_name(region)
        .into_iter()
        .map(|port| format!("{port} is open to every address (see EgressLimited)"));
    let unplaced = region.unplaced_stores.iter().map(|host| {
        format!(
            "{host} is in this cluster, and where its pods run is not known here: if it is in the \
             region, name it in spec.egress with its jurisdiction"
        )
    });
    let held = applied.conflicts.iter().map(|conflict| &conflict.object);
    let held = held.chain(applied.refused.iter().map(|(id, _)| id));
    let held = held.filter(|id| id.kind == Kind::NetworkPolicy);
    named.chain(unplaced).chain(held.map(|id| format!("{id} is not as wanted"))).collect()
}

pub(super) fn egress_limited(region: &ValidatedRegion) -> Wanted {
    let named = open_by_name(region);
    let unused = match &region.unused_egress[..] {
        [] => String::new(),
        hosts => format!(
            ". Nothing in the stack connects to {}, so nothing was opened for it",
            hosts.join(", ")
        ),
    };
    if named.is_empty() {
        let message = format!(
            "as far as the cluster's network enforces NetworkPolicies, no pod of the stack reaches \
             anything outside but what spec.egress names by its address{unused}"
        );
        return Wanted::new(EGRESS_LIMITED, Status::True, "PoliciesApplied", message);
    }
    let message = format!(
        "a NetworkPolicy knows addresses and no names, so these are open to every address: {}. \
         Name addresses in the Secret's url and in spec.egress, or restrict the ports further with \
         a policy of your network that knows names{unused}",
        named.join(", ")
    );
    Wanted::new(EGRESS_LIMITED, Status::False, "HostNames", message)
}

pub(super) fn access_logs(region: &ValidatedRegion) -> Option<Wanted> {
    if region.gateway.is_some() {
        return Some(Wanted::new(
            ACCESS_LOGS_OFF,
            Status::Unknown,
            "NotKnownHow",
            "the Gateway API has no way to say that no access log is kept: switch it off where \
             your Gateway's implementation is configured, because its lines hold addresses and \
             tokens",
        ));
    }
    let ingress = region.ingress.as_ref()?;
    Some(match quiet_logs(ingress) {
        Some((name, value)) if ingress.annotations.get(name).is_none_or(|said| said == value) => {
            let message = format!("the Ingress carries {name}: \"{value}\"");
            Wanted::new(ACCESS_LOGS_OFF, Status::True, "Annotated", message)
        }
        Some((name, _)) => {
            let message = format!(
                "spec.ingress.annotations sets {name}: the log will hold addresses and tokens; \
                 take it away"
            );
            Wanted::new(ACCESS_LOGS_OFF, Status::False, "AskedFor", message)
        }
        None => Wanted::new(
            ACCESS_LOGS_OFF,
            Status::Unknown,
            "NotKnownHow",
            "how this ingress controller is told to keep no access log is not known here: switch it \
             off there, because its lines hold addresses and tokens",
        ),
    })
}

/// Nothing where the edge speaks plainly, or where nothing is in front of it.
pub(super) fn front_speaks_tls(region: &ValidatedRegion) -> Option<Wanted> {
    region.edge_tls.as_ref()?;
    if region.gateway.is_some() {
        return Some(Wanted::new(
            FRONT_SPEAKS_TLS,
            Status::Unknown,
            "NeedsAPolicy",
            format!(
                "the edge speaks TLS, and a Gateway asks it plainly until a BackendTLSPolicy says \
                 otherwise: make one for the Service {} with the authority of spec.edge.tls",
                region.named("edge")
            ),
        ));
    }
    let ingress = region.ingress.as_ref()?;
    Some(match speaks_tls(ingress) {
        Some((name, value)) if ingress.annotations.get(name).is_none_or(|said| said == value) => {
            let message = format!("the Ingress carries {name}: \"{value}\"");
            Wanted::new(FRONT_SPEAKS_TLS, Status::True, "Annotated", message)
        }
        Some((name, value)) => {
            let message = format!(
                "spec.ingress.annotations sets {name}, and the edge speaks TLS: take it away, or \
                 set it to {value}"
            );
            Wanted::new(FRONT_SPEAKS_TLS, Status::False, "AskedFor", message)
        }
        None => Wanted::new(
            FRONT_SPEAKS_TLS,
            Status::Unknown,
            "NotKnownHow",
            "how this ingress controller is told to speak TLS to the edge is not known here: say so in \
             spec.ingress.annotations, as its documentation has it",
        ),
    })
}
