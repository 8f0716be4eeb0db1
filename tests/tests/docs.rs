//! What the documentation says of our programs is what they say of themselves.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use hushmark_tests::tools::Tools;

const REFERENCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

const BEGIN: &str = "# Options of every program

What follows is what the programs print with `--help`. `hushmark up` sets all of this from the manifests; these pages
are for those who run the programs themselves. No option takes a secret: keys and passwords are files. Every option of
a server can be given in the environment as well.
";

/// What a program is called as, and its commands.
const PROGRAMS: [(&str, &[&[&str]]); 6] = [
    (
        "hushmark",
        &[
            &[],
            &["up"],
            &["stamp"],
            &["delivered"],
            &["report"],
            &["segment"],
            &["contact"],
            &["export"],
            &["log"],
            &["counters"],
            &["demo"],
            &["withdraw"],
            &["consent"],
            &["takedown"],
            &["complete"],
            &["erase"],
            &["receipt", "verify"],
            &["audit", "verify"],
            &["status"],
            &["explain"],
            &["record-of-processing"],
            &["plan"],
            &["enforce"],
            &["keys", "rotate"],
            &["support-bundle"],
        ],
    ),
    (PLUGIN, &[&["plan"], &["enforce"], &["withdraw"], &["takedown"], &["erase"], &["audit"]]),
    ("hushmark-edge", &[&[]]),
    ("hushmark-writer", &[&[]]),
    ("hushmark-operator", &[&[], &["probe"]]),
    ("hushmark-embedded", &[&[]]),
];

/// The same program as `hushmark`, of which commands of another meaning are asked.
const PLUGIN: &str = "kubectl-hushmark";

fn help(tools: &Tools, program: &str, command: &[&str]) -> Result<String> {
    let file = if program == PLUGIN { "hushmark" } else { program };
    let mut ask = Command::new(tools.program(file)?);
    ask.arg0(program);
    // Nothing of the machine it runs on: no width, no colour, no setting of a server.
    ask.env_clear().args(command).arg("--help");
    let output = ask.output().with_context(|| format!("{program} does not start"))?;
    ensure!(output.status.success(), "{program} {command:?} --help: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// `UPDATE=1 cargo xtask test` writes the page anew.
#[test]
fn the_reference_is_what_the_programs_say() -> Result<()> {
    let tools = Tools::from_env()?;
    let mut page = BEGIN.to_owned();
    for (program, commands) in PROGRAMS {
        for command in commands {
            let title = [&[program], *command].concat().join(" ");
            let said = help(&tools, program, command)?;
            let lines = said.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n");
            write!(page, "\n## `{title}`\n\n{}", lines.collect::<String>())?;
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(REFERENCE, &page)?;
    }
    let written = fs::read_to_string(REFERENCE)?;
    ensure!(page == written, "docs/configuration.md differs: UPDATE=1 cargo test writes it anew");
    Ok(())
}
