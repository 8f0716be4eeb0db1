//! An image as a folder: OCI image layout 1.0 with one index, one manifest, one configuration, and
//! two layers (opencontainers/image-spec).
//!
//! Layers are not compressed: compressors change their output between versions, and what pushes an
//! image compresses on its way (skopeo, crane and podman do).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::catalogue::{Image, USER};
use super::rootfs::{Entry, Files};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The beginning of Unix time: images of the same binaries are the same whenever they are made.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The version of the workspace, which all rooms share.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A blob by its digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// Writes the layout; returns the manifest's digest.
pub(super) fn write(image: &Image, files: &Files, folder: &Path) -> Result<String> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layers = [layer(&files.system, &blobs)?, layer(&files.own, &blobs)?];
    let labels = labels(image);
    let config = blob(CONFIG, &config(image, &layers, &labels)?, &blobs)?;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": layers,
        "annotations": labels,
    });
    let manifest = blob(MANIFEST, &manifest, &blobs)?;
    let index = json!({
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": [{
            "mediaType": manifest.media_type,
            "digest": manifest.digest,
            "size": manifest.size,
            "platform": {"os": "linux", "architecture": architecture()?},
            "annotations": {
                "org.opencontainers.image.ref.name": VERSION,
                "io.containerd.image.name": format!("docker.io/library/hushmark-{}:{VERSION}", image.name),
            },
        }],
    });
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(folder.join("oci-layout"), json!({"imageLayoutVersion": "1.0.0"}).to_string())?;
    Ok(manifest.digest)
}

fn labels(image: &Image) -> BTreeMap<&'static str, String> {
    BTreeMap::from([
        ("org.opencontainers.image.title", format!("hushmark-{}", image.name)),
        ("org.opencontainers.image.description", image.description.to_owned()),
        ("org.opencontainers.image.version", VERSION.to_owned()),
        ("org.opencontainers.image.licenses", licences(image).to_owned()),
    ])
}

/// The licences of the program that the image is for; of all else, see its SBOM.
fn licences(image: &Image) -> &'static str {
    if image.name == "redis" { "BSD-3-Clause" } else { "Apache-2.0" }
}

fn config(
    image: &Image,
    layers: &[Descriptor],
    labels: &BTreeMap<&'static str, String>,
) -> Result<Value> {
    let ports: BTreeMap<String, Value> =
        image.ports.iter().map(|port| (format!("{port}/tcp"), json!({}))).collect();
    let digests: Vec<&str> = layers.iter().map(|layer| layer.digest.as_str()).collect();
    let history = |what: &str| json!({"created": CREATED, "created_by": what});
    Ok(json!({
        "created": CREATED,
        "architecture": architecture()?,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": image.entrypoint,
            "Cmd": image.arguments,
            "WorkingDir": "/",
            "ExposedPorts": ports,
            "Labels": labels,
        },
        "rootfs": {"type": "layers", "diff_ids": digests},
        "history": [
            history("cargo xtask image: shared libraries"),
            history("cargo xtask image: programs"),
        ],
    }))
}

/// This machine's, in Go's words: an image holds this machine's libraries.
fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("nobody has built images for {other}"),
    }
}

fn blob(media_type: &str, value: &Value, blobs: &Path) -> Result<Descriptor> {
    let bytes = value.to_string().into_bytes();
    let digest = hex(&Sha256::digest(&bytes));
    fs::write(blobs.join(&digest), &bytes)?;
    let digest = format!("sha256:{digest}");
    Ok(Descriptor { media_type: media_type.into(), digest, size: bytes.len() as u64 })
}

/// Counts and hashes what is written.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn layer(entries: &BTreeMap<String, Entry>, blobs: &Path) -> Result<Descriptor> {
    let partial = blobs.join("partial");
    let file = File::create(&partial)?;
    let hashed = Hashed { inner: file, hash: Sha256::new(), bytes: 0 };
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, hashed));
    for (path, entry) in entries {
        append(&mut tar, path, entry).with_context(|| format!("writing {path}"))?;
    }
    let buffered = tar.into_inner()?;
    let Hashed { inner, hash, bytes } =
        buffered.into_inner().map_err(|error| error.into_error())?;
    drop(inner);
    let digest = hex(&hash.finalize());
    fs::rename(&partial, blobs.join(&digest))?;
    Ok(Descriptor { media_type: LAYER.into(), digest: format!("sha256:{digest}"), size: bytes })
}

fn append(tar: &mut tar::Builder<impl Write>, path: &str, entry: &Entry) -> Result<()> {
    let name = path.trim_start_matches('/');
    let mut header = tar::Header::new_ustar();
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    match entry {
        Entry::Folder { mode, owner } => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(*mode);
            header.set_uid(*owner);
            header.set_gid(*owner);
            header.set_size(0);
            tar.append_data(&mut header, format!("{name}/"), io::empty())?;
        }
        Entry::Text(text) => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes())?;
        }
        Entry::Copy { from, mode } => {
            let file =
                File::open(from).with_context(|| format!("cannot read {}", from.display()))?;
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(*mode);
            header.set_size(file.metadata()?.len());
            tar.append_data(&mut header, name, BufReader::with_capacity(1 << 20, file))?;
        }
    }
    Ok(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A layout whose every digest is that of its bytes.
pub(super) struct Layout {
    layers: Vec<(PathBuf, u64)>,
}

impl Layout {
    /// Its layers, lowest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Path> {
        self.layers.iter().map(|(file, _)| file.as_path())
    }

    /// What a node has to fetch.
    pub(super) fn bytes(&self) -> u64 {
        self.layers.iter().map(|(_, bytes)| bytes).sum()
    }
}

/// Reads a layout and holds every blob against its digest and size.
pub(super) fn read(folder: &Path) -> Result<Layout> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Descriptor>,
    }
    #[derive(Deserialize)]
    struct Manifest {
        config: Descriptor,
        layers: Vec<Descriptor>,
    }
    #[derive(Deserialize)]
    struct Config {
        rootfs: Rootfs,
    }
    #[derive(Deserialize)]
    struct Rootfs {
        diff_ids: Vec<String>,
    }
    let index: Index = serde_json::from_slice(&fs::read(folder.join("index.json"))?)?;
    let [manifest] = index.manifests.as_slice() else { bail!("the index names several images") };
    let manifest: Manifest = serde_json::from_slice(&fs::read(verified(manifest, folder)?)?)?;
    let config: Config = serde_json::from_slice(&fs::read(verified(&manifest.config, folder)?)?)?;
    let digests: Vec<&String> = manifest.layers.iter().map(|layer| &layer.digest).collect();
    ensure!(
        digests.iter().copied().eq(&config.rootfs.diff_ids),
        "the configuration names other layers than the manifest"
    );
    let layers = manifest.layers.iter().map(|layer| Ok((verified(layer, folder)?, layer.size)));
    Ok(Layout { layers: layers.collect::<Result<_>>()? })
}

fn verified(descriptor: &Descriptor, folder: &Path) -> Result<PathBuf> {
    let Descriptor { digest, size, .. } = descriptor;
    let name = digest.strip_prefix("sha256:").context("a digest of another kind")?;
    let path = folder.join("blobs/sha256").join(name);
    let mut file = File::open(&path).with_context(|| format!("{digest} is not there"))?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
    ensure!(bytes == *size, "{digest} has {bytes} bytes, and {size} are declared");
    ensure!(hex(&hash.finalize()) == name, "{digest} has other bytes");
    Ok(path)
}
