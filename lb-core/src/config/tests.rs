//! What wrong files get, and that nothing crashes the loader.

mod listening;
mod meant;

use super::*;

fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("web9".to_owned()),
        "WEIGHT" => Some("7".to_owned()),
        _ => None,
    }
}

fn problems(text: &str) -> Vec<String> {
    match load_text("lb.toml", text, env) {
        Ok(_) => Vec::new(),
        Err(diagnostics) => diagnostics.to_string().lines().map(str::to_owned).collect(),
    }
}

/// A good file around one line under test.
fn around(frontend: &str, route: &str, backend: &str) -> String {
    format!(
        "[backend.shop]\nservers = [\"web1:80\"]\n{backend}\n[frontend.web]\nlisten = \"0.0.0.0:80\"\n{frontend}\n\
         [[frontend.web.routes]]\nbackend = \"shop\"\n{route}\n"
    )
}

#[test]
fn the_shortest_useful_file_is_fine() {
    assert_eq!(problems(&around("", "", "")), [""; 0]);
}

#[test]
fn each_problem_of_a_key_has_its_line_and_its_remedy() {
    for (line, expected) in [
        ("servers = [\"web1:80\"]", "\"servers\" is defined twice; keep one"),
        ("balence = \"random\"", "unknown key \"balence\" in backend shop; did you mean `balance`?"),
        ("interval = \"2s\"", "unknown key \"interval\" in backend shop; remove it, or use one of balance, "),
        ("balance = \"randum\"", "unknown balance \"randum\"; did you mean `random`?"),
        (
            "balance = \"fastest\"",
            "unknown balance \"fastest\"; use one of least_connections, p2c, random, round_robin",
        ),
        (
            "balance = 3",
            "`balance` is a whole number, not a balancing policy; write, for example, \"round_robin\"",
        ),
        ("balance = \"maglev\"", "balance \"maglev\" is not supported yet; "),
        ("balance = \"source_hash\"", "balance \"source_hash\" is not supported yet; "),
        ("sticky = { cookie = \"LB\" }", "`sticky` is not supported yet; remove it"),
        ("tls = { ca = \"nowhere.pem\" }", "nowhere.pem can't be read: No such file"),
        (
            "tls = { insecure_skip_verify = true, server_name = \"a b\" }",
            "\"a b\" is no name of a server; write",
        ),
        (
            "tls = { ca = \"nowhere.pem\", insecure_skip_verify = true }",
            "`ca` with `insecure_skip_verify`: no",
        ),
        (
            "tls = { client = { cert = \"nowhere.pem\", key = \"k\" } }",
            "nowhere.pem can't be read: No such file",
        ),
        ("http2 = 1", "`http2` is a whole number, not true or false; write, for example, true"),
        ("send_proxy = \"v3\"", "unknown version of the PROXY protocol \"v3\"; did you mean"),
        ("retry_budget = 1.5", "1.5 is no share of a whole; write a number from 0 to 1"),
        ("retry_budget = nan", "NaN is no share of a whole; write a number from 0 to 1"),
        (
            "retry_budget = \"a\"",
            "`retry_budget` is a string, not a number from 0 to 1; write, for example, 0.2",
        ),
        ("retries = -1", "-1 is negative; write 0 or more"),
        ("retries = 99999999999", "99999999999 is too large; write at most 4294967295"),
        ("retries = 99999999999999999999999999999999999999999", "is out of range; write a smaller number"),
        ("retries = \"2\"", "`retries` is a string, not a whole number; write, for example, 10"),
        ("forwarded = 1", "`forwarded` is a whole number, not true or false; write, for example, true"),
        ("timeouts = 3", "`timeouts` is a whole number, not a table; "),
        (
            "timeouts = { connect = 2 }",
            "`connect` is a whole number, not a duration in quotes with its unit; write, for example, \"500ms\"",
        ),
        ("timeouts = { connect = \"2\" }", "\"2\" is no duration; write a whole number and a unit"),
        ("timeouts = { connect = \"0s\" }", "the duration is zero; write at least \"1ms\""),
        ("timeouts = { connect = \"-1s\" }", "the duration \"-1s\" is negative; "),
        ("timeouts = { connect = \"9999d\" }", "the duration \"9999d\" is too large; "),
        ("timeouts = { conect = \"1s\" }", "unknown key \"conect\" in `timeouts`; did you mean `connect`?"),
        ("health = { rise = 0 }", "`rise` is 0; write at least 1"),
        ("health = { path = \"/h\", expect = \"2yy\" }", "\"2yy\" is no status from 100 to 599; write"),
        ("health = { initial = \"maybe\" }", "unknown initial state \"maybe\"; use one of down, unknown, up"),
        ("passive = { eject = \"0s\" }", "passive: eject is zero; give at least 1ms, or failures = 0"),
        ("pool = { idle_per_server = -5 }", "-5 is negative; write 0 or more"),
        (
            "balance = \"${NOPE}\"",
            "`${NOPE}` names an environment variable that is not set; set it, or give a default",
        ),
        ("balance = \"${\"", "`${` is not closed; "),
        ("balance = random", "a text without quotes is no value; write \"random\""),
        ("balance =", "a value is missing; write it after the `=`"),
    ] {
        let text = around("", "", line);
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        assert!(found[0].starts_with("lb.toml:3:"), "{line}: {found:?}");
        assert!(found[0].contains(expected), "{line}: {found:?}");
    }
}

/// Nothing would be done with it: a server is shown the certificate alone.
#[test]
fn a_certificate_for_servers_has_no_ocsp_response() {
    let line = "tls = { client = { cert = \"c.pem\", key = \"c.key\", ocsp = \"c.ocsp\" } }";
    let found = problems(&around("", "", line));
    assert!(
        found.iter().any(|problem| problem.contains("unknown key \"ocsp\" in `certificate`")),
        "{found:?}"
    );
}

#[test]
fn each_problem_of_a_frontend_has_its_line_and_its_remedy() {
    for (line, expected) in [
        ("mode = \"udp\"", "6:8: unknown mode \"udp\"; use one of http, tcp"),
        ("tls = { certificates = [] }", "6:24: `certificates` is empty; add"),
        ("tls = {}", "6:1: `tls` has no `certificates`; add"),
        ("tls = { certificates = [\"nowhere\"] }", "6:25: nowhere can't be read: "),
        (
            "tls = { certificates = [{ cert = \"nowhere.pem\", key = \"k\" }] }",
            "6:25: nowhere.pem can't be read: No such file",
        ),
        ("tls = { certificates = [\"src\"] }", "6:25: src holds no certificate; put"),
        (
            "tls = { certificates = [{ cert = \"../conf/certificates/localhost.pem\", key = \"../conf/certificates/localhost.key\" }], min_version = \"1.1\" }",
            "6:133: unknown version of TLS \"1.1\"; ",
        ),
        (
            "tls = { certificates = [{ cert = \"../conf/certificates/localhost.pem\", key = \"../conf/certificates/localhost.key\" }], client_auth = \"optional\" }",
            "6:133: `client_auth` without `client_ca`",
        ),
        ("backend = \"shpo\"", "6:11: backend \"shpo\" is not defined; did you mean `shop`?"),
        (
            "backend = \"other\"",
            "6:11: backend \"other\" is not defined; add [backend.other] with its servers",
        ),
        ("trusted_proxies = [\"10.0.0.0/40\"]", "6:20: \"10.0.0.0/40\" is no network; "),
        ("limits = { head_bytes = 0 }", "6:25: no request has a head of 0 bytes; "),
        ("limits = { headers = 0 }", "6:22: no request comes without header fields; "),
        ("limits = { body_bytes = \"1 lot\" }", "6:25: \"1 lot\" is no size; "),
        ("limits = { body_bytes = -1 }", "6:25: the size \"-1\" is negative; "),
        ("limits = { body_bytes = true }", "6:25: `body_bytes` is a boolean, not a size; "),
        ("timeouts = { head = \"1.5s\" }", "6:21: \"1.5s\" is no duration; "),
    ] {
        let found = problems(&around(line, "", ""));
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        assert!(found[0].starts_with(&format!("lb.toml:{expected}")), "{line}: {found:?}");
    }
}

#[test]
fn each_problem_of_a_route_has_its_line_and_its_remedy() {
    for (line, expected) in [
        ("sni = \"*.example\"", "9:7: only mode tcp reads what a ClientHello asks for; use `host`"),
        (
            "path = \"/a\"\npath_prefix = \"/b\"",
            "10:15: this route has two path conditions, `path` and `path_prefix`; keep one",
        ),
        ("respond = { status = 200 }", "9:11: this route has two actions, `backend` and `respond`; keep one"),
        ("pathprefix = \"/a\"", "9:1: unknown key \"pathprefix\" in this route; did you mean `path_prefix`?"),
        ("method = \"GET\"\nhost = 3", "10:8: `host` is a whole number, not a string; "),
        ("header = { a = { present = false } }", "9:28: absence is no condition; write `present = true`"),
        (
            "header = { a = { } }",
            "9:12: this condition has neither `present` nor `regex`; write `present = true` or",
        ),
        ("query = { a = [] }", "9:15: `a` is a list, not a value or a condition; "),
        (
            "strip_prefix = \"/a\"\nreplace_prefix = { from = \"/a\", to = \"/b\" }",
            "10:18: this route has strip_prefix and replace_prefix; keep one",
        ),
        ("replace_prefix = { from = \"/a\" }", "9:1: `replace_prefix` has no `to`; add `to = \"text\"`"),
        ("request_headers = { set = { \"x-a\" = 1 } }", "9:37: `x-a` is a whole number, not a string; "),
        ("path = \"x\"", "9:8: `x`: the path does not begin with `/`; write it from the root"),
        ("path_prefix = \"/..\"", "9:15: `/..`: the path climbs above the root; "),
        ("path_begins = \"/a/../b\"", "9:15: "),
        ("path_regex = \"(\"", "9:14: the regular expression `(` does not compile: "),
        ("header = { x-a = { regex = \"[\" } }", "9:28: the regular expression `[` does not compile: "),
        ("query = { a = { regex = \"*\" } }", "9:25: the regular expression `*` does not compile: "),
        ("host = \"a b\"", "9:8: `a b` is no host to match; "),
        ("host = \"a.example:80\"", "9:8: `a.example:80` is no host to match; "),
        ("method = [\"GET\", \"get\"]", "9:18: `get` is no method; "),
        ("header = { \"x a\" = \"1\" }", "9:12: `x a` is not a header name; "),
        ("strip_prefix = \"a\"", "9:16: can't rewrite with `a`: the path does not begin with `/`; "),
        ("replace_prefix = { from = \"/a\", to = \"b\" }", "9:38: can't rewrite with `b`: "),
        (
            "request_headers = { set = { connection = \"x\" } }",
            "9:29: `connection` frames the message or belongs to one connection, ",
        ),
        (
            "response_headers = { add = { \"x-a\" = \"\\n\" }, remove = [\"te\"] }",
            "9:30: the value of `x-a` holds a line break",
        ),
        (
            "request_headers = { set = { x-real-ip = \"{clinet}\" } }",
            "9:29: unknown placeholder `{clinet}`; did you mean `{client}`?",
        ),
        ("response_headers = { add = { x-id = \"{request_id}\" } }", "9:30: `{request_id}` has no value, "),
        ("request_headers = { set = { nel = \"{\" } }", "9:29: a brace in `{` is not closed"),
        ("request_headers = { drop = [] }", "9:21: unknown key \"drop\" in `headers`; "),
    ] {
        let found = problems(&around("", line, ""));
        assert_eq!(found.len(), if line.contains("remove = [\"te\"]") { 2 } else { 1 }, "{line}: {found:#?}");
        assert!(found[0].starts_with(&format!("lb.toml:{expected}")), "{line}: {found:?}");
    }
}

#[test]
fn each_problem_of_an_action_has_its_place_and_its_remedy() {
    for (action, expected) in [
        ("redirect = { status = 200, to = \"/\" }", "4:23: 200 is no status to redirect with; "),
        (
            "redirect = { to = \"https://{hots}/\" }",
            "4:19: unknown placeholder `{hots}`; did you mean `{host}`?",
        ),
        ("redirect = { status = 301 }", "4:1: `redirect` has no `to`; "),
        (
            "redirect = { to = \"{path}\" }\nrequest_headers = { set = { \"x-a\" = \"1\" } }",
            "5:19: request_headers has no effect, ",
        ),
        ("respond = { body = \"x\" }", "4:1: `respond` has no `status`; add `status = 200`"),
        (
            "respond = { status = \"200\" }",
            "4:22: `status` is a string, not a whole number; write, for example, 200",
        ),
        ("respond = { status = 99 }", "4:22: 99 is no status to respond with; "),
        ("respond = { status = 204, body = \"x\" }", "4:22: a response with status 204 has no body; "),
        ("respond = { status = 200, content_type = \"\" }", "4:42: `` is no content type; "),
        ("respond = { status = 200 }\nstrip_prefix = \"/a\"", "5:16: a rewrite of the path has no effect, "),
        ("split = []", "4:9: the weights of this split are all 0; "),
        ("split = [{ backend = \"shop\", weight = 0 }]", "4:9: the weights of this split are all 0; "),
        ("split = [{ weight = 1 }]", "4:10: `split` has no `backend`; "),
        (
            "split = [{ backend = \"shop\" }, { backend = \"shpo\" }]",
            "4:44: backend \"shpo\" is not defined; ",
        ),
    ] {
        let text = format!(
            "[frontend.web]\nlisten = \"0.0.0.0:80\"\n[[frontend.web.routes]]\n{action}\n\
             [backend.shop]\nservers = [\"web1:80\"]\n"
        );
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{action}: {found:#?}");
        assert!(found[0].starts_with(&format!("lb.toml:{expected}")), "{action}: {found:?}");
    }
}

#[test]
fn whole_files_are_checked_for_what_they_lack() {
    for (text, expected) in [
        ("", &["1:1: no frontend is defined; add [frontend.NAME] with `listen` and `backend`"][..]),
        ("# only a comment\n", &["1:1: no frontend is defined; "]),
        (
            "frontend = 1\nbackend = []\n",
            &[
                "1:1: no frontend",
                "1:12: `frontend` is a whole number, not",
                "2:11: `backend` is a list, not",
            ],
        ),
        (
            "frontends = {}\n",
            &[
                "1:1: unknown key \"frontends\" in the configuration; did you mean `frontend`?",
                "1:1: no frontend",
            ],
        ),
        (
            "[frontend.web]\n",
            &[
                "1:11: frontend web has no `listen`; add `listen = ",
                "1:11: frontend web has neither backend nor routes; ",
            ],
        ),
        (
            "[frontend.web]\nlisten = []\nroutes = []\n",
            &["2:10: `listen` is empty; ", "3:10: frontend web has no routes; "],
        ),
        (
            "[backend.shop]\n[frontend.web]\nlisten = \"0.0.0.0:80\"\nbackend = \"shop\"\n",
            &[
                "1:10: backend shop has no servers; add `servers = [\"host:port\"]`, or `servers = []` for none as yet",
            ],
        ),
        (
            "[backend.shop]\nservers = [\"web1\", \"web2:x\", { weight = 1 }, \"ok:1\", \"ok:1\", 5]\n[frontend.web]\nlisten = \":80\"\nroutes = [{}]\n",
            &[
                "2:12: address \"web1\" has no port; write \"web1:80\"",
                "2:20: address \"web2:x\" has a bad port; ",
                "2:30: this server has no `address`; add `address = ",
                "2:54: the name \"ok:1\" is taken by an earlier server; give each its own name",
                "2:62: `servers` is a whole number, not a server; ",
                "5:11: this route has no action; add `backend",
            ],
        ),
        (
            "[admin]\nlisten = \"127.0.0.1:80\"\n[backend.a]\nservers = [\"a:1\"]\n[frontend.x]\nlisten = [\"127.0.0.1:80\", \"127.0.0.1:0\"]\nbackend = \"a\"\n[frontend.y]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:81\", \"127.0.0.1:81\"]\nbackend = \"a\"\n",
            &[
                "6:11: frontend x listens on 127.0.0.1:80, which [admin] has already; ",
                "9:42: frontend y listens on 127.0.0.1:81, which frontend y has already; ",
            ],
        ),
        (
            "[global]\nworkers = 0\nmax_connections = -1\n[log]\nlevel = \"loud\"\naccess = true\n[frontend.t]\nmode = \"tcp\"\nlisten = \"[::]:1\"\nroutes = [{ path = \"/\", backend = \"a\" }]\n[backend.a]\nservers = [\"a:1\"]\n",
            &[
                "2:11: no worker would serve; write \"auto\" or at least 1",
                "3:19: -1 is negative",
                "5:9: unknown log level \"loud\"; use one of",
                "6:10: `access` is a boolean, not an access log format; ",
                "10:11: frontend t is in mode tcp, where a route can only name a backend for ",
            ],
        ),
        // What TOML itself refuses: all of it, and neither consequences on the same line nor what the lost part may hold.
        (
            "[frontend.web\nlisten = \"0.0.0.0:80\"\nmode = \"udp\"\n[backend.shop]\nservers = [\"a:1\" \"b:1\"]\nretries = -2\n[backend.shop]\n",
            &[
                "1:14: unclosed table; write `]`",
                "5:18: missing comma between array elements; write `,`",
                "6:11: -2 is negative; ",
                "7:10: \"shop\" is defined twice; ",
            ],
        ),
        (
            "[frontend.web]\nlisten = 0.0.0.0:80\nmode = \"udp\"\n",
            &["2:10: invalid float: \"0.0.0.0:80\"; put it in quotes if it is a text", "3:8: unknown mode"],
        ),
        ("[frontend.web]\nlisten = \"0.0.0.0:80\n", &["2:21: invalid basic string; write `\"`"]),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), expected.len(), "{text}\n{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(&format!("lb.toml:{expected}")), "{text}\n{found}\n{expected}");
        }
    }
}

#[test]
fn warnings_do_not_refuse() {
    let text = around(
        "backend = \"shop\"",
        "[[frontend.web.routes]]\nbackend = \"shop\"",
        "health = { host = \"x\" }\n[backend.spare]\nservers = [{ address = \"s:1\", weight = 0 }]\n[backend.zero]\nservers = []",
    );
    let loaded = load_text("lb.toml", &text, env).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let expected = [
        "lb.toml:3:19: the health check of backend shop has no path, so it only connects; ",
        "lb.toml:4:10: every server of backend spare has weight 0: it serves nothing; ",
        "lb.toml:4:10: backend spare is not used; ",
        "lb.toml:6:10: backend zero is not used; ",
        "lb.toml:7:11: backend zero has no servers: its requests get 503; ",
        "lb.toml:10:11: `backend` of frontend web is never used: a route without conditions takes all; ",
        "lb.toml:13:1: this route of frontend web never matches: an earlier one has its conditions; ",
    ];
    assert_eq!(warnings.len(), expected.len(), "{warnings:#?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warning}\n{expected}");
    }
}

#[test]
fn mode_tcp_warns_of_what_only_http_reads() {
    let text = "[frontend.db]\nlisten = \"127.0.0.1:1\"\nmode = \"tcp\"\nbackend = \"db\"\ntimeouts = { idle = \"1s\", body = \"1s\" }\n\
                limits = { headers = 1 }\n[backend.db]\nservers = [\"db:1\"]\n";
    let loaded = load_text("lb.toml", text, env).unwrap();
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let remedy = "has no effect in mode tcp; remove it, or write `mode = \"http\"`";
    assert_eq!(
        warnings,
        [format!("lb.toml:5:34: `body` {remedy}"), format!("lb.toml:6:10: `limits` {remedy}")]
    );
}

#[test]
fn a_route_without_a_condition_takes_the_rest_in_mode_tcp() {
    let file = |keys: &str| {
        format!(
            "[frontend.sni]\nlisten = \"127.0.0.1:0\"\nmode = \"tcp\"\n{keys}\n[backend.one]\nservers = [\"a:1\"]\n\
             [backend.two]\nservers = [\"b:1\"]\n"
        )
    };
    let one = "{ sni = \"one.example\", backend = \"one\" }";
    let rest = "{ backend = \"two\" }";
    for keys in [
        format!("routes = [{one}, {rest}]"),
        format!("routes = [{rest}, {one}]"),
        format!("routes = [{one}]\nbackend = \"two\""),
        format!("routes = [{{ alpn = \"h2\", backend = \"one\" }}, {one}, {rest}]"),
    ] {
        let loaded = load_text("lb.toml", &file(&keys), env).expect("a good file");
        assert_eq!(loaded.warnings.len(), 0, "{keys}: {:?}", loaded.warnings);
    }
    let several = "frontend sni names several backends for what no route takes; keep one";
    for (keys, column) in [
        (format!("routes = [{rest}, {{ backend = \"one\" }}]"), 32),
        (format!("backend = \"two\"\nroutes = [{one}, {{ backend = \"one\" }}]"), 53),
    ] {
        let found = problems(&file(&keys));
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        assert!(found[0].contains(several) && found[0].contains(&format!(":{column}: ")), "{found:?}");
    }
}

#[test]
fn variables_fill_strings_and_numbers() {
    let text =
        around("", "", "retries = \"${WEIGHT}\"\nforwarded = \"${NO:-false}\"\nbalance = \"${POLICY:-p2c}\"");
    let loaded = load_text("lb.toml", &text.replace("web1", "${HOST}"), env).unwrap();
    let shop = &loaded.summary.config().backend["shop"];
    assert_eq!((shop.retries, shop.forwarded, shop.servers[0].name.as_str()), (7, false, "web9:80"));
}

#[test]
fn a_summary_remembers_what_variables_were() {
    let text = around("", "", "retries = \"${RETRIES}\"");
    let summary = |retries: &str| load_text("lb.toml", &text, |_| Some(retries.to_owned())).unwrap().summary;
    let (old, new) = (summary("2"), summary("3"));
    assert_eq!(new.changes_since(&old), ["backend shop: retries 2 -> 3"]);
    assert_eq!(new.changes_since(&new.clone()), [""; 0]);
    assert!(!format!("{new:?}").contains("shop"));
}

#[test]
fn keys_of_later_releases_may_be_off() {
    let frontend = "accept_proxy = false";
    assert_eq!(problems(&around(frontend, "", "send_proxy = \"off\"")), [""; 0]);
}

#[test]
fn a_directory_is_merged_and_names_clash_across_files() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("a.toml", "[frontend.web]\nlisten = \"0.0.0.0:80\"\nbackend = \"shop\"\n");
    write("b.toml", "[backend.shop]\nservers = [\"web1:80\"]\n");
    let loaded = load(dir.path(), env).unwrap();
    let config = loaded.summary.config();
    assert_eq!((config.frontend.len(), config.backend.len()), (1, 1));

    write("c.toml", "[global]\n[backend.shop]\nservers = [\"web2:80\"]\n");
    write("d.toml", "[global]\nworkers = \"many\"\n[frontend.web]\n");
    let error = load(dir.path(), env).unwrap_err();
    let found: Vec<String> = error.iter().map(ToString::to_string).collect();
    let expected = [
        ("c.toml:2:10: backend shop is defined in another file too; "),
        ("d.toml:1:1: `global` is defined in another file too; "),
        ("d.toml:2:11: `workers` is a string, not \"auto\" or a number; "),
        ("d.toml:3:11: frontend web has no `listen`; "),
        ("d.toml:3:11: frontend web is defined in another file too; "),
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&dir.path().join(expected).display().to_string()), "{found}\n{expected}");
    }
}

#[test]
fn what_cannot_be_read_says_so_at_its_first_character() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.toml");
    let error = load(&missing, env).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:1:1: cannot be read: ", missing.display())), "{error}");
    assert!(error.ends_with("; check the path, or name another file with -c"), "{error}");
    let error = load(dir.path(), env).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("{}:1:1: the directory holds no *.toml file; add one, or name a file", dir.path().display())
    );
    std::fs::write(&missing, b"# ok\nx = \"\xff\"\n").unwrap();
    let error = load(&missing, env).unwrap_err().to_string();
    assert_eq!(error, format!("{}:2:6: not UTF-8 text; save the file as UTF-8", missing.display()));
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(512))]

    #[test]
    fn any_text_is_loaded_or_refused_line_by_line(text in ".{0,200}") {
        well_formed(&text)?;
    }

    #[test]
    fn any_mixture_of_the_words_of_a_configuration_too(
        words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60)
    ) {
        well_formed(&words.concat())?;
    }
}

const WORDS: &[&str] = &[
    "[frontend.web]\n",
    "[backend.shop]\n",
    "[[frontend.web.routes]]\n",
    "[global]\n",
    "[admin]\n",
    "[log]\n",
    "listen",
    "servers",
    "backend",
    "path_prefix",
    "header",
    "timeouts",
    "split",
    "workers",
    " = ",
    "\n",
    "\"0.0.0.0:80\"",
    "\"shop\"",
    "[",
    "]",
    "{ ",
    " }",
    ", ",
    "1",
    "-1",
    "\"2s\"",
    "true",
    "\"${X}\"",
    "\"${X:-\"",
    ".",
    "\"",
    "'''",
    "#",
    "\u{e4}",
    "\0",
    "1979-01-01",
    "0.5",
    "\\",
];

/// Each line of a refusal is a position in the text, what is wrong, and what to do; positions go up.
fn well_formed(text: &str) -> Result<(), proptest::test_runner::TestCaseError> {
    let Err(diagnostics) = load_text("lb.toml", text, env) else { return Ok(()) };
    proptest::prop_assert!(diagnostics.iter().count() > 0);
    let mut last = (0, 0);
    for diagnostic in diagnostics.iter() {
        let line = text.split('\n').nth(diagnostic.line - 1);
        proptest::prop_assert!(
            line.is_some_and(|line| diagnostic.column <= line.chars().count() + 1),
            "{diagnostic}"
        );
        proptest::prop_assert!((diagnostic.line, diagnostic.column) >= last, "{diagnostics}");
        proptest::prop_assert!(
            diagnostic.message.contains("; ") && !diagnostic.message.contains('\n'),
            "{diagnostic}"
        );
        last = (diagnostic.line, diagnostic.column);
    }
    proptest::prop_assert_eq!(diagnostics.to_string().lines().count(), diagnostics.iter().count());
    Ok(())
}
