//! What every file of the tree has to keep to, read off the files themselves.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::tree;

/// A file that needs more has more than one purpose.
const MOST_LINES: usize = 500;

/// What may stand in no file, and why. Split, so that this file does not hold it either.
const NOWHERE: &[(&str, &str, &str)] = &[
    ("/wo", "rk/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("registry.npm", "js.org", "a registry's host: name the package, its client knows the host"),
    ("pypi.", "org", "a registry's host: name the package, its client knows the host"),
    ("files.python", "hosted.org", "a registry's host: name the package"),
    ("static.crates", ".io", "a registry's host: name the crate"),
    ("index.crates", ".io", "a registry's host: name the crate"),
    ("deb.debian", ".org", "a registry's host: name the package"),
    ("proxy.golang", ".org", "a registry's host: name the module"),
];

/// What may stand in no source: unfinished work is an issue or is done.
const NOT_IN_SOURCES: &[(&str, &str)] =
    &[("TO", "DO"), ("FIX", "ME"), ("todo", "!("), ("unimple", "mented!(")];

/// Every breach in the files that git knows or would add.
pub(crate) fn breaches(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let mut breaches = Vec::new();
    for file in tree::output(&mut git)?.split('\0').filter(|file| !file.is_empty()) {
        // A file deleted but not yet committed is still listed.
        let Ok(bytes) = fs::read(root.join(file)) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            breaches.extend(breaches_of(file, &text));
        }
    }
    Ok(breaches)
}

fn breaches_of(file: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let is_rust = file.ends_with(".rs");
    if is_rust && text.lines().count() > MOST_LINES {
        breaches
            .push(format!("{file}: {} lines, and {MOST_LINES} is the most", text.lines().count()));
    }
    // Beside integration tests there is no other place: there, every file is a program of its own.
    if file.ends_with("/mod.rs") && !file.contains("/tests/") {
        breaches.push(format!("{file}: name the file after its module, beside its folder"));
    }
    if !text.is_empty() && !text.ends_with('\n') && !file.ends_with(".snap.new") {
        breaches.push(format!("{file}: the last line has no end"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for (head, tail, why) in NOWHERE {
            if contains(line, head, tail) && file != "Cargo.lock" {
                breaches.push(format!("{file}:{number}: {head}{tail} is {why}"));
            }
        }
        for (head, tail) in NOT_IN_SOURCES {
            if contains(line, head, tail) && (is_rust || file.ends_with(".sql")) {
                breaches.push(format!("{file}:{number}: {head}{tail}: finish it or drop it"));
            }
        }
    }
    breaches
}

fn contains(line: &str, head: &str, tail: &str) -> bool {
    line.match_indices(head).any(|(at, _)| line[at + head.len()..].starts_with(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        assert_eq!(breaches(&tree::root().unwrap()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_long_file_a_machine_path_and_unfinished_work_are_named_with_their_line() {
        let mut text = "//! x\n".repeat(MOST_LINES);
        text += concat!("// TO", "DO: see /wo", "rk/notes\n");
        let breaches = breaches_of("edge/src/lib.rs", &text);
        assert_eq!(breaches.len(), 3, "{breaches:?}");
        assert!(breaches[1].starts_with("edge/src/lib.rs:501:"), "{breaches:?}");
    }
}
