//! What whoever runs the proxy should log.

use serde::Serialize;

use crate::access_log::Format;

/// `[log]`: what whoever runs the proxy should log. The library writes no log by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogSettings {
    /// The least level of diagnostics that is shown. Default info.
    pub level: LogLevel,
    /// The form of diagnostics. Default logfmt.
    pub format: LogFormat,
    /// The form of the access log; `None`: none is wanted, the default.
    pub access: Option<Format>,
}

/// A level of diagnostics; each shows itself and those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Faults of the proxy or its surroundings that it can't work around.
    Error,
    /// Lost servers, refused reloads, answers of the proxy's own.
    Warn,
    /// What an operator should know.
    #[default]
    Info,
    /// What clients caused.
    Debug,
    /// Each step.
    Trace,
}

impl LogLevel {
    /// The word in the file: `error`, `warn`, `info`, `debug` or `trace`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// The form of diagnostics, one line each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `time=... level=info msg="..." key=value`.
    #[default]
    Logfmt,
    /// An object with the same keys.
    Json,
}
