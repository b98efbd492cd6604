//! A response's status, for who wants no more of it: a health check.

use super::parse;
use crate::http::ends::{HeadError, HeadLimits, ParseError};
use crate::http::head::{Asked, ResponseHead};

/// The status and the length of the head at the front of `bytes`, by the rules for every response of a server; `None`
/// until it is whole.
pub(crate) fn response_status(bytes: &[u8]) -> Result<Option<(u16, usize)>, HeadError> {
    let limits = HeadLimits::OF_RESPONSES;
    let mut head = ResponseHead::default();
    match parse::response(bytes, limits.fields, Asked::Other, &mut head)? {
        // Nobody asked for another protocol.
        Some(_) if head.status == 101 => Err(ParseError::Status.into()),
        Some((length, _)) => Ok(Some((head.status, length))),
        None if bytes.len() >= limits.bytes => Err(HeadError::TooLarge),
        None => Ok(None),
    }
}
