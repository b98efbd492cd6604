//! Addresses to listen on, and who may connect there.

use super::{env, load_text, problems};

fn config(admin: &str, web: &str, more: &str) -> String {
    format!(
        "[admin]\nlisten = {admin}\n[frontend.web]\nlisten = {web}\nbackend = \"a\"\n[backend.a]\nservers = [\"a:1\"]\n\
         [frontend.more]\nbackend = \"a\"\n{more}\n"
    )
}

#[test]
fn addresses_that_overlap_are_told_where_the_later_one_stands() {
    for (admin, web, more, expected) in [
        (
            "127.0.0.1:1",
            "0.0.0.0:80",
            "127.0.0.1:80",
            "frontend more listens on 127.0.0.1:80, and frontend web on 0.0.0.0:80",
        ),
        (
            "127.0.0.1:1",
            "127.0.0.1:80",
            "0.0.0.0:80",
            "frontend more listens on 0.0.0.0:80, and frontend web on 127.0.0.1:80",
        ),
        (
            "127.0.0.1:80",
            "127.0.0.2:80",
            "0.0.0.0:80",
            "frontend more listens on 0.0.0.0:80, and [admin] on 127.0.0.1:80",
        ),
        (
            "127.0.0.1:1",
            "[::1]:80",
            "[::]:80",
            "frontend more listens on [::]:80, and frontend web on [::1]:80",
        ),
        (
            "127.0.0.1:1",
            ":80",
            "127.0.0.1:80",
            "frontend more listens on 127.0.0.1:80, and frontend web on 0.0.0.0:80",
        ),
        (
            "127.0.0.1:1",
            "unix:@lb",
            "unix:@lb",
            "frontend more listens on unix:@lb, which frontend web has already",
        ),
        (
            "127.0.0.1:1",
            "localhost:80",
            "localhost:80",
            "frontend more listens on localhost:80, which frontend web has already",
        ),
    ] {
        let quoted = |text: &str| format!("{text:?}");
        let text = config(&quoted(admin), &quoted(web), &format!("listen = {more:?}"));
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("lb.toml:10:10: {expected}")), "{}", found[0]);
    }
}

#[test]
fn addresses_beside_each_other_are_fine() {
    let more = "listen = [\"127.0.0.2:80\", \"[::]:80\", \"127.0.0.1:0\", \"127.0.0.1:0\", \"unix:@lb\", \"unix:@lb2\"]";
    let text = config("\"127.0.0.1:81\"", "\"127.0.0.1:80\"", more);
    assert!(load_text("lb.toml", &text, env).is_ok(), "{:?}", problems(&text));
}

#[test]
fn who_may_connect_to_a_unix_socket_is_checked_where_it_is_said() {
    let unix = "listen = \"unix:/run/lb.sock\"\n";
    for (line, expected) in [
        ("listen_mode = 432", "`listen_mode` is a whole number, not a mode in quotes"),
        ("listen_mode = \"rw\"", "\"rw\" is no mode of a socket; write the permission bits"),
        ("listen_mode = \"1777\"", "\"1777\" is no mode of a socket"),
        ("listen_mode = \"0888\"", "\"0888\" is no mode of a socket"),
        ("listen_owner = \"nobody-has-this-name\"", "there is no user `nobody-has-this-name`"),
        ("listen_group = \"nobody-has-this-name\"", "there is no group `nobody-has-this-name`"),
    ] {
        let found = problems(&config("\"127.0.0.1:1\"", "\"127.0.0.1:2\"", &format!("{unix}{line}")));
        assert!(found.len() == 1 && found[0].contains(expected), "{line}: {found:?}");
        assert!(found[0].starts_with("lb.toml:11:"), "{line}: {found:?}");
    }
    let said = "listen_mode = \"660\"\nlisten_owner = 0\nlisten_group = \"root\"";
    let warnings = |listen: &str| {
        let text = config("\"127.0.0.1:1\"", "\"127.0.0.1:2\"", &format!("{listen}{said}"));
        let warnings = load_text("lb.toml", &text, env).unwrap_or_else(|error| panic!("{error}")).warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(warnings(unix), [""; 0]);
    let without = warnings("listen = \"unix:@lb\"\n");
    assert!(without.len() == 3 && without[0].contains("`listen_mode` has no effect"), "{without:?}");
}

#[test]
fn names_of_the_admin_listener_are_names() {
    let admin = |hosts: &str| {
        config(&format!("\"127.0.0.1:1\"\nhosts = {hosts}"), "\"127.0.0.1:2\"", "listen = \"127.0.0.1:3\"")
    };
    assert_eq!(problems(&admin("[\"lb.internal\", \"lb\"]")), [""; 0]);
    let found = problems(&admin("[\"lb.internal:9090\"]"));
    assert!(
        found.len() == 1 && found[0].contains("lb.toml:3:10: \"lb.internal:9090\" is no host name; "),
        "{found:?}"
    );
}
