//! Real files and real events; nothing sleeps, and the only clock is a limit far beyond what is needed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::config::source::content_hash;

const FAR: Duration = Duration::from_secs(20);

type Way = fn(&Path, &str);

/// The ways in which a configuration changes under its name. Each is given the name and the new content.
const WAYS: [(&str, Way); 4] = [
    ("written in place", |path, text| fs::write(path, text).unwrap()),
    ("renamed over, as editors do", |path, text| {
        let new = path.with_extension("tmp");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }),
    ("moved away and written anew, as vim does", |path, text| {
        fs::rename(path, path.with_extension("old")).unwrap();
        fs::write(path, text).unwrap();
    }),
    ("truncated, then written", |path, text| {
        fs::write(path, "").unwrap();
        fs::write(path, text).unwrap();
    }),
];

fn hash(text: &str) -> String {
    content_hash([text.as_bytes()])
}

/// Waits for changes until the content is `text`; a machine that stands still between two writes shows half of it.
async fn until(watch: &mut Watch, text: &str, what: &str) {
    while watch.seen != hash(text) {
        timeout(FAR, watch.changed()).await.unwrap_or_else(|_| panic!("{what}: never seen"));
    }
}

#[tokio::test]
async fn every_way_of_changing_a_file_is_seen_again_and_again() {
    for (what, change) in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.toml");
        fs::write(&path, "0").unwrap();
        let mut watch = Watch::new(&path, hash("0"));
        for text in ["1", "2", "3"] {
            change(&path, text);
            until(&mut watch, text, what).await;
        }
    }
}

/// As Kubernetes mounts a ConfigMap: lb.toml -> ..data/lb.toml, ..data -> ..1, and ..data is renamed over.
struct ConfigMap(tempfile::TempDir);

impl ConfigMap {
    fn new() -> Self {
        let map = Self(tempfile::tempdir().unwrap());
        map.swap("..0", "0");
        symlink("..data/lb.toml", map.path().join("lb.toml")).unwrap();
        map
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn swap(&self, version: &str, text: &str) {
        fs::create_dir(self.path().join(version)).unwrap();
        fs::write(self.path().join(version).join("lb.toml"), text).unwrap();
        symlink(version, self.path().join("..tmp")).unwrap();
        fs::rename(self.path().join("..tmp"), self.path().join("..data")).unwrap();
    }
}

#[tokio::test]
async fn swapped_links_are_seen() {
    for name in ["lb.toml", "", "..data/lb.toml"] {
        let map = ConfigMap::new();
        let mut watch = Watch::new(map.path().join(name), hash("0"));
        map.swap("..1", "1");
        until(&mut watch, "1", name).await;
        fs::write(map.path().join("..1/lb.toml"), "2").unwrap();
        until(&mut watch, "2", name).await;
        map.swap("..3", "3");
        fs::remove_dir_all(map.path().join("..1")).unwrap();
        until(&mut watch, "3", name).await;
    }
}

#[tokio::test]
async fn events_alone_notice_swapped_links_and_what_is_written_behind_them() {
    for name in ["lb.toml", "", "..data/lb.toml"] {
        let map = ConfigMap::new();
        let source = map.path().join(name);
        let mut events = FileEvents::default();
        events.watch(Places::of(&source, &[]));
        map.swap("..1", "1");
        timeout(FAR, events.next()).await.expect(name);
        // The rest of the swap's events, so that the next is of the next change.
        while timeout(QUIET, events.next()).await.is_ok() {}
        events.watch(Places::of(&source, &[]));
        fs::write(map.path().join("..1/lb.toml"), "2").unwrap();
        timeout(FAR, events.next()).await.expect(name);
    }
}

#[tokio::test]
async fn files_of_a_directory_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.toml"), "a").unwrap();
    let mut watch = Watch::new(dir.path(), content_hash([&b"a"[..]]));
    for (name, text, expected) in [("b.toml", Some("b"), &[&b"a"[..], b"b"][..]), ("a.toml", None, &[b"b"])] {
        let path = dir.path().join(name);
        match text {
            Some(text) => fs::write(path, text).unwrap(),
            None => fs::remove_file(path).unwrap(),
        }
        while watch.seen != content_hash(expected.iter().copied()) {
            timeout(FAR, watch.changed()).await.expect(name);
        }
    }
}

#[tokio::test]
async fn named_files_are_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cert) = (dir.path().join("lb.toml"), dir.path().join("site.pem"));
    fs::write(&path, "x").unwrap();
    fs::write(&cert, "1").unwrap();
    let mut watch = Watch::new(&path, hash("x"));
    watch.follow(vec![cert.clone()], content_hash([&b"x"[..], b"1"]));
    fs::write(&cert, "2").unwrap();
    while watch.seen != content_hash([&b"x"[..], b"2"]) {
        timeout(FAR, watch.changed()).await.unwrap();
    }
}

#[tokio::test]
async fn what_changed_before_the_watch_is_reported_at_once_and_equal_content_never() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.toml");
    fs::write(&path, "1").unwrap();
    let mut watch = Watch::new(&path, hash("0"));
    timeout(FAR, watch.changed()).await.unwrap();
    assert_eq!(watch.seen, hash("1"));
    // Written again with what it held, then a neighbour, then another content: the first report is of that.
    fs::write(&path, "1").unwrap();
    fs::write(dir.path().join("access.log"), "line").unwrap();
    let change = async {
        tokio::task::yield_now().await;
        fs::write(path.with_extension("new"), "2").unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
    };
    let (result, ()) = tokio::join!(timeout(FAR, watch.changed()), change);
    result.unwrap();
    assert_eq!(watch.seen, hash("2"));
}

/// The two ways of noticing, each on its own.
#[tokio::test]
async fn events_alone_notice_each_way() {
    for (what, change) in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.toml");
        fs::write(&path, "0").unwrap();
        let mut events = FileEvents::default();
        events.watch(Places::of(&path, &[]));
        change(&path, "1");
        timeout(FAR, events.next()).await.expect(what);
    }
}

#[tokio::test]
async fn a_write_through_another_name_is_an_event() {
    // What a bind mount does: the directory in which the file changes is another one.
    let dir = tempfile::tempdir().unwrap();
    let (host, container) = (dir.path().join("host"), dir.path().join("container"));
    fs::create_dir(&host).unwrap();
    fs::create_dir(&container).unwrap();
    fs::write(host.join("lb.toml"), "0").unwrap();
    fs::hard_link(host.join("lb.toml"), container.join("lb.toml")).unwrap();
    let mut events = FileEvents::default();
    events.watch(Places::of(&container.join("lb.toml"), &[]));
    fs::write(host.join("lb.toml"), "1").unwrap();
    timeout(FAR, events.next()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_poll_alone_notices_each_way() {
    for (what, change) in WAYS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.toml");
        fs::write(&path, "0").unwrap();
        let before = stamps(&path, &[]);
        // Longer than the old one: a file system's clock may stand still between two writes.
        change(&path, "longer");
        timeout(FAR, stamps_changed(&path, &[], before)).await.expect(what);
    }
}

#[test]
fn a_mode_that_changes_is_noticed() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.toml");
    fs::write(&path, "0").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let before = stamps(&path, &[]);
    // A file system's clock may stand still between two changes.
    while stamps(&path, &[]) == before {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn what_can_not_be_read_is_the_same_to_the_loader() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("empty")).unwrap();
    for name in ["empty", "missing.toml"] {
        let path = dir.path().join(name);
        let refused = crate::config::load(&path, |_| None).unwrap_err();
        assert_eq!(refused.hash(), hash_now(&path, &[]), "{name}");
    }
}
