//! The published lists of who names themselves in a user agent, compiled.
//!
//! All plain texts (of mail systems and of crawlers) are found in one pass of an Aho-Corasick
//! automaton, and the few crawlers that need a real regular expression in one pass of a full DFA.
//! Neither backtracks, fills a cache or allocates, whatever the user agent is; `regex` does two of
//! these three when somebody sends it texts made for that.

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use hushmark_event::{Client, Device, System};
use regex_automata::dfa::{Automaton, OverlappingState, StartKind, dense};
use regex_automata::{Input, MatchKind, util::syntax};
use regex_syntax::hir::{Hir, literal::Extractor};

const MAIL: &str = include_str!("../../data/mail.txt");
const CRAWLERS: &str = include_str!("../../data/crawlers.txt");

/// What a line of `mail.txt` says about whoever it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MailClass {
    GmailProxy,
    YahooProxy,
    Scanner,
    Ahead,
    Client,
}

/// A line of `mail.txt`.
#[derive(Clone, Copy)]
pub(super) struct MailLine {
    pub(super) class: MailClass,
    pub(super) client: Client,
    /// `None` where the rest of the user agent has to tell.
    pub(super) device: Option<Device>,
    /// As `device`.
    pub(super) system: Option<System>,
    at_start: bool,
}

/// The two kinds of crawlers; a scanner outranks a bot where both match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Crawler {
    Bot,
    Scanner,
}

/// What one user agent matched.
#[derive(Clone, Copy)]
pub(super) struct Found<'s> {
    pub(super) mail: Option<&'s MailLine>,
    pub(super) crawler: Option<Crawler>,
}

pub(super) struct Signatures {
    /// The lines of `mail.txt`: patterns 0 to n of `texts`.
    mail: Vec<MailLine>,
    /// The classes of the patterns of `texts` from n on.
    literals: Vec<Crawler>,
    texts: AhoCorasick,
    /// Those of bounded length together, and each that may span any distance alone: in one DFA
    /// each of these doubles the states of all others.
    expressions: Vec<Expressions>,
}

/// Crawlers that need a regular expression.
struct Expressions {
    classes: Vec<Crawler>,
    dfa: dense::DFA<Vec<u32>>,
}

/// A line of `crawlers.txt`.
enum Pattern {
    Texts(Vec<Vec<u8>>),
    Bounded,
    Unbounded,
}

impl Signatures {
    /// The lists in `data/`. They are part of the binary, and a test compiles them.
    pub(super) fn shipped() -> Self {
        Self::compile(MAIL, CRAWLERS).expect("the shipped lists compile: a test says so")
    }

    fn compile(mail: &str, crawlers: &str) -> Result<Self, String> {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut lines = Vec::new();
        for (number, line) in entries(mail) {
            let (line, text) =
                mail_line(line).ok_or_else(|| format!("mail.txt:{number}: not understood"))?;
            lines.push(line);
            texts.push(text);
        }
        let (mut literals, mut class) = (Vec::new(), None);
        let (mut bounded, mut expressions) = (Vec::new(), Vec::new());
        for (number, line) in entries(crawlers) {
            let refuse = |why: &dyn std::fmt::Display| format!("crawlers.txt:{number}: {why}");
            match line {
                "= scanner" => class = Some(Crawler::Scanner),
                "= bot" => class = Some(Crawler::Bot),
                pattern => {
                    let crawler = class.ok_or_else(|| refuse(&"a pattern before its class"))?;
                    match Pattern::of(pattern).map_err(|e| refuse(&e))? {
                        Pattern::Texts(plain) => {
                            literals.resize(literals.len() + plain.len(), crawler);
                            texts.extend(plain);
                        }
                        Pattern::Bounded => bounded.push((crawler, pattern)),
                        Pattern::Unbounded => {
                            expressions.push(Expressions::of(&[(crawler, pattern)])?);
                        }
                    }
                }
            }
        }
        let texts = AhoCorasick::builder()
            // A thirtieth of a DFA's memory, and fast enough for what the cache lets through.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .dense_depth(1)
            .build(&texts)
            .map_err(|e| e.to_string())?;
        expressions.push(Expressions::of(&bounded)?);
        Ok(Self { mail: lines, literals, texts, expressions })
    }

    /// Everything in the lists that a user agent matches: the first line of `mail.txt`, and the
    /// gravest class of crawler.
    pub(super) fn find(&self, user_agent: &[u8]) -> Found<'_> {
        let mut first_line = usize::MAX;
        let mut crawler = None;
        for found in self.texts.find_overlapping_iter(user_agent) {
            let id = found.pattern().as_usize();
            match self.mail.get(id) {
                Some(line) if !line.at_start || found.start() == 0 => {
                    first_line = first_line.min(id);
                }
                Some(_) => {}
                None => crawler = crawler.max(Some(self.literals[id - self.mail.len()])),
            }
        }
        for expressions in &self.expressions {
            if crawler != Some(Crawler::Scanner) {
                crawler = crawler.max(expressions.find(user_agent));
            }
        }
        Found { mail: self.mail.get(first_line), crawler }
    }

    /// Bytes on the heap.
    pub(super) fn memory(&self) -> usize {
        let expressions = self.expressions.iter().map(|e| e.dfa.memory_usage() + e.classes.len());
        self.texts.memory_usage()
            + expressions.sum::<usize>()
            + self.literals.len()
            + self.mail.len() * size_of::<MailLine>()
    }
}

impl Expressions {
    fn of(patterns: &[(Crawler, &str)]) -> Result<Self, String> {
        let (classes, patterns): (Vec<Crawler>, Vec<&str>) = patterns.iter().copied().unzip();
        let config =
            dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Unanchored);
        let dfa = dense::Builder::new().configure(config).syntax(bytes()).build_many(&patterns);
        Ok(Self { classes, dfa: dfa.map_err(|e| e.to_string())? })
    }

    /// The gravest class of those that match.
    fn find(&self, user_agent: &[u8]) -> Option<Crawler> {
        let input = Input::new(user_agent);
        let mut state = OverlappingState::start();
        let mut crawler = None;
        // The DFA has no quit bytes, so that the search cannot fail; if it did, nothing is found.
        while self.dfa.try_search_overlapping_fwd(&input, &mut state).is_ok() {
            let Some(found) = state.get_match() else { break };
            crawler = crawler.max(Some(self.classes[found.pattern().as_usize()]));
            if crawler == Some(Crawler::Scanner) {
                break;
            }
        }
        crawler
    }
}

impl Pattern {
    /// Sorts a pattern by what it needs: many stand for one or a few texts (`[wW]get`).
    fn of(pattern: &str) -> Result<Self, String> {
        let hir: Hir = syntax::parse_with(pattern, &bytes()).map_err(|e| e.to_string())?;
        let length = hir.properties().maximum_len();
        let texts = Extractor::new().extract(&hir);
        let exact = texts.is_exact()
            && texts.min_literal_len().is_some_and(|len| len > 0)
            && hir.properties().look_set().is_empty();
        Ok(match texts.literals() {
            Some(texts) if exact => {
                Self::Texts(texts.iter().map(|text| text.as_bytes().to_vec()).collect())
            }
            _ if length.is_some() => Self::Bounded,
            _ => Self::Unbounded,
        })
    }
}

/// User agents are bytes, and `\d` is ten of them.
fn bytes() -> syntax::Config {
    syntax::Config::new().unicode(false).utf8(false)
}

/// The lines that are neither empty nor comments, with their numbers.
fn entries(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
    lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// `CLASS CLIENT DEVICE SYSTEM TEXT`, the text being all the rest of the line.
fn mail_line(line: &str) -> Option<(MailLine, Vec<u8>)> {
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.trim_start().split_once(' ')?;
        rest = after.trim_start();
        Some(word)
    };
    let class = match word()? {
        "gmail_proxy" => MailClass::GmailProxy,
        "yahoo_proxy" => MailClass::YahooProxy,
        "scanner" => MailClass::Scanner,
        "ahead" => MailClass::Ahead,
        "client" => MailClass::Client,
        _ => return None,
    };
    let client = named(&word()?.replace('_', " "), Client::ALL, Client::name)?;
    let device = told(word()?, Device::ALL, Device::name)?;
    let system = told(word()?, System::ALL, System::name)?;
    let (at_start, text) = match rest.strip_prefix('^') {
        Some(text) => (true, text),
        None => (false, rest),
    };
    let line = MailLine { class, client, device, system, at_start };
    (!text.is_empty()).then(|| (line, text.as_bytes().to_vec()))
}

/// The value of that name.
fn named<T: Copy>(name: &str, all: &[T], name_of: fn(T) -> &'static str) -> Option<T> {
    all.iter().copied().find(|&value| name_of(value) == name)
}

/// The value of that name, or that there is none to tell.
fn told<T: Copy>(name: &str, all: &[T], name_of: fn(T) -> &'static str) -> Option<Option<T>> {
    if name == "-" { Some(None) } else { named(name, all, name_of).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_cannot_be_read_names_its_line() {
        let refused = |mail, crawlers| Signatures::compile(mail, crawlers).err().expect("refused");
        assert_eq!(refused("# x\nclient nobody - - Text", ""), "mail.txt:2: not understood");
        assert_eq!(refused("", "bot"), "crawlers.txt:1: a pattern before its class");
        assert!(refused("", "= bot\n(").starts_with("crawlers.txt:2: regex parse error"));
    }

    #[test]
    fn nearly_every_crawler_is_a_plain_text() {
        let shipped = Signatures::shipped();
        assert!(shipped.literals.len() > 1_450, "{}", shipped.literals.len());
        let expressions: usize = shipped.expressions.iter().map(|e| e.classes.len()).sum();
        assert!(expressions < 30, "{expressions}");
        // The edge may hold 20 MB when idle: these lists may take a fortieth of it.
        assert!(shipped.memory() < 500_000, "{}", shipped.memory());
    }

    #[test]
    fn anchors_and_gaps_are_kept() {
        let lists = Signatures::compile("", "= bot\n^curl\nSSL Labs$\nSpider[\\s\\S]*spider\\.com")
            .expect("compiles");
        let bot = |ua: &str| lists.find(ua.as_bytes()).crawler == Some(Crawler::Bot);
        assert!(bot("curl/8.1") && !bot("libcurl/8.1"));
        assert!(bot("by SSL Labs") && !bot("SSL Labs here"));
        assert!(bot("Spider (http://spider.com)") && !bot("spider.com Spider"));
    }

    #[test]
    fn the_gravest_class_wins_wherever_it_stands() {
        let lists = Signatures::compile("", "= scanner\nprobe\n= bot\n[pP]robe one\nbot\n^b")
            .expect("compiles");
        for ua in ["bot probe", "probe bot", "probe one", "b probe"] {
            assert_eq!(lists.find(ua.as_bytes()).crawler, Some(Crawler::Scanner), "{ua}");
        }
    }

    #[test]
    fn the_first_matching_line_of_mail_systems_wins() {
        let lists = Signatures::compile(
            "scanner program server - Two\nclient Outlook phone iOS One\nclient Gmail - - ^Zero",
            "",
        )
        .expect("compiles");
        let class = |ua: &str| lists.find(ua.as_bytes()).mail.map(|line| line.class);
        assert_eq!(class("One Two"), Some(MailClass::Scanner));
        assert_eq!(class("Zero"), Some(MailClass::Client));
        assert_eq!(class("a Zero"), None);
    }
}
