//! The lines that say what runs, once it does.
//!
//! However large the configuration, they fit on a screen: of each kind the first few are named, the others counted.

use std::fmt::Write;

use lb_core::config::LogFormat;
use lb_core::proxy::Handle;
use lb_core::proxy::status::{BackendStatus, FrontendStatus, Status};
use tracing::Level;

use crate::logging::Line;

/// Backends, addresses of one frontend and servers of one backend that are named.
const LISTED: usize = 8;
/// Frontends that are named: where one can connect is what is looked for first.
const FRONTENDS: usize = 32;

/// What is listened on and what is served: in aligned lines, or in the log's form if that is JSON.
pub(crate) fn lines(from: &str, proxy: &Handle, format: LogFormat) -> String {
    let status = proxy.status();
    let admin = proxy.admin_address().map(|address| address.to_string());
    match format {
        LogFormat::Logfmt => render(&format!("lb {} runs {from}", status.version), &rows(&status, admin)),
        LogFormat::Json => objects(from, &status, admin),
    }
}

fn rows(status: &Status, admin: Option<String>) -> Vec<[String; 4]> {
    let addresses = |frontends: &[FrontendStatus]| frontends.iter().map(|f| f.listen.len()).sum();
    let mut rows = vec![];
    rows.extend(status.frontends.iter().take(FRONTENDS).map(frontend));
    rows.extend(others("frontend", "addresses", status.frontends.get(FRONTENDS..), addresses));
    rows.extend(admin.map(|address| {
        ["admin".into(), String::new(), "http".into(), format!("{address} (/metrics /readyz /api/status)")]
    }));
    rows.extend(status.backends.iter().take(LISTED).map(backend));
    rows.extend(others("backend", "servers", status.backends.get(LISTED..), servers));
    rows
}

fn frontend(frontend: &FrontendStatus) -> [String; 4] {
    ["frontend".into(), frontend.name.clone(), frontend.mode.into(), listed(frontend.listen.iter())]
}

fn backend(backend: &BackendStatus) -> [String; 4] {
    let names = backend.servers.iter().map(|report| &report.server.name);
    let servers = if backend.servers.is_empty() { "no servers".to_owned() } else { listed(names) };
    ["backend".into(), backend.name.clone(), backend.balance.clone(), servers]
}

/// A row for the rest that is not named, if there is one.
fn others<T>(
    kind: &str,
    parts: &str,
    rest: Option<&[T]>,
    count: impl Fn(&[T]) -> usize,
) -> Option<[String; 4]> {
    let rest = rest.filter(|rest| !rest.is_empty())?;
    let how_many = format!("and {} more", rest.len());
    Some([kind.into(), how_many, String::new(), format!("{} {parts}", count(rest))])
}

fn servers(backends: &[BackendStatus]) -> usize {
    backends.iter().map(|backend| backend.servers.len()).sum()
}

fn listed(names: impl ExactSizeIterator<Item = impl ToString>) -> String {
    let more = names.len().saturating_sub(LISTED);
    let mut text = names.take(LISTED).map(|name| name.to_string()).collect::<Vec<_>>().join(", ");
    if more > 0 {
        // Writing to a String can't fail.
        let _ = write!(text, " and {more} more");
    }
    text
}

/// One object for the whole, and one for each frontend that is named and the admin listener.
fn objects(from: &str, status: &Status, admin: Option<String>) -> String {
    let line = |message: &str| Line::new(LogFormat::Json, Level::INFO, message);
    let whole = line("lb runs")
        .text("version", status.version)
        .text("configuration", from)
        .plain("frontends", status.frontends.len())
        .plain("backends", status.backends.len())
        .plain("servers", servers(&status.backends));
    let named = status.frontends.iter().take(FRONTENDS).map(|frontend| {
        let listen = listed(frontend.listen.iter());
        line("listening").text("frontend", &frontend.name).text("mode", frontend.mode).text("listen", &listen)
    });
    let admin = admin.map(|address| line("listening").text("admin", &address));
    let lines = std::iter::once(whole).chain(named).chain(admin);
    lines.map(|line| String::from_utf8_lossy(&line.end()).into_owned()).collect()
}

fn render(title: &str, rows: &[[String; 4]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [kinds, names, hows] = [width(0), width(1), width(2)];
    let mut text = format!("{title}\n");
    for [kind, name, how, what] in rows {
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {kind:kinds$}  {name:names$}  {how:hows$}  {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_to_name_is_counted() {
        let names: Vec<String> = (0..1000).map(|number| format!("web{number}:80")).collect();
        let text = listed(names.iter());
        assert!(text.starts_with("web0:80, web1:80, ") && text.ends_with("web7:80 and 992 more"), "{text}");
        assert_eq!(listed(names[..LISTED].iter()).matches(", ").count(), 7);
        let row = others("backend", "servers", names.get(LISTED..), |rest| rest.len() * 3);
        assert_eq!(row, Some(["backend", "and 992 more", "", "2976 servers"].map(str::to_owned)));
        assert_eq!(others("backend", "servers", Some(&names[..0]), |rest| rest.len()), None);
    }

    #[test]
    fn columns_are_aligned() {
        let row = |row: [&str; 4]| row.map(str::to_owned);
        let rows = [
            row(["frontend", "web", "http", "0.0.0.0:80"]),
            row(["backend", "shop", "round_robin", "web1:80, web2:80"]),
        ];
        assert_eq!(
            render("lb runs lb.toml", &rows),
            "lb runs lb.toml\n\
             \x20 frontend  web   http         0.0.0.0:80\n\
             \x20 backend   shop  round_robin  web1:80, web2:80\n"
        );
    }
}
