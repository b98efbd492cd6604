//! The resolver against a name server of our own on a port that the kernel chose, and files of our own.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;

use super::{Answer, LookupError, Resolver};

/// What the name server says to a name and a record type; what isn't there doesn't exist.
type Zone = HashMap<(&'static str, RecordType), Reply>;

#[derive(Clone)]
enum Reply {
    Addrs(Vec<&'static str>, u32),
    Fails,
}

struct System {
    folder: tempfile::TempDir,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<Mutex<Vec<String>>>,
    resolver: Resolver,
}

impl System {
    /// With `hosts` and `resolv.conf` of these texts, whose name server is on the loopback.
    async fn new(hosts: &str, resolv_conf: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let (zone, asked) = (Arc::new(Mutex::new(Zone::new())), Arc::new(Mutex::new(Vec::new())));
        tokio::spawn(serve(socket, zone.clone(), asked.clone()));
        let folder = tempfile::tempdir().unwrap();
        let (hosts_path, conf_path) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
        std::fs::write(&hosts_path, hosts).unwrap();
        std::fs::write(&conf_path, resolv_conf).unwrap();
        let resolver = Resolver::by_files(&hosts_path, &conf_path, port);
        Self { folder, zone, asked, resolver }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    fn says(&self, name: &'static str, family: RecordType, reply: Reply) {
        self.zone.lock().unwrap().insert((name, family), reply);
    }

    /// Sorted, for the order is nobody's promise.
    async fn look_up(&self, host: &str) -> Result<Vec<String>, LookupError> {
        self.resolver.look_up(host, &[]).await.map(|answer| texts(&answer))
    }
}

fn texts(answer: &Answer) -> Vec<String> {
    let mut texts: Vec<_> = answer.addrs.iter().map(IpAddr::to_string).collect();
    texts.sort();
    texts
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut buffer = [0; 4096];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let question = query.queries[0].clone();
        let name = question.name().to_lowercase().to_string();
        asked.lock().unwrap().push(format!("{name} {}", question.query_type()));
        let key = zone.lock().unwrap().iter().find_map(|((host, family), reply)| {
            (*host == name && *family == question.query_type()).then(|| reply.clone())
        });
        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        response.metadata.recursion_desired = true;
        response.metadata.recursion_available = true;
        response.add_query(question.clone());
        match key {
            Some(Reply::Addrs(addrs, ttl)) => {
                let record = |addr: &str| {
                    let addr: IpAddr = addr.parse().unwrap();
                    Record::from_rdata(question.name().clone(), ttl, RData::from(addr))
                };
                response.add_answers(addrs.into_iter().map(record));
            }
            Some(Reply::Fails) => response.metadata.response_code = ResponseCode::ServFail,
            None => response.metadata.response_code = ResponseCode::NXDomain,
        }
        socket.send_to(&response.to_vec().unwrap(), peer).await.unwrap();
    }
}

const CONF: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
use RecordType::{A, AAAA};
use Reply::{Addrs, Fails};

#[tokio::test]
async fn both_families_are_found_with_the_shorter_ttl() {
    let system = System::new("", CONF).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1", "10.0.0.2"], 600));
    system.says("web.", AAAA, Addrs(vec!["fd00::1"], 7));
    let answer = system.resolver.look_up("web", &[]).await.unwrap();
    assert_eq!(texts(&answer), ["10.0.0.1", "10.0.0.2", "fd00::1"]);
    assert_eq!(answer.ttl, Duration::from_secs(7));
}

#[tokio::test]
async fn every_lookup_asks_anew() {
    let system = System::new("", CONF).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 600));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    system.says("web.", A, Addrs(vec!["10.0.0.2"], 600));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.2"], "Docker's TTL is no promise");
}

#[tokio::test]
async fn the_hosts_file_comes_first_and_is_followed() {
    let system = System::new("10.9.0.1 web Web-2 # comment\nfd00::9 web\n", CONF).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 60));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.9.0.1", "fd00::9"]);
    assert_eq!(system.look_up("WEB-2").await.unwrap(), ["10.9.0.1"]);
    assert!(system.asked.lock().unwrap().is_empty());
    system.write("hosts", "10.9.0.2 web\n");
    assert_eq!(system.look_up("web").await.unwrap(), ["10.9.0.2"]);
    system.write("hosts", "");
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
}

#[tokio::test]
async fn short_names_are_completed_by_the_search_list() {
    let conf = format!("{CONF}search ns.svc.cluster.local cluster.local\noptions ndots:2\n");
    let system = System::new("", &conf).await;
    system.says("web.ns.svc.cluster.local.", A, Addrs(vec!["10.0.0.1"], 5));
    // A wildcard further out, which must not add its family to the service's.
    system.says("web.cluster.local.", AAAA, Addrs(vec!["fd00::1"], 5));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    system.says("other.", A, Addrs(vec!["10.0.0.2"], 5));
    assert_eq!(system.look_up("other").await.unwrap(), ["10.0.0.2"], "as it is, last");
    system.asked.lock().unwrap().clear();
    assert_eq!(system.look_up("a.b.c").await, Err(LookupError::NotFound));
    assert!(system.asked.lock().unwrap()[0].starts_with("a.b.c. "), "as it is first, for it has two dots");
    system.asked.lock().unwrap().clear();
    assert_eq!(system.look_up("web.").await, Err(LookupError::NotFound));
    let asked = system.asked.lock().unwrap();
    assert!(
        asked.iter().all(|name| name.starts_with("web. ")),
        "an absolute name isn't completed: {asked:?}"
    );
}

#[tokio::test]
async fn a_family_that_fails_keeps_its_last_addresses() {
    let system = System::new("", CONF).await;
    let before: Vec<IpAddr> = ["10.0.0.1", "fd00::1"].map(|addr| addr.parse().unwrap()).into();
    let look_up = async || system.resolver.look_up("web", &before).await.map(|answer| texts(&answer));
    system.says("web.", A, Fails);
    system.says("web.", AAAA, Addrs(vec!["fd00::2"], 5));
    assert_eq!(look_up().await.unwrap(), ["10.0.0.1", "fd00::2"]);
    system.says("web.", A, Addrs(vec!["10.0.0.2"], 5));
    system.says("web.", AAAA, Fails);
    assert_eq!(look_up().await.unwrap(), ["10.0.0.2", "fd00::1"]);
    system.zone.lock().unwrap().remove(&("web.", AAAA));
    assert_eq!(look_up().await.unwrap(), ["10.0.0.2"], "a family that is gone is gone");
    system.says("web.", A, Fails);
    assert!(matches!(look_up().await, Err(LookupError::Failed(_))));
}

#[tokio::test]
async fn a_search_domain_that_fails_hides_no_name() {
    let system = System::new("", &format!("{CONF}search lan\n")).await;
    system.says("web.lan.", A, Fails);
    system.says("web.lan.", AAAA, Fails);
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    let error = system.look_up("nobody").await.unwrap_err();
    assert_eq!(error, LookupError::NotFound);
}

#[tokio::test]
async fn a_resolver_configuration_that_changes_is_read_again() {
    let system = System::new("10.9.0.1 other\n", "# nothing yet\n").await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    assert!(matches!(system.look_up("web").await, Err(LookupError::NoResolver(_))));
    assert_eq!(system.look_up("other").await.unwrap(), ["10.9.0.1"], "the hosts file needs no name server");
    system.write("resolv.conf", CONF);
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    std::fs::remove_file(system.folder.path().join("resolv.conf")).unwrap();
    let error = system.look_up("web").await.unwrap_err();
    assert!(error.to_string().contains("resolv.conf: No such file"), "{error}");
}
