//! The resolver against name servers of our own, on ports that the kernel chose, and files of our own.

mod name_server;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType::{self, A, AAAA};

use super::{Answer, Found, Known, LookupError, Resolver};
use name_server::NameServer;
use name_server::Reply::{self, Addrs, Cut, Fails, Forged, Many, Mixed, NoAddrs, Silent};

/// Files and name servers at 127.0.0.1 and so on, which have the same port.
struct System {
    folder: tempfile::TempDir,
    servers: Vec<NameServer>,
    resolver: Resolver,
}

impl System {
    /// With `hosts` and `resolv.conf` of these texts and one name server on the loopback.
    async fn new(hosts: &str, resolv_conf: &str) -> Self {
        Self::with_servers(1, hosts, resolv_conf).await
    }

    async fn with_servers(count: u8, hosts: &str, resolv_conf: &str) -> Self {
        let (servers, port) = 'ports: loop {
            let (first, port) = NameServer::start(Ipv4Addr::LOCALHOST).await;
            let mut servers = vec![first];
            for last in 2..=count {
                let address = SocketAddr::from(([127, 0, 0, last], port));
                let Some(server) = NameServer::start_at(address).await else { continue 'ports };
                servers.push(server);
            }
            break (servers, port);
        };
        let folder = tempfile::tempdir().unwrap();
        let (hosts_path, conf_path) = (folder.path().join("hosts"), folder.path().join("resolv.conf"));
        std::fs::write(&hosts_path, hosts).unwrap();
        std::fs::write(&conf_path, resolv_conf).unwrap();
        let resolver = Resolver::by_files(&hosts_path, &conf_path, port, |_| true);
        Self { folder, servers, resolver }
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).unwrap();
    }

    /// The first name server does.
    fn says(&self, name: &'static str, family: RecordType, reply: Reply) {
        self.servers[0].says(name, family, reply);
    }

    fn asked(&self) -> Vec<String> {
        self.servers[0].asked()
    }

    /// Sorted, for the order is nobody's promise.
    async fn look_up(&self, host: &str) -> Result<Vec<String>, LookupError> {
        self.found(host, &Known::default()).await.map(|found| texts(&found.answer))
    }

    async fn found(&self, host: &str, known: &Known) -> Result<Found, LookupError> {
        self.resolver.look_up(host, known).await
    }
}

fn texts(answer: &Answer) -> Vec<String> {
    let mut texts: Vec<_> = answer.addrs.iter().map(IpAddr::to_string).collect();
    texts.sort();
    texts
}

fn known(absolute_name: &str, addrs: &[&str]) -> Known {
    Known {
        addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
        absolute_name: Some(Arc::from(absolute_name)),
    }
}

fn known_by(answer: &Answer) -> Known {
    Known { addrs: answer.addrs.clone(), absolute_name: answer.absolute_name.as_deref().map(Arc::from) }
}

const CONF: &str = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
const TWO: &str = "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1 attempts:1\n";
const SERVFAIL: Reply = Fails(ResponseCode::ServFail);

#[tokio::test]
async fn both_families_are_found_with_the_shorter_ttl() {
    let system = System::new("", CONF).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1", "10.0.0.2"], 600));
    system.says("web.", AAAA, Addrs(vec!["fd00::1"], 7));
    let answer = system.found("web", &Known::default()).await.unwrap().answer;
    assert_eq!(texts(&answer), ["10.0.0.1", "10.0.0.2", "fd00::1"]);
    assert_eq!((answer.ttl, answer.absolute_name.as_deref()), (Duration::from_secs(7), Some("web.")));
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
    let system = System::new("10.9.0.1 web Web-2 # caf\u{e9}\nfd00::9 web\n10.9.0.1 web\n", CONF).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 60));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.9.0.1", "fd00::9"]);
    assert_eq!(system.look_up("WEB-2").await.unwrap(), ["10.9.0.1"]);
    assert!(system.asked().is_empty());
    system.write("hosts", "10.9.0.2 web\n");
    assert_eq!(system.look_up("web").await.unwrap(), ["10.9.0.2"]);
    system.write("hosts", "");
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
}

#[tokio::test]
async fn nobody_is_asked_for_names_that_mean_the_same_everywhere() {
    let system = System::new("10.9.0.1 known.localhost\n", &format!("{CONF}search lan\n")).await;
    for (host, expected) in [
        ("localhost", &["127.0.0.1", "::1"][..]),
        ("web.LocalHost.", &["127.0.0.1", "::1"]),
        ("known.localhost", &["10.9.0.1"]),
    ] {
        assert_eq!(system.look_up(host).await.unwrap(), expected, "{host}");
    }
    assert_eq!(system.look_up("web.invalid").await, Err(LookupError::NotFound));
    assert!(system.asked().is_empty());
}

#[tokio::test]
async fn short_names_are_completed_by_the_search_list() {
    let conf = format!("{CONF}search ns.svc.cluster.local cluster.local\noptions ndots:2\n");
    let system = System::new("", &conf).await;
    system.says("web.ns.svc.cluster.local.", A, Addrs(vec!["10.0.0.1"], 5));
    // A wildcard further out, which must not add its family to the service's.
    system.says("web.cluster.local.", AAAA, Addrs(vec!["fd00::1"], 5));
    let answer = system.found("web", &Known::default()).await.unwrap().answer;
    assert_eq!(texts(&answer), ["10.0.0.1"]);
    assert_eq!(answer.absolute_name.as_deref(), Some("web.ns.svc.cluster.local."));
    system.says("other.", A, Addrs(vec!["10.0.0.2"], 5));
    assert_eq!(system.look_up("other").await.unwrap(), ["10.0.0.2"], "as it is, last");
    // A name of a type that isn't asked for hides nothing further out.
    system.says("txt.ns.svc.cluster.local.", A, NoAddrs);
    system.says("txt.ns.svc.cluster.local.", AAAA, NoAddrs);
    system.says("txt.cluster.local.", A, Addrs(vec!["10.0.0.3"], 5));
    assert_eq!(system.look_up("txt").await.unwrap(), ["10.0.0.3"]);
    system.says("a.b.c.", A, Addrs(vec!["10.0.0.4"], 5));
    system.asked();
    assert_eq!(system.look_up("a.b.c").await.unwrap(), ["10.0.0.4"]);
    assert_eq!(system.asked(), ["a.b.c. A udp", "a.b.c. AAAA udp"], "as it is first, for it has two dots");
    assert_eq!(system.look_up("web.").await, Err(LookupError::NotFound));
    let asked = system.asked();
    assert!(
        asked.iter().all(|name| name.starts_with("web. ")),
        "an absolute name isn't completed: {asked:?}"
    );
}

#[tokio::test]
async fn a_family_that_fails_keeps_its_last_addresses() {
    let system = System::new("", CONF).await;
    let before = known("web.", &["10.0.0.1", "fd00::1"]);
    let look_up = async || system.found("web", &before).await.map(|found| texts(&found.answer));
    system.says("web.", A, SERVFAIL);
    system.says("web.", AAAA, Addrs(vec!["fd00::2"], 5));
    assert_eq!(look_up().await.unwrap(), ["10.0.0.1", "fd00::2"]);
    system.says("web.", A, Addrs(vec!["10.0.0.2"], 5));
    system.says("web.", AAAA, SERVFAIL);
    assert_eq!(look_up().await.unwrap(), ["10.0.0.2", "fd00::1"]);
    let elsewhere = known("web.lan.", &["10.0.0.1", "fd00::1"]);
    let found = system.found("web", &elsewhere).await.unwrap();
    assert_eq!(texts(&found.answer), ["10.0.0.2"], "another name's addresses are no use");
    system.servers[0].forgets("web.", AAAA);
    assert_eq!(look_up().await.unwrap(), ["10.0.0.2"], "a family that is gone is gone");
    system.says("web.", A, SERVFAIL);
    system.says("web.", AAAA, NoAddrs);
    assert!(matches!(look_up().await, Err(LookupError::Failed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_family_that_is_never_answered_delays_nothing() {
    for (quick, slow, addr) in [(A, AAAA, "10.0.0.1"), (AAAA, A, "fd00::1")] {
        let system = System::new("", "nameserver 127.0.0.1\n").await;
        system.says("web.", quick, Addrs(vec![addr], 5));
        system.says("web.", slow, Silent);
        let began = tokio::time::Instant::now();
        let found = system.found("web", &known("web.", &["10.0.0.9", "fd00::9"])).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        let kept = if quick == A { "fd00::9" } else { "10.0.0.9" };
        let mut expected = [addr, kept];
        expected.sort_unstable();
        assert_eq!(texts(&found.answer), expected, "the other family's last addresses stay");
        let answer = found.rest.expect("it is still asked for").await.unwrap();
        assert_eq!(texts(&answer), expected, "given up");
    }
}

#[tokio::test]
async fn a_family_that_is_slow_comes_later() {
    let system = System::new("", "nameserver 127.0.0.1\noptions timeout:1 attempts:5\n").await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    system.says("web.", AAAA, Silent);
    let found = system.found("web", &Known::default()).await.unwrap();
    assert_eq!(texts(&found.answer), ["10.0.0.1"]);
    system.says("web.", AAAA, Addrs(vec!["fd00::1"], 5));
    let answer = found.rest.expect("it is still asked for").await.unwrap();
    assert_eq!(texts(&answer), ["10.0.0.1", "fd00::1"]);
}

#[tokio::test]
async fn a_name_that_does_not_exist_has_no_other_family_either() {
    let system = System::new("", &format!("{CONF}search lan\n")).await;
    system.says("web.lan.", AAAA, Silent);
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
}

#[tokio::test]
async fn a_family_without_a_way_is_left_out() {
    let mut system = System::new("10.9.0.1 api\nfd00::9 api\nfd00::9 six\n", CONF).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    system.says("web.", AAAA, Addrs(vec!["fd00::1"], 5));
    system.says("only-6.", AAAA, Addrs(vec!["fd00::1"], 5));
    system.says("only-6.", A, NoAddrs);
    Arc::get_mut(&mut system.resolver.0).unwrap().has_route = |addr| addr.is_ipv4();
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    assert_eq!(system.look_up("api").await.unwrap(), ["10.9.0.1"]);
    assert_eq!(system.look_up("only-6").await.unwrap(), ["fd00::1"], "it is all there is");
    assert_eq!(system.look_up("six").await.unwrap(), ["fd00::9"]);
}

#[tokio::test]
async fn the_first_server_is_believed_whatever_others_know() {
    let system = System::with_servers(2, "", TWO).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    system.servers[1].says("hidden.", A, Addrs(vec!["10.0.0.2"], 5));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    assert_eq!(system.look_up("hidden").await, Err(LookupError::NotFound));
    assert!(system.servers[1].asked().is_empty());
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_fails() {
    let system = System::with_servers(2, "", TWO).await;
    system.servers[1].says("web.", A, Addrs(vec!["10.0.0.2"], 5));
    for code in [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp] {
        system.says("web.", A, Fails(code));
        assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.2"], "{code}");
    }
    system.servers[0].is_silent(true);
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.2"], "it was silent");
    system.write("resolv.conf", &TWO.replace("127.0.0.1", "127.0.0.9"));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.2"], "nobody listens there");
}

#[tokio::test]
async fn servers_take_turns_where_they_are_told_to() {
    let system = System::with_servers(2, "", &format!("{TWO}options rotate no-aaaa\n")).await;
    for server in &system.servers {
        server.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    }
    for _ in 0..4 {
        system.look_up("web").await.unwrap();
    }
    let asked = ["web. A udp", "web. A udp"];
    assert_eq!(
        (system.servers[0].asked(), system.servers[1].asked()),
        (asked.map(String::from).into(), asked.map(String::from).into())
    );
}

#[tokio::test]
async fn large_answers_come_whole() {
    let system = System::new("", CONF).await;
    system.says("web.", A, Many(100));
    assert_eq!(system.look_up("web").await.unwrap().len(), 100, "1.6 KB in a datagram");
    system.says("web.", A, Cut(200));
    system.asked();
    assert_eq!(system.look_up("web").await.unwrap().len(), 200);
    assert!(system.asked().contains(&String::from("web. A tcp")));
    system.write("resolv.conf", &format!("{CONF}options use-vc\n"));
    assert_eq!(system.look_up("web").await.unwrap().len(), 200);
    assert_eq!(system.asked(), ["web. A tcp", "web. AAAA tcp"]);
}

#[tokio::test]
async fn only_answers_to_the_question_count() {
    let system = System::new("", CONF).await;
    system.says("web.", A, Forged("10.0.0.1"));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    system.says("web.", A, Mixed("10.0.0.2"));
    let answer = system.found("web", &Known::default()).await.unwrap().answer;
    assert_eq!((texts(&answer), answer.ttl), (vec![String::from("10.0.0.2")], Duration::from_secs(30)));
}

#[tokio::test]
async fn a_search_domain_that_fails_hides_no_name() {
    let system = System::new("", &format!("{CONF}search lan\n")).await;
    system.says("web.lan.", A, SERVFAIL);
    system.says("web.lan.", AAAA, SERVFAIL);
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
    let error = system.look_up("nobody").await.unwrap_err();
    assert_eq!(error, LookupError::NotFound);
}

#[tokio::test]
async fn while_a_name_fails_no_other_domain_stands_in_for_it() {
    let system = System::new("", &format!("{CONF}search shop.lan lan\n")).await;
    system.says("web.shop.lan.", A, Addrs(vec!["10.0.0.1"], 5));
    system.says("web.lan.", A, Addrs(vec!["10.6.6.6"], 5));
    let last = known_by(&system.found("web", &Known::default()).await.unwrap().answer);
    for reply in [Silent, SERVFAIL, Fails(ResponseCode::Refused)] {
        system.says("web.shop.lan.", A, reply);
        let error = system.found("web", &last).await.unwrap_err();
        assert!(matches!(error, LookupError::Failed(_)), "{error}");
    }
    system.says("web.shop.lan.", A, Silent);
    assert!(system.look_up("web").await.is_err(), "nor if it has never been seen");
    system.servers[0].forgets("web.shop.lan.", A);
    let found = system.found("web", &last).await.unwrap();
    assert_eq!(texts(&found.answer), ["10.6.6.6"], "it is gone, its server says");
}

#[tokio::test]
async fn without_a_resolver_configuration_this_machine_is_asked() {
    for text in [Some(""), Some("# nothing\nnameserver nonsense\n"), None] {
        let system = System::new("", text.unwrap_or_default()).await;
        if text.is_none() {
            std::fs::remove_file(system.folder.path().join("resolv.conf")).unwrap();
        }
        system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
        assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"], "{text:?}");
    }
}

#[tokio::test]
async fn a_resolver_configuration_that_changes_is_read_again() {
    let elsewhere = CONF.replace("127.0.0.1", "127.0.0.9");
    let system = System::new("10.9.0.1 other\n", &elsewhere).await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    let error = system.look_up("web").await.unwrap_err().to_string();
    assert!(error.contains("name server 127.0.0.9: Connection refused"), "{error}");
    assert_eq!(system.look_up("other").await.unwrap(), ["10.9.0.1"], "the hosts file needs no name server");
    system.write("resolv.conf", CONF);
    assert_eq!(system.look_up("web").await.unwrap(), ["10.0.0.1"]);
}

#[tokio::test]
async fn many_lookups_at_once_are_all_answered() {
    let system = System::new("", "nameserver 127.0.0.1\noptions timeout:1 attempts:5\n").await;
    system.says("web.", A, Addrs(vec!["10.0.0.1"], 5));
    system.servers[0].says("web.", AAAA, Silent);
    let lookups = (0..1000).map(|_| {
        let resolver = system.resolver.clone();
        async move { resolver.look_up("web", &Known::default()).await.map(|found| found.answer.addrs.len()) }
    });
    let mut lookups: tokio::task::JoinSet<_> = lookups.collect();
    while let Some(found) = lookups.join_next().await {
        assert_eq!(found.unwrap(), Ok(1), "a silent family takes no place from the other");
    }
}
