//! The text of a configuration: one file, or the `*.toml` files of a directory in the order of their names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::diagnostics::{Place, Problems};

/// The largest file that is read. A configuration of 10,000 routes is under 1 MiB; without a bound `-c /dev/zero`
/// would take the machine with it.
const LARGEST_BYTES: u64 = 64 << 20;

/// One file as it was read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// What the hash covers: the bytes on disk, also when they are not UTF-8.
    bytes: Vec<u8>,
}

impl Source {
    pub(crate) fn new(path: PathBuf, bytes: Vec<u8>) -> Self {
        let text = String::from_utf8_lossy(&bytes);
        // Windows editors begin a file with a byte order mark; it is no character of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        Self { path, text, bytes }
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

/// Reads what `path` names. What can't be read is a problem, and its source is empty.
pub(crate) fn read(path: &Path, problems: &Problems) -> Vec<Source> {
    let mut sources = Vec::new();
    match files_of(path) {
        Ok(files) => {
            for (index, file) in files.into_iter().enumerate() {
                sources.push(read_file(file, index, problems));
            }
        }
        Err(error) => {
            sources.push(Source::new(path.to_owned(), Vec::new()));
            let place = Place { file: 0, offset: 0 };
            problems.syntax(place, format_args!("cannot be read: {error}"), remedy(&error));
        }
    }
    if sources.is_empty() {
        sources.push(Source::new(path.to_owned(), Vec::new()));
        let place = Place { file: 0, offset: 0 };
        problems.syntax(place, "the directory holds no *.toml file", "add one, or name a file");
    }
    sources
}

/// The files that make up the configuration at `path` now.
///
/// Names that begin with a dot are left out: editors' locks and swap files, and Kubernetes' `..data`.
pub(crate) fn files_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let is_hidden = file.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && file.extension().is_some_and(|extension| extension == "toml") && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one file, at most [`LARGEST_BYTES`] of it.
pub(crate) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(LARGEST_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read <= LARGEST_BYTES) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {LARGEST_BYTES} bytes")))
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
    content_hash(sources.iter().map(|source| source.bytes.as_slice()))
}

fn read_file(path: PathBuf, file: usize, problems: &Problems) -> Source {
    match read_bytes(&path) {
        Ok(bytes) => {
            if let Err(error) = std::str::from_utf8(&bytes) {
                let place = Place { file, offset: error.valid_up_to() };
                problems.syntax(place, "not UTF-8 text", "save the file as UTF-8");
            }
            Source::new(path, bytes)
        }
        Err(error) => {
            let place = Place { file, offset: 0 };
            problems.syntax(place, format_args!("cannot be read: {error}"), remedy(&error));
            Source::new(path, Vec::new())
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "check the path, or name another file with -c",
        io::ErrorKind::PermissionDenied => "let this user read it",
        io::ErrorKind::FileTooLarge => "name a configuration file",
        _ => "check that it is a readable file",
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

    #[test]
    fn a_directory_is_its_visible_toml_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "note.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("sub.toml")).unwrap();
        let files = files_of(dir.path()).unwrap();
        assert_eq!(files, [dir.path().join("a.toml"), dir.path().join("b.toml")]);
    }
}
