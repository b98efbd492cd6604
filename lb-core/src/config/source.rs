//! A configuration's text as it was read, with its positions and its hash.

use std::path::PathBuf;

/// One file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// What the hash covers: the bytes on disk, also when they are not UTF-8. `None`: they can't be read.
    bytes: Option<Vec<u8>>,
}

impl Source {
    pub(crate) fn new(path: PathBuf, bytes: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&bytes);
        // Windows editors begin a file with a byte order mark; it is no character of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        Self { path, text, bytes: Some(bytes) }
    }

    /// Stands for what can't be read.
    pub(crate) fn unread(path: PathBuf) -> Self {
        Self { path, text: String::new(), bytes: None }
    }

    /// As it is on disk.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    pub(crate) fn line_starts(&self) -> Vec<usize> {
        std::iter::once(0).chain(self.text.match_indices('\n').map(|(at, _)| at + 1)).collect()
    }

    /// Line and column of a byte offset, both from 1; `line_starts` as this source returned them.
    pub(crate) fn position(&self, line_starts: &[usize], offset: usize) -> (usize, usize) {
        let offset = offset.min(self.text.len());
        let line = line_starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|index| line_starts.get(index)).copied().unwrap_or(0);
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count());
        (line, column + 1)
    }
}

/// A short stable hash of contents, to show and to tell versions apart: FNV-1a of 64 bits over each content and
/// its length. Not for defence: whoever writes the configuration needs no collision.
pub(crate) fn content_hash<'a>(contents: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    for content in contents {
        content.iter().copied().for_each(&mut add);
        content.len().to_le_bytes().into_iter().for_each(&mut add);
    }
    format!("{hash:016x}")
}

/// [`content_hash`] of what was read.
pub(crate) fn hash_of(sources: &[Source]) -> String {
    hash_read(sources.iter().map(|source| source.bytes.as_deref()))
}

/// [`content_hash`] of contents, unless there are none or one can't be read: that is a state of its own.
pub(crate) fn hash_read<'a>(contents: impl Iterator<Item = Option<&'a [u8]>>) -> String {
    let contents: Option<Vec<&[u8]>> = contents.collect();
    match contents {
        Some(contents) if !contents.is_empty() => content_hash(contents),
        _ => "unreadable".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source::new("x".into(), "äb\nc\n".into());
        let lines = source.line_starts();
        for (offset, expected) in
            [(0, (1, 1)), (2, (1, 2)), (3, (1, 3)), (4, (2, 1)), (5, (2, 2)), (6, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(source.position(&lines, offset), expected, "offset {offset}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_character() {
        assert_eq!(Source::new("x".into(), "\u{feff}a".into()).text, "a");
    }

    #[test]
    fn the_hash_tells_contents_and_their_borders_apart() {
        let hash = |contents: &[&str]| content_hash(contents.iter().map(|c| c.as_bytes()));
        assert_eq!(hash(&["ab"]), hash(&["ab"]));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_ne!(hash(&[]), hash(&[""]));
        assert_eq!(hash(&["x"]).len(), 16);
    }
}
