//! Exit codes and messages, as a user meets them.

mod rig;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, TcpListener};

use rig::{Config, Lb, Server, get, lb, shop};
use rustix::process::Signal;

/// Three mistakes at three places.
const WRONG: &str = "\
[frontend.web]
listen = \"0.0.0.0:99999\"
backend = \"shop\"
[backend.shpo]
servers = [\"web1\"]
";

#[test]
fn version_and_help_are_fine() {
    let version = lb(&["--version"]);
    assert_eq!(
        (version.code, version.stdout.as_str()),
        (Some(0), concat!("lb ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let help = lb(&["help"]);
    assert_eq!(help.code, Some(0));
    for command in ["run", "check", "demo", "health"] {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{}", help.stdout);
    }
}

#[test]
fn wrong_usage_is_two() {
    for arguments in
        [&[][..], &["balance"], &["run", "--port", "80"], &["check", "-c"], &["demo", "--listen", "x"]]
    {
        let ended = lb(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stdout.is_empty() && ended.stderr.contains("help"), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn check_prints_every_problem_at_its_place() {
    let config = Config::new(WRONG);
    let path = config.path();
    let ended = lb(&["check", "-c", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ended.stdout);
    for (line, (place, said)) in
        lines.iter().zip([(":2:10: ", "99999"), (":3:11: ", "shop"), (":5:12: ", "port")])
    {
        let message = line.strip_prefix(&format!("{}{place}", path.display()));
        let message = message.unwrap_or_else(|| panic!("{line} at {place}"));
        assert!(message.contains(said) && message.contains("; "), "what is wrong; what to do: {line}");
    }
}

#[test]
fn check_of_a_good_file_is_one_line() {
    let config = Config::new(&shop(&[&Server::start("web1")]));
    let path = config.path();
    let ended = lb(&["check", "-c", path.to_str().unwrap()]);
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    assert_eq!(ended.stdout, format!("{}: the configuration is fine\n", path.display()));
    assert_eq!(ended.stderr, "");
}

#[test]
fn the_file_may_stand_alone() {
    let config = Config::new(&shop(&[&Server::start("web1")]));
    let (path, text) = (config.path(), config.path().display().to_string());
    assert_eq!(lb(&["check", path.to_str().unwrap()]).stdout, format!("{text}: the configuration is fine\n"));
    let lb_running = Lb::start(&["run", path.to_str().unwrap()]);
    lb_running.says("  frontend  web");
    let both = lb(&["check", "-c", path.to_str().unwrap(), path.to_str().unwrap()]);
    assert_eq!(both.code, Some(2), "{}", both.stderr);
}

#[test]
fn a_file_of_another_kind_is_one_line() {
    let config = Config::new("global\n    daemon\nfrontend web\n    bind :80\n");
    let ended = lb(&["check", config.path().to_str().unwrap()]);
    assert_eq!((ended.code, ended.stdout.lines().count()), (Some(1), 1), "{}", ended.stdout);
    assert!(ended.stdout.contains(":1:1: this seems to be a configuration of HAProxy"), "{}", ended.stdout);
}

#[test]
fn check_finds_two_names_of_one_address() {
    let text = shop(&[&Server::start("web1")]).replace("127.0.0.1:0\"\nbackend", "127.0.0.1:4711\"\nbackend");
    let config =
        Config::new(&format!("{text}[frontend.other]\nlisten = \"localhost:4711\"\nbackend = \"shop\"\n"));
    let ended = lb(&["check", "-c", config.path().to_str().unwrap()]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("listened on twice; remove one"), "{}", ended.stdout);
}

#[test]
fn a_file_that_is_not_there_is_a_problem_of_the_configuration() {
    for command in ["check", "run"] {
        let ended = lb(&[command, "-c", "/nowhere/lb.toml"]);
        assert_eq!(ended.code, Some(1));
        let said = ended.stdout + &ended.stderr;
        assert!(said.starts_with("/nowhere/lb.toml:1:1: cannot be read: "), "{said}");
    }
}

#[test]
fn run_refuses_what_check_refuses() {
    let config = Config::new(WRONG);
    let path = config.path();
    let (run, check) =
        (lb(&["run", "-c", path.to_str().unwrap()]), lb(&["check", "-c", path.to_str().unwrap()]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert_eq!(run.stderr, check.stdout);
}

#[test]
fn an_address_in_use_is_three_and_names_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Server::start("web1");
    for (from, who) in
        [("listen = \"127.0.0.1:0\"\nbackend", "frontend web: "), ("listen = \"127.0.0.1:0\"", "admin: ")]
    {
        let config = Config::new(&shop(&[&server]).replacen(from, &from.replace("127.0.0.1:0", &address), 1));
        let ended = lb(&["run", "-c", config.path().to_str().unwrap()]);
        assert_eq!(ended.code, Some(3), "{}", ended.stderr);
        let expected = format!("lb: {who}can't listen on {address}: ");
        assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
        assert!(ended.stderr.trim_end().ends_with("stop it, or listen elsewhere"), "{}", ended.stderr);
    }
}

#[test]
fn start_says_what_is_listened_on_and_what_is_served() {
    let (web1, web2) = (Server::start("web1"), Server::start("web2"));
    let config = Config::new(&shop(&[&web1, &web2]));
    let lb = Lb::run(&config.path());
    let (web, admin) = (lb.address("web"), lb.address("admin"));
    lb.signal(Signal::TERM);
    let said = lb.ended().stderr;
    let expected = format!(
        "lb {} runs {}\n\
         \x20 frontend  web   http         {web}\n\
         \x20 admin           http         {admin} (/metrics /readyz /api/status)\n\
         \x20 backend   shop  round_robin  {}, {}\n",
        env!("CARGO_PKG_VERSION"),
        config.path().display(),
        web1.address,
        web2.address,
    );
    assert!(said.starts_with(&expected), "{said}\nis not\n{expected}");
}

#[test]
fn a_port_alone_is_listened_on_by_both_families() {
    if TcpListener::bind("[::1]:0").is_err() {
        return;
    }
    let config = Config::new(&shop(&[&Server::start("web1")]).replace("127.0.0.1:0", ":0"));
    let lb = Lb::run(&config.path());
    let said = lb.says("backend   shop");
    let ports: Vec<u16> = said
        .split_whitespace()
        .filter(|word| word.starts_with("0.0.0.0:") || word.starts_with("[::]:"))
        .map(|word| word.trim_end_matches(',').rsplit_once(':').unwrap().1.parse().unwrap())
        .collect();
    let [v4, v6, admin] = ports[..] else { panic!("{said}") };
    assert_eq!(get(([127, 0, 0, 1], v4).into(), "/").body, "web1");
    assert_eq!(get((Ipv6Addr::LOCALHOST, v6).into(), "/").body, "web1");
    assert_eq!(get(([127, 0, 0, 1], admin).into(), "/healthz").status, 200);
    assert_eq!(get((Ipv6Addr::LOCALHOST, admin).into(), "/healthz").status, 200);
}

#[test]
fn health_asks_whether_it_is_ready() {
    let config = Config::new(&shop(&[&Server::start("web1")]));
    let lb_running = Lb::run(&config.path());
    let admin = lb_running.address("admin").to_string();
    let ended = lb(&["health", "--admin", &admin]);
    assert_eq!((ended.code, ended.stdout), (Some(0), format!("{admin}: ready\n")));

    lb_running.signal(Signal::TERM);
    lb_running.ended();
    let ended = lb(&["health", "--admin", &admin]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.starts_with(&format!("{admin}: ")), "{}", ended.stderr);
}

#[test]
fn health_fails_while_it_is_not_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answering = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let head = reader.by_ref().lines().map_while(Result::ok).find(String::is_empty);
        head.expect("a whole head");
        reader.get_mut().write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap();
    });
    let ended = lb(&["health", "--admin", &address]);
    assert_eq!((ended.code, ended.stderr), (Some(1), format!("{address}: not ready\n")));
    answering.join().unwrap();
}
