use std::time::{Duration, Instant};

use super::*;

struct Servers(Vec<(String, bool, u64)>);

impl Gauges for Servers {
    fn servers(&self, visit: &mut dyn FnMut(ServerGauge<'_>)) {
        for (server, is_up, in_flight) in &self.0 {
            let states = &[("up", *is_up), ("drain", !*is_up)];
            visit(ServerGauge { backend: "shop", server, is_up: *is_up, states, in_flight: *in_flight });
        }
    }

    fn access_log_lost(&self) -> u64 {
        7
    }
}

/// The lines of a scrape about one metric, without its comments.
fn samples(metrics: &Metrics, name: &str) -> Vec<String> {
    let belongs = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']);
    metrics.encode().unwrap().lines().filter(belongs).map(str::to_owned).collect()
}

#[test]
fn a_frontend_is_exposed_whole() {
    let metrics = Metrics::new(2);
    let web = metrics.frontend("web");
    let (zero, one) = (web.shard(0), web.shard(1));
    let open = zero.connection_opened();
    drop(one.connection_opened());
    assert_eq!((web.open_connections(), web.connections()), (1, 2));
    zero.received(100);
    one.received(20);
    one.sent(3);
    one.error(Reason::NoRoute);
    one.accept_failed();

    assert_eq!(
        samples(&metrics, "lb_frontend_connections"),
        [r#"lb_frontend_connections{frontend="web"} 1"#]
    );
    assert_eq!(
        samples(&metrics, "lb_frontend_connections_total"),
        [r#"lb_frontend_connections_total{frontend="web"} 2"#]
    );
    assert_eq!(
        samples(&metrics, "lb_frontend_bytes_total"),
        [
            r#"lb_frontend_bytes_total{frontend="web",direction="in"} 120"#,
            r#"lb_frontend_bytes_total{frontend="web",direction="out"} 3"#
        ]
    );
    assert_eq!(samples(&metrics, "lb_accept_errors_total"), [r#"lb_accept_errors_total{frontend="web"} 1"#]);
    let errors = samples(&metrics, "lb_request_errors_total");
    assert_eq!(errors.len(), Reason::COUNT, "each reason is there from the start, at zero");
    assert!(errors.contains(&r#"lb_request_errors_total{frontend="web",reason="no_route"} 1"#.to_owned()));

    drop(open);
    assert_eq!(
        samples(&metrics, "lb_frontend_connections"),
        [r#"lb_frontend_connections{frontend="web"} 0"#]
    );
}

#[test]
fn statuses_are_counted_by_class() {
    let metrics = Metrics::new(1);
    let requests = metrics.requests("web", "shop").shard(0);
    for status in [200, 204, 301, 404, 599, 999] {
        requests.count(status);
    }
    let expected = ["2xx\"} 2", "3xx\"} 1", "4xx\"} 1", "5xx\"} 2"];
    let line = |tail| format!(r#"lb_requests_total{{frontend="web",backend="shop",code="{tail}"#);
    assert_eq!(samples(&metrics, "lb_requests_total"), expected.map(line));

    requests.count(101);
    assert_eq!(samples(&metrics, "lb_requests_total")[0], line("1xx\"} 1"));
}

#[test]
fn a_backend_and_its_servers_are_exposed_whole() {
    let metrics = Metrics::new(2);
    let shop = metrics.backend("shop").shard(0);
    shop.request_duration.observe(Duration::from_micros(300));
    shop.request_duration.observe(Duration::from_secs(90));
    shop.connect_duration.observe(Duration::from_micros(30));
    shop.retry();
    let web1 = metrics.server("shop", "web1").shard(1);
    web1.request(503);
    web1.connection(ConnectResult::Opened);
    web1.connection(ConnectResult::Reused);
    web1.connection(ConnectResult::Reused);
    web1.check(CheckResult::Failed);

    let text = metrics.encode().unwrap();
    for line in [
        "# HELP lb_request_duration_seconds Time from the last byte of a request's head to the last byte of its \
         response.",
        "# TYPE lb_request_duration_seconds histogram",
        r#"lb_request_duration_seconds_bucket{backend="shop",le="0.00025"} 0"#,
        r#"lb_request_duration_seconds_bucket{backend="shop",le="0.0005"} 1"#,
        r#"lb_request_duration_seconds_bucket{backend="shop",le="60"} 1"#,
        r#"lb_request_duration_seconds_bucket{backend="shop",le="+Inf"} 2"#,
        r#"lb_request_duration_seconds_sum{backend="shop"} 90.0003"#,
        r#"lb_request_duration_seconds_count{backend="shop"} 2"#,
        r#"lb_connect_duration_seconds_count{backend="shop"} 1"#,
        r#"lb_retries_total{backend="shop"} 1"#,
        r#"lb_server_requests_total{backend="shop",server="web1",code="5xx"} 1"#,
        r#"lb_server_connections_total{backend="shop",server="web1",result="opened"} 1"#,
        r#"lb_server_connections_total{backend="shop",server="web1",result="reused"} 2"#,
        r#"lb_server_connections_total{backend="shop",server="web1",result="failed"} 0"#,
        r#"lb_server_checks_total{backend="shop",server="web1",result="passed"} 0"#,
        r#"lb_server_checks_total{backend="shop",server="web1",result="failed"} 1"#,
        "# TYPE lb_server_checks_total counter",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn what_is_read_at_the_scrape_is_exposed_while_its_source_lives() {
    let metrics = Metrics::new(1);
    let draining = ("web1".to_owned(), false, 2);
    let source: Arc<dyn Gauges> =
        Arc::new(Servers(vec![("web1".to_owned(), true, 3), ("web2".to_owned(), false, 0), draining]));
    metrics.read_gauges_from(Arc::downgrade(&source));
    assert_eq!(
        samples(&metrics, "lb_server_up"),
        [
            r#"lb_server_up{backend="shop",server="web1"} 1"#,
            r#"lb_server_up{backend="shop",server="web2"} 0"#
        ]
    );
    assert_eq!(
        samples(&metrics, "lb_server_state"),
        [
            r#"lb_server_state{backend="shop",server="web1",state="drain"} 0"#,
            r#"lb_server_state{backend="shop",server="web1",state="up"} 1"#,
            r#"lb_server_state{backend="shop",server="web2",state="drain"} 1"#,
            r#"lb_server_state{backend="shop",server="web2",state="up"} 0"#
        ]
    );
    assert_eq!(
        samples(&metrics, "lb_server_inflight")[0],
        r#"lb_server_inflight{backend="shop",server="web1"} 5"#
    );
    assert_eq!(samples(&metrics, "lb_access_log_lost_total"), ["lb_access_log_lost_total 7"]);

    drop(source);
    assert_eq!(samples(&metrics, "lb_server_up"), [""; 0]);
}

#[test]
fn the_process_and_its_configuration_are_exposed() {
    let metrics = Metrics::new(1);
    assert_eq!(samples(&metrics, "lb_config_last_success_timestamp_seconds"), [""; 0]);
    metrics.configured(SystemTime::UNIX_EPOCH + Duration::from_secs(5));
    metrics.reload_failed();
    let at = "lb_config_last_success_timestamp_seconds";
    assert_eq!(samples(&metrics, at), ["lb_config_last_success_timestamp_seconds 5"]);
    metrics.reload_succeeded(SystemTime::UNIX_EPOCH + Duration::from_millis(9500));
    assert_eq!(samples(&metrics, at), ["lb_config_last_success_timestamp_seconds 9.5"]);
    assert_eq!(
        samples(&metrics, "lb_config_reloads_total"),
        [r#"lb_config_reloads_total{result="error"} 1"#, r#"lb_config_reloads_total{result="success"} 1"#]
    );
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(samples(&metrics, "lb_build_info"), [format!(r#"lb_build_info{{version="{version}"}} 1"#)]);
    assert_eq!(samples(&metrics, "process_open_fds").len(), 1);
}

#[test]
fn a_series_goes_with_its_last_handle() {
    let metrics = Metrics::new(2);
    let server = metrics.server("shop", "web1");
    let shard = server.shard(0);
    shard.request(200);
    drop(server);
    assert_eq!(metrics.server("shop", "web1").requests(), 1);
    assert_eq!(samples(&metrics, "lb_server_requests_total").len(), 4, "a worker still has it");
    drop(shard);
    assert_eq!(samples(&metrics, "lb_server_requests_total"), [""; 0]);
}

#[test]
fn an_open_connection_keeps_its_frontend() {
    let metrics = Metrics::new(1);
    let open = metrics.frontend("web").shard(0).connection_opened();
    assert_eq!(
        samples(&metrics, "lb_frontend_connections"),
        [r#"lb_frontend_connections{frontend="web"} 1"#]
    );
    drop(open);
    assert_eq!(samples(&metrics, "lb_frontend_connections"), [""; 0]);
}

#[test]
fn label_values_are_escaped() {
    let metrics = Metrics::new(1);
    let _odd = metrics.requests("a\"b\\c\nd", "");
    assert_eq!(
        samples(&metrics, "lb_requests_total")[0],
        r#"lb_requests_total{frontend="a\"b\\c\nd",backend="",code="2xx"} 0"#
    );
}

#[test]
fn counts_of_many_threads_add_up() {
    let metrics = Metrics::new(4);
    let web = metrics.frontend("web");
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let shard = web.shard(worker);
            scope.spawn(move || {
                for _ in 0..1000 {
                    drop(shard.connection_opened());
                    shard.sent(2);
                }
            });
        }
    });
    assert_eq!(
        samples(&metrics, "lb_frontend_connections"),
        [r#"lb_frontend_connections{frontend="web"} 0"#]
    );
    assert_eq!(
        samples(&metrics, "lb_frontend_bytes_total")[1],
        r#"lb_frontend_bytes_total{frontend="web",direction="out"} 16000"#
    );
}

#[test]
fn a_thousand_servers_are_scraped_quickly() {
    let metrics = Metrics::new(8);
    let names: Vec<String> = (0..1000).map(|n| format!("web{n}")).collect();
    let shards: Vec<ServerShard> = names.iter().map(|name| metrics.server("shop", name).shard(3)).collect();
    let source: Arc<dyn Gauges> =
        Arc::new(Servers(names.iter().map(|name| (name.clone(), true, 1)).collect()));
    metrics.read_gauges_from(Arc::downgrade(&source));
    shards.iter().for_each(|shard| shard.request(200));

    let started = Instant::now();
    let text = metrics.encode().unwrap();
    let took = started.elapsed();
    assert_eq!(text.matches(r#"code="2xx"} 1"#).count(), 1000);
    // A release build takes some 15 ms; the bound only catches a cost that grows with the square.
    assert!(took < Duration::from_secs(5), "{took:?}");
}
