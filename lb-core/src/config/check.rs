//! What only the whole configuration shows: names that are used and not defined, addresses used twice, what a mode
//! leaves without effect.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use super::diagnostics::{At, Place, Problems, quoted};
use super::hints::suggestion;
use super::schema::{Action, Config, Frontend, ListenAddress, Mode, Path, Route};
use crate::sys::{self, Claims};

/// Checks the parts against each other. `is_whole`: every file was TOML to its end; otherwise what seems absent may
/// stand in the lost part.
pub(crate) fn check(config: &Config, is_whole: bool, problems: &Problems) {
    let mut used = BTreeSet::new();
    for (name, frontend) in &config.frontend {
        if is_whole {
            has_routes(name, frontend, problems);
        }
        for backend in backends_of(frontend) {
            used.insert(backend.as_str());
            if is_whole && !config.backend.contains_key(&backend.value) {
                undefined(backend, config, problems);
            }
        }
        match frontend.mode {
            Mode::Http => {
                same_conditions(name, frontend, problems);
                without_hello(frontend, problems);
                stars(frontend, problems);
            }
            Mode::Tcp => without_http(name, frontend, problems),
        }
        splits(frontend, problems);
        limits(frontend, problems);
        socket_access(name, frontend, problems);
    }
    listen_addresses(config, problems);
    backends(config, &used, is_whole, problems);
    if is_whole && config.frontend.is_empty() {
        let remedy = "add [frontend.NAME] with `listen` and `backend`";
        problems.wrong(Place::default(), "no frontend is defined", remedy);
    }
}

/// Every mention of a backend in a frontend.
fn backends_of(frontend: &Frontend) -> impl Iterator<Item = &At<String>> {
    let of_routes = routes_of(frontend).flat_map(|route| match &route.action {
        Some(Action::Backend(name)) => vec![name],
        Some(Action::Split(shares)) => shares.0.iter().map(|share| &share.value.backend).collect(),
        _ => Vec::new(),
    });
    frontend.backend.iter().chain(of_routes)
}

fn routes_of(frontend: &Frontend) -> impl Iterator<Item = &At<Route>> {
    frontend.routes.iter().flat_map(|routes| routes.iter())
}

fn has_routes(name: &str, frontend: &At<Frontend>, problems: &Problems) {
    let remedy = "add `backend = \"...\"` or a route";
    match &frontend.routes {
        None if frontend.backend.is_none() => {
            problems.wrong(
                frontend.place,
                format_args!("frontend {name} has neither backend nor routes"),
                remedy,
            );
        }
        Some(routes) if routes.is_empty() && frontend.backend.is_none() => {
            problems.wrong(routes.place, format_args!("frontend {name} has no routes"), remedy);
        }
        _ => {}
    }
}

fn undefined(backend: &At<String>, config: &Config, problems: &Problems) {
    let known: Vec<&str> = config.backend.keys().map(String::as_str).collect();
    let nearest = suggestion(backend, &known);
    let remedy = match nearest.starts_with("did you mean") {
        true => nearest,
        false => format!("add [backend.{}] with its servers", backend.value),
    };
    problems.wrong(backend.place, format_args!("backend {} is not defined", quoted(backend)), remedy);
}

/// In mode http TLS has ended before a route is found.
fn without_hello(frontend: &Frontend, problems: &Problems) {
    for place in routes_of(frontend).filter_map(|route| route.hello_condition()) {
        problems.wrong(place, "only mode tcp reads what a ClientHello asks for", "use `host`");
    }
}

/// In a path `*` is a character like others, which is not what those mean who write it.
fn stars(frontend: &Frontend, problems: &Problems) {
    for path in routes_of(frontend).filter_map(|route| route.path.as_ref()) {
        let (key, At { value: text, place }) = (path.key(), path.text());
        let Some((before, behind)) = text.split_once('*').filter(|_| !matches!(path, Path::Regex(_))) else {
            continue;
        };
        let remedy = match before.strip_suffix('/') {
            _ if !behind.is_empty() => {
                let pieces: Vec<String> = text.split('*').map(regex::escape).collect();
                format!("path_regex = '^{}$'", pieces.join("[^/]*"))
            }
            Some("") => "path_prefix = \"/\"".to_owned(),
            Some(prefix) => format!("path_prefix = {prefix:?}"),
            None => format!("path_begins = {before:?}"),
        };
        let what = format_args!("`{key}` takes the `*` of {} as it stands", quoted(text));
        problems.odd(*place, what, format_args!("write `{remedy}`"));
    }
}

/// Two routes with the same conditions: the later one never matches.
fn same_conditions(name: &str, frontend: &Frontend, problems: &Problems) {
    let mut seen = HashMap::new();
    for route in routes_of(frontend) {
        match seen.entry(route.conditions()) {
            Entry::Vacant(entry) => {
                entry.insert(());
            }
            Entry::Occupied(_) => {
                let what = format_args!(
                    "this route of frontend {name} never matches: an earlier one has its conditions"
                );
                problems.odd(route.place, what, "change its conditions or delete it");
            }
        }
    }
    if let Some(backend) = &frontend.backend
        && seen.contains_key(&Route::default().conditions())
    {
        let what =
            format_args!("`backend` of frontend {name} is never used: a route without conditions takes all");
        problems.odd(backend.place, what, "delete one of them");
    }
}

/// In mode tcp nothing of a request is read: a connection goes by its ClientHello at most, and where no condition on it
/// holds to the one route, or the one `backend`, that takes the rest.
fn without_http(name: &str, frontend: &Frontend, problems: &Problems) {
    let mut has_rest = frontend.backend.is_some();
    for route in routes_of(frontend) {
        let is_plain = matches!(route.action, Some(Action::Backend(_)) | None);
        if route.has_http_condition() || route.rewrites() || !is_plain {
            let what = format_args!(
                "frontend {name} is in mode tcp, where a route can only name a backend for an `sni` or `alpn`"
            );
            problems.wrong(route.place, what, "write `backend = \"...\"`, or `mode = \"http\"`");
        } else if route.hello_condition().is_none() {
            if has_rest {
                let what = format_args!("frontend {name} names several backends for what no route takes");
                let remedy = "keep one, put its servers under the other, or add an `sni` or `alpn`";
                problems.wrong(route.place, what, remedy);
            }
            has_rest = true;
        }
    }
}

fn splits(frontend: &Frontend, problems: &Problems) {
    for route in routes_of(frontend) {
        let Some(Action::Split(shares)) = &route.action else { continue };
        if shares.0.iter().all(|share| share.weight == 0) {
            problems.wrong(
                shares.place,
                "the weights of this split are all 0",
                "give one of its backends a weight",
            );
        }
    }
}

fn limits(frontend: &Frontend, problems: &Problems) {
    let limits = &frontend.limits;
    if limits.head_bytes.0 == 0 {
        problems.wrong(
            limits.head_bytes.place,
            "no request has a head of 0 bytes",
            "write, for example, \"32KiB\"",
        );
    }
    if limits.headers.value == 0 {
        problems.wrong(
            limits.headers.place,
            "no request comes without header fields",
            "write, for example, 128",
        );
    }
}

/// Addresses that can't be listened on at a time, as the kernel has it. Names are looked up later, and compared then.
fn listen_addresses(config: &Config, problems: &Problems) {
    let of_frontends = config.frontend.iter().flat_map(|(name, frontend)| {
        frontend.listen.0.iter().map(move |listen| (format!("frontend {name}"), listen))
    });
    let of_admin = config.admin.iter().map(|admin| ("[admin]".to_owned(), &admin.listen));
    let mut all: Vec<_> = of_frontends.chain(of_admin).collect();
    // The later one in the text is to blame.
    all.sort_by_key(|(_, listen)| listen.place);
    let mut claims = Claims::default();
    let mut names: HashMap<&str, String> = HashMap::new();
    for (owner, listen) in all {
        let text = &listen.text;
        let addresses = match &listen.value.value {
            ListenAddress::Socket(addr) => vec![sys::ListenAddress::Tcp(*addr)],
            ListenAddress::Every(port) => {
                sys::every_address(*port).into_iter().map(sys::ListenAddress::Tcp).collect()
            }
            ListenAddress::Unix(path) => vec![sys::ListenAddress::Unix(path.clone())],
            ListenAddress::Abstract(name) => vec![sys::ListenAddress::Abstract(name.clone())],
            ListenAddress::Name(name) => {
                if let Some(other) = names.insert(name, owner.clone()) {
                    let what = format_args!("{owner} listens on {text}, which {other} has already");
                    problems.wrong(listen.place, what, "use another address or port");
                }
                continue;
            }
        };
        for address in addresses {
            let Err((other, other_owner)) = claims.claim(&address, owner.clone()) else { continue };
            if *other == address {
                let what = format_args!("{owner} listens on {text}, which {other_owner} has already");
                problems.wrong(listen.place, what, "use another address or port");
            } else {
                let what =
                    format_args!("{owner} listens on {text}, and {other_owner} on {other}, which overlaps");
                let remedy = "use another port, or only the address that stands for all";
                problems.wrong(listen.place, what, remedy);
            }
        }
    }
}

/// Who may connect is said of files; other sockets have none.
fn socket_access(name: &str, frontend: &Frontend, problems: &Problems) {
    if frontend.listen.0.iter().any(|listen| matches!(listen.value.value, ListenAddress::Unix(_))) {
        return;
    }
    let [mode, owner, group] = [
        frontend.listen_mode.as_ref().map(|at| at.place),
        frontend.listen_owner.as_ref().map(|at| at.place),
        frontend.listen_group.as_ref().map(|at| at.place),
    ];
    for (key, place) in [("listen_mode", mode), ("listen_owner", owner), ("listen_group", group)] {
        if let Some(place) = place {
            let what =
                format_args!("`{key}` has no effect: frontend {name} listens on no unix socket with a path");
            problems.odd(place, what, "remove it, or listen on \"unix:/run/lb.sock\"");
        }
    }
}

fn backends(config: &Config, used: &BTreeSet<&str>, is_whole: bool, problems: &Problems) {
    for (name, backend) in &config.backend {
        if !backend.servers.is_empty() && backend.servers.iter().all(|server| server.weight == 0) {
            let what = format_args!("every server of backend {name} has weight 0: it serves nothing");
            problems.odd(backend.place, what, "give one of them a weight");
        }
        if let Some(health) = &backend.health
            && health.path.is_none()
            && let Some(place) =
                health.expect.as_ref().map(|at| at.place).or(health.host.as_ref().map(|at| at.place))
        {
            let what = format_args!("the health check of backend {name} has no path, so it only connects");
            problems.odd(place, what, "add `path`, or remove this");
        }
        if is_whole && !used.contains(name.as_str()) {
            problems.odd(
                backend.place,
                format_args!("backend {name} is not used"),
                "route to it or delete it",
            );
        }
    }
}
