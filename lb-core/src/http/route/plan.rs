//! A route as it is written, and as it is followed.

use super::action::{Action, Respond, Split};
use super::error::{RouteError, RouteProblem};
use super::matching::{Match, ValueMatch};
use super::redirect::Redirect;
use super::rewrite::Rewrite;
use super::router::Router;
use crate::backend::Backend;
use crate::http::edits::HeaderEdits;
use crate::http::path::PathError;

/// A match on requests and what happens to them then.
///
/// Begins with the path, goes on with other conditions if there are any, and has one action. Nothing here fails:
/// mistakes are kept, and reported together when a frontend is built from the routes.
///
/// ```
/// use lb_core::backend::Backend;
/// use lb_core::http::route::Route;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let shop = Backend::builder("shop").server("10.0.0.1:80").build()?;
/// let admin = Backend::builder("admin").server("10.0.1.1:80").build()?;
/// let routes = [
///     Route::prefix("/admin").host("shop.example").strip_prefix("/admin").to(&admin),
///     Route::path("/old").redirect(301, "https://{host_name}/new{query}"),
///     Route::any().to(&shop),
/// ];
/// assert!(routes.iter().all(|route| route.problems().is_empty()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Route {
    matching: Match,
    /// The first that is valid.
    action: Option<Action>,
    /// How many were asked for, valid or not.
    actions: usize,
    rewrite: Option<Rewrite>,
    request_headers: HeaderEdits,
    response_headers: HeaderEdits,
    problems: Vec<RouteProblem>,
}

/// What is done with a request that a route takes: a valid [`Route`] without its match.
#[derive(Clone, Debug)]
pub struct Plan {
    action: Action,
    rewrite: Option<Rewrite>,
    request_headers: HeaderEdits,
    response_headers: HeaderEdits,
}

impl Route {
    /// Takes the requests that `matching` describes, for those who put conditions together themselves.
    pub fn new(matching: Match) -> Self {
        Self {
            matching,
            action: None,
            actions: 0,
            rewrite: None,
            request_headers: HeaderEdits::new(),
            response_headers: HeaderEdits::new(),
            problems: Vec::new(),
        }
    }

    /// Takes every path; see [`Match::any`].
    pub fn any() -> Self {
        Self::new(Match::any())
    }

    /// Takes this path and no other; see [`Match::path`].
    pub fn path(path: &str) -> Self {
        Self::new(Match::path(path))
    }

    /// Takes paths that begin with these segments; see [`Match::prefix`].
    pub fn prefix(prefix: &str) -> Self {
        Self::new(Match::prefix(prefix))
    }

    /// Takes paths that begin with these characters; see [`Match::begins`].
    pub fn begins(text: &str) -> Self {
        Self::new(Match::begins(text))
    }

    /// Takes paths in which this expression finds something; see [`Match::regex`].
    pub fn regex(regex: &str) -> Self {
        Self::new(Match::regex(regex))
    }

    /// And has this host, or `*.example`; see [`Match::host`].
    #[must_use]
    pub fn host(self, host: &str) -> Self {
        Self { matching: self.matching.host(host), ..self }
    }

    /// And has this method; see [`Match::method`].
    #[must_use]
    pub fn method(self, method: impl AsRef<str>) -> Self {
        Self { matching: self.matching.method(method), ..self }
    }

    /// And has this header field; see [`Match::header`].
    #[must_use]
    pub fn header(self, name: &str, value: impl Into<ValueMatch>) -> Self {
        Self { matching: self.matching.header(name, value), ..self }
    }

    /// And has this key in its query; see [`Match::query`].
    #[must_use]
    pub fn query(self, key: &str, value: impl Into<ValueMatch>) -> Self {
        Self { matching: self.matching.query(key, value), ..self }
    }

    /// And takes CONNECT, too; see [`Match::connect`].
    #[must_use]
    pub fn connect(self) -> Self {
        Self { matching: self.matching.connect(), ..self }
    }

    /// Forwards to `backend`.
    #[must_use]
    pub fn to(self, backend: &Backend) -> Self {
        self.act(Ok(Action::Backend(backend.clone())))
    }

    /// Forwards to these backends by weight: `.split([(&shop, 95), (&canary, 5)])`. One of weight 0 takes nothing.
    #[must_use]
    pub fn split<'a>(self, weighted: impl IntoIterator<Item = (&'a Backend, u32)>) -> Self {
        let split = Split::new(weighted.into_iter().map(|(backend, weight)| (backend.clone(), weight)));
        self.act(split.map(Action::Split).ok_or(RouteProblem::NoWeight))
    }

    /// Redirects to `target`, a template; see [`Redirect::new`]. A rewrite of this route changes its `{path}`.
    #[must_use]
    pub fn redirect(self, status: u16, target: &str) -> Self {
        self.act(Redirect::new(status, target).map(Action::Redirect).map_err(RouteProblem::from))
    }

    /// Answers by itself.
    #[must_use]
    pub fn respond(self, response: Respond) -> Self {
        self.act(response.check().map(Action::Respond))
    }

    /// Takes these segments off the path that is forwarded; see [`Rewrite::strip_prefix`].
    #[must_use]
    pub fn strip_prefix(self, prefix: &str) -> Self {
        self.rewriting(Rewrite::strip_prefix(prefix))
    }

    /// Replaces these segments of the path that is forwarded; see [`Rewrite::replace_prefix`].
    #[must_use]
    pub fn replace_prefix(self, from: &str, to: &str) -> Self {
        self.rewriting(Rewrite::replace_prefix(from, to))
    }

    /// Edits the fields of the request that is forwarded. The last call counts.
    #[must_use]
    pub fn request_headers(self, edits: HeaderEdits) -> Self {
        Self { request_headers: edits, ..self }
    }

    /// Edits the fields of the response, also of one that the proxy gives in a server's place: 502, 503, 504 and what a
    /// filter answers. The last call counts.
    #[must_use]
    pub fn response_headers(self, edits: HeaderEdits) -> Self {
        Self { response_headers: edits, ..self }
    }

    /// All that is wrong with the route.
    pub fn problems(&self) -> Vec<RouteProblem> {
        let mut problems = [self.matching.problems(), &self.problems].concat();
        if self.actions == 0 {
            problems.push(RouteProblem::NoAction);
        }
        if self.actions > 1 {
            problems.push(RouteProblem::SecondAction);
        }
        if matches!(self.action, Some(Action::Redirect(_) | Action::Respond(_)))
            && !self.request_headers.is_empty()
        {
            problems.push(RouteProblem::NoEffect("request_headers"));
        }
        if matches!(self.action, Some(Action::Respond(_))) && self.rewrite.is_some() {
            problems.push(RouteProblem::NoEffect("a rewrite of the path"));
        }
        problems.extend(self.connect_problem());
        problems
    }

    fn connect_problem(&self) -> Option<RouteProblem> {
        let can = self.matching.connects()?;
        match &self.action {
            Some(Action::Redirect(_) | Action::Respond(_)) => Some(RouteProblem::NoEffect("connect")),
            _ => (!can).then_some(RouteProblem::NeverConnects),
        }
    }

    fn finish(self) -> Result<(Match, Plan), Vec<RouteProblem>> {
        let problems = self.problems();
        let Self { matching, action, mut rewrite, request_headers, response_headers, .. } = self;
        let Some(action) = action.filter(|_| problems.is_empty()) else { return Err(problems) };
        let action = match action {
            Action::Redirect(redirect) => Action::Redirect(redirect.rewriting(rewrite.take())),
            other => other,
        };
        Ok((matching, Plan { action, rewrite, request_headers, response_headers }))
    }

    fn act(mut self, action: Result<Action, RouteProblem>) -> Self {
        self.actions += 1;
        match action {
            Ok(action) => self.action = self.action.or(Some(action)),
            Err(problem) => self.problems.push(problem),
        }
        self
    }

    fn rewriting(mut self, rewrite: Result<Rewrite, (&str, PathError)>) -> Self {
        match rewrite {
            Ok(_) if self.rewrite.is_some() => self.problems.push(RouteProblem::SecondRewrite),
            Ok(rewrite) => self.rewrite = Some(rewrite),
            Err((text, problem)) => {
                self.problems.push(RouteProblem::Rewrite { text: text.to_owned(), problem })
            }
        }
        self
    }
}

impl Plan {
    /// What is done.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The backends that requests may go to; none for a redirect or a fixed response.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        let (one, several) = match &self.action {
            Action::Backend(backend) => (Some(backend), None),
            Action::Split(split) => (None, Some(split.backends())),
            Action::Redirect(_) | Action::Respond(_) => (None, None),
        };
        one.into_iter().chain(several.into_iter().flatten())
    }

    /// How the forwarded path is rewritten. A redirect has its own.
    pub fn rewrite(&self) -> Option<&Rewrite> {
        self.rewrite.as_ref()
    }

    /// Edits to the request that is forwarded.
    pub fn request_headers(&self) -> &HeaderEdits {
        &self.request_headers
    }

    /// Edits to the response.
    pub fn response_headers(&self) -> &HeaderEdits {
        &self.response_headers
    }
}

impl Router<Plan> {
    /// Files `routes`; all of them must be valid.
    ///
    /// # Errors
    /// All problems of all routes at once.
    pub fn of(routes: impl IntoIterator<Item = Route>) -> Result<Self, RouteError> {
        let (mut plans, mut problems) = (Vec::new(), Vec::new());
        for (at, route) in routes.into_iter().enumerate() {
            match route.finish() {
                Ok(plan) => plans.push(plan),
                Err(wrong) => problems.extend(wrong.into_iter().map(|problem| (at, problem))),
            }
        }
        RouteError::of(problems).map_or_else(|| Self::build(plans), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::edits::EditError;
    use crate::http::route::Subject;
    use crate::http::template::Variables;

    fn backend(name: &str) -> Backend {
        Backend::builder(name).server("127.0.0.1:80").build().expect("a backend")
    }

    fn plan<'r>(router: &'r Router<Plan>, path: &str) -> &'r Plan {
        let fields = &[("", ""); 0][..];
        let subject =
            Subject { path: path.as_bytes(), host: b"h", method: b"GET", query: None, fields: &fields };
        router.find(&subject).expect("a route")
    }

    #[test]
    fn a_plan_carries_all_of_its_route() -> Result<(), EditError> {
        let (shop, canary) = (backend("shop"), backend("canary"));
        let router = Router::of([
            Route::prefix("/a")
                .method("GET")
                .strip_prefix("/a")
                .request_headers(HeaderEdits::new().set("x-a", "1")?)
                .response_headers(HeaderEdits::new().remove("server")?)
                .to(&shop),
            Route::prefix("/b").split([(&shop, 1), (&canary, 1), (&backend("off"), 0)]),
            Route::path("/c").redirect(301, "https://{host}{path}").replace_prefix("/c", "/d"),
            Route::any().respond(Respond::new(404).body("no")),
        ])
        .expect("valid routes");
        let names = |path: &str| {
            plan(&router, path).backends().map(|backend| backend.name().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(
            (names("/a/x"), names("/b"), names("/c")),
            (vec!["shop".into()], vec!["shop".into(), "canary".into()], vec![])
        );

        let a = plan(&router, "/a/x");
        assert!(matches!(a.action(), Action::Backend(backend) if backend.is_same(&shop)));
        let mut out = Vec::new();
        assert!(a.rewrite().is_some_and(|rewrite| rewrite.apply(b"/a/x", None, &mut Vec::new(), &mut out)));
        assert_eq!(out, b"/x");
        assert!(a.request_headers().drops(b"X-A") && a.response_headers().drops(b"Server"));

        let Action::Redirect(redirect) = plan(&router, "/c").action() else { panic!("a redirect") };
        let mut out = Vec::new();
        let variables = Variables { host: b"h", path: b"/c", ..Variables::default() };
        redirect.render(&variables, &mut out).expect("a host");
        assert_eq!(out, b"https://h/d");

        assert!(
            matches!(plan(&router, "/z").action(), Action::Respond(response) if response.status() == 404)
        );
        Ok(())
    }

    #[test]
    fn every_mistake_of_a_route_is_reported() {
        let shop = &backend("shop");
        let edits = || HeaderEdits::new().set("x-a", "1").expect("valid");
        let cases = [
            (Route::any(), vec![RouteProblem::NoAction]),
            (Route::any().to(shop).to(shop), vec![RouteProblem::SecondAction]),
            (Route::any().respond(Respond::new(99)), vec![RouteProblem::Status(99)]),
            (Route::any().split([(shop, 0)]), vec![RouteProblem::NoWeight]),
            (
                Route::any().to(shop).strip_prefix("/a").replace_prefix("/a", "/b"),
                vec![RouteProblem::SecondRewrite],
            ),
            (
                Route::any().to(shop).replace_prefix("/a", "b"),
                vec![RouteProblem::Rewrite { text: "b".into(), problem: PathError::NotAbsolute }],
            ),
            (
                Route::any().respond(Respond::new(200)).strip_prefix("/a").request_headers(edits()),
                vec![
                    RouteProblem::NoEffect("request_headers"),
                    RouteProblem::NoEffect("a rewrite of the path"),
                ],
            ),
            (Route::prefix("/").connect().to(shop), vec![RouteProblem::NeverConnects]),
            (Route::any().query("a", "1").connect().to(shop), vec![RouteProblem::NeverConnects]),
            (Route::any().method("GET").connect().to(shop), vec![RouteProblem::NeverConnects]),
            (Route::any().connect().respond(Respond::new(200)), vec![RouteProblem::NoEffect("connect")]),
            (
                Route::any().host("a b").method("put").redirect(200, "/").to(shop),
                vec![
                    RouteProblem::Host("a b".into()),
                    RouteProblem::Method("put".into()),
                    RouteProblem::Redirect(crate::http::route::RedirectError::Status(200)),
                    RouteProblem::SecondAction,
                ],
            ),
        ];
        for (route, want) in cases {
            assert_eq!(route.problems(), want);
            let error = Router::of([Route::any().to(shop), route]).expect_err("wrong");
            let want: Vec<_> = want.into_iter().map(|problem| (1, problem)).collect();
            assert_eq!(error.problems(), want);
        }
    }
}
