//! Routes by path prefix: a tree of segments, and a sorted list for plain string prefixes.
//!
//! Both offer every prefix of a path, the longest first, so that a route whose other conditions fail gives way
//! to a shorter one. A look-up costs the length of the path and of the matching prefixes, not their number.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::hosts::Candidates;

/// Prefixes by whole segments: `/admin` holds `/admin` and `/admin/x`, not `/administrator`.
#[derive(Debug)]
pub(super) struct SegmentTree {
    /// The first is the root, the prefix `/`.
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    parent: Option<usize>,
    children: FxHashMap<Box<[u8]>, usize>,
    candidates: Candidates,
}

impl SegmentTree {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// The candidates of a normalised `prefix` without trailing slash; the root's is empty.
    pub(super) fn entry(&mut self, prefix: &[u8]) -> &mut Candidates {
        let mut at = 0;
        for segment in prefix.split(|&byte| byte == b'/').skip(1) {
            at = match self.nodes[at].children.get(segment) {
                Some(&child) => child,
                None => {
                    let child = self.nodes.len();
                    self.nodes.push(Node { parent: Some(at), ..Node::default() });
                    self.nodes[at].children.insert(segment.into(), child);
                    child
                }
            };
        }
        &mut self.nodes[at].candidates
    }

    /// What `choose` finds first, asked with each prefix of the normalised `path`, the longest first.
    pub(super) fn find<R>(&self, path: &[u8], mut choose: impl FnMut(&Candidates) -> Option<R>) -> Option<R> {
        let mut node = &self.nodes[0];
        for segment in path.strip_prefix(b"/")?.split(|&byte| byte == b'/') {
            match node.children.get(segment) {
                Some(&child) => node = &self.nodes[child],
                None => break,
            }
        }
        loop {
            match choose(&node.candidates) {
                None => node = &self.nodes[node.parent?],
                chosen => return chosen,
            }
        }
    }
}

/// Plain string prefixes: `/adm` holds `/admin` and `/adm/x`.
///
/// A trie flattened: texts that begin a path are before it in order, and whatever stands between the two also
/// begins with that text. So the nearest text before a path leads to all of them over `shorter`.
#[derive(Debug)]
pub(super) struct Beginnings {
    /// Invariant: ascends by `text`, each once.
    all: Vec<Beginning>,
}

#[derive(Debug)]
struct Beginning {
    text: Box<[u8]>,
    /// The longest other text that this one begins with.
    shorter: Option<usize>,
    candidates: Candidates,
}

impl Beginnings {
    pub(super) fn new(texts: BTreeMap<Box<[u8]>, Candidates>) -> Self {
        let mut all: Vec<Beginning> = Vec::with_capacity(texts.len());
        for (text, candidates) in texts {
            let mut shorter = all.len().checked_sub(1);
            while let Some(at) = shorter
                && !text.starts_with(&all[at].text)
            {
                shorter = all[at].shorter;
            }
            all.push(Beginning { text, shorter, candidates });
        }
        Self { all }
    }

    /// What `choose` finds first, asked with each text that `path` begins with, the longest first.
    pub(super) fn find<R>(&self, path: &[u8], mut choose: impl FnMut(&Candidates) -> Option<R>) -> Option<R> {
        let mut at = self.all.partition_point(|beginning| *beginning.text <= *path).checked_sub(1);
        while let Some(beginning) = at.map(|at| &self.all[at]) {
            if path.starts_with(&beginning.text)
                && let Some(chosen) = choose(&beginning.candidates)
            {
                return Some(chosen);
            }
            at = beginning.shorter;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The ranks offered, in order, by a look-up that is never content.
    fn offered(find: impl FnOnce(&mut dyn FnMut(&Candidates) -> Option<()>) -> Option<()>) -> Vec<usize> {
        let mut ranks = Vec::new();
        let end = find(&mut |candidates| {
            ranks.extend(candidates.first(b"", |_| true));
            None
        });
        assert_eq!(end, None);
        ranks
    }

    fn check(texts: &BTreeSet<String>, path: &str, by_segments: bool, ranks: &[usize]) {
        let begins = |text: &str| {
            path.strip_prefix(text)
                .is_some_and(|rest| !by_segments || rest.is_empty() || rest.starts_with('/'))
        };
        let mut want: Vec<_> = texts.iter().enumerate().filter(|(_, text)| begins(text)).collect();
        want.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
        let want: Vec<_> = want.into_iter().map(|(rank, _)| rank).collect();
        assert_eq!(ranks, want, "{path} in {texts:?}");
    }

    proptest! {
        #[test]
        fn every_prefix_is_offered_the_longest_first(
            texts in prop::collection::btree_set("(/[ab]{1,2}){0,4}", 0..20),
            path in "(/[ab]{1,2}){1,5}/?",
        ) {
            let mut tree = SegmentTree::new();
            for (rank, text) in texts.iter().enumerate() {
                tree.entry(text.as_bytes()).push(rank, &[]);
            }
            check(&texts, &path, true, &offered(|choose| tree.find(path.as_bytes(), choose)));
        }

        #[test]
        fn every_beginning_is_offered_the_longest_first(
            texts in prop::collection::btree_set("/[ab/]{0,5}", 0..20),
            path in "/[ab/]{0,8}",
        ) {
            let mut filed: BTreeMap<Box<[u8]>, Candidates> = BTreeMap::new();
            for (rank, text) in texts.iter().enumerate() {
                filed.entry(text.as_bytes().into()).or_default().push(rank, &[]);
            }
            let beginnings = Beginnings::new(filed);
            check(&texts, &path, false, &offered(|choose| beginnings.find(path.as_bytes(), choose)));
        }
    }
}
