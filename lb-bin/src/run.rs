//! `lb run`: from a file to a proxy that follows it.
//!
//! The control plane runs on this thread: watching, health checks, discovery, the admin listener. Workers have
//! threads of their own.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Display;
use std::future::Future;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_core::access_log::{Format, WriterLog};
use lb_core::config::{self, Loaded, LogFormat, LogSettings, Reloader};
use lb_core::proxy::{Proxy, ProxyBuilder};
use tokio::runtime;
use tracing::Level;

use crate::logging::{Line, Log};
use crate::signals::{Hangup, Signals};
use crate::{Exit, complain, environment, startup};

/// Runs the configuration at `path` until a signal ends it. The log has the form `wanted`, or that of the configuration.
pub(crate) fn run(path: &Path, wanted: Option<LogFormat>) -> Exit {
    let loaded = match config::load(path, environment) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let format = wanted.unwrap_or(problems.log().format);
            for problem in problems.iter() {
                refused(format, problem);
            }
            return Exit::Wrong;
        }
    };
    let log = match Log::start(loaded.log.level, wanted.unwrap_or(loaded.log.format)) {
        Ok(log) => log,
        Err(error) => return unable(&error),
    };
    let logs = Arc::new(Logs { log: log.clone(), wanted, access: Mutex::default() });
    let exit = on_this_thread(follow(path, loaded, logs));
    log.flush();
    exit
}

/// Runs the control plane on this thread.
pub(crate) fn on_this_thread(work: impl Future<Output = Exit>) -> Exit {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unable(&error),
    };
    let exit = runtime.block_on(work);
    // Not by dropping it, which waits for a read from a file system that hangs.
    runtime.shutdown_background();
    exit
}

/// Says why it could not start.
pub(crate) fn unable(error: &dyn Error) -> Exit {
    complain(&format!("lb: {error}"));
    Exit::Unable
}

/// Says in JSON, if that is the log's form, why it ends; otherwise as `lb check` does.
fn refused(format: LogFormat, problem: impl Display) {
    told(format, "configuration refused", &problem.to_string(), &problem.to_string());
}

fn told(format: LogFormat, message: &str, problem: &str, otherwise: &str) {
    match format {
        LogFormat::Logfmt => complain(otherwise),
        LogFormat::Json => {
            let line = Line::new(format, Level::ERROR, message).text("problem", problem).end();
            let _ = io::stderr().write_all(&line);
        }
    }
}

async fn follow(path: &Path, loaded: Loaded, logs: Arc<Logs>) -> Exit {
    let log = logs.log.clone();
    let unable = |error: &dyn Error| {
        told(log.format(), "could not start", &error.to_string(), &format!("lb: {error}"));
        Exit::Unable
    };
    let Loaded { builder, log: settings, warnings, summary, .. } = loaded;
    for warning in warnings {
        tracing::warn!(%warning, "configuration");
    }
    let (builder, runs) = logs.attach(builder, settings);
    let proxy = match builder.build() {
        Ok(proxy) => proxy,
        Err(problems) => {
            refused(log.format(), format_args!("{}: {problems}", path.display()));
            return Exit::Wrong;
        }
    };
    // Before anything is bound: who sees the port answer may send a signal.
    let signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => return unable(&error),
    };
    let Signals { mut stop, hangup } = signals;
    tokio::select! {
        started = proxy.start() => if let Err(error) = started {
            return unable(&error);
        },
        signal = stop.asked() => {
            tracing::info!(signal, "stopped while starting");
            return Exit::Fine;
        }
    }
    runs();
    log.print(startup::lines(&path.display().to_string(), &proxy.handle(), log.format()));
    let attach = move |builder, settings| logs.attach(builder, settings);
    let reloader = Reloader::new(proxy.handle(), path, summary, environment, attach);
    let signal = tokio::select! {
        signal = stop.asked() => signal,
        never = keep_up(&reloader, hangup) => match never {},
    };
    tracing::info!(signal, "draining; a second signal ends it at once");
    drain(&proxy, stop.asked()).await;
    Exit::Fine
}

/// Reloads when the files change and when SIGHUP asks for it; what comes of it is logged.
async fn keep_up(reloader: &Reloader, hangup: Hangup) -> Infallible {
    // Both are polled all the time: one of them may wait for the reload that the other is at.
    tokio::join!(reloader.watch(), reload_on(hangup, reloader)).1
}

async fn reload_on(mut hangup: Hangup, reloader: &Reloader) -> Infallible {
    loop {
        hangup.asked().await;
        let _ = reloader.reload().await;
    }
}

/// Drains, or ends at once when `again` resolves.
pub(crate) async fn drain(proxy: &Proxy, again: impl Future<Output = &'static str>) {
    tokio::select! {
        () = proxy.drain() => tracing::info!("drained"),
        signal = again => tracing::warn!(signal, "ended before it was drained"),
    }
}

/// What `[log]` says, carried out.
struct Logs {
    log: Log,
    /// The form of its lines that the command line asks for.
    wanted: Option<LogFormat>,
    /// The access log in use: it is kept while its format stays, so that no line is torn or lost.
    access: Mutex<Option<(Format, Arc<WriterLog>)>>,
}

impl Logs {
    /// The builder with its access log, and what takes these settings into use: what is refused changes nothing.
    fn attach(
        self: &Arc<Self>,
        builder: ProxyBuilder,
        settings: LogSettings,
    ) -> (ProxyBuilder, impl FnOnce() + use<>) {
        let access = settings.access.map(|format| match &*self.access() {
            Some((before, log)) if *before == format => (format, Arc::clone(log)),
            _ => (format, Arc::new(WriterLog::new(format, io::stdout()))),
        });
        let builder = match &access {
            Some((_, log)) => builder.access_log(Arc::clone(log)),
            None => builder,
        };
        let logs = Arc::clone(self);
        let runs = move || {
            logs.log.set(settings.level, logs.wanted.unwrap_or(settings.format));
            *logs.access() = access;
        };
        (builder, runs)
    }

    fn access(&self) -> MutexGuard<'_, Option<(Format, Arc<WriterLog>)>> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
