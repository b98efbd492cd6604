//! The example configurations are fine, all of them.

mod rig;

use std::fs;
use std::path::Path;

use rig::lb;

#[test]
fn every_file_in_conf_is_fine() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf");
    let mut names = Vec::new();
    for entry in fs::read_dir(conf).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let ended = lb(&["check", "-c", path.to_str().unwrap()]);
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(0), ""),
            "{}: {}",
            path.display(),
            ended.stdout
        );
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    for name in ["shop.toml", "tcp.toml", "tls.toml", "sni.toml", "grpc.toml", "full.toml"] {
        assert!(names.iter().any(|found| found == name), "{name} is missing among {names:?}");
    }
}
