//! What is clearly meant is taken; what is nearly right is told how to be.

use super::{around, env, load_text, problems};
use crate::config::schema::Health;

fn warnings(text: &str) -> Vec<String> {
    load_text("lb.toml", text, env).unwrap().warnings.iter().map(ToString::to_string).collect()
}

fn health(line: &str) -> Option<Health> {
    let loaded = load_text("lb.toml", &around("", "", line), env).unwrap();
    loaded.summary.config().backend["shop"].health.clone().map(|at| at.value)
}

#[test]
fn a_health_check_may_be_its_path_or_true() {
    assert_eq!(health("health = true"), Some(Health::default()));
    assert_eq!(health("health = \"/up\""), health("health = { path = \"/up\" }"));
    assert_eq!(health("health = false"), None);
    assert_eq!(
        problems(&around("", "", "health = 3"))[0],
        "lb.toml:3:10: `health` is a whole number, not a health check; write, for example, true, \"/health\" or \
         { path = \"/health\" }"
    );
    assert!(problems(&around("", "", "health = \"up\""))[0].starts_with("lb.toml:3:10: "));
}

#[test]
fn tls_to_servers_may_be_true() {
    let tls = |line: &str| {
        let loaded = load_text("lb.toml", &around("", "", line), env).unwrap();
        loaded.summary.config().backend["shop"].tls.clone().map(|at| at.value)
    };
    assert_eq!(tls("tls = true"), tls("tls = {}"));
    assert_eq!(tls("tls = false"), None);
}

#[test]
fn a_port_alone_is_every_address() {
    let text = around("", "", "").replace("0.0.0.0:80", ":8100");
    assert_eq!(problems(&text), [""; 0]);
    let twice = text.replace("\":8100\"", "[\":8100\", \"0.0.0.0:8100\"]");
    let loaded = load_text("lb.toml", &twice, env);
    let is_refused = loaded.is_err() || loaded.is_ok_and(|loaded| loaded.builder.snapshot().is_err());
    assert!(is_refused, "one address is listened on twice");
}

#[test]
fn a_wrong_address_is_quoted_as_it_was_written() {
    for (listen, expected) in [
        ("8100", "`listen` is a whole number, not an address to listen on; write, for example, \":80\" or"),
        ("\"::1:8350\"", "\"::1:8350\" has no brackets around its IPv6 address; write \"[::1]:8350\""),
        ("[\"::1\"]", "\"::1\" has no port; write \"[::1]:80\", for example"),
        ("“:80”", "“:80” is in typographic quotes, which mean nothing; write \":80\""),
    ] {
        let found = problems(&around("", "", "").replace("\"0.0.0.0:80\"", listen));
        assert_eq!(found.len(), 1, "{listen}: {found:#?}");
        assert!(found[0].starts_with("lb.toml:5:1") && found[0].contains(expected), "{listen}: {found:?}");
    }
}

#[test]
fn typographic_quotes_are_told_once_where_they_begin() {
    for (line, expected) in [
        (
            "balance = ‘random’",
            "3:11: ‘random’ is in typographic quotes, which mean nothing; write \"random\"",
        ),
        (
            "“balance” = \"random\"",
            "3:1: “balance” is in typographic quotes, which mean nothing; write \"balance\"",
        ),
        ("balance = “ran", "3:11: “ran is in typographic quotes, which mean nothing; write \"ran\""),
        ("balance = random # it’s", "3:11: a text without quotes is no value; write \"random\""),
    ] {
        assert_eq!(problems(&around("", "", line)), [format!("lb.toml:{expected}")], "{line}");
    }
}

#[test]
fn an_unknown_key_is_what_it_is_nearest_to() {
    for (line, expected) in [
        ("prefix = \"/a\"", "unknown key \"prefix\" in this route; did you mean `path_prefix`?"),
        ("location = \"/a\"", "unknown key \"location\" in this route; did you mean `path_prefix`?"),
        (
            "zzzzzz = 1",
            "unknown key \"zzzzzz\" in this route; remove it, or use one of alpn, backend, connect, header, host, ",
        ),
    ] {
        let found = problems(&around("", line, ""));
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        assert!(found[0].starts_with(&format!("lb.toml:9:1: {expected}")), "{line}: {found:?}");
    }
}

#[test]
fn a_star_in_a_path_is_told_what_would_match() {
    for (line, remedy) in [
        ("path = \"/static/*\"", "path_prefix = \"/static\""),
        ("path = \"/*\"", "path_prefix = \"/\""),
        ("path = \"/adm*\"", "path_begins = \"/adm\""),
        ("path = \"/*.php\"", "path_regex = '^/[^/]*\\.php$'"),
        ("path_prefix = \"/static/*\"", "path_prefix = \"/static\""),
        ("path_begins = \"/adm*\"", "path_begins = \"/adm\""),
    ] {
        let (key, text) = line.split_once(" = ").unwrap();
        let place = key.len() + 4;
        let expected =
            format!("lb.toml:9:{place}: `{key}` takes the `*` of {text} as it stands; write `{remedy}`");
        assert_eq!(warnings(&around("", line, "")), [expected]);
    }
    assert_eq!(warnings(&around("", "path_regex = \"^/a*$\"", "")), [""; 0]);
}

#[test]
fn a_server_that_is_the_proxy_is_told_where_it_is_written() {
    let text = around("", "", "").replace("\"web1:80\"", "\"web1:80\", \"127.0.0.1:80\"");
    assert_eq!(
        problems(&text),
        [
            "lb.toml:2:23: server `127.0.0.1:80` of backend shop is where frontend web listens: requests would go round \
          in a circle; name the server's own address"
        ]
    );
}
