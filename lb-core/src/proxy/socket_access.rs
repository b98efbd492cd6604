//! Who may connect to a frontend's unix sockets.

use std::io;

use super::BuildProblem;
use crate::sys::{self, Access};

/// The mode, owner and group of a frontend's unix sockets, which say who may connect (unix(7)). What is not set is as
/// for any new file: by the process's umask and user.
///
/// ```
/// use lb_core::prelude::*;
/// use lb_core::proxy::SocketAccess;
///
/// let shop = Backend::builder("shop").server("10.0.0.1:80").build()?;
/// let web = Frontend::http("web")
///     .listen("unix:/run/lb.sock")
///     .socket_access(SocketAccess::new().mode(0o660).group("root"))
///     .backend(&shop);
/// # let proxy = Proxy::builder().frontend(web).build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketAccess {
    mode: Option<u32>,
    owner: Option<String>,
    group: Option<String>,
}

/// The number -1.
const UNCHANGED: u32 = u32::MAX;

impl SocketAccess {
    /// Sets nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the permission bits, such as `0o660`; connecting takes the right to write.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Gives them to this user, a name or a number. Takes the right to do so (chown(2)).
    #[must_use]
    pub fn owner(mut self, user: impl Into<String>) -> Self {
        self.owner = Some(user.into());
        self
    }

    /// Gives them to this group, a name or a number: one that the process is in, unless it may do more.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Looks names up.
    pub(super) fn resolve(&self) -> Result<Access, Vec<BuildProblem>> {
        let mut problems = Vec::new();
        let mode = self.mode.filter(|mode| {
            let is_one = *mode <= 0o777;
            if !is_one {
                problems.push(BuildProblem::SocketMode(*mode));
            }
            is_one
        });
        let mut number = |name: &Option<String>, kind, find: fn(&str) -> io::Result<Option<u32>>| {
            let name = name.as_deref()?;
            let found = name.parse().map(Some).or_else(|_not_a_number| find(name));
            let why = match found {
                Ok(Some(UNCHANGED)) => "it is the number by which chown(2) changes nothing".to_owned(),
                Ok(Some(number)) => return Some(number),
                Ok(None) => "this system knows none of the name".to_owned(),
                Err(error) => error.to_string(),
            };
            problems.push(BuildProblem::Account { kind, name: name.to_owned(), why });
            None
        };
        let owner = number(&self.owner, "user", sys::user_id);
        let group = number(&self.group, "group", sys::group_id);
        if problems.is_empty() { Ok(Access { mode, owner, group }) } else { Err(problems) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_known_and_others_are_problems() {
        let access = SocketAccess::new().mode(0o660).owner("root").group("12345").resolve().unwrap();
        assert_eq!(access, Access { mode: Some(0o660), owner: Some(0), group: Some(12345) });
        assert_eq!(SocketAccess::new().resolve().unwrap(), Access::default());
        assert!(SocketAccess::new().owner(u32::MAX.to_string()).resolve().is_err());
        let wrong = SocketAccess::new().mode(0o1000).owner("nobody-has-this-name").group("-1");
        let problems = wrong.resolve().unwrap_err();
        let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        for (text, expected) in texts.iter().zip(["0o1000", "user `nobody-has-this-name`", "group `-1`"]) {
            assert!(text.contains(expected) && text.contains("; "), "{text}");
        }
    }
}
