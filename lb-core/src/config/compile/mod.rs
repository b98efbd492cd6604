//! From the schema to the public builders: what an embedder would have written by hand.
//!
//! The builders are the last judges of what they are given. What they refuse becomes a diagnostic at the key.

mod backend;
mod route;

use std::collections::BTreeMap;
use std::path::Path;

use super::diagnostics::{Place, Problems};
use super::schema::Config;
use super::source::Source;

/// Builds everything; what is refused is noted.
pub(crate) fn compile(config: &Config, sources: &[Source], problems: &Problems) {
    // Relative names start from the file that holds them.
    let directory = |place: Place| {
        sources.get(place.file).and_then(|source| source.path.parent()).unwrap_or_else(|| Path::new(""))
    };
    let mut backends = BTreeMap::new();
    for (name, backend) in &config.backend {
        if let Some(built) = backend::compile(name, backend, directory, problems) {
            backends.insert(name.as_str(), built);
        }
    }
    for frontend in config.frontend.values() {
        for route in frontend.routes.iter().flat_map(|routes| routes.iter()) {
            route::compile(route, &backends, problems);
        }
    }
}
