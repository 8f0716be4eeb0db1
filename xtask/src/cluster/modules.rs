//! What is built, from which Go module, at which version.
//!
//! Versions stand in `xtask/cluster/NAME/go.mod` and nowhere else; `go.sum` beside it pins every
//! byte of the source. Each program has a module of its own, so that none drags another's libraries
//! to versions that its authors never built it with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::schemas;

/// One Go module of ours and the programs that it builds.
pub(super) struct Module {
    /// Its folder in `xtask/cluster`.
    pub(super) name: &'static str,
    /// The module whose version counts.
    pub(super) path: &'static str,
    /// Program and package; the program is named after the package's last part where there are
    /// several.
    pub(super) programs: &'static [(&'static str, &'static str)],
    /// What the linker is told beyond leaving out debug information.
    stamp: fn(&str) -> String,
}

pub(super) const KUBERNETES: Module = Module {
    name: "kubernetes",
    path: "k8s.io/kubernetes",
    programs: &[
        ("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
        ("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
        ("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
        ("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
        ("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
        ("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    ],
    stamp: kubernetes_version,
};

pub(super) const KWOK: Module = Module {
    name: "kwok",
    path: "sigs.k8s.io/kwok",
    programs: &[("kwok", "sigs.k8s.io/kwok/cmd/kwok")],
    stamp: unstamped,
};

/// In the order in which they are built: what takes longest first.
pub(super) const MODULES: &[Module] = &[
    KUBERNETES,
    Module {
        name: "helm",
        path: "helm.sh/helm/v4",
        programs: &[("helm", "helm.sh/helm/v4/cmd/helm")],
        stamp: unstamped,
    },
    KWOK,
    Module {
        name: "coredns",
        path: "github.com/coredns/coredns",
        programs: &[("coredns", "github.com/coredns/coredns")],
        stamp: unstamped,
    },
    Module {
        name: "etcd",
        path: "go.etcd.io/etcd/server/v3",
        programs: &[("etcd", "go.etcd.io/etcd/server/v3")],
        stamp: unstamped,
    },
    Module {
        name: "kubeconform",
        path: "github.com/yannh/kubeconform",
        programs: &[("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform")],
        stamp: unstamped,
    },
];

/// Raised when what is made of the modules changes and the modules do not.
const LAYOUT: &str = "2";

impl Module {
    /// Where its `go.mod` lies.
    pub(super) fn folder(&self, root: &Path) -> PathBuf {
        root.join("xtask/cluster").join(self.name)
    }

    /// The version that `go.mod` requires, as `v1.2.3`.
    pub(super) fn version(&self, root: &Path) -> Result<String> {
        let file = self.folder(root).join("go.mod");
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let version = required(&text, self.path);
        version.with_context(|| format!("{} does not require {}", file.display(), self.path))
    }

    /// A name for what its programs are built from.
    pub(super) fn key(&self, root: &Path) -> Result<String> {
        let read = |name: &str| {
            let file = self.folder(root).join(name);
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        let mut hash = Sha256::new();
        for line in pins(&read("go.mod")?) {
            hash.update(line);
            hash.update("\n");
        }
        hash.update(read("go.sum")?);
        hash.update(self.linker_flags(&self.version(root)?));
        Ok(short(hash))
    }

    pub(super) fn linker_flags(&self, version: &str) -> String {
        format!("-s -w {}", (self.stamp)(version)).trim_end().to_owned()
    }
}

fn required(go_mod: &str, path: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let line = line.trim().strip_prefix("require ").unwrap_or(line.trim());
        let version = line.strip_prefix(path)?.strip_prefix(' ')?;
        version.split_whitespace().next().map(str::to_owned)
    })
}

fn unstamped(_: &str) -> String {
    String::new()
}

/// Without these every Kubernetes program says that it is `v0.0.0-master`, and a chart that asks
/// for a version refuses it.
fn kubernetes_version(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let to = "k8s.io/component-base/version";
    format!(
        "-X {to}.gitVersion={version} -X {to}.gitMajor={major} -X {to}.gitMinor={minor} \
         -X k8s.io/client-go/pkg/version.gitVersion={version}"
    )
}

/// A name for all of it together: it changes when anything that is built would.
pub(super) fn key(root: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(LAYOUT);
    for module in MODULES {
        hash.update(module.key(root)?);
        for (name, _) in module.programs {
            hash.update(name);
        }
    }
    for (version, sum) in schemas::FURTHER {
        hash.update(version);
        hash.update(sum);
    }
    Ok(short(hash))
}

fn short(hash: Sha256) -> String {
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What of a `go.mod` decides about a program: a tool that is named beside it changes nothing in it,
/// so that another program does not make those that are there be built again.
fn pins(go_mod: &str) -> impl Iterator<Item = &str> {
    go_mod.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("tool "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn every_module_pins_its_version_and_every_byte_of_its_source() {
        let root = tree::root().unwrap();
        for module in MODULES {
            let version = module.version(&root).unwrap();
            let sums = fs::read_to_string(module.folder(&root).join("go.sum")).unwrap();
            let pinned = format!("{} {version} h1:", module.path);
            assert!(sums.lines().any(|line| line.starts_with(&pinned)), "{pinned} is not pinned");
        }
    }

    #[test]
    fn a_version_is_read_from_a_line_and_from_a_block_and_not_from_a_replacement() {
        let text = "module m\n\nrequire a.io/x v1.2.3\n\nrequire (\n\ta.io/y v0.4.0 // indirect\n)\n\n\
                    replace a.io/z => a.io/z v9.9.9\n";
        assert_eq!(required(text, "a.io/x").as_deref(), Some("v1.2.3"));
        assert_eq!(required(text, "a.io/y").as_deref(), Some("v0.4.0"));
        assert_eq!(required(text, "a.io/z"), None);
    }

    #[test]
    fn another_tool_of_a_module_leaves_its_programs_as_they_are() {
        let one = "module m\n\ntool a.io/x/cmd/x\n\nrequire a.io/x v1.2.3\n";
        let two = "module m\n\ntool a.io/x/cmd/x\n\ntool a.io/x/cmd/y\n\nrequire a.io/x v1.2.3\n";
        let raised = two.replace("1.2.3", "1.2.4");
        assert!(pins(one).eq(pins(two)));
        assert!(!pins(two).eq(pins(&raised)));
    }

    #[test]
    fn kubernetes_is_told_its_version_in_four_places() {
        let flags = KUBERNETES.linker_flags("v1.36.3");
        assert_eq!(flags.matches("-X ").count(), 4);
        assert!(flags.contains("gitMajor=1 ") && flags.contains("gitMinor=36 "), "{flags}");
    }
}
