//! Unix sockets: their files, who may connect to them, and names that have no file.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{BACKLOG, BoundListener};

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o777;

/// Who may connect to a unix socket: the mode, owner and group of its file. What is `None` is as the kernel makes it,
/// by the process's umask and user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) mode: Option<u32>,
    pub(crate) owner: Option<u32>,
    pub(crate) group: Option<u32>,
}

/// The file of a unix socket that we listen on. It is removed on drop, if it is still ours.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Opened by O_PATH (open(2)): keeps the inode, by which the file is known, from being used again.
    inode: OwnedFd,
    /// As it was made.
    created: Access,
}

/// Listens at a path. A socket that nobody listens on any more is replaced; everything else that is there stays.
pub(super) fn bind(path: &Path, access: &Access) -> io::Result<(UnixListener, SocketFile)> {
    let address = SockAddr::unix(path)?;
    remove_stale(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    let file = SocketFile::open(path)?;
    // Before it listens: nobody connects by the permissions that it was made with.
    file.set_access(access)?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// Listens at a name in the abstract namespace, which ends with the socket and which everybody may connect to.
pub(super) fn bind_abstract(name: &str) -> io::Result<UnixListener> {
    let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// One queue for all.
pub(super) fn share(first: UnixListener, count: usize) -> io::Result<Vec<BoundListener>> {
    let mut listeners = Vec::with_capacity(count);
    for _ in 1..count {
        listeners.push(BoundListener::Unix(first.try_clone()?));
    }
    listeners.push(BoundListener::Unix(first));
    Ok(listeners)
}

/// The number of a user, by its name.
pub(crate) fn user_id(name: &str) -> io::Result<Option<u32>> {
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

/// The number of a group, by its name.
pub(crate) fn group_id(name: &str) -> io::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// Removes what an earlier process left behind: a socket that nobody listens on.
///
/// Only a refused connection says so (unix(7)). No permission to connect, a queue that is full (EAGAIN, where a connect
/// that may block would wait for ever) and a socket of another type all mean that somebody is there.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(address).map_err(|error| error.kind()) {
        Err(io::ErrorKind::ConnectionRefused) => fs::remove_file(path),
        Err(io::ErrorKind::NotFound) => Ok(()),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl SocketFile {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inode = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        let created = access_of(&inode)?;
        Ok(Self { path: path.to_owned(), inode, created })
    }

    /// The access that it has now.
    pub(crate) fn access(&self) -> io::Result<Access> {
        access_of(&self.inode)
    }

    /// Changes who may connect. What `access` leaves open becomes what it was when the file was made.
    pub(crate) fn set_access(&self, access: &Access) -> io::Result<()> {
        let (now, wanted) = (self.access()?, access.or(&self.created));
        if (wanted.owner, wanted.group) != (now.owner, now.group) {
            let (owner, group) = (wanted.owner.map(Uid::from_raw), wanted.group.map(Gid::from_raw));
            rustix::fs::chownat(&self.inode, "", owner, group, AtFlags::EMPTY_PATH)
                .map_err(|error| io::Error::other(format!("its owner can't be changed: {error}")))?;
        }
        // By the inode, not by the path, which may be a link by now; fchmod(2) does not take what was opened by O_PATH.
        if let Some(mode) = wanted.mode.filter(|_| wanted.mode != now.mode) {
            let path = format!("/proc/self/fd/{}", self.inode.as_raw_fd());
            fs::set_permissions(path, Permissions::from_mode(mode))
                .map_err(|error| io::Error::other(format!("its mode can't be changed: {error}")))?;
        }
        Ok(())
    }

    fn is(&self, found: &Metadata) -> bool {
        rustix::fs::fstat(&self.inode)
            .is_ok_and(|ours| (ours.st_dev, ours.st_ino) == (found.dev(), found.ino()))
    }
}

fn access_of(inode: &OwnedFd) -> io::Result<Access> {
    let found = rustix::fs::fstat(inode)?;
    let mode = Some(found.st_mode & PERMISSIONS);
    Ok(Access { mode, owner: Some(found.st_uid), group: Some(found.st_gid) })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| self.is(&found))
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "can't remove the file of a socket");
        }
    }
}

impl Access {
    fn or(&self, other: &Self) -> Self {
        Self {
            mode: self.mode.or(other.mode),
            owner: self.owner.or(other.owner),
            group: self.group.or(other.group),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & PERMISSIONS
    }

    fn refused(path: &Path) -> io::ErrorKind {
        bind(path, &Access::default()).expect_err("it is taken").kind()
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_the_file_goes_with_its_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, file) = bind(&path, &Access::default()).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        listener.accept().unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn whatever_else_is_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let _live = UnixListener::bind(at("live")).unwrap();
        assert_eq!(refused(&at("live")), io::ErrorKind::AddrInUse);
        let _datagrams = UnixDatagram::bind(at("datagrams")).unwrap();
        assert_eq!(refused(&at("datagrams")), io::ErrorKind::AddrInUse);
        fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink("nowhere", at("link")).unwrap();
        for name in ["file", "link"] {
            assert_eq!(refused(&at(name)), io::ErrorKind::AlreadyExists, "{name}");
            assert!(fs::symlink_metadata(at(name)).is_ok());
        }
    }

    #[test]
    fn a_live_socket_with_a_full_queue_is_neither_waited_for_nor_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full");
        let address = SockAddr::unix(&path).unwrap();
        let live = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        live.bind(&address).unwrap();
        live.listen(0).unwrap();
        let _queued = UnixStream::connect(&path).unwrap();
        assert_eq!(refused(&path), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_file_that_somebody_else_has_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.sock");
        let (_listener, file) = bind(&path, &Access::default()).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn the_mode_is_what_was_asked_for_and_goes_back_to_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.sock");
        let (_listener, file) = bind(&path, &Access::default()).unwrap();
        let by_default = mode(&path);
        for wanted in [0o660, 0o666, 0o600] {
            file.set_access(&Access { mode: Some(wanted), ..Access::default() }).unwrap();
            assert_eq!(mode(&path), wanted);
        }
        file.set_access(&Access::default()).unwrap();
        assert_eq!(mode(&path), by_default);
    }

    #[test]
    fn names_without_a_file_are_taken_once() {
        let name = format!("lb-core-test-{}", std::process::id());
        let _listener = bind_abstract(&name).unwrap();
        assert_eq!(bind_abstract(&name).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        assert!(UnixStream::connect_addr(&address).is_ok());
    }

    #[test]
    fn users_and_groups_are_known_by_name() {
        assert_eq!(user_id("root").unwrap(), Some(0));
        assert_eq!(group_id("root").unwrap(), Some(0));
        assert_eq!(user_id("nobody-has-this-name").unwrap(), None);
    }
}
