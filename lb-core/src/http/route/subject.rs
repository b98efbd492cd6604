//! What routes look at of a request.

use std::fmt;

use http::HeaderMap;

/// What of a request its route depends on.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// As [`normalise`](crate::http::path::normalise) gives it; empty where there is none, as in CONNECT.
    pub path: &'a [u8],
    /// As received; letter case, port and a trailing dot don't matter. Empty: none.
    pub host: &'a [u8],
    /// As received: methods are case-sensitive.
    pub method: &'a [u8],
    /// As received, without `?`.
    pub query: Option<&'a [u8]>,
    /// The header fields.
    pub fields: &'a dyn Fields,
}

/// Header fields that conditions are held against.
pub trait Fields {
    /// Whether the value of any field called `name` (in lower case) passes `test`. Names are compared without
    /// regard to case.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject")
            .field("path", &self.path.escape_ascii().to_string())
            .field("host", &self.host.escape_ascii().to_string())
            .field("method", &self.method.escape_ascii().to_string())
            .field("query", &self.query.map(|query| query.escape_ascii().to_string()))
            .finish_non_exhaustive()
    }
}

impl Fields for HeaderMap {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.get_all(name).iter().any(|value| test(value.as_bytes()))
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> Fields for &[(N, V)] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let called = self.iter().filter(|(field, _)| field.as_ref().eq_ignore_ascii_case(name.as_bytes()));
        { called }.any(|(_, value)| test(value.as_ref()))
    }
}
