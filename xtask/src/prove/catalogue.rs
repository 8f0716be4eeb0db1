//! The proofs there are, and which program runs each.

use anyhow::{Context, Result};

use crate::check;
use crate::setup::Need;

pub(crate) struct Proof {
    pub(crate) name: &'static str,
    pub(crate) claim: &'static str,
    /// The binary that runs it, in whichever room has it.
    pub(crate) program: &'static str,
    /// The binaries that it puts to the test or measures beside them.
    pub(crate) starts: &'static [&'static str],
    /// What has to be there: a control plane, or other people's servers.
    pub(crate) needs: Need,
    /// Whether a writer with failpoints takes part.
    pub(crate) failpoints: bool,
}

pub(crate) const PROOFS: &[Proof] = &[
    Proof {
        failpoints: true,
        ..proof(
            "exactly-once",
            "a million hits while everything is killed at random: each is stored once, none twice",
        )
    },
    proof("outages", "Redis, disk, writer or engine gone: all answered, replayed, drops counted"),
    Proof {
        program: "hushmark-bench-edge",
        starts: &["hushmark-edge", "bare-hyper"],
        needs: Need::Peers,
        ..proof("edge", "CPU a hit at most 1.45 times a bare hyper server's, beside nginx")
    },
    Proof {
        program: "hushmark-bench-before",
        starts: &["hushmark-edge", "hushmark-writer", "hushmark-embedded", "bare-hyper"],
        ..proof("edge-before", "CPU a hit at most 1.03 times that of before/hushmark-edge")
    },
    Proof {
        program: "hushmark-bench-fresh",
        needs: Need::Peers,
        ..proof("edge-fresh", "CPU a TLS connection and hit at most 1.1 times nginx's")
    },
    Proof {
        starts: &["hushmark-edge", "hushmark-writer", "hushmark-embedded", "bare-hyper"],
        ..proof(
            "pipeline",
            "CPU and memory a hit in Redis, writer and engine, from stream to counters",
        )
    },
    proof("soak", "30 minutes at 60 % of capacity: lag, parts and memory stay flat, nothing lost"),
    proof("report", "a campaign's full report in under 100 ms over 100 million hits"),
    proof(
        "retention",
        "what a plan announced is what enforcing it removed, to the row, under load",
    ),
    proof(
        "differencing",
        "who polls and subtracts what is shown singles nobody out; without the guard, hundreds",
    ),
    proof(
        "unlinking",
        "who holds all mail, keys and bytes but the dead salt guesses who opened as chance does",
    ),
    proof("tokens", "a million valid tokens accepted, ten million others refused, no nonce twice"),
    proof(
        "planted-secrets",
        "no address, IP address or user agent of 300 people in anything that is kept or said",
    ),
    proof("refusals", "an answer does not tell why: equal in bytes, headers and time"),
    proof(
        "withdrawal",
        "a second after a person's withdrawal no edge counts them, with Redis killed between too",
    ),
    proof(
        "erasure",
        "one person of 100 million hits is gone from every part within 5 minutes, with a receipt",
    ),
    proof(
        "restore",
        "a backup from before an erasure serves nothing before the person is erased again",
    ),
    proof(
        "hops",
        "hits cross by mutual TLS, strangers do not; a renewed certificate needs no restart",
    ),
    Proof {
        needs: Need::Tests,
        starts: &[],
        ..proof("admission", "an API server refuses what one machine does, with the same words")
    },
    Proof {
        needs: Need::Tests,
        starts: &["hushmark-operator", "hushmark-edge", "hushmark-writer", "hushmark-embedded"],
        ..proof(
            "kill-switch",
            "a second after kubectl turned a tenant off nothing of it is counted, all else is",
        )
    },
    Proof {
        needs: Need::Tests,
        starts: &["hushmark-operator"],
        ..proof(
            "ten-thousand",
            "10,000 campaigns of 200 tenants Ready within a minute, at most 2 writes each",
        )
    },
    Proof {
        needs: Need::Node,
        starts: &[],
        ..proof(
            "cold-start",
            "on a real node: Region applied to Ready under 60 s, the operator ready under 2 s",
        )
    },
    Proof {
        needs: Need::Node,
        starts: &[],
        ..proof(
            "rollout",
            "on a real node: upgrade, scaling, drain and key rotation under load fail no request",
        )
    },
    Proof {
        needs: Need::Tests,
        starts: &["hushmark-operator", "hushmark-edge", "hushmark-writer", "hushmark-embedded"],
        ..proof(
            "dashboards",
            "no query is refused or shows nothing; each alert fires when its fault is caused",
        )
    },
    Proof {
        needs: Need::Tests,
        starts: &["hushmark-operator"],
        ..proof(
            "hostility",
            "500 deletions and edits, servers and leaders killed: repaired, and nothing fights",
        )
    },
    Proof {
        needs: Need::Tests,
        starts: &["hushmark-operator"],
        ..proof(
            "permissions",
            "each verb taken away is named within 10 s; none is unused, none wider than needed",
        )
    },
    Proof {
        needs: Need::Tests,
        starts: &["hushmark-operator"],
        ..proof("charts", "lint, schemas of four releases, install, upgrade, rollback; data kept")
    },
    Proof {
        needs: Need::Tests,
        starts: &["hushmark-operator"],
        ..proof(
            "stillness",
            "at rest and after a restart the operator writes nothing but its Lease",
        )
    },
    proof("footprint", "size of the edge's binary, its memory, and how fast the stack starts"),
    Proof {
        program: "hushmark-bench-peers",
        starts: &["bare-hyper"],
        needs: Need::Peers,
        ..proof("peers", "what other servers cost a request, as multiples of a bare hyper server's")
    },
];

const fn proof(name: &'static str, claim: &'static str) -> Proof {
    let program = "hushmark-prove";
    Proof { name, claim, program, starts: check::SERVERS, needs: Need::Stack, failpoints: false }
}

pub(crate) fn find(name: &str) -> Result<&'static Proof> {
    PROOFS.iter().find(|proof| proof.name == name).with_context(|| {
        let names: Vec<&str> = PROOFS.iter().map(|proof| proof.name).collect();
        format!("no proof is called {name:?}; there are: {}", names.join(", "))
    })
}
