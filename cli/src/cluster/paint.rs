//! Colours on a terminal, and nowhere else.

use std::io::IsTerminal as _;

use k8s_openapi::jiff::Timestamp;

/// Whether colours are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    is_on: bool,
}

impl Paint {
    /// Colours where a person sees them: on a terminal, unless NO_COLOR is set (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { is_on: std::io::stdout().is_terminal() && !refused }
    }

    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self { is_on: false }
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.with("31;1", text)
    }

    pub(crate) fn uneasy(self, text: &str) -> String {
        self.with("33", text)
    }

    pub(crate) fn title(self, text: &str) -> String {
        self.with("1", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// How long something is so, as kubectl says it: 45s, 12m, 5h, 3d.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(then.as_second()).max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text at most `width` wide a line, each line but the first indented.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always a line");
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join(&format!("\n{}", " ".repeat(indent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_ends_where_it_began_and_pipes_see_none() {
        let on = Paint { is_on: true };
        assert_eq!(on.bad("no"), "\x1b[31;1mno\x1b[0m");
        assert_eq!(Paint::none().bad("no"), "no");
    }

    #[test]
    fn durations_and_long_texts_are_short() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let said = [1, 119, 120, 7_199, 7_200, 200_000].map(|n| since(at(0), at(n)));
        assert_eq!(said, ["1s", "119s", "2m", "119m", "2h", "2d"]);
        assert_eq!(since(at(5), at(0)), "0s", "another clock is ahead");
        assert_eq!(wrapped("one two  three", 7, 2), "one two\n  three");
    }
}
