//! What an exchange works in.

use std::sync::Arc;

use super::date::Date;
use super::edits::MadeValues;
use super::filter::Edits;
use super::head::{RequestHead, ResponseHead};
use crate::backend::Server;

/// Memory that an exchange needs and leaves behind for the next.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(crate) request_edits: Edits,
    pub(crate) response_edits: Edits,
    /// The normalised path, where it differs from the one received.
    pub(crate) path: Vec<u8>,
    /// The target sent on, where a route rewrites it.
    pub(crate) target: Vec<u8>,
    /// The values that a route makes of the request for a head's fields.
    pub(crate) made: MadeValues,
    /// Servers that failed this request.
    pub(crate) tried: Vec<Arc<Server>>,
    /// When the last response was made that had no date of its own.
    pub(crate) date: Date,
}
