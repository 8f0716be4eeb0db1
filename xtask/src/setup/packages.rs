//! Programs from Debian's packages: installed by root, named to everyone else.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Need;
use crate::tree::{self, program};

/// A program or a file that has to be there, and the package that brings it.
struct Wanted {
    package: &'static str,
    found: fn() -> bool,
}

const FOR_ALL: &[Wanted] = &[
    Wanted { package: "redis-server", found: || program("redis-server").is_some() },
    Wanted { package: "curl", found: || program("curl").is_some() },
    // Children are started through its setpriv, and pinned to a core by its taskset.
    Wanted { package: "util-linux", found: || program("setpriv").is_some() },
    Wanted { package: "wrk", found: || program("wrk").is_some() },
];

const FOR_TESTS: &[Wanted] = &[
    // The certificates of a control plane of our own.
    Wanted { package: "openssl", found: || program("openssl").is_some() },
    // Its promtool checks alerts and queries of dashboards.
    Wanted { package: "prometheus", found: || program("promtool").is_some() },
    // The second verifier of receipts is written in it.
    Wanted { package: "python3", found: || program("python3").is_some() },
    // The short form of `edge-fresh` measures beside it.
    Wanted { package: "nginx", found: || program("nginx").is_some() },
];

/// For a real node, beside what the tests want.
const FOR_A_NODE: &[Wanted] = &[
    Wanted { package: "containerd", found: || program("containerd").is_some() },
    Wanted { package: "runc", found: || program("runc").is_some() },
    Wanted { package: "containernetworking-plugins", found: || Path::new(CNI_PTP).is_file() },
    // kube-proxy and the enforcer of NetworkPolicies write its rules.
    Wanted { package: "nftables", found: || program("nft").is_some() },
    Wanted { package: "iproute2", found: || program("ip").is_some() },
];

const CNI_PTP: &str = "/usr/lib/cni/ptp";

const FOR_PEERS: &[Wanted] = &[
    Wanted { package: "nginx", found: || program("nginx").is_some() },
    Wanted { package: "libnginx-mod-http-lua", found: || Path::new(NGINX_LUA).is_file() },
];

const NGINX_LUA: &str = "/usr/lib/nginx/modules/ngx_http_lua_module.so";

pub(crate) fn ensure(need: Need) -> Result<()> {
    let more: &[&[Wanted]] = match need {
        Need::Stack => &[],
        Need::Tests => &[FOR_TESTS],
        Need::Node => &[FOR_TESTS, FOR_A_NODE],
        Need::Peers => &[FOR_PEERS],
    };
    let wanted = FOR_ALL.iter().chain(more.iter().copied().flatten());
    let missing: Vec<&str> = wanted.filter(|w| !(w.found)()).map(|w| w.package).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Installs packages without starting the services that some of them bring: the tests start
/// servers of their own, and a machine must not get one that listens because it built this tree.
pub(crate) fn install(missing: &[&str]) -> Result<()> {
    let by_hand = format!("install it with: apt-get install {}", missing.join(" "));
    if program("apt-get").is_none() {
        bail!(
            "missing: {}; there is no apt-get here: install what brings them",
            missing.join(", ")
        );
    }
    if tree::output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!("missing: {}; only root can add it; {by_hand}", missing.join(", "));
    }
    println!("   installing {}", missing.join(", "));
    let _quiet = NoServices::begin()?;
    // The lists may be missing or years old; a failed update still leaves the lists there are.
    let update = tree::output(apt().args(["update", "-qq"]));
    let mut apt = apt();
    apt.args(["install", "-y", "-qq", "--no-install-recommends"]).args(missing);
    match (tree::output(&mut apt), update) {
        (Ok(_), _) => Ok(()),
        (Err(error), Err(lists)) => Err(error.context(format!("{lists:#}; {by_hand}"))),
        (Err(error), Ok(_)) => Err(error.context(by_hand)),
    }
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Debian's own switch for "install, do not start": a script that says no, there for the length of
/// an install. It says yes again, and removes itself, once this process is gone, however that ends.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn begin() -> Result<Self> {
        let script = format!(
            "#!/bin/sh\nkill -0 {} 2>/dev/null && exit 101\nrm -f {POLICY}\nexit 0\n",
            std::process::id()
        );
        match OpenOptions::new().write(true).create_new(true).mode(0o755).open(POLICY) {
            Ok(mut file) => {
                file.write_all(script.as_bytes()).with_context(|| format!("writing {POLICY}"))?;
                Ok(Self { ours: true })
            }
            // The machine has a policy of its own, as images of containers do: it stays.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Self { ours: false }),
            Err(error) => Err(error).with_context(|| format!("cannot write {POLICY}")),
        }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours
            && let Err(error) = fs::remove_file(POLICY)
        {
            eprintln!("xtask: {POLICY} could not be removed, remove it by hand: {error}");
        }
    }
}
