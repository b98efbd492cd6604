//! `/etc/hosts` (hosts(5)), read by lines of bytes: what one line holds, in whatever encoding, hides no other.
//!
//! The text is kept as it is, and searched at each lookup: 200,000 lines of a blocklist cost their own size and a
//! fraction of a millisecond, where a table of them would cost a hundred times as much.

use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use memchr::{memchr, memmem, memrchr};

use crate::sys::FileStamp;

/// The file, read again when it has changed.
#[derive(Debug)]
pub(super) struct Hosts {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// In lower case, for names are compared without.
    text: Vec<u8>,
    /// Of the file that was read; none if it may have changed again within its timestamps' grain.
    stamp: Option<FileStamp>,
}

/// No file system's timestamps are coarser.
const GRAIN: Duration = Duration::from_secs(2);

impl Hosts {
    /// Reads nothing yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, held: Mutex::default() }
    }

    /// The addresses on the lines that name `host`; none where there is no file.
    pub(super) fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        match self.refresh(&mut held) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => *held = Held::default(),
            // For want of descriptors, say: what was read last holds.
            _ => {}
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        find(&held.text, host.as_bytes())
    }

    fn refresh(&self, held: &mut Held) -> io::Result<()> {
        if held.stamp.is_some() && held.stamp == Some(FileStamp::of(&std::fs::metadata(&self.path)?)) {
            return Ok(());
        }
        let now = SystemTime::now();
        let mut file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        text.make_ascii_lowercase();
        text.shrink_to_fit();
        let is_settled = |at: io::Result<SystemTime>| {
            at.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > GRAIN))
        };
        let stamp = is_settled(metadata.modified()).then(|| FileStamp::of(&metadata));
        *held = Held { text, stamp };
        Ok(())
    }
}

/// Looks at each line once, and only at those where the name stands as a part of something.
fn find(text: &[u8], host: &[u8]) -> Vec<IpAddr> {
    let finder = memmem::Finder::new(host);
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = finder.find(rest) {
        let start = memrchr(b'\n', &rest[..at]).map_or(0, |before| before + 1);
        let end = memchr(b'\n', &rest[at..]).map_or(rest.len(), |after| at + after);
        found.extend(address_for(&rest[start..end], host));
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    found
}

/// The address of a line, if it is one for `host`.
fn address_for(line: &[u8], host: &[u8]) -> Option<IpAddr> {
    let line = &line[..memchr(b'#', line).unwrap_or(line.len())];
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let addr = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    words.any(|word| word == host).then_some(addr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(bytes: &[u8]) -> (tempfile::TempDir, Hosts) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hosts");
        std::fs::write(&path, bytes).unwrap();
        (folder, Hosts::new(path))
    }

    fn texts(addrs: &[IpAddr]) -> Vec<String> {
        addrs.iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn a_line_is_an_address_and_its_names() {
        let (_folder, hosts) = hosts(
            b"127.0.0.1\tlocalhost\n10.0.0.1 web Web-2 # api\n#10.0.0.2 web\n  fd00::1  web\r\n\
              10.0.0.3 web.lan my-web\nno-address web\n10.0.0.4\n\n10.0.0.5 last",
        );
        let cases: [(&str, &[&str]); 9] = [
            ("web", &["10.0.0.1", "fd00::1"]),
            ("WEB-2", &["10.0.0.1"]),
            ("web.lan", &["10.0.0.3"]),
            ("web.", &["10.0.0.1", "fd00::1"]),
            ("last", &["10.0.0.5"]),
            ("api", &[]),
            ("lan", &[]),
            ("10.0.0.4", &[]),
            ("w", &[]),
        ];
        for (host, expected) in cases {
            assert_eq!(texts(&hosts.addresses(host)), expected, "{host}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_hide_no_line() {
        let (_folder, hosts) =
            hosts(b"10.0.0.1 before # caf\xe9\n10.0.0.2 caf\xe9 inside\n\xff\xfe\0\n10.0.0.3 after\n");
        for (host, expected) in [("before", "10.0.0.1"), ("inside", "10.0.0.2"), ("after", "10.0.0.3")] {
            assert_eq!(texts(&hosts.addresses(host)), [expected], "{host}");
        }
    }

    #[test]
    fn a_long_file_takes_no_more_than_its_size() {
        let mut text = String::new();
        for line in 0..200_000 {
            text += &format!("0.0.0.0 ads-{line}.example\n");
        }
        let length = text.len();
        let (_folder, hosts) = hosts((text + "10.0.0.1 web\n").as_bytes());
        assert_eq!(texts(&hosts.addresses("web")), ["10.0.0.1"]);
        assert_eq!(texts(&hosts.addresses("ads-199999.example")), ["0.0.0.0"]);
        assert!(hosts.held.lock().unwrap().text.capacity() < length + 4096);
    }

    #[test]
    fn a_change_is_seen_even_if_it_leaves_length_and_time_alone() {
        let (folder, hosts) = hosts(b"10.0.0.1 web\n");
        let path = folder.path().join("hosts");
        for round in [2, 3, 4] {
            std::fs::write(&path, format!("10.0.0.{round} web\n")).unwrap();
            assert_eq!(texts(&hosts.addresses("web")), [format!("10.0.0.{round}")]);
        }
        std::fs::remove_file(&path).unwrap();
        assert!(hosts.addresses("web").is_empty());
    }

    #[test]
    fn what_has_not_changed_is_not_read_again() {
        let (folder, hosts) = hosts(b"10.0.0.1 web\n");
        let path = folder.path().join("hosts");
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
        File::options().write(true).open(&path).unwrap().set_modified(an_hour_ago).unwrap();
        hosts.addresses("web");
        // Not what the file says: whoever reads it again would not find this.
        hosts.held.lock().unwrap().text = b"10.0.0.9 web\n".to_vec();
        assert_eq!(texts(&hosts.addresses("web")), ["10.0.0.9"]);
        let again = folder.path().join("again");
        std::fs::write(&again, "10.0.0.2 web\n").unwrap();
        std::fs::rename(&again, &path).unwrap();
        assert_eq!(texts(&hosts.addresses("web")), ["10.0.0.2"], "another file of the same length");
    }

    #[test]
    fn what_cannot_be_read_leaves_what_was() {
        let (folder, hosts) = hosts(b"10.0.0.1 web\n");
        hosts.addresses("web");
        let path = folder.path().join("hosts");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(texts(&hosts.addresses("web")), ["10.0.0.1"], "a folder can be opened, not read");
    }
}
