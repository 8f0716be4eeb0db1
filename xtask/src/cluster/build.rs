//! From Go modules to programs in the cache, once a version.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::modules::{self, KUBERNETES, KWOK, MODULES, Module};
use super::schemas;
use crate::tree::{self, Tree, program};

/// There once everything is: what it holds is for people.
const COMPLETE: &str = "complete";

/// The program that is no Go program.
const PAUSE: &str = "pause";

/// What kwok does to nodes and pods, from the files of its own module: it has none built in, and
/// ends with "no stages found" without them.
const STAGES: &[&str] = &["node/fast", "node/heartbeat-with-lease", "pod/fast"];

/// Returns the folder with `bin/`, `kwok-stages.yaml` and `schemas/`, building what is not there.
///
/// It holds links alone: each module's programs lie in a folder of their own, named by what they
/// are built from, so that a change of one leaves the others where they are.
///
/// Two at once are safe: one builds while the other waits. A build that was cut short goes on
/// where it stopped, because each program appears whole or not at all.
pub(crate) fn ensure(tree: &Tree) -> Result<PathBuf> {
    let store = tree.cache.join("cluster");
    let folder = store.join(modules::key(&tree.root)?);
    if is_whole(&folder) {
        return Ok(folder);
    }
    fs::create_dir_all(folder.join("bin"))
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let lock = File::create(store.join("lock"))
        .with_context(|| format!("cannot write in {}", store.display()))?;
    if lock.try_lock().is_err() {
        println!("   another run is building the cluster's programs: waiting for it");
        lock.lock().context("waiting for another build of the cluster's programs")?;
    }
    if is_whole(&folder) {
        return Ok(folder);
    }
    let go = go()?;
    println!(
        "   building what of Kubernetes is not there yet, from Go modules, once: from nothing about \
         fifteen minutes on two cores, 2 GB of downloads, 9 GB in Go's own caches"
    );
    let began = Instant::now();
    let mut told = String::new();
    for (number, module) in (1..).zip(MODULES) {
        let version = module.version(&tree.root)?;
        println!("   {number} of {}: {} {version}", MODULES.len(), module.name);
        let own =
            store.join("programs").join(format!("{}-{}", module.name, module.key(&tree.root)?));
        let seconds = build(&go, tree, module, &version, &own)?;
        for (name, _) in module.programs {
            link(&own.join(name), &folder.join("bin").join(name))?;
        }
        told += &format!("{} {version} {seconds:.0} s\n", module.name);
    }
    stages(&go, tree, &folder)?;
    let kubernetes = source(&go, tree, &KUBERNETES)?;
    pause(&kubernetes, &folder)?;
    let swagger = kubernetes.join("api/openapi-spec/swagger.json");
    let version = KUBERNETES.version(&tree.root)?;
    schemas::write(&go, &version, &swagger, &store.join("schemas"), &folder.join("schemas"))?;
    let total = began.elapsed().as_secs_f64();
    fs::write(folder.join(COMPLETE), format!("{told}in all {total:.0} s\n"))?;
    println!("   the cluster's programs: there after {total:.0} s, {}", folder.display());
    Ok(folder)
}

fn is_whole(folder: &Path) -> bool {
    let programs = MODULES.iter().flat_map(|module| module.programs).map(|(name, _)| *name);
    folder.join(COMPLETE).is_file()
        && programs.chain([PAUSE]).all(|name| folder.join("bin").join(name).is_file())
}

/// The same file under a second name.
fn link(from: &Path, to: &Path) -> Result<()> {
    if to.is_file() {
        fs::remove_file(to)?;
    }
    fs::hard_link(from, to)
        .with_context(|| format!("cannot link {} to {}", from.display(), to.display()))
}

/// What holds a pod's network while its containers come and go: one C file of the same module.
fn pause(kubernetes: &Path, folder: &Path) -> Result<()> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-Os", "-static", "-s", "-DVERSION=hushmark", "-o"])
        .arg(folder.join("bin").join(PAUSE));
    gcc.arg(kubernetes.join("build/pause/linux/pause.c"));
    tree::output(&mut gcc).context("`pause` is one C file: install gcc and libc6-dev").map(drop)
}

/// Go as it is here, if it is new enough to fetch the release that a module asks for by itself.
fn go() -> Result<PathBuf> {
    const REMEDY: &str = "install Go 1.21 or newer (go.dev/dl, or Debian's package golang-go from \
                          release 13 on): it fetches the release that Kubernetes asks for by itself";
    let Some(go) = program("go") else {
        bail!("Kubernetes is built with Go, and there is no `go` here: {REMEDY}");
    };
    let version = tree::output(Command::new(&go).args(["env", "GOVERSION"]))?;
    let minor = minor_of(version.trim());
    if minor.is_none_or(|minor| minor < 21) {
        bail!("{} is {}, which is too old: {REMEDY}", go.display(), version.trim());
    }
    Ok(go)
}

/// `go1.26.8` is 26; what has another form, like a development version, is taken as it is.
fn minor_of(version: &str) -> Option<u32> {
    let Some(rest) = version.strip_prefix("go1.") else { return Some(u32::MAX) };
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Go with nothing of the caller's settings that would change what is built.
fn go_in(go: &Path, folder: &Path) -> Command {
    let mut command = Command::new(go);
    command.current_dir(folder).env("CGO_ENABLED", "0").env("GOWORK", "off");
    command.env("GOFLAGS", "-trimpath -buildvcs=false -mod=readonly");
    command
}

/// Builds those of a module's programs that are not there; returns the seconds that it took.
fn build(go: &Path, tree: &Tree, module: &Module, version: &str, folder: &Path) -> Result<f64> {
    let missing: Vec<_> =
        module.programs.iter().filter(|(name, _)| !folder.join(name).is_file()).collect();
    if missing.is_empty() {
        return Ok(0.0);
    }
    let began = Instant::now();
    let partial = folder.join("partial");
    fs::create_dir_all(&partial)?;
    let mut command = go_in(go, &module.folder(&tree.root));
    command.args(["build", "-ldflags", &module.linker_flags(version), "-o"]);
    match missing.as_slice() {
        // A package that ends in a version would name its program after what stands before it.
        [(name, _)] => command.arg(partial.join(name)),
        _ => command.arg(format!("{}/", partial.display())),
    };
    command.args(missing.iter().map(|(_, package)| package));
    watched(&mut command, module.name, &folder.join("build.log"))?;
    for (name, _) in missing {
        fs::rename(partial.join(name), folder.join(name))
            .with_context(|| format!("go built no {name}"))?;
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("   {}: {seconds:.0} s", module.name);
    Ok(seconds)
}

/// Runs a build with a sign of life: on a terminal every second, else every minute.
fn watched(command: &mut Command, name: &str, log: &Path) -> Result<()> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(log)?)
        .spawn()
        .context("cannot start go")?;
    let terminal = std::io::stdout().is_terminal();
    let began = Instant::now();
    let mut told = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        thread::sleep(Duration::from_millis(100));
        let seconds = began.elapsed().as_secs();
        if terminal && seconds > told {
            told = seconds;
            print!("\r   {name}: {seconds} s");
            std::io::stdout().flush()?;
        } else if seconds >= told + 60 {
            told = seconds;
            println!("   {name}: {seconds} s so far");
        }
    };
    if terminal && told > 0 {
        print!("\r");
    }
    if !status.success() {
        let said = fs::read_to_string(log)?;
        let last: Vec<&str> = said.lines().rev().take(15).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!(
            "`go build` of {name} ended with {status}; it needs a way to its module proxy \
             (`go env GOPROXY`) and 10 GB free:\n{}",
            last.join("\n")
        );
    }
    Ok(())
}

/// Where the source of a module's main dependency lies, once it was built.
fn source(go: &Path, tree: &Tree, module: &Module) -> Result<PathBuf> {
    let mut command = go_in(go, &module.folder(&tree.root));
    let printed = tree::output(command.args(["list", "-m", "-f", "{{.Dir}}", module.path]))?;
    Ok(PathBuf::from(printed.trim()))
}

fn stages(go: &Path, tree: &Tree, folder: &Path) -> Result<()> {
    let from = source(go, tree, &KWOK)?.join("kustomize/stage");
    let mut all = String::new();
    for stage in STAGES {
        for file in manifests(&from.join(stage))? {
            let text = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            all += "---\n";
            all += &text;
        }
    }
    fs::write(folder.join("kwok-stages.yaml"), all)?;
    Ok(())
}

/// The stages of a folder; a kustomization beside them is none.
fn manifests(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_stage = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        (name.starts_with("node-") || name.starts_with("pod-")) && name.ends_with(".yaml")
    };
    let mut files: Vec<_> = files.into_iter().filter(is_stage).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_that_cannot_fetch_another_is_told_from_one_that_can() {
        assert_eq!(minor_of("go1.19.8"), Some(19));
        assert_eq!(minor_of("go1.26.8"), Some(26));
        assert_eq!(minor_of("devel go1.27-abc"), Some(u32::MAX));
    }
}
