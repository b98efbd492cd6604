//! However the file changes, the running proxy follows.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod rig;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rig::{Config, Lb, Server, bodies, get, post, shop, wait_until};
use rustix::process::Signal;

/// Runs a shop of one server from a link to a file, replaces the file by `change`, which is given the link and the new
/// text of two servers, and expects both to serve.
fn follows(change: impl Fn(&Path, &str)) {
    let (web1, web2) = (Server::start("web1"), Server::start("web2"));
    let config = Config::new(&shop(&[&web1]));
    let lb = Lb::run(&config.path());
    let web = lb.address("web");
    assert_eq!(bodies(web, "/", 2), ["web1", "web1"]);

    change(&config.path(), &shop(&[&web1, &web2]));
    lb.says(&format!("backend shop: server {} added", web2.address));
    let mut seen = bodies(web, "/", 2);
    seen.sort();
    assert_eq!(seen, ["web1", "web2"]);
    let status: serde_json::Value =
        serde_json::from_str(&get(lb.address("admin"), "/api/status").body).unwrap();
    assert_eq!(status["config"]["last_reload"]["result"], "success", "{status}");
}

#[test]
fn in_place_write() {
    follows(|path, text| fs::write(path, text).unwrap());
}

#[test]
fn rename_of_an_editor() {
    follows(|path, text| {
        fs::write(path.with_extension("toml~"), text).unwrap();
        fs::rename(path.with_extension("toml~"), path).unwrap();
    });
}

#[test]
fn replaced_inode() {
    follows(|path, text| {
        fs::remove_file(path).unwrap();
        fs::write(path, text).unwrap();
    });
}

#[test]
fn symlink_swap() {
    // As Kubernetes mounts a ConfigMap: the file is a link into `..data`, itself a link that is replaced.
    let (web1, web2) = (Server::start("web1"), Server::start("web2"));
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (version, text) in [("..1", shop(&[&web1])), ("..2", shop(&[&web1, &web2]))] {
        fs::create_dir(at(version)).unwrap();
        fs::write(at(version).join("lb.toml"), text).unwrap();
    }
    symlink("..1", at("..data")).unwrap();
    symlink("..data/lb.toml", at("lb.toml")).unwrap();
    let lb = Lb::run(&at("lb.toml"));

    symlink("..2", at("..data_tmp")).unwrap();
    fs::rename(at("..data_tmp"), at("..data")).unwrap();
    lb.says(&format!("backend shop: server {} added", web2.address));
    assert_ne!(get(lb.address("web"), "/").body, get(lb.address("web"), "/").body);
}

#[test]
fn a_directory_of_files() {
    let (web1, web2) = (Server::start("web1"), Server::start("web2"));
    let text = shop(&[&web1]);
    let (front, back) = text.split_at(text.find("[backend").unwrap());
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("front.toml"), front).unwrap();
    fs::write(dir.path().join("back.toml"), back).unwrap();
    let lb = Lb::run(dir.path());
    assert_eq!(get(lb.address("web"), "/").body, "web1");

    fs::write(dir.path().join("more.toml"), back.replace("backend.shop", "backend.new")).unwrap();
    lb.says("backend new added");
    fs::write(
        dir.path().join("back.toml"),
        back.replace(&web1.address.to_string(), &web2.address.to_string()),
    )
    .unwrap();
    lb.says(&format!("backend shop: server {} removed", web1.address));
    assert_eq!(get(lb.address("web"), "/").body, "web2");
}

#[test]
fn sighup_reloads_also_what_did_not_change() {
    let config = Config::new(&shop(&[&Server::start("web1")]));
    let lb = Lb::run(&config.path());
    lb.signal(Signal::HUP);
    lb.says("nothing changed");
    let metrics = get(lb.address("admin"), "/metrics").body;
    assert!(metrics.contains("lb_config_reloads_total{result=\"success\"} 1"), "{metrics}");
}

#[test]
fn post_reloads_and_answers_what_came_of_it() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]));
    let lb = Lb::run(&config.path());
    let admin = lb.address("admin");
    let answer = post(admin, "/api/reload");
    assert_eq!((answer.status, answer.body.trim_end()), (200, "nothing changed"));

    fs::write(config.path(), shop(&[&server]).replace("backend = ", "backned = ")).unwrap();
    let answer = post(admin, "/api/reload");
    assert_eq!(answer.status, 422, "{}", answer.body);
    let place = format!("{}:6:1: ", config.path().display());
    assert!(answer.body.contains(&place) && answer.body.contains("did you mean"), "{}", answer.body);
    assert_eq!(get(admin, "/api/reload").status, 405);
}

#[test]
fn a_mistake_changes_nothing_until_it_is_repaired() {
    let (web1, web2) = (Server::start("web1"), Server::start("web2"));
    let config = Config::new(&shop(&[&web1]));
    let lb = Lb::run(&config.path());
    let (web, admin) = (lb.address("web"), lb.address("admin"));
    let status = || serde_json::from_str::<serde_json::Value>(&get(admin, "/api/status").body).unwrap();
    let hash = status()["config"]["hash"].clone();

    fs::write(config.path(), shop(&[&web2]).replace("\"shop\"", "\"shpo\"")).unwrap();
    let place = format!("{}:6:11: ", config.path().display());
    lb.says(&place);
    assert_eq!(get(web, "/").body, "web1");
    let last = wait_until("the status page shows it", || {
        let config = status()["config"].clone();
        (config["last_reload"]["result"] == "error").then_some(config)
    });
    assert_eq!(last["hash"], hash);
    assert!(last["last_reload"]["message"].as_str().unwrap().contains(&place), "{last}");
    let metrics = get(admin, "/metrics").body;
    assert!(metrics.contains("lb_config_reloads_total{result=\"error\"} 1"), "{metrics}");

    fs::write(config.path(), shop(&[&web2])).unwrap();
    lb.says(&format!("backend shop: server {} added", web2.address));
    assert_eq!(get(web, "/").body, "web2");
}

#[test]
fn listeners_come_and_go() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]));
    let lb = Lb::run(&config.path());
    let (web, admin) = (lb.address("web"), lb.address("admin"));
    let more = "[frontend.more]\nlisten = \"127.0.0.1:0\"\nbackend = \"shop\"\n";
    fs::write(config.path(), format!("{}{more}", shop(&[&server]))).unwrap();
    lb.says("frontend more added");
    let status: serde_json::Value = serde_json::from_str(&get(admin, "/api/status").body).unwrap();
    let frontends = status["frontends"].as_array().unwrap();
    let frontend = frontends.iter().find(|frontend| frontend["name"] == "more").unwrap();
    let address = frontend["listen"][0].as_str().unwrap().parse().unwrap();
    assert_eq!(get(address, "/").body, "web1");

    fs::write(config.path(), shop(&[&server])).unwrap();
    lb.says("frontend more removed");
    wait_until("it is closed", || std::net::TcpStream::connect(address).is_err().then_some(()));
    assert_eq!(get(web, "/").body, "web1");
}

#[test]
fn logs_follow_too() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]));
    let lb = Lb::run(&config.path());
    get(lb.address("web"), "/before");
    fs::write(config.path(), format!("[log]\naccess = \"json\"\n{}", shop(&[&server]))).unwrap();
    lb.says("log access off -> json");
    get(lb.address("web"), "/after");
    let line = lb.prints("\n");
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&entry["target"], &entry["server"]),
        (&"/after".into(), &server.address.to_string().into()),
        "{line}"
    );

    fs::write(config.path(), format!("[log]\naccess = \"common\"\nlevel = \"error\"\n{}", shop(&[&server])))
        .unwrap();
    wait_until("lines are in the common format", || {
        get(lb.address("web"), "/common");
        lb.prints("").contains("\"GET /common HTTP/1.1\" 200").then_some(())
    });
    lb.signal(Signal::TERM);
    let ended = lb.ended();
    assert!(!ended.stderr.contains("draining"), "only errors are wanted: {}", ended.stderr);
}

#[test]
fn a_refused_reload_leaves_the_log_as_it_is() {
    let server = Server::start("web1");
    let config = Config::new(&shop(&[&server]));
    let lb = Lb::run(&config.path());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere =
        format!("[frontend.more]\nlisten = \"{}\"\nbackend = \"shop\"\n", taken.local_addr().unwrap());
    let log = "[log]\naccess = \"json\"\nlevel = \"error\"\nformat = \"json\"\n";
    fs::write(config.path(), format!("{log}{}{elsewhere}", shop(&[&server]))).unwrap();
    lb.says("msg=\"configuration refused");
    fs::write(config.path(), format!("{}# repaired\n", shop(&[&server]))).unwrap();
    lb.says("msg=\"configuration reloaded, nothing changed\"");
}
