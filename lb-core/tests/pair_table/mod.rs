//! The table: what a client does, what a server does, and what comes of it, in no protocol's words.

pub(crate) mod h1;
pub(crate) mod h2;

use Client::{AbortsReading, AbortsSending, Asks, Interleaves, ReadsOn, SendsHalf, WaitsFor100};
use Content::{Length, Nothing, Pieces};
use Outcome::{Answered, Broken, Left, Whole};
use Server::{Aborts, AbortsHalfway, Answers, Continues, Hints, Interrupts, Refuses, SendsOn};

const LARGE: usize = 1024 * 1024 + 7;
const ENDLESS: usize = 1 << 30;
/// What is read of a body that is not read to its end.
pub(crate) const BEGINNING: usize = 20_000;

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) method: &'static str,
    pub(crate) sent: Content,
    pub(crate) client: Client,
    pub(crate) server: Server,
    pub(crate) status: u16,
    pub(crate) answered: Content,
    pub(crate) outcome: Outcome,
    /// What the log says.
    pub(crate) reason: Option<&'static str>,
}

/// A body, and how it is framed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Content {
    Nothing,
    /// Its length is said ahead.
    Length(usize),
    /// Of unknown length, in so many pieces of this size; trailers follow.
    Pieces(usize, usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Client {
    /// Sends its request, reads the response.
    Asks,
    /// Sends the body once it has been told to go on.
    WaitsFor100,
    /// Sends half of the body, reads half of the response's, sends the rest, reads the rest.
    Interleaves,
    /// Sends half of the body and waits for the response.
    SendsHalf,
    /// Reads the response's head, lets the server go on, reads the rest.
    ReadsOn,
    /// Sends half of the body, waits for a sign that the server is there, and goes.
    AbortsSending,
    /// Reads the beginning of the response's body and goes.
    AbortsReading,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Server {
    /// Reads the request, answers.
    Answers,
    /// Says 103 before it answers.
    Hints,
    /// Says 100, reads the body, answers.
    Continues,
    /// Reads half of the body, answers half, reads the rest, answers the rest.
    Interrupts,
    /// Answers, and reads the body after that.
    Refuses,
    /// Reads the request and goes.
    Aborts,
    /// Reads the request, answers half, waits until it is told to go on, and goes.
    AbortsHalfway,
    /// Reads the request, and answers without end.
    SendsOn,
}

/// How it ends for the client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    Whole,
    /// By the proxy itself.
    Answered(u16),
    /// So that it can tell that something is missing.
    Broken,
    /// It did not wait.
    Left,
}

/// What every body in pieces is followed by.
pub(crate) const TRAILER: (&str, &str) = ("x-sum", "42");

/// What a client saw.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) interim: Vec<u16>,
    pub(crate) status: u16,
    pub(crate) length: Option<usize>,
    pub(crate) body: Vec<u8>,
    pub(crate) has_trailers: bool,
    pub(crate) is_whole: bool,
}

/// What a server got.
#[derive(Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) method: String,
    pub(crate) length: Option<usize>,
    pub(crate) body: Vec<u8>,
    pub(crate) has_trailers: bool,
    /// What the proxy says of the client's side.
    pub(crate) proto: String,
    pub(crate) is_whole: bool,
}

impl Content {
    pub(crate) fn size(self) -> usize {
        match self {
            Nothing => 0,
            Length(size) => size,
            Pieces(size, count) => size * count,
        }
    }

    pub(crate) fn length(self) -> Option<usize> {
        match self {
            Length(size) => Some(size),
            Nothing | Pieces(..) => None,
        }
    }

    pub(crate) fn has_trailers(self) -> bool {
        matches!(self, Pieces(..))
    }

    /// The halves, each in the pieces that it is sent in.
    pub(crate) fn halves(self, bytes: &[u8]) -> [Vec<&[u8]>; 2] {
        match self {
            Pieces(size, count) => {
                let pieces: Vec<_> = bytes.chunks(size).collect();
                [pieces[..count / 2].to_vec(), pieces[count / 2..].to_vec()]
            }
            Nothing | Length(_) => {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                [vec![first], vec![second]]
            }
        }
    }
}

pub(crate) const ROWS: &[Row] = &[
    answered("GET", Nothing, 200, Length(0)),
    answered("GET", Nothing, 200, Length(5)),
    answered("GET", Nothing, 200, Length(LARGE)),
    answered("GET", Nothing, 200, Pieces(1, 300)),
    answered("GET", Nothing, 200, Pieces(100_000, 7)),
    answered("HEAD", Nothing, 200, Length(5)),
    answered("HEAD", Nothing, 200, Nothing),
    answered("GET", Nothing, 204, Nothing),
    answered("GET", Nothing, 304, Length(5)),
    answered("GET", Nothing, 304, Nothing),
    answered("POST", Length(0), 200, Length(1)),
    answered("POST", Length(1), 200, Length(1)),
    answered("PUT", Length(LARGE), 201, Length(3)),
    answered("PUT", Pieces(1, 300), 201, Length(3)),
    answered("POST", Pieces(100_000, 7), 500, Pieces(100_000, 7)),
    answered("POST", Length(LARGE), 500, Length(LARGE)),
    answered("DELETE", Nothing, 404, Length(9)),
    row("GET", Nothing, Asks, Hints, 200, Length(5), Whole, None),
    row("POST", Length(5), Asks, Hints, 200, Pieces(10, 3), Whole, None),
    row("POST", Length(9), WaitsFor100, Continues, 200, Length(5), Whole, None),
    row("POST", Length(40_000), Interleaves, Interrupts, 200, Length(40_000), Whole, None),
    row("POST", Length(40_000), SendsHalf, Refuses, 413, Length(9), Whole, None),
    row("POST", Pieces(1000, 40), SendsHalf, Refuses, 413, Length(9), Whole, None),
    row("POST", Length(5), Asks, Aborts, 200, Nothing, Answered(502), Some("bad_response")),
    row("GET", Nothing, ReadsOn, AbortsHalfway, 200, Length(40_000), Broken, Some("server_abort")),
    row("GET", Nothing, ReadsOn, AbortsHalfway, 200, Pieces(1000, 40), Broken, Some("server_abort")),
    row("POST", Length(40_000), AbortsSending, Hints, 200, Nothing, Left, Some("client_abort")),
    row("POST", Pieces(1000, 40), AbortsSending, Hints, 200, Nothing, Left, Some("client_abort")),
    row("GET", Nothing, AbortsReading, SendsOn, 200, Length(ENDLESS), Left, Some("client_abort")),
];

/// A request that is answered without anything odd.
const fn answered(method: &'static str, sent: Content, status: u16, answered: Content) -> Row {
    row(method, sent, Asks, Answers, status, answered, Whole, None)
}

#[allow(clippy::too_many_arguments, reason = "the columns of the table")]
const fn row(
    method: &'static str,
    sent: Content,
    client: Client,
    server: Server,
    status: u16,
    answered: Content,
    outcome: Outcome,
    reason: Option<&'static str>,
) -> Row {
    Row { method, sent, client, server, status, answered, outcome, reason }
}

impl Row {
    /// Whether the response has a body on the wire.
    pub(crate) fn has_body(&self) -> bool {
        self.method != "HEAD" && !matches!(self.status, 204 | 304)
    }
}
