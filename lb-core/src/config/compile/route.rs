//! `[[frontend.NAME.routes]]` to [`crate::http::route::Route`].

use std::collections::BTreeMap;

use crate::backend::Backend;
use crate::config::diagnostics::{At, Place, Problems};
use crate::config::schema::{self, Action, Edits, Expected, Path};
use crate::http::edits::{EditError, HeaderEdits};
use crate::http::route::{RedirectError, Respond, Route, RouteProblem, ValueMatch};

/// Builds a route; what the builder refuses is noted at the key that is to blame.
///
/// An action whose backend does not exist is left out: that is reported already, as are the problems the schema
/// knows itself.
pub(super) fn compile(
    route: &At<schema::Route>,
    backends: &BTreeMap<&str, Backend>,
    problems: &Problems,
) -> Route {
    let mut compiled = acted(rewritten(matched(route), route), route, backends);
    for (edits, set) in [
        (&route.request_headers, Route::request_headers as fn(Route, HeaderEdits) -> Route),
        (&route.response_headers, Route::response_headers),
    ] {
        if let Some(edits) = edits {
            compiled = set(compiled, header_edits(edits, problems));
        }
    }
    for problem in compiled.problems() {
        if let Some(place) = place_of(&problem, route) {
            problems.said(place, problem);
        }
    }
    compiled
}

fn matched(route: &schema::Route) -> Route {
    let mut compiled = match &route.path {
        Some(Path::Exact(path)) => Route::path(path),
        Some(Path::Prefix(prefix)) => Route::prefix(prefix),
        Some(Path::Begins(text)) => Route::begins(text),
        Some(Path::Regex(regex)) => Route::regex(regex),
        None => Route::any(),
    };
    if let Some(host) = &route.host {
        compiled = compiled.host(host);
    }
    for method in route.method.iter().flat_map(|methods| &methods.0) {
        compiled = compiled.method(&method.value);
    }
    for (name, expected) in route.header.iter().flat_map(|entries| &entries.0) {
        compiled = compiled.header(name, value_match(expected));
    }
    for (key, expected) in route.query.iter().flat_map(|entries| &entries.0) {
        compiled = compiled.query(key, value_match(expected));
    }
    if route.takes_connect() {
        compiled = compiled.connect();
    }
    compiled
}

fn value_match(expected: &Expected) -> ValueMatch {
    match expected {
        Expected::Exact(value) => ValueMatch::Exact(value.clone()),
        Expected::Present { .. } => ValueMatch::Present,
        Expected::Regex { regex } => ValueMatch::Regex(regex.value.clone()),
    }
}

fn rewritten(compiled: Route, route: &schema::Route) -> Route {
    match (&route.strip_prefix, &route.replace_prefix) {
        (Some(prefix), _) => compiled.strip_prefix(prefix),
        (None, Some(replace)) => compiled.replace_prefix(&replace.from, &replace.to),
        (None, None) => compiled,
    }
}

fn acted(compiled: Route, route: &schema::Route, backends: &BTreeMap<&str, Backend>) -> Route {
    match &route.action {
        Some(Action::Backend(name)) => match backends.get(name.as_str()) {
            Some(backend) => compiled.to(backend),
            None => compiled,
        },
        Some(Action::Split(shares)) => compiled.split(
            shares.0.iter().filter_map(|share| Some((backends.get(share.backend.as_str())?, share.weight))),
        ),
        Some(Action::Redirect(redirect)) => compiled.redirect(redirect.status.value, &redirect.to),
        Some(Action::Respond(respond)) => {
            let mut response = Respond::new(respond.status.value.0).body(respond.body.clone());
            if let Some(content_type) = &respond.content_type {
                response = response.content_type(content_type.value.as_str());
            }
            compiled.respond(response)
        }
        None => compiled,
    }
}

fn header_edits(edits: &Edits, problems: &Problems) -> HeaderEdits {
    let mut compiled = HeaderEdits::new();
    let mut edit = |place: Place, edited: &dyn Fn(HeaderEdits) -> Result<HeaderEdits, EditError>| match edited(
        compiled.clone(),
    ) {
        Ok(edits) => compiled = edits,
        Err(error) => problems.said(place, error),
    };
    for (name, value) in &edits.set.0 {
        edit(name.place, &|edits| edits.set(name, value));
    }
    for (name, value) in &edits.add.0 {
        edit(name.place, &|edits| edits.add(name, value));
    }
    for name in &edits.remove.0 {
        edit(name.place, &|edits| edits.remove(name));
    }
    compiled
}

/// The key to blame; `None` where the schema has reported it.
fn place_of(problem: &RouteProblem, route: &At<schema::Route>) -> Option<Place> {
    let action = route.action.as_ref().map(Action::place);
    let replace = route.replace_prefix.as_ref();
    let place = match problem {
        RouteProblem::NoAction
        | RouteProblem::SecondAction
        | RouteProblem::SecondRewrite
        | RouteProblem::NoWeight => return None,
        RouteProblem::Path { .. } | RouteProblem::NeverBegins(_) | RouteProblem::Regexes(_) => {
            route.path.as_ref().map(|path| path.text().place)
        }
        RouteProblem::Regex { text, .. } => regex_place(text, route),
        RouteProblem::Host(_) => route.host.as_ref().map(|host| host.place),
        RouteProblem::Method(text) => {
            let mut methods = route.method.iter().flat_map(|methods| &methods.0);
            methods.find(|method| method.value == *text).map(|method| method.place)
        }
        RouteProblem::Header(text) => {
            let mut names = route.header.iter().flat_map(|entries| &entries.0).map(|(name, _)| name);
            names.find(|name| name.value == *text).map(|name| name.place)
        }
        RouteProblem::Rewrite { text, .. } => {
            let replaced = replace.iter().flat_map(|replace| [&replace.from, &replace.to]);
            let mut texts = route.strip_prefix.iter().chain(replaced);
            texts.find(|at| at.value == *text).map(|at| at.place)
        }
        RouteProblem::Redirect(error) => match (&route.action, error) {
            (Some(Action::Redirect(redirect)), RedirectError::Status(_)) => Some(redirect.status.place),
            (Some(Action::Redirect(redirect)), _) => Some(redirect.to.place),
            _ => action,
        },
        RouteProblem::Status(_) | RouteProblem::Body(_) | RouteProblem::ContentType(_) => match &route.action
        {
            Some(Action::Respond(respond)) => match (problem, &respond.content_type) {
                (RouteProblem::ContentType(_), Some(content_type)) => Some(content_type.place),
                _ => Some(respond.status.place),
            },
            _ => action,
        },
        RouteProblem::NeverConnects | RouteProblem::NoEffect("connect") => {
            route.connect.as_ref().map(|connect| connect.place)
        }
        RouteProblem::NoEffect("request_headers") => route.request_headers.as_ref().map(|edits| edits.place),
        RouteProblem::NoEffect(_) => {
            route.strip_prefix.as_ref().map(|at| at.place).or(replace.map(|at| at.place))
        }
    };
    Some(place.unwrap_or(route.place))
}

fn regex_place(text: &str, route: &schema::Route) -> Option<Place> {
    let path = route.path.iter().filter(|path| matches!(path, Path::Regex(_))).map(Path::text);
    let values = route.header.iter().chain(&route.query).flat_map(|entries| &entries.0);
    let values = values.filter_map(|(_, expected)| match &expected.value {
        Expected::Regex { regex } => Some(regex),
        _ => None,
    });
    path.chain(values).find(|regex| regex.value == text).map(|regex| regex.place)
}
