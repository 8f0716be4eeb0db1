//! Whether this machine can hold a real node: a machine within it, made of namespaces.

use std::fs;
use std::process::Command;

use anyhow::{Result, bail};

use crate::tree;

/// What one leaves out who cannot have a node.
const WITHOUT: &str = "`cargo xtask test --no-node` leaves the real node out, and says so";

/// What the kernel has to count and limit for a kubelet, in either version of control groups.
const CONTROLLERS: &[&str] = &["cpu", "memory", "pids"];

/// What a node's kernel has to do, and a command that needs it, tried in namespaces of its own.
const TRIALS: &[(&str, &str)] = &[
    ("pairs of virtual network cards (CONFIG_VETH)", "ip link add name v0 type veth peer name v1"),
    ("nftables (CONFIG_NF_TABLES)", "nft add table inet trial"),
    (
        "nftables' address translation (CONFIG_NFT_NAT)",
        "nft 'table ip trial { chain c { type nat hook prerouting priority 0; }; }'",
    ),
    (
        "the overlay file system (CONFIG_OVERLAY_FS)",
        "mount -t tmpfs none /mnt && mkdir /mnt/a /mnt/b /mnt/c && \
         mount -t overlay -o lowerdir=/mnt/a,upperdir=/mnt/b,workdir=/mnt/c none /mnt/a",
    ),
];

/// Sees that this is a machine on which namespaces can be made.
pub(super) fn may_hold_one() -> Result<()> {
    if tree::output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!(
            "a real node is a machine within this one, and only root may make it: run this as root; \
             {WITHOUT}"
        );
    }
    within("true").map(drop).map_err(|error| {
        error.context(format!(
            "this machine makes no namespaces, of which a real node is made: give its container \
             CAP_SYS_ADMIN and CAP_NET_ADMIN; {WITHOUT}"
        ))
    })
}

/// Sees that the kernel does what a node needs, once the programs are there that ask it to.
pub(super) fn kernel_suffices() -> Result<()> {
    let groups = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    let missing: Vec<String> = TRIALS
        .iter()
        .filter(|(_, trial)| within(trial).is_err())
        .map(|(what, _)| (*what).to_owned())
        .chain(disabled(&groups).map(|name| format!("the control group {name}")))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    bail!("this kernel cannot hold a real node, it lacks: {}; {WITHOUT}", missing.join(", "))
}

/// Runs a line of shell where it can change nothing of this machine.
fn within(line: &str) -> Result<String> {
    let namespaces = ["--net", "--mount", "--pid", "--fork"];
    tree::output(Command::new("unshare").args(namespaces).args(["sh", "-c", line]))
}

/// Controllers that the kernel has and that were switched off when it was started, or that it has
/// not. A kernel that keeps no such list has version 2 alone, where all of them are.
fn disabled(groups: &str) -> impl Iterator<Item = &'static str> {
    let is_on = |name: &str| {
        groups.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(name) && words.next_back() == Some("1")
        })
    };
    let listed = !groups.is_empty();
    CONTROLLERS.iter().copied().filter(move |name| listed && !is_on(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_that_is_off_or_away_is_named() {
        let all = "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nmemory\t4\t5\t1\npids\t8\t1\t1\n";
        assert_eq!(disabled(all).count(), 0);
        let off = all.replace("memory\t4\t5\t1", "memory\t4\t5\t0");
        assert!(disabled(&off).eq(["memory"]));
        let away = all.replace("pids\t8\t1\t1\n", "");
        assert!(disabled(&away).eq(["pids"]));
        assert_eq!(disabled("").count(), 0);
    }
}
