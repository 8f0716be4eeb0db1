//! Four edges of one region, beside the one that `up` started: they tell each hit that they ignore.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;
use crate::http::{self, Answer};
use crate::one_machine::OneMachine;
use crate::ports;
use crate::process::{Process, Recipe};
use crate::stack::wait_ready;
use crate::tools::Tools;

/// One edge.
pub(super) struct Edge {
    listen: SocketAddr,
    admin: SocketAddr,
    process: Process,
}

/// All four, ready.
pub(super) fn four(tools: &Tools, machine: &OneMachine, folder: &Path) -> Result<Vec<Edge>> {
    (1..=4).map(|n| Edge::start(tools, machine.data(), folder, n)).collect()
}

impl Edge {
    fn start(tools: &Tools, data: &Path, folder: &Path, n: usize) -> Result<Self> {
        let name = format!("edge-{n}");
        let lane_log = folder.join(&name);
        fs::create_dir(&lane_log)?;
        let (listen, admin) = (ports::free()?, ports::free()?);
        let file = |name: &str| data.join(name).display().to_string();
        let args = [
            ("--listen", listen.to_string()),
            ("--admin", admin.to_string()),
            ("--keys", file("keys")),
            ("--ring", file("ring/batch")),
            ("--refusal-key", file("refusal.pub")),
            ("--redis", format!("unix://{}", file("redis/redis.sock"))),
            ("--lane-log", lane_log.display().to_string()),
            ("--metrics-step", "1".to_owned()),
            ("--threads", "1".to_owned()),
        ];
        let args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        let program = tools.program("hushmark-edge")?;
        let recipe = Recipe { name, program, args, env: BTreeMap::new() };
        let edge = Self { listen, admin, process: Process::new(recipe, folder) };
        edge.come_up()?;
        Ok(edge)
    }

    fn come_up(&self) -> Result<()> {
        self.process.start()?;
        wait_ready(&self.process.name(), &self.process, || self.is_ready())
    }

    fn is_ready(&self) -> bool {
        let ready = http::get(self.admin, "/readyz", Duration::from_secs(2));
        ready.is_ok_and(|answer| answer.status == 200)
    }

    /// Kills it, and waits until it is there again.
    pub(super) fn restart(&self) -> Result<()> {
        self.process.kill9()?;
        self.come_up()
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer> {
        http::get(self.listen, path, PATIENCE)
    }

    /// Loads a pixel.
    pub(super) fn open(&self, pixel: &str) -> Result<()> {
        let answer = self.get(pixel)?;
        ensure!(answer.status == 200, "a pixel was answered with {}", answer.status);
        Ok(())
    }

    /// How many valid requests it has ignored.
    pub(super) fn voids(&self) -> Result<u64> {
        const NAME: &str = "hushmark_edge_voids_total";
        let page = http::get(self.admin, "/metrics", PATIENCE)?.text();
        let values = page.lines().filter_map(|line| line.strip_prefix(NAME));
        let values: Vec<f64> =
            values.filter_map(|rest| rest.rsplit(' ').next()?.parse().ok()).collect();
        ensure!(!values.is_empty(), "the edge does not tell {NAME}");
        Ok(values.iter().sum::<f64>() as u64)
    }
}

/// Kills a child of `up`, which starts it anew, and waits until there is another.
pub(super) fn kill(machine: &OneMachine, name: &str) -> Result<()> {
    let pid = *machine.children()?.get(name).with_context(|| format!("`up` has no {name}"))?;
    kill_process(Pid::from_raw(pid).context("a process has a number")?, Signal::KILL)?;
    machine.wait("it starts another", |machine| {
        machine.children().is_ok_and(|children| children.get(name).is_some_and(|now| *now != pid))
    })
}
