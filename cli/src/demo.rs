//! `hushmark demo`: to be filled next.
use crate::args::Demo;
use anyhow::Result;
use std::path::Path;
pub(crate) async fn run(_data: &Path, _options: &Demo) -> Result<()> {
    Ok(())
}
