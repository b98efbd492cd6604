//! The files of a configuration: one, or the `*.toml` files of a directory in the order of their names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::diagnostics::{Place, Problems};
use super::source::Source;

/// The largest file that is read. A configuration of 10,000 routes is under 1 MiB; without a bound `-c /dev/zero`
/// would take the machine with it.
const LARGEST_BYTES: u64 = 64 << 20;

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
            sources.push(Source::unread(path.to_owned()));
            problems.unreadable(Place { file: 0, offset: 0 }, &error, remedy(&error));
        }
    }
    if sources.is_empty() {
        sources.push(Source::unread(path.to_owned()));
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
        if !is_hidden && file.extension().is_some_and(|extension| extension == "toml") && may_be_text(&file) {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// Whether it is a file, or a link whose end is missing, of which there is something to say. A pipe would be waited for.
fn may_be_text(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file())
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

fn read_file(path: PathBuf, file: usize, problems: &Problems) -> Source {
    match read_bytes(&path) {
        Ok(bytes) => Source::new(path, bytes),
        Err(error) => {
            let place = Place { file, offset: 0 };
            problems.unreadable(place, &error, remedy(&error));
            Source::unread(path)
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
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_directory_is_its_visible_toml_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.toml", "a.toml", ".hidden.toml", "note.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        fs::create_dir(dir.path().join("sub.toml")).unwrap();
        let _socket = UnixListener::bind(dir.path().join("pipe.toml")).unwrap();
        let files = files_of(dir.path()).unwrap();
        assert_eq!(files, [dir.path().join("a.toml"), dir.path().join("b.toml")]);
    }
}
