//! Diagnostics are logfmt, or JSON where that is asked for.

mod rig;

use std::fs;

use rig::{Config, Lb, Server, lb, shop};
use rustix::process::Signal;

fn objects(text: &str) -> Vec<serde_json::Value> {
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// What each line says.
fn messages(objects: &[serde_json::Value]) -> Vec<&str> {
    for object in objects {
        assert!(object["time"].is_string() && object["level"].is_string(), "{object}");
    }
    objects.iter().map(|object| object["msg"].as_str().expect("a message")).collect()
}

#[test]
fn every_line_is_logfmt() {
    let config = Config::new(&shop(&[&Server::start("web1")]));
    let lb = Lb::run(&config.path());
    fs::write(config.path(), "[frontend]\nx = \"a\" \"b\"\n").unwrap();
    lb.signal(Signal::HUP);
    lb.says("refused");
    lb.signal(Signal::TERM);
    let said = lb.ended().stderr;
    let diagnostics = said.lines().filter(|line| !line.starts_with("lb ") && !line.starts_with("  "));
    let diagnostics: Vec<&str> = diagnostics.collect();
    assert!(diagnostics.len() > 2, "{said}");
    for line in diagnostics {
        assert!(line.starts_with("time=") && line.contains(" level=") && line.contains(" msg="), "{line}");
        let mut is_quoted = false;
        let mut is_escaped = false;
        for c in line.chars() {
            match c {
                _ if is_escaped => is_escaped = false,
                '\\' if is_quoted => is_escaped = true,
                '"' => is_quoted = !is_quoted,
                _ => {}
            }
        }
        assert!(!is_quoted, "each quote is closed: {line}");
    }
}

#[test]
fn every_line_is_json_where_the_file_says_so() {
    let text = shop(&[&Server::start("web1")]);
    let config = Config::new(&format!("[log]\nformat = \"json\"\n{text}"));
    let lb_running = Lb::start(&["run", config.path().to_str().unwrap()]);
    let said = objects(&lb_running.says("\"admin\":"));
    assert_eq!(messages(&said), ["lb runs", "listening", "listening"]);
    assert_eq!((said[0]["servers"].as_u64(), said[1]["frontend"].as_str()), (Some(1), Some("web")));
    lb_running.signal(Signal::TERM);
    let said = objects(&lb_running.ended().stderr);
    assert_eq!(messages(&said).last(), Some(&"drained"));

    let wrong = Config::new(&format!("[log]\nformat = \"json\"\n{}", text.replace("\"shop\"", "\"shpo\"")));
    let said = objects(&lb(&["run", wrong.path().to_str().unwrap()]).stderr);
    assert_eq!(messages(&said), ["configuration refused"]);
    assert!(said[0]["problem"].as_str().unwrap().contains("did you mean `shop`?"), "{said:?}");
}

#[test]
fn a_reload_may_change_the_form() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]));
    let lb = Lb::run(&config.path());
    fs::write(config.path(), format!("[log]\nformat = \"json\"\n{}", shop(&[&server]))).unwrap();
    lb.says("\"change\":\"log format logfmt -> json\"");
}

#[test]
fn the_command_line_has_the_last_word_from_the_first_line_on() {
    for (arguments, problem) in [
        (&["run", "--log-format", "json", "/nowhere/lb.toml"][..], "/nowhere/lb.toml:1:1: cannot be read: "),
        (&["run", "--log-format", "json", "-c", "/dev/null"], "/dev/null:1:1: no frontend is defined; "),
    ] {
        let said = objects(&lb(arguments).stderr);
        assert_eq!(messages(&said), ["configuration refused"]);
        assert!(said[0]["problem"].as_str().unwrap().starts_with(problem), "{said:?}");
    }
    let text = format!("[log]\nformat = \"json\"\n{}", shop(&[&Server::start("web1")]));
    let config = Config::new(&text);
    let lb = Lb::start(&["run", config.path().to_str().unwrap(), "--log-format", "logfmt"]);
    lb.says("  frontend  web");
}
