//! What somebody may have meant by a word that lb doesn't know: the one it is a slip of, a part of, or that another
//! proxy has for the same.

use crate::spelling::nearest;

/// Words of HAProxy, nginx, Envoy, Traefik and Caddy, and what they are called here. The first that fits is told.
const ELSEWHERE: &[(&[&str], &[&str])] = &[
    (&["bind", "port", "address", "entrypoint"], &["listen"]),
    (&["addr", "host", "url", "server"], &["address"]),
    (&["upstream", "cluster", "service", "proxy_pass", "pool", "reverse_proxy"], &["backend"]),
    (&["endpoints", "targets", "hosts", "nodes", "members", "loadbalancer"], &["servers"]),
    (&["algorithm", "lb_policy", "policy", "strategy", "method"], &["balance"]),
    (&["maxconn", "max_conns", "worker_connections"], &["max_connections"]),
    (&["ssl"], &["tls"]),
    (&["crt", "cert", "ssl_certificate"], &["certificates"]),
    (&["ca_file", "cafile"], &["ca", "client_ca"]),
    (&["domain", "hostname", "server_name"], &["host"]),
    (&["location", "uri", "url", "pathprefix"], &["path_prefix"]),
    (&["return"], &["respond"]),
    (&["rewrite"], &["replace_prefix"]),
    (&["check", "healthcheck", "httpchk"], &["health"]),
    (&["threads", "nbthread", "nbproc", "concurrency"], &["workers"]),
    (&["grace", "shutdown_timeout", "hard_stop_after"], &["drain_timeout"]),
];

/// What to write instead of the unknown `word`, where `known` are the words that are possible.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let plain = word.to_lowercase().replace('-', "_");
    let meant = nearest(&plain, known.iter().copied())
        .or_else(|| elsewhere(&plain, known))
        .or_else(|| part_of(&plain, known));
    match meant {
        Some(name) => format!("did you mean `{name}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => {
            let mut known = known.to_vec();
            known.sort_unstable();
            known.dedup();
            format!("remove it, or use one of {}", known.join(", "))
        }
    }
}

fn elsewhere<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let named = ELSEWHERE.iter().filter(|(theirs, _)| theirs.contains(&word)).flat_map(|(_, ours)| *ours);
    named.into_iter().find_map(|ours| known.iter().copied().find(|name| name == ours))
}

/// The first one that has `word` among its words, as `path_prefix` has `prefix`, or is itself one of `word`'s.
fn part_of<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let holds = |whole: &str, part: &str| whole.split('_').any(|piece| piece == part);
    known.iter().copied().find(|name| holds(name, word) || holds(word, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_slip_or_a_part_of_one_or_another_proxys() {
        let route = ["path", "path_prefix", "path_regex", "strip_prefix", "host", "backend", "backend"];
        for (word, meant) in [
            ("pathprefix", "path_prefix"),
            ("pathPrefix", "path_prefix"),
            ("path-prefix", "path_prefix"),
            ("prefix", "path_prefix"),
            ("regex", "path_regex"),
            ("strip", "strip_prefix"),
            ("backend_name", "backend"),
            ("proxy_pass", "backend"),
            ("server_name", "host"),
            ("location", "path_prefix"),
        ] {
            assert_eq!(suggestion(word, &route), format!("did you mean `{meant}`?"), "{word}");
        }
        assert_eq!(suggestion("bind", &["listen", "mode"]), "did you mean `listen`?");
    }

    #[test]
    fn what_is_like_nothing_gets_each_word_once() {
        assert_eq!(suggestion("zzzz", &["b", "a", "b"]), "remove it, or use one of a, b");
        assert_eq!(suggestion("zzzz", &[]), "remove it");
    }
}
