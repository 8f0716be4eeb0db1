//! The machine that a node is: namespaces with a network, processes and mounts of their own. When
//! its first process is killed, every pod, mount, card and rule in it is gone.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::figure::progress;
use crate::process::{Process, Recipe};
use crate::tools::Tools;

/// This machine's end of the only link, and the node's.
pub(in crate::cluster) const HERE: Ipv4Addr = Ipv4Addr::new(10, 123, 0, 1);
pub(in crate::cluster) const THERE: Ipv4Addr = Ipv4Addr::new(10, 123, 0, 2);

/// Networks that are reached through it: Services and pods.
pub(in crate::cluster) const SERVICES: &str = "10.96.0.0/16";
pub(super) const PODS: &str = "10.244.0.0/24";

/// This machine's end of the link.
const CARD: &str = "hushmark0";

/// Folders of the machine that the node has for itself.
const OWN: [&str; 5] =
    ["/run", "/var/log", "/var/lib/kubelet", "/var/lib/cni", "/var/lib/containerd"];

/// What the kubelet insists on and would set for the whole machine: it is shown these values.
const SETTINGS: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// How long namespaces may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// The namespaces, and the lock that lets one have them at a time: their addresses are fixed.
pub(super) struct Machine {
    /// The way in.
    pub(super) door: Door,
    first: Process,
    _one_at_a_time: File,
}

/// The way into the namespaces: the number of their first process.
#[derive(Clone, Copy)]
pub(super) struct Door(u32);

impl Machine {
    /// Makes it, with its own folders below `folder`.
    pub(super) fn start(tools: &Tools, folder: &Path, logs: &Path) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("a real node is a machine within this one, and only root may make it");
        }
        let lock = lock()?;
        let pause = tools.cluster_program("pause")?;
        let pause = pause.to_str().context("the folder's name is not text")?.to_owned();
        let namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let args = namespaces.map(str::to_owned).into_iter();
        let recipe = Recipe {
            name: "machine".into(),
            program: "unshare".into(),
            args: args.chain(["--propagation".into(), "private".into(), pause]).collect(),
            env: [].into(),
        };
        let first = Process::new(recipe, logs);
        first.start()?;
        let door = Door(child_of(&first)?);
        let machine = Self { door, first, _one_at_a_time: lock };
        machine.furnish(folder).with_context(|| machine.first.last_words())?;
        machine.connect()?;
        Ok(machine)
    }

    fn furnish(&self, folder: &Path) -> Result<()> {
        let mut script = "set -e\nmount --make-rshared /\n".to_owned();
        for own in OWN {
            let ours = folder.join(own.trim_start_matches('/'));
            fs::create_dir_all(&ours)?;
            fs::create_dir_all(own)?;
            script += &format!("mount --bind {} {own}\n", ours.display());
        }
        // What locks files there expects the folder.
        fs::create_dir_all(folder.join("run/lock"))?;
        let settings = folder.join("settings");
        fs::create_dir_all(&settings)?;
        for (name, value) in SETTINGS {
            let file = settings.join(name.replace('/', "."));
            fs::write(&file, format!("{value}\n"))?;
            script += &format!("mount --bind {} /proc/sys/{name}\n", file.display());
        }
        script += "ip link set lo up\necho 1 >/proc/sys/net/ipv4/ip_forward\n";
        self.door.run(&["sh", "-c", &script], Stdio::null()).map(drop)
    }

    /// The link between both, and the way to Services and pods from here. The node has no other
    /// way out.
    fn connect(&self) -> Result<()> {
        let (pid, there) = (self.door.0.to_string(), THERE.to_string());
        let pair = ["link", "add", CARD, "type", "veth", "peer", "name", "eth0", "netns", &pid];
        ip(&pair)?;
        ip(&["address", "add", &format!("{HERE}/30"), "dev", CARD])?;
        ip(&["link", "set", CARD, "up"])?;
        let inside = format!("ip address add {THERE}/30 dev eth0 && ip link set eth0 up");
        self.door.run(&["sh", "-c", &inside], Stdio::null())?;
        for network in [SERVICES, PODS] {
            ip(&["route", "add", network, "via", &there])?;
        }
        Ok(())
    }
}

impl Door {
    /// A program that runs in it, to be started with `start()`.
    pub(super) fn process(self, recipe: Recipe, logs: &Path) -> Process {
        let Recipe { name, program, args, env } = recipe;
        let program = program.display().to_string();
        let args = self.entering().into_iter().chain([program]).chain(args).collect();
        Process::new(Recipe { name, program: "nsenter".into(), args, env }, logs)
    }

    /// Runs a command in it to its end.
    pub(super) fn run(self, words: &[&str], input: Stdio) -> Result<String> {
        let mut command = Command::new("nsenter");
        command.args(self.entering()).args(words).stdin(input);
        said(words, command.output().context("cannot start nsenter (util-linux)")?)
    }

    fn entering(self) -> Vec<String> {
        let target = self.0.to_string();
        ["--target", &target, "--net", "--mount", "--pid", "--"].map(str::to_owned).into()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It takes all others along, and the kernel the rest; `unshare`, which waits for it, ends.
        let first = i32::try_from(self.door.0).ok().and_then(Pid::from_raw);
        if let Some(first) = first.filter(|_| self.first.is_running()) {
            kill_process(first, Signal::KILL).ok();
            self.first.wait_for_end(PATIENCE).ok();
        }
        // The groups in which the kubelet counted its pods are the whole machine's.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            remove_groups(&hierarchy.path().join("kubepods"));
        }
        remove_groups(Path::new("/sys/fs/cgroup/kubepods"));
    }
}

/// Removes a control group and those in it; one that is not empty stays, and harms nobody.
fn remove_groups(group: &Path) {
    for inner in fs::read_dir(group).into_iter().flatten().flatten() {
        if inner.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&inner.path());
        }
    }
    fs::remove_dir(group).ok();
}

/// One node a machine: whoever comes second waits.
fn lock() -> Result<File> {
    let path = std::env::temp_dir().join("hushmark-node.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        progress("another real node runs on this machine: waiting for it");
        file.lock().context("waiting for another real node")?;
    }
    Ok(file)
}

/// The process that `unshare` forked.
fn child_of(first: &Process) -> Result<u32> {
    let pid = first.pid()?.as_raw_nonzero();
    let children = format!("/proc/{pid}/task/{pid}/children");
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && first.is_running() {
        let text = fs::read_to_string(&children).unwrap_or_default();
        if let Some(child) = text.split_whitespace().next() {
            let child: u32 = child.parse().context("the kernel names a process by a number")?;
            // It becomes `pause` once its own /proc is mounted.
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if name.trim() == "pause" {
                return Ok(child);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    bail!("namespaces could not be made:\n{}", first.last_words())
}

fn ip(words: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(words).output().context("cannot start ip (iproute2)")?;
    said(&[&["ip"], words].concat(), output).map(drop)
}

fn said(words: &[&str], output: Output) -> Result<String> {
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", words.join(" "), output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
