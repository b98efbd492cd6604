//! How TLS handshakes with clients end.

/// How a client's TLS handshake ended: the `result` of `lb_tls_handshakes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeResult {
    /// It succeeded, with a signature.
    Full,
    /// It succeeded by a session ticket.
    Resumed,
    /// The client spoke something else, HTTP in clear text most likely.
    ClearText,
    /// What the client sent makes no sense.
    Malformed,
    /// No version, cipher suite, curve or kind of certificate in common.
    Incompatible,
    /// The client wants a protocol that is not spoken here (ALPN).
    NoProtocol,
    /// The client showed no certificate, or one that is not accepted.
    ClientCertificate,
    /// The client refused: it does not know the authority, say.
    Alert,
    /// The client went away.
    Closed,
    /// The client took too long.
    Timeout,
}

impl HandshakeResult {
    /// How many results there are; each one's discriminant is below it.
    pub(super) const COUNT: usize = Self::ALL.len();

    /// All results, in the order of their discriminants.
    pub(super) const ALL: [Self; 10] = [
        Self::Full,
        Self::Resumed,
        Self::ClearText,
        Self::Malformed,
        Self::Incompatible,
        Self::NoProtocol,
        Self::ClientCertificate,
        Self::Alert,
        Self::Closed,
        Self::Timeout,
    ];

    /// The word for it in labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::ClearText => "clear_text",
            Self::Malformed => "malformed",
            Self::Incompatible => "incompatible",
            Self::NoProtocol => "no_protocol",
            Self::ClientCertificate => "client_certificate",
            Self::Alert => "alert",
            Self::Closed => "closed",
            Self::Timeout => "timeout",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_in_the_order_of_discriminants() {
        for (index, result) in HandshakeResult::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, index, "{}", result.as_str());
        }
    }
}
