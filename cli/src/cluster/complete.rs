//! `kubectl_complete-hushmark`: kubectl runs a program of that name to learn how the words after
//! `kubectl hushmark` go on (kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins).
//!
//! It prints a candidate a line, with its meaning after a tab, and then what kubectl's shell script
//! is to do beside: 4 for nothing, 0 where a file may follow.

use clap::{Arg, Command};

const NO_FILES: &str = ":4";
const FILES: &str = ":0";

/// What kubectl prints: the candidates for the last word.
pub(crate) fn complete(command: &Command, words: &[String]) -> String {
    let (last, before) = match words.split_last() {
        Some((last, before)) => (last.as_str(), before),
        None => ("", &[][..]),
    };
    let at = descend(command, before);
    let value_of = before.last().and_then(|word| option(at, word));
    let value_of = value_of.filter(|option| option.get_action().takes_values());
    if let Some(option) = value_of {
        return values(option, last);
    }
    if last.starts_with('-') {
        let options = at.get_arguments().filter(|option| !option.is_hide_set());
        let named = options.filter_map(|option| {
            let name = format!("--{}", option.get_long()?);
            Some((name, option.get_help().map(ToString::to_string)))
        });
        return lines(named, last, NO_FILES);
    }
    if at.has_subcommands() {
        let below = at.get_subcommands().filter(|below| !below.is_hide_set());
        let named = below
            .map(|below| (below.get_name().to_owned(), below.get_about().map(ToString::to_string)));
        return lines(named, last, NO_FILES);
    }
    let given = before.iter().filter(|word| !word.starts_with('-')).count();
    match at.get_positionals().nth(given.saturating_sub(depth(command, before))) {
        Some(positional) => values(positional, last),
        None => format!("{NO_FILES}\n"),
    }
}

/// The subcommand that the words so far name.
fn descend<'a>(command: &'a Command, words: &[String]) -> &'a Command {
    words.iter().fold(command, |at, word| at.find_subcommand(word).unwrap_or(at))
}

/// How many of the words name subcommands.
fn depth(command: &Command, words: &[String]) -> usize {
    let (mut at, mut depth) = (command, 0);
    for word in words {
        if let Some(below) = at.find_subcommand(word) {
            (at, depth) = (below, depth + 1);
        }
    }
    depth
}

fn option<'a>(command: &'a Command, word: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|option| {
        let long = option.get_long().is_some_and(|long| word == format!("--{long}"));
        long || option.get_short().is_some_and(|short| word == format!("-{short}"))
    })
}

fn values(option: &Arg, last: &str) -> String {
    let possible = option.get_possible_values();
    if possible.is_empty() {
        let names = option.get_value_names().unwrap_or_default();
        let takes_file = names.iter().any(|name| matches!(name.as_str(), "FILE" | "PATH"));
        return format!("{}\n", if takes_file { FILES } else { NO_FILES });
    }
    let named = possible
        .iter()
        .map(|value| (value.get_name().to_owned(), value.get_help().map(ToString::to_string)));
    lines(named, last, NO_FILES)
}

fn lines(
    candidates: impl Iterator<Item = (String, Option<String>)>,
    begun: &str,
    then: &str,
) -> String {
    let mut out = String::new();
    for (name, meaning) in candidates.filter(|(name, _)| name.starts_with(begun)) {
        let meaning = meaning.unwrap_or_default();
        let meaning = meaning.lines().next().unwrap_or_default();
        out += &if meaning.is_empty() { name } else { format!("{name}\t{meaning}") };
        out.push('\n');
    }
    out + then + "\n"
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::super::args::Plugin;
    use super::*;

    fn asked(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let said = complete(&Plugin::command(), &words);
        said.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn words_go_on_as_they_can_be_typed() {
        assert_eq!(asked(&["st"]), ["status", ":4"]);
        assert_eq!(asked(&["keys", ""]), ["rotate", ":4"]);
        assert_eq!(asked(&["explain", ""]), ["campaign", "tenant", ":4"]);
        assert_eq!(asked(&["explain", "campaign", ""]), [":4"]);
        assert_eq!(asked(&["withdraw", "--type", "t"]), ["transactional", ":4"]);
        assert_eq!(asked(&["status", "--wat"]), ["--watch", ":4"]);
        assert_eq!(asked(&["plan", "--filename", "man"]), [":0"]);
        assert_eq!(asked(&["plan", "-f", ""]), [":0"]);
        assert!(asked(&[""]).contains(&"support-bundle".to_owned()));
    }
}
