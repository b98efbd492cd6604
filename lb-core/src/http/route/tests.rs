//! The router as a whole: the order of routes by cases, and against a list that is tried one by one.

use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;
use crate::http::path::{normalise, split_query};

type Received<'a> = &'a [(&'a str, &'a str)];

/// A request in words: `GET shop.example/a/b?c=d`, with fields.
fn find<'r, T>(router: &'r Router<T>, request: &str, fields: Received<'_>) -> Option<&'r T> {
    let (method, rest) = request.split_once(' ').expect("a method");
    let (host, target) = rest.split_at(rest.find('/').expect("a target"));
    let (path, query) = split_query(target.as_bytes()).expect("no fragment");
    let mut scratch = Vec::new();
    let path = normalise(path, &mut scratch).expect("a path");
    router.find(&Subject { path, host: host.as_bytes(), method: method.as_bytes(), query, fields: &fields })
}

/// The value of a route is its position.
fn router(routes: impl IntoIterator<Item = Match>) -> Router<usize> {
    Router::build(routes.into_iter().enumerate().map(|(at, made)| (made, at))).expect("valid routes")
}

#[test]
fn the_most_specific_path_wins_whatever_the_order() {
    let router = router([
        Match::any(),
        Match::regex("^/admin"),
        Match::begins("/adm"),
        Match::begins("/admi"),
        Match::prefix("/"),
        Match::prefix("/admin"),
        Match::prefix("/admin/x/"),
        Match::path("/admin/x"),
    ]);
    let cases = [
        ("/admin/x", 7),
        ("/admin/x/", 6),
        ("/admin/x/y", 6),
        ("/admin/xy", 5),
        ("/admin", 5),
        ("/administrator", 4),
        ("/", 4),
    ];
    for (target, want) in cases {
        assert_eq!(find(&router, &format!("GET {target}"), &[]), Some(&want), "{target}");
    }
}

#[test]
fn beginnings_come_before_expressions_and_these_before_routes_for_every_path() {
    let router = router([
        Match::any(),
        Match::regex("x$"),
        Match::regex("^/a"),
        Match::begins("/b"),
        Match::begins("/bc"),
    ]);
    for (target, want) in [("/bcd", 4), ("/bx", 3), ("/ax", 1), ("/a", 2), ("/c", 0)] {
        assert_eq!(find(&router, &format!("GET {target}"), &[]), Some(&want), "{target}");
    }
}

#[test]
fn every_spelling_of_a_path_finds_its_route() {
    let router = router([Match::any(), Match::prefix("/admin")]);
    let admin = [
        "/admin",
        "//admin",
        "/./admin",
        "/x/../admin",
        "/%61dmin",
        "/%2e/admin",
        "/x/.%2E/admin/y",
        "/admin?x",
    ];
    for target in admin {
        assert_eq!(find(&router, &format!("GET h{target}"), &[]), Some(&1), "{target}");
    }
    for target in
        ["/admin%2Fx", "/admin;x", "/ADMIN", "/%2561dmin", "/%C0%AFadmin", "/%C1%A1dmin", "/admin%09"]
    {
        assert_eq!(find(&router, &format!("GET h{target}"), &[]), Some(&0), "{target}");
    }
}

#[test]
fn what_routes_ask_for_is_normalised_too() {
    let router = router([Match::path("/%63afé"), Match::prefix("//a/./b/"), Match::begins("/%7Eé")]);
    for (target, want) in [("/caf%c3%a9", Some(0)), ("/a/b/c", Some(1)), ("/~%C3%A9x", Some(2)), ("/a", None)]
    {
        assert_eq!(find(&router, &format!("GET {target}"), &[]).copied(), want, "{target}");
    }
}

#[test]
fn among_routes_for_a_path_more_conditions_win_then_the_first() {
    let prefix = || Match::prefix("/a");
    let router = router([
        prefix(),
        prefix().header("x-beta", "1"),
        prefix().host("shop.example"),
        prefix().host("*.example").method("GET"),
        prefix().host("shop.example").method("GET").header("x-beta", "2"),
    ]);
    let cases: &[(&str, Received<'_>, usize)] = &[
        ("POST h/a", &[], 0),
        ("POST h/a", &[("X-Beta", "1")], 1),
        ("POST shop.example/a", &[("X-Beta", "1")], 1),
        ("POST shop.example/a", &[], 2),
        ("POST SHOP.example.:80/a", &[], 2),
        ("GET shop.example/a", &[("X-Beta", "1")], 3),
        ("GET shop.example/a", &[("X-Beta", "2")], 4),
        ("GET a.b.example/a", &[], 3),
        ("GET example/a", &[], 0),
    ];
    for (request, fields, want) in cases {
        assert_eq!(find(&router, request, fields), Some(want), "{request} {fields:?}");
    }
}

#[test]
fn a_route_whose_conditions_fail_leaves_the_request_to_a_shorter_one() {
    let router = router([
        Match::path("/a/b").method("PUT"),
        Match::prefix("/a/b").query("debug", "1"),
        Match::prefix("/a").host("shop.example").host("[::1]"),
        Match::prefix("/").header("x-any", ValueMatch::Present),
        Match::begins("/a").method("GET"),
    ]);
    let cases: &[(&str, Received<'_>, Option<usize>)] = &[
        ("PUT h/a/b", &[], Some(0)),
        ("GET h/a/b?debug=1", &[], Some(1)),
        ("GET shop.example/a/b", &[], Some(2)),
        ("GET [::1]:80/a/b", &[], Some(2)),
        ("GET h/a/b", &[("x-any", "")], Some(3)),
        ("GET h/a/b", &[], Some(4)),
        ("PUT h/a", &[], None),
    ];
    for (request, fields, want) in cases {
        assert_eq!(find(&router, request, fields), want.as_ref(), "{request} {fields:?}");
    }
}

#[test]
fn the_asterisk_is_for_routes_without_a_path_only() {
    let asterisk =
        Subject { path: b"*", host: b"h", method: b"OPTIONS", query: None, fields: &&[("", ""); 0][..] };
    assert_eq!(router([Match::prefix("/"), Match::begins("/"), Match::any()]).find(&asterisk), Some(&2));
    assert_eq!(router([Match::prefix("/")]).find(&asterisk), None);
}

#[test]
fn all_problems_of_all_routes_are_reported() {
    let routes = [Match::path("a").host("b:1"), Match::any(), Match::any().method("get")];
    let error = Router::build(routes.into_iter().map(|made| (made, ()))).expect_err("wrong routes");
    assert_eq!(error.problems().iter().map(|(route, _)| *route).collect::<Vec<_>>(), [0, 0, 2]);
    assert!(error.to_string().starts_with("route 1: `a`: the path does not begin with `/`"), "{error}");
    assert!(error.to_string().contains("; route 3: `get` is no method"), "{error}");
}

/// A route as the reference knows it: nothing but the texts.
#[derive(Clone, Debug)]
struct Plain {
    kind: Kind,
    hosts: Vec<String>,
    methods: Vec<String>,
    header: Option<ValueMatch>,
    query: Option<ValueMatch>,
}

#[derive(Clone, Debug)]
enum Kind {
    Path(String),
    Prefix(String),
    Begins(String),
    Regex(String),
    Any,
}

#[derive(Clone, Debug)]
struct Request {
    path: String,
    host: String,
    method: String,
    field: Option<String>,
    query: Option<String>,
}

impl Plain {
    fn build(&self) -> Match {
        let mut made = match &self.kind {
            Kind::Path(path) => Match::path(path),
            Kind::Prefix(prefix) => Match::prefix(prefix),
            Kind::Begins(text) => Match::begins(text),
            Kind::Regex(regex) => Match::regex(regex),
            Kind::Any => Match::any(),
        };
        made = self.hosts.iter().fold(made, |made, host| made.host(host));
        made = self.methods.iter().fold(made, |made, method| made.method(method));
        made = self.header.iter().fold(made, |made, value| made.header("X-A", value.clone()));
        self.query.iter().fold(made, |made, value| made.query("q", value.clone()))
    }

    fn takes(&self, request: &Request) -> bool {
        let path = &request.path;
        let path_holds = match &self.kind {
            Kind::Path(wanted) => path == wanted,
            Kind::Prefix(prefix) => {
                let prefix = prefix.trim_end_matches('/');
                path == prefix || path.starts_with(&format!("{prefix}/"))
            }
            Kind::Begins(text) => path.starts_with(text.as_str()),
            Kind::Regex(regex) => regex::Regex::new(regex).expect("valid").is_match(path),
            Kind::Any => true,
        };
        let host = request.host.to_lowercase();
        let host = host.trim_end_matches(":80").trim_end_matches('.');
        let host_holds = |wanted: &String| match wanted.strip_prefix('*') {
            Some(suffix) => host.ends_with(suffix) && host.len() > suffix.len(),
            None => host == *wanted,
        };
        let value_holds = |test: &ValueMatch, value: Option<&String>| match (test, value) {
            (_, None) => false,
            (ValueMatch::Exact(wanted), Some(value)) => value == wanted,
            (ValueMatch::Present, _) => true,
            (ValueMatch::Regex(regex), Some(value)) => {
                regex::Regex::new(regex).expect("valid").is_match(value)
            }
        };
        path_holds
            && (self.hosts.is_empty() || self.hosts.iter().any(host_holds))
            && (self.methods.is_empty() || self.methods.contains(&request.method))
            && self.header.iter().all(|test| value_holds(test, request.field.as_ref()))
            && self.query.iter().all(|test| value_holds(test, request.query.as_ref()))
    }

    /// The lower, the sooner (exact, longest prefix, beginnings by length, expressions in order, none;
    /// among equals more conditions).
    fn order(&self) -> (u8, Reverse<usize>, Reverse<usize>) {
        let conditions =
            [self.hosts.is_empty(), self.methods.is_empty(), self.header.is_none(), self.query.is_none()];
        let conditions = Reverse(conditions.into_iter().filter(|missing| !missing).count());
        match &self.kind {
            Kind::Path(_) => (0, Reverse(0), conditions),
            Kind::Prefix(prefix) => (1, Reverse(prefix.trim_end_matches('/').len()), conditions),
            Kind::Begins(text) => (2, Reverse(text.len()), conditions),
            Kind::Regex(_) => (3, Reverse(0), Reverse(0)),
            Kind::Any => (4, Reverse(0), conditions),
        }
    }
}

/// The first of the matching routes, by looking at each.
fn reference(routes: &[Plain], request: &Request) -> Option<usize> {
    let taking = routes.iter().enumerate().filter(|(_, route)| route.takes(request));
    taking.min_by_key(|(at, route)| (route.order(), *at)).map(|(at, _)| at)
}

/// From an alphabet so small that random routes and requests meet.
fn plain() -> impl Strategy<Value = Plain> {
    let path = || "(/[ab]{1,2}){0,3}/?".prop_map(|path| if path.is_empty() { "/".to_owned() } else { path });
    let kind = prop_oneof![
        2 => path().prop_map(Kind::Path),
        4 => path().prop_map(Kind::Prefix),
        2 => "/([ab]{1,2}/){0,2}[ab]{0,2}".prop_map(Kind::Begins),
        1 => prop::sample::select(vec!["^/a", "b$", "/a/", "^/[ab]+$"]).prop_map(|regex| Kind::Regex(regex.into())),
        1 => Just(Kind::Any),
    ];
    let hosts = prop::sample::subsequence(vec!["a", "b.a", "c.b.a", "*.a", "*.b.a", "*.c"], 0..3);
    let hosts = prop_oneof![hosts, Just(vec![])];
    let methods = prop_oneof![3 => Just(vec![]), 1 => Just(vec!["GET"]), 1 => Just(vec!["GET", "PUT"])];
    let value = || {
        let exact = "[01]".prop_map(ValueMatch::Exact);
        let regex = Just(ValueMatch::Regex("^[1x]".into()));
        prop_oneof![2 => Just(None), 1 => prop_oneof![exact, Just(ValueMatch::Present), regex].prop_map(Some)]
    };
    (kind, hosts, methods, value(), value()).prop_map(|(kind, hosts, methods, header, query)| Plain {
        kind,
        hosts: hosts.into_iter().map(String::from).collect(),
        methods: methods.into_iter().map(String::from).collect(),
        header,
        query,
    })
}

fn request() -> impl Strategy<Value = Request> {
    let host = prop::sample::select(vec![
        "a",
        "A.",
        "b.a",
        "B.a:80",
        "c.b.a",
        "d.c.b.A.:80",
        "c",
        "x.c",
        "",
        "ba",
        ".a",
    ]);
    let method = prop::sample::select(vec!["GET", "PUT", "POST"]);
    let value = || prop::option::of("[01x]?");
    ("(/[ab]{1,2}){0,4}/?", host, method, value(), value()).prop_map(|(path, host, method, field, query)| {
        Request {
            path: if path.is_empty() { "/".into() } else { path },
            host: if host == ".a" { "x.a".into() } else { host.into() },
            method: method.into(),
            field,
            query,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_router_finds_what_a_list_would(
        routes in prop::collection::vec(plain(), 0..40),
        requests in prop::collection::vec(request(), 20),
    ) {
        let router = router(routes.iter().map(Plain::build));
        for request in &requests {
            let fields: Vec<_> = request.field.iter().map(|value| ("x-a", value.as_str())).collect();
            let query = request.query.as_ref().map(|value| format!("p&q={value}"));
            let found = router.find(&Subject {
                path: request.path.as_bytes(),
                host: request.host.as_bytes(),
                method: request.method.as_bytes(),
                query: query.as_deref().map(str::as_bytes),
                fields: &fields.as_slice(),
            });
            prop_assert_eq!(found.copied(), reference(&routes, request), "{:?}", request);
        }
    }
}
