//! The nodes that kwok plays, and volumes that claims find.

use std::fmt::Write as _;

/// The default StorageClass of volumes that hold nothing.
pub const FAKE_CLASS: &str = "fake";

/// What a control plane is given to schedule on.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Regions, and how many nodes each has.
    pub nodes: Vec<(String, usize)>,
    /// Volumes, each for one claim; of the class [`FAKE_CLASS`] where no node is real.
    pub volumes: usize,
    /// Whether there is a real node, whose pods run.
    pub real_node: bool,
}

impl Default for Shape {
    /// Two nodes in each of two regions, and volumes enough for two stacks.
    fn default() -> Self {
        Self {
            nodes: vec![("eu-central".into(), 2), ("eu-west".into(), 2)],
            volumes: 32,
            real_node: false,
        }
    }
}

impl Shape {
    /// One real node, and volumes enough for five stacks of several edges.
    #[must_use]
    pub fn real() -> Self {
        Self { nodes: Vec::new(), volumes: 32, real_node: true }
    }

    /// The manifests of all of it.
    pub(super) fn manifests(&self) -> String {
        let mut yaml = String::new();
        for (region, count) in &self.nodes {
            for number in 1..=*count {
                yaml += &node(region, number);
            }
        }
        if self.real_node {
            return yaml;
        }
        if self.volumes > 0 {
            yaml += &class();
        }
        for number in 1..=self.volumes {
            volume(&mut yaml, number);
        }
        yaml
    }
}

/// A node of a region, in one of three zones, with the labels that clouds set.
fn node(region: &str, number: usize) -> String {
    let zone = ["a", "b", "c"][(number - 1) % 3];
    format!(
        "---
apiVersion: v1
kind: Node
metadata:
  name: {region}-{number}
  annotations: {{kwok.x-k8s.io/node: fake}}
  labels:
    kubernetes.io/hostname: {region}-{number}
    kubernetes.io/os: linux
    kubernetes.io/arch: amd64
    topology.kubernetes.io/region: {region}
    topology.kubernetes.io/zone: {region}-{zone}
status:
  allocatable: {{cpu: \"32\", memory: 256Gi, pods: \"110\"}}
  capacity: {{cpu: \"32\", memory: 256Gi, pods: \"110\"}}
"
    )
}

fn class() -> String {
    format!(
        "---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: {FAKE_CLASS}
  annotations: {{storageclass.kubernetes.io/is-default-class: \"true\"}}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: Immediate
"
    )
}

fn volume(yaml: &mut String, number: usize) {
    let written = write!(
        yaml,
        "---
apiVersion: v1
kind: PersistentVolume
metadata: {{name: fake-{number}}}
spec:
  capacity: {{storage: 1Ti}}
  accessModes: [ReadWriteOnce]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: {FAKE_CLASS}
  hostPath: {{path: /nowhere}}
"
    );
    written.expect("a string takes everything");
}
