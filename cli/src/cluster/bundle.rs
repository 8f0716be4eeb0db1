//! `support-bundle`: what a person who helps needs, without a secret and without a person in it.
//!
//! Nothing is taken that is not on a list: `keep` copies named fields out of objects and drops the
//! rest unseen, logs are cut down to the fields that our programs write, and free text loses
//! whatever looks like an address or a token. Values of Secrets are read for one purpose: to look
//! for them in everything that is about to be written.

mod gather;
mod keep;
mod lists;
mod logs;
mod scrub;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use flate2::Compression;
use flate2::write::GzEncoder;
use k8s_openapi::jiff::Timestamp;

use super::args;
use crate::report::print;
use scrub::Sweep;

/// What is in the archive, for whoever opens it.
const README: &str = "This archive was made by `kubectl hushmark support-bundle`.

resources/  Regions, Tenants, Campaigns and policies: names, policies, status. No subject, sender,
            list, content, annotation's value or label's value.
objects/    What the releases made: names, images, sizes, state. Of arguments the names of options,
            of environments the names of variables, of Secrets and ConfigMaps the names of keys and
            how many bytes each has.
events/     What Kubernetes and the operator told of them.
logs/       The ends of our programs' logs: the fields on a list, and in free text no address, no
            URL beyond its scheme, no long run of letters and digits.
metrics/    Pages of metrics; they name no tenant and no campaign.
versions.json, notes.txt  Versions, and what could not be had.

Values of the releases' Secrets, as far as they could be read, were looked for in all of it:
swept.txt says if one was found and cut out, notes.txt if they could not be read. Look at it all the
same before you send it.
";

/// Files of the archive, by path.
type Files = Vec<(String, Vec<u8>)>;

pub(crate) async fn run(options: &args::SupportBundle) -> Result<ExitCode> {
    let at = options.connection.connect().await?;
    let now = Timestamp::now();
    let (mut files, secrets) = gather::gather(&at, options, now).await?;
    let sweep = Sweep::new(secrets)?;
    let mut swept = 0;
    for (_, bytes) in &mut files {
        swept += sweep.clean(bytes);
    }
    if swept > 0 {
        let note =
            format!("{swept} values of Secrets were found where none should be, and cut out\n");
        files.push(("swept.txt".to_owned(), note.into_bytes()));
    }
    files.push(("README.txt".to_owned(), README.as_bytes().to_vec()));
    files.sort();
    let date = now.strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = format!("hushmark-support-{date}");
    let output = options.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.tar.gz")));
    write(&output, &name, &files, now)
        .with_context(|| format!("cannot write {}", output.display()))?;
    print(&format!(
        "{}: {} files. Look at it before you send it: tar -xzf {0}\n",
        output.display(),
        files.len()
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn write(path: &Path, folder: &str, files: &Files, now: Timestamp) -> Result<()> {
    // Never over another file: an archive that somebody waits for is not lost by a repetition.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(now.as_second()).unwrap_or(0));
        header.set_cksum();
        archive.append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice())?;
    }
    archive.into_inner()?.finish()?.flush()?;
    Ok(())
}
