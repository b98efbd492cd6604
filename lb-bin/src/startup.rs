//! The lines that say what runs, once it does.

use std::fmt::Write;

use lb_core::proxy::Handle;
use lb_core::proxy::status::{BackendStatus, FrontendStatus};

/// Servers of a backend that are listed by name.
const LISTED: usize = 8;

/// What is listened on and what is served, in aligned lines.
pub(crate) fn lines(from: &str, proxy: &Handle) -> String {
    let status = proxy.status();
    let mut rows = vec![];
    rows.extend(status.frontends.iter().map(frontend));
    rows.extend(proxy.admin_address().map(|address| {
        ["admin".into(), String::new(), "http".into(), format!("{address} (/metrics /readyz /api/status)")]
    }));
    rows.extend(status.backends.iter().map(backend));
    render(&format!("lb {} runs {from}", status.version), &rows)
}

fn frontend(frontend: &FrontendStatus) -> [String; 4] {
    ["frontend".into(), frontend.name.clone(), frontend.mode.into(), frontend.listen.join(", ")]
}

fn backend(backend: &BackendStatus) -> [String; 4] {
    let names = backend.servers.iter().take(LISTED).map(|report| report.server.name.to_string());
    let mut servers = names.collect::<Vec<_>>().join(", ");
    if let Some(more) = backend.servers.len().checked_sub(LISTED).filter(|more| *more > 0) {
        servers.push_str(&format!(" and {more} more"));
    }
    ["backend".into(), backend.name.clone(), backend.balance.clone(), servers]
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
