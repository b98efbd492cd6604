//! `[[frontend.NAME.routes]]`: conditions, one action, rewrites.

use serde::{Serialize, Serializer};

use crate::config::diagnostics::{At, Place};
use crate::config::reader::{Keys, Miss, Read, Record, Value};
use crate::config::values::Several;

/// One route. How many path conditions and actions it has is checked when it is read.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Route {
    #[serde(flatten)]
    pub(crate) path: Option<Path>,
    pub(crate) host: Option<At<String>>,
    pub(crate) sni: Option<At<String>>,
    pub(crate) alpn: Option<At<String>>,
    pub(crate) method: Option<Several<String>>,
    pub(crate) header: Option<Entries<Expected>>,
    pub(crate) query: Option<Entries<Expected>>,
    pub(crate) connect: Option<At<bool>>,
    #[serde(flatten)]
    pub(crate) action: Option<Action>,
    pub(crate) strip_prefix: Option<At<String>>,
    pub(crate) replace_prefix: Option<At<ReplacePrefix>>,
    pub(crate) request_headers: Option<At<Edits>>,
    pub(crate) response_headers: Option<At<Edits>>,
}

/// The path condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) enum Path {
    #[serde(rename = "path")]
    Exact(At<String>),
    #[serde(rename = "path_prefix")]
    Prefix(At<String>),
    #[serde(rename = "path_begins")]
    Begins(At<String>),
    #[serde(rename = "path_regex")]
    Regex(At<String>),
}

/// What a matching request gets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Backend(At<String>),
    #[serde(serialize_with = "by_backend")]
    Split(At<Shares>),
    Redirect(At<Redirect>),
    Respond(At<Respond>),
}

impl Record for Route {
    const KIND: &'static str = "route";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let paths = [
            keys.take("path").map(Path::Exact),
            keys.take("path_prefix").map(Path::Prefix),
            keys.take("path_begins").map(Path::Begins),
            keys.take("path_regex").map(Path::Regex),
        ];
        let named_actions = ["backend", "split", "redirect", "respond"].map(|key| keys.value(key).is_some());
        let actions = [
            keys.take("backend").map(Action::Backend),
            keys.take("split").map(Action::Split),
            keys.take("redirect").map(Action::Redirect),
            keys.take("respond").map(Action::Respond),
        ];
        let route = Self {
            path: sole(paths, Path::name, "path conditions", keys),
            host: keys.take("host"),
            sni: keys.take("sni"),
            alpn: keys.take("alpn"),
            method: keys.take("method").map(|at| at.value),
            header: keys.take("header").map(|at| at.value),
            query: keys.take("query").map(|at| at.value),
            connect: keys.take("connect"),
            action: sole(actions, Action::name, "actions", keys),
            strip_prefix: keys.take("strip_prefix"),
            replace_prefix: keys.take("replace_prefix"),
            request_headers: keys.take("request_headers"),
            response_headers: keys.take("response_headers"),
        };
        if !named_actions.contains(&true) {
            keys.lacks("no action", "add `backend = \"...\"`, or split, redirect or respond");
        }
        if let (Some(_), Some(replace)) = (&route.strip_prefix, &route.replace_prefix) {
            let what = "this route has strip_prefix and replace_prefix";
            keys.problems().wrong(replace.place, what, "keep one: to = \"/\" strips too");
        }
        Ok(route)
    }
}

impl Route {
    /// The conditions in the words of the file, `path_prefix=/admin host=shop.example`; empty: none. Routes with equal
    /// ones match the same requests.
    pub(crate) fn conditions(&self) -> String {
        let mut words = Vec::new();
        if let Some(path) = &self.path {
            words.push(format!("{}={}", path.name().0, path.text().value));
        }
        if let Some(host) = &self.host {
            words.push(format!("host={}", host.value));
        }
        for (kind, wanted) in [("sni", &self.sni), ("alpn", &self.alpn)] {
            words.extend(wanted.iter().map(|wanted| format!("{kind}={}", wanted.value)));
        }
        if let Some(methods) = &self.method {
            let methods: Vec<&str> = methods.0.iter().map(|method| method.as_str()).collect();
            words.push(format!("method={}", methods.join(",")));
        }
        for (kind, entries) in [("header", &self.header), ("query", &self.query)] {
            for (name, expected) in entries.iter().flat_map(|entries| &entries.0) {
                words.push(match &expected.value {
                    Expected::Exact(value) => format!("{kind} {}={value}", name.value),
                    Expected::Present { .. } => format!("{kind} {}", name.value),
                    Expected::Regex { regex } => format!("{kind} {}~{}", name.value, regex.value),
                });
            }
        }
        if self.takes_connect() {
            words.push("connect".to_owned());
        }
        words.join(" ")
    }

    pub(crate) fn takes_connect(&self) -> bool {
        self.connect.as_ref().is_some_and(|connect| connect.value)
    }

    /// Whether it asks for what only a ClientHello says; if so, where.
    pub(crate) fn hello_condition(&self) -> Option<Place> {
        self.sni.as_ref().or(self.alpn.as_ref()).map(|wanted| wanted.place)
    }

    /// Whether it asks for what only a request says.
    pub(crate) fn has_http_condition(&self) -> bool {
        let is_about_fields =
            self.connect.is_some() || self.method.is_some() || self.header.is_some() || self.query.is_some();
        self.path.is_some() || self.host.is_some() || is_about_fields
    }

    /// Whether it changes the request or the response.
    pub(crate) fn rewrites(&self) -> bool {
        self.strip_prefix.is_some()
            || self.replace_prefix.is_some()
            || self.request_headers.is_some()
            || self.response_headers.is_some()
    }
}

/// The one of `all` that is there; several are a problem of the second.
fn sole<T, const N: usize>(
    all: [Option<T>; N],
    name: impl Fn(&T) -> (&'static str, Place),
    what: &str,
    keys: &Keys<'_>,
) -> Option<T> {
    let mut present = all.into_iter().flatten();
    let first = present.next()?;
    for second in present {
        let ((first, _), (second, place)) = (name(&first), name(&second));
        keys.problems().wrong(
            place,
            format_args!("this route has two {what}, `{first}` and `{second}`"),
            "keep one, and make a second route of the other",
        );
    }
    Some(first)
}

impl Path {
    pub(crate) fn text(&self) -> &At<String> {
        match self {
            Self::Exact(at) | Self::Prefix(at) | Self::Begins(at) | Self::Regex(at) => at,
        }
    }

    /// The key it is written under.
    pub(crate) fn key(&self) -> &'static str {
        self.name().0
    }

    fn name(&self) -> (&'static str, Place) {
        match self {
            Self::Exact(at) => ("path", at.place),
            Self::Prefix(at) => ("path_prefix", at.place),
            Self::Begins(at) => ("path_begins", at.place),
            Self::Regex(at) => ("path_regex", at.place),
        }
    }
}

impl Action {
    pub(crate) fn place(&self) -> Place {
        self.name().1
    }

    fn name(&self) -> (&'static str, Place) {
        match self {
            Self::Backend(at) => ("backend", at.place),
            Self::Split(at) => ("split", at.place),
            Self::Redirect(at) => ("redirect", at.place),
            Self::Respond(at) => ("respond", at.place),
        }
    }
}

/// What a header field or query parameter must be: `"1"`, `{ present = true }` or `{ regex = "..." }`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Expected {
    Exact(String),
    Present { present: bool },
    Regex { regex: At<String> },
}

impl Read for Expected {
    const WANTED: (&'static str, &'static str) =
        ("a value or a condition", "\"1\", { present = true } or { regex = \"...\" }");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        if value.is_table() {
            Condition::read(value).map(|condition| condition.0)
        } else {
            String::read(value).map(Self::Exact)
        }
    }
}

/// The table form of [`Expected`].
struct Condition(Expected);

impl Record for Condition {
    const KIND: &'static str = "condition";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        match (keys.take::<bool>("present"), keys.take::<String>("regex")) {
            (Some(present), None) if *present => Ok(Self(Expected::Present { present: true })),
            (None, Some(regex)) => Ok(Self(Expected::Regex { regex })),
            (Some(present), None) => {
                keys.problems().wrong(present.place, "absence is no condition", "write `present = true`");
                Err(Miss::Said)
            }
            (Some(_), Some(regex)) => {
                let what = "`present` and `regex` in one condition";
                keys.problems().wrong(regex.place, what, "keep the regex: it needs the field too");
                Err(Miss::Said)
            }
            (None, None) => {
                keys.lacks("neither `present` nor `regex`", "write `present = true` or `regex = \"...\"`");
                Err(Miss::Said)
            }
        }
    }
}

/// The shares of a split: all of them, or none was read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shares(pub(crate) Vec<At<Share>>);

impl Read for Shares {
    const WANTED: (&'static str, &'static str) =
        ("a list of backends", "[{ backend = \"shop\", weight = 95 }]");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        let shares: Vec<Option<At<Share>>> = value.items()?.map(Value::read).collect();
        shares.into_iter().collect::<Option<_>>().map(Self).ok_or(Miss::Said)
    }
}

/// One share of a split.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) backend: At<String>,
    pub(crate) weight: u32,
}

impl Record for Share {
    const KIND: &'static str = "split";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let weight = keys.or("weight", 1);
        Ok(Self { backend: keys.need("backend")?, weight })
    }
}

fn by_backend<S: Serializer>(shares: &At<Shares>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(shares.0.iter().map(|share| (&share.backend.value, share.weight)))
}

/// A redirect.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Redirect {
    pub(crate) status: At<u16>,
    pub(crate) to: At<String>,
}

impl Record for Redirect {
    const KIND: &'static str = "redirect";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let status = keys.take("status");
        let to = keys.need::<String>("to")?;
        Ok(Self { status: status.unwrap_or_else(|| At::new(302, to.place)), to })
    }
}

/// A fixed response.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Respond {
    pub(crate) status: At<ResponseStatus>,
    pub(crate) body: String,
    pub(crate) content_type: Option<At<String>>,
}

impl Record for Respond {
    const KIND: &'static str = "respond";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let body = keys.or("body", String::new());
        let content_type = keys.take("content_type");
        Ok(Self { status: keys.need("status")?, body, content_type })
    }
}

/// A status, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct ResponseStatus(pub(crate) u16);

impl Read for ResponseStatus {
    const WANTED: (&'static str, &'static str) = ("a whole number", "200");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        u16::read(value).map(Self)
    }
}

/// `replace_prefix`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ReplacePrefix {
    pub(crate) from: At<String>,
    pub(crate) to: At<String>,
}

impl Record for ReplacePrefix {
    const KIND: &'static str = "replace_prefix";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        let (from, to) = (keys.need("from"), keys.need("to"));
        Ok(Self { from: from?, to: to? })
    }
}

/// Edits of header fields.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(crate) struct Edits {
    pub(crate) set: Entries<String>,
    pub(crate) add: Entries<String>,
    pub(crate) remove: Several<String>,
}

impl Record for Edits {
    const KIND: &'static str = "headers";

    fn record(keys: &mut Keys<'_>) -> Result<Self, Miss> {
        Ok(Self {
            set: keys.or("set", Entries::default()),
            add: keys.or("add", Entries::default()),
            remove: keys.or("remove", Several::default()),
        })
    }
}

/// A table from the operator's own names to values, in the order of the names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entries<T>(pub(crate) Vec<(At<String>, At<T>)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Read> Read for Entries<T> {
    const WANTED: (&'static str, &'static str) = ("a table", "{ \"x-name\" = \"value\" }");

    fn read(value: Value<'_>) -> Result<Self, Miss> {
        Ok(Self(value.entries()?.filter_map(|(name, value)| Some((name, value.read()?))).collect()))
    }
}

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&name.value, value)))
    }
}
