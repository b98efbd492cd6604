//! What a check's answer may look like where no other HTTP is spoken: a head, by httparse.

/// As large as any sane one.
const LARGEST_HEAD_BYTES: usize = 64 * 1024;
const MOST_FIELDS: usize = 256;

/// The status and the length of the head at the front of `bytes`; `None` until it is whole.
pub(super) fn status(bytes: &[u8]) -> Result<Option<(u16, usize)>, String> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => Ok(response.code.map(|status| (status, length))),
        Ok(httparse::Status::Partial) if bytes.len() < LARGEST_HEAD_BYTES => Ok(None),
        Ok(httparse::Status::Partial) => Err(String::from("head over the limit")),
        Err(error) => Err(error.to_string()),
    }
}
