//! Routes by regular expression: all expressions are looked for in one pass over the path.
//!
//! One automaton holds them all, so that a look-up costs the length of the path and what is found in it, not their
//! number. It is a lazy DFA: its states are made as paths need them, in a [`Memory`] that is bounded. When that is full,
//! its states are thrown away and made again as they are needed.
//!
//! A normalised path is ASCII, and so an expression is reduced to what it can match there: `\w` is 63 characters then,
//! not the more than hundred thousand of Unicode.

use std::fmt;

use regex_automata::hybrid::dfa::{Cache, DFA, OverlappingState};
use regex_automata::nfa::thompson::{NFA, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look, Repetition};
use rustc_hash::FxHashMap;

use super::error::last_line;
use super::hosts::Candidates;
use crate::net::Pool;

/// An expression that a route asks for: parsed, and known to compile.
#[derive(Clone, Debug)]
pub(super) struct PathRegex {
    text: Box<str>,
    hir: Hir,
}

/// The routes of a router by their expressions. Routes of the same expression share it, whatever their hosts.
#[derive(Debug, Default)]
pub(super) struct Regexes {
    /// Invariant: ascends by `lowest`.
    expressions: Vec<Expression>,
    /// One for those that begin with `^`, which are over as soon as none of them goes on, and one for the others.
    automata: Vec<Automaton>,
}

#[derive(Debug)]
struct Expression {
    /// The lowest rank among `candidates`.
    lowest: usize,
    candidates: Candidates,
}

#[derive(Debug)]
struct Automaton {
    dfa: DFA,
    anchored: Anchored,
    /// Where each of its patterns stands among the expressions.
    patterns: Vec<usize>,
}

/// Collects routes by their expressions.
#[derive(Debug, Default)]
pub(super) struct RegexesBuilder {
    places: FxHashMap<Box<str>, usize>,
    hirs: Vec<Hir>,
    expressions: Vec<Expression>,
}

/// Where searches keep what the next ones use again.
#[derive(Debug)]
pub(crate) struct Memories(Pool<Box<Memory>>);

/// What a search needs: the states made so far, and what it finds.
struct Memory {
    /// One for each automaton.
    caches: Vec<Cache>,
    found: Vec<usize>,
    /// By expression: whether it is in `found`.
    is_found: Vec<bool>,
}

/// What one expression may come to, compiled.
const EXPRESSION_BYTES: usize = 10 << 20;
/// What all expressions of a router may come to, compiled.
const AUTOMATON_BYTES: usize = 256 << 20;
/// What the states of an automaton may come to, beyond the few that it can't do without.
const CACHE_BYTES: usize = 8 << 20;

/// How many searches may go on at a time without making new memory: on threads of an embedder's runtime. A worker needs
/// one.
const MEMORIES_RETAINED: usize = 64;

impl PathRegex {
    /// # Errors
    /// In one line, why it does not compile.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
        let hir = decisive_part(ascii_part(parser.parse(text).map_err(|error| last_line(&error))?));
        compile(&[&hir], EXPRESSION_BYTES)?;
        Ok(Self { text: text.into(), hir })
    }
}

impl RegexesBuilder {
    /// The candidates of `regex`, to which the route of rank `rank` is to be added. Ranks ascend.
    pub(super) fn entry(&mut self, regex: &PathRegex, rank: usize) -> &mut Candidates {
        let next = self.expressions.len();
        let place = *self.places.entry(regex.text.clone()).or_insert(next);
        if place == next {
            self.hirs.push(regex.hir.clone());
            self.expressions.push(Expression { lowest: rank, candidates: Candidates::default() });
        }
        &mut self.expressions[place].candidates
    }

    /// # Errors
    /// In one line, why the expressions do not compile together.
    pub(super) fn build(self) -> Result<Regexes, String> {
        let is_anchored = |hir: &Hir| hir.properties().look_set_prefix().contains(Look::Start);
        let mut automata = Vec::new();
        for anchored in [Anchored::Yes, Anchored::No] {
            let belongs = |place: &usize| is_anchored(&self.hirs[*place]) == anchored.is_anchored();
            let patterns: Vec<usize> = (0..self.hirs.len()).filter(belongs).collect();
            if !patterns.is_empty() {
                let hirs: Vec<&Hir> = patterns.iter().map(|&place| &self.hirs[place]).collect();
                automata.push(Automaton { dfa: automaton(&hirs)?, anchored, patterns });
            }
        }
        Ok(Regexes { expressions: self.expressions, automata })
    }
}

impl Regexes {
    pub(super) fn memories(&self) -> Memories {
        Memories(Pool::new(if self.expressions.is_empty() { 0 } else { MEMORIES_RETAINED }))
    }

    /// The lowest rank that `choose` names, asked with each expression that finds something in `path`.
    pub(super) fn find(
        &self,
        path: &[u8],
        memories: &Memories,
        mut choose: impl FnMut(&Candidates) -> Option<usize>,
    ) -> Option<usize> {
        // Without a path there is nothing to look at: CONNECT.
        if self.expressions.is_empty() || path.is_empty() {
            return None;
        }
        let mut memory = memories.0.take().unwrap_or_else(|| Box::new(Memory::of(self)));
        let mut best: Option<usize> = None;
        for &place in self.search(path, &mut memory) {
            let expression = &self.expressions[place];
            if best.is_some_and(|best| best < expression.lowest) {
                break;
            }
            best = best.into_iter().chain(choose(&expression.candidates)).min();
        }
        memories.0.put(memory);
        best
    }

    /// The places of the expressions that find something, ascending.
    fn search<'m>(&self, path: &[u8], memory: &'m mut Memory) -> &'m [usize] {
        let Memory { caches, found, is_found } = memory;
        found.clear();
        for (automaton, cache) in self.automata.iter().zip(caches) {
            let input = Input::new(path).anchored(automaton.anchored);
            let mut state = OverlappingState::start();
            let mut left = automaton.patterns.len();
            // It can't fail: there is no byte that it stops at, and it never gives up.
            while automaton.dfa.try_search_overlapping_fwd(cache, &input, &mut state).is_ok() {
                let Some(found_here) = state.get_match() else { break };
                let place = automaton.patterns[found_here.pattern()];
                if !std::mem::replace(&mut is_found[place], true) {
                    found.push(place);
                    left -= 1;
                }
                // A long path may match at each of its bytes: there is no more to learn of it.
                if left == 0 {
                    break;
                }
            }
        }
        found.iter().for_each(|&place| is_found[place] = false);
        found.sort_unstable();
        found
    }
}

impl Memory {
    fn of(regexes: &Regexes) -> Self {
        Self {
            caches: regexes.automata.iter().map(|automaton| automaton.dfa.create_cache()).collect(),
            found: Vec::new(),
            is_found: vec![false; regexes.expressions.len()],
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.caches.iter().map(Cache::memory_usage).sum();
        f.debug_struct("Memory").field("bytes", &bytes).finish_non_exhaustive()
    }
}

fn compile(hirs: &[&Hir], bytes: usize) -> Result<NFA, String> {
    let config = NFA::config().utf8(false).which_captures(WhichCaptures::None);
    let compiled = NFA::compiler().configure(config.nfa_size_limit(Some(bytes))).build_many_from_hir(hirs);
    compiled.map_err(|error| last_line(&error))
}

fn automaton(hirs: &[&Hir]) -> Result<DFA, String> {
    let nfa = compile(hirs, AUTOMATON_BYTES)?;
    let config = DFA::config().match_kind(MatchKind::All);
    let least = config.get_minimum_cache_capacity(&nfa).map_err(|error| last_line(&error))?;
    let config = config.cache_capacity(least.saturating_add(CACHE_BYTES));
    DFA::builder().configure(config).build_from_nfa(nfa).map_err(|error| last_line(&error))
}

/// The part of an expression that decides whether it finds something: what may be nothing at its end finds as much
/// when it is left out, but is found again at each further byte. So `^/api/.*` is `^/api/`, as is `^/api/.*$`, since a
/// path has visible characters only.
fn decisive_part(hir: Hir) -> Hir {
    let mut parts = match hir.kind() {
        HirKind::Concat(parts) => parts.clone(),
        _ => vec![hir],
    };
    loop {
        match &parts[..] {
            [.., anything, end] if *end.kind() == HirKind::Look(Look::End) && takes_any_path(anything) => {
                parts.pop();
            }
            [.., last] if is_optional(last) => {}
            _ => return Hir::concat(parts),
        }
        parts.pop();
    }
}

fn is_optional(hir: &Hir) -> bool {
    hir.properties().minimum_len() == Some(0) && hir.properties().look_set().is_empty()
}

/// Whether it is `.*` or takes as much.
fn takes_any_path(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Repetition(Repetition { min: 0, max: None, sub, .. }) => match sub.kind() {
            HirKind::Class(Class::Bytes(class)) => {
                class.ranges().iter().any(|range| range.start() <= b'!' && range.end() >= b'~')
            }
            _ => false,
        },
        _ => false,
    }
}

/// What of an expression matters where all text is ASCII.
fn ascii_part(hir: Hir) -> Hir {
    match hir.into_kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0),
        HirKind::Class(Class::Unicode(mut class)) => {
            class.intersect(&ClassUnicode::new([ClassUnicodeRange::new('\0', '\x7f')]));
            Hir::class(class.to_byte_class().map_or(Class::Unicode(class), Class::Bytes))
        }
        HirKind::Class(class) => Hir::class(class),
        HirKind::Look(look) => Hir::look(ascii_look(look)),
        HirKind::Repetition(repetition) => {
            let sub = Box::new(ascii_part(*repetition.sub));
            Hir::repetition(Repetition { sub, ..repetition })
        }
        // What is captured is of no use.
        HirKind::Capture(capture) => ascii_part(*capture.sub),
        HirKind::Concat(parts) => Hir::concat(parts.into_iter().map(ascii_part).collect()),
        HirKind::Alternation(parts) => Hir::alternation(parts.into_iter().map(ascii_part).collect()),
    }
}

/// A lazy DFA knows the borders of words in ASCII alone.
fn ascii_look(look: Look) -> Look {
    match look {
        Look::WordUnicode => Look::WordAscii,
        Look::WordUnicodeNegate => Look::WordAsciiNegate,
        Look::WordStartUnicode => Look::WordStartAscii,
        Look::WordEndUnicode => Look::WordEndAscii,
        Look::WordStartHalfUnicode => Look::WordStartHalfAscii,
        Look::WordEndHalfUnicode => Look::WordEndHalfAscii,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;

    fn filed(texts: &[impl AsRef<str>]) -> Regexes {
        let mut builder = RegexesBuilder::default();
        for (rank, text) in texts.iter().enumerate() {
            let regex = PathRegex::parse(text.as_ref()).expect("a valid expression");
            builder.entry(&regex, rank).push(rank, &[]);
        }
        builder.build().expect("small enough")
    }

    /// All ranks found, in the order in which they are preferred.
    fn found(regexes: &Regexes, memories: &Memories, path: &str) -> Vec<usize> {
        let mut out = Vec::new();
        while let Some(rank) = regexes
            .find(path.as_bytes(), memories, |candidates| candidates.first(b"", |rank| !out.contains(&rank)))
        {
            out.push(rank);
        }
        out
    }

    #[test]
    fn what_is_found_comes_in_the_order_given() {
        let texts = ["b", "^/a", "^/a", "b$", r"^/\w+/\d+$", "", r"\bc\b", "(?i)^/A[^/]*$", "é", r"^/(a|x)"];
        let regexes = filed(&texts);
        assert_eq!((regexes.expressions.len(), regexes.automata.len()), (9, 2));
        let memories = regexes.memories();
        for (path, want) in [
            ("/a", &[1, 2, 5, 7, 9][..]),
            ("/ab", &[0, 1, 2, 3, 5, 7, 9]),
            ("/b/c", &[0, 5, 6]),
            ("/x/12", &[4, 5, 9]),
            ("*", &[5]),
            ("", &[]),
        ] {
            assert_eq!(found(&regexes, &memories, path), want, "{path}");
        }
    }

    #[test]
    fn what_decides_nothing_is_not_looked_for_at_each_byte() {
        let hir = |text: &str| PathRegex::parse(text).expect("a valid expression").hir;
        for (text, same) in [
            ("^/api/.*", "^/api/"),
            ("^/api/.*$", "^/api/"),
            ("^/api(?:/.*)?", "^/api"),
            (r"^/a\.php(?s:.*)$", r"^/a\.php"),
            (".*", ""),
        ] {
            assert_eq!(hir(text), hir(same), "{text}");
        }
        for text in ["^/a[a-z]*$", r"^/a.*\.php$", "^/a.+", "^/a$"] {
            assert_ne!(hir(text), hir("^/a"), "{text}");
        }
    }

    #[test]
    fn an_expression_that_is_too_large_is_refused() {
        for text in ["(?:a{1000}){1000}", r"(?:\w{1000}){1000}"] {
            let reason = PathRegex::parse(text).expect_err("too large");
            assert!(reason.contains("limit of 10485760"), "{reason}");
        }
        // Of Unicode this would be 30 times as large.
        assert!(PathRegex::parse(r"^(?:/\w{20}){100}").is_ok());
    }

    #[test]
    fn memory_is_bounded_however_many_paths_are_asked_for() {
        // Needs a state for each pattern of `a` among the last 24 bytes.
        let regexes = filed(&["a.{24}$", "^/b"]);
        let capacity = |automaton: &Automaton| automaton.dfa.get_config().get_cache_capacity();
        let bound: usize = regexes.automata.iter().map(capacity).sum();
        let mut memory = Memory::of(&regexes);
        let mut random = fastrand::Rng::with_seed(7);
        let mut is_cleared = false;
        for _ in 0..400 {
            let path: Vec<u8> =
                std::iter::repeat_with(|| if random.bool() { b'a' } else { b'b' }).take(400).collect();
            let is_found = path[path.len() - 25] == b'a';
            assert_eq!(regexes.search(&path, &mut memory), if is_found { &[0][..] } else { &[] });
            let used: usize = memory.caches.iter().map(Cache::memory_usage).sum();
            assert!(used <= bound, "{used} of {bound}");
            is_cleared |= memory.caches.iter().any(|cache| cache.clear_count() > 0);
        }
        assert!(is_cleared, "the bound was never met");
    }

    const PARTS: &[&str] = &[
        "a",
        "b",
        "/",
        ".",
        "[^/]",
        r"\w",
        r"\d+",
        "a*",
        "(?:ab|/b)",
        "^",
        "$",
        r"\b",
        r"\B",
        "(?i)A",
        "é",
        r"\S{2}",
    ];

    proptest! {
        #[test]
        fn it_finds_what_each_expression_by_itself_finds(
            texts in prop::collection::vec(prop::collection::vec(prop::sample::select(PARTS), 0..5), 1..8),
            path in "[/a-cA0%-]{1,12}",
        ) {
            let texts: Vec<String> = texts.iter().map(|parts| parts.concat()).collect();
            let regexes = filed(&texts);
            let each = texts.iter().enumerate();
            let want: Vec<usize> = each
                .filter(|(_, text)| Regex::new(text).expect("valid").is_match(path.as_bytes()))
                .map(|(rank, _)| rank)
                .collect();
            prop_assert_eq!(found(&regexes, &regexes.memories(), &path), want);
        }
    }
}
