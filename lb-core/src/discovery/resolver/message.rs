//! One question to a name server and what its answer says, in the form of RFC 1035; hickory-proto knows the bytes.
//!
//! Of an answer no more is read than what was asked for: the sections behind it may hold anything.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use hickory_proto::ProtoError;
use hickory_proto::op::{Header, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// By what a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// A name's addresses of one family, asked for.
#[derive(Debug)]
pub(super) struct Question {
    id: u16,
    query: Query,
    family: Family,
    bytes: Vec<u8>,
}

/// What is known of a name's addresses of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// At least one, each once, and how long they hold.
    Addrs(Vec<IpAddr>, Duration),
    /// The name has none of this family.
    NoAddrs,
    /// There is no such name.
    NoName,
}

/// What a name server's answer is good for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Reply(Reply),
    /// There is more than a datagram holds: to be asked for by TCP.
    Truncated,
    /// This server can't say, for this reason; another may.
    CannotSay(String),
}

/// As BIND follows them; a circle ends here, too.
const ALIASES: usize = 16;

impl Family {
    pub(super) fn of(addr: IpAddr) -> Self {
        if addr.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    fn record_type(self) -> RecordType {
        match self {
            Self::V4 => RecordType::A,
            Self::V6 => RecordType::AAAA,
        }
    }
}

impl Question {
    /// For an absolute name, under a number that nobody can guess.
    pub(super) fn new(name: Name, family: Family) -> Result<Self, ProtoError> {
        let query = Query::query(name, family.record_type());
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        Ok(Self { id: message.metadata.id, query, family, bytes: message.to_vec()? })
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What `bytes` say to this question; nothing if they answer another one.
    pub(super) fn answered_by(&self, bytes: &[u8], transport: Transport) -> Option<Verdict> {
        let mut decoder = BinDecoder::new(bytes);
        let Header { metadata, counts } = Header::read(&mut decoder).ok()?;
        let is_response = metadata.message_type == MessageType::Response && metadata.op_code == OpCode::Query;
        if metadata.id != self.id || !is_response {
            return None;
        }
        let code = metadata.response_code;
        let queries = Message::read_queries(&mut decoder, counts.queries.into()).ok()?;
        // Some servers don't repeat what they refuse to answer.
        let is_bare_refusal = queries.is_empty() && code != ResponseCode::NoError;
        if queries != [self.query.clone()] && !is_bare_refusal {
            return None;
        }
        if metadata.truncation && transport == Transport::Udp {
            return Some(Verdict::Truncated);
        }
        match code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain => return Some(Verdict::Reply(Reply::NoName)),
            _ => return Some(Verdict::CannotSay(code.to_str().to_lowercase())),
        }
        // A server that neither knows nor asks others, and points nowhere, is passed over as glibc does.
        let knows = metadata.authoritative || metadata.recursion_available;
        if counts.answers == 0 && counts.additionals == 0 && !knows {
            return Some(Verdict::CannotSay(String::from("it doesn't answer for this name")));
        }
        let records = (0..counts.answers).map(|_| Record::read(&mut decoder));
        Some(match records.collect::<Result<Vec<_>, DecodeError>>() {
            Ok(records) => Verdict::Reply(self.addresses(&records)),
            Err(error) => Verdict::CannotSay(format!("malformed answer: {error}")),
        })
    }

    /// Of the name that was asked for, or of the one that it is an alias of; other owners' addresses don't count.
    fn addresses(&self, records: &[Record]) -> Reply {
        let mut owner = self.query.name();
        let mut ttl = u32::MAX;
        let of = |owner: &Name, record: &Record| record.dns_class == DNSClass::IN && record.name == *owner;
        for _ in 0..ALIASES {
            let alias = records.iter().find_map(|record| match &record.data {
                RData::CNAME(CNAME(target)) if of(owner, record) => Some((target, record.ttl)),
                _ => None,
            });
            let Some((target, holds)) = alias else { break };
            owner = target;
            ttl = ttl.min(holds);
        }
        let mut seen = HashSet::new();
        let mut addrs = Vec::new();
        for record in records.iter().filter(|record| of(owner, record)) {
            if let Some(addr) = record.data.ip_addr().filter(|addr| Family::of(*addr) == self.family) {
                ttl = ttl.min(record.ttl);
                addrs.extend(seen.insert(addr).then_some(addr));
            }
        }
        if addrs.is_empty() {
            return Reply::NoAddrs;
        }
        Reply::Addrs(addrs, Duration::from_secs(ttl.into()))
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::TXT;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn question() -> Question {
        Question::new(name("web.example."), Family::V4).unwrap()
    }

    fn address(owner: &str, addr: &str, ttl: u32) -> Record {
        Record::from_rdata(name(owner), ttl, RData::from(addr.parse::<IpAddr>().unwrap()))
    }

    fn alias(owner: &str, target: &str, ttl: u32) -> Record {
        Record::from_rdata(name(owner), ttl, RData::CNAME(CNAME(name(target))))
    }

    /// A recursive server's answer, before it is spoilt.
    fn answer(question: &Question, records: Vec<Record>) -> Message {
        let mut message = Message::response(question.id, OpCode::Query);
        message.metadata.recursion_available = true;
        message.add_query(question.query.clone());
        message.add_answers(records);
        message
    }

    fn verdict(question: &Question, message: &Message) -> Option<Verdict> {
        question.answered_by(&message.to_vec().unwrap(), Transport::Udp)
    }

    fn reply(records: Vec<Record>) -> Reply {
        let question = question();
        match verdict(&question, &answer(&question, records)) {
            Some(Verdict::Reply(reply)) => reply,
            other => panic!("{other:?}"),
        }
    }

    fn addrs(texts: &[&str], ttl: u64) -> Reply {
        Reply::Addrs(texts.iter().map(|text| text.parse().unwrap()).collect(), Duration::from_secs(ttl))
    }

    #[test]
    fn only_addresses_of_the_name_count() {
        let cases = [
            (vec![address("web.example.", "10.0.0.1", 60)], addrs(&["10.0.0.1"], 60)),
            (vec![address("WEB.Example.", "10.0.0.1", 60)], addrs(&["10.0.0.1"], 60)),
            (
                vec![address("web.example.", "10.0.0.1", 60), address("other.example.", "10.6.6.6", 1)],
                addrs(&["10.0.0.1"], 60),
            ),
            (vec![address("other.example.", "10.6.6.6", 1)], Reply::NoAddrs),
            (vec![address("web.example.", "fd00::1", 60)], Reply::NoAddrs),
            (vec![], Reply::NoAddrs),
            (
                vec![address("web.example.", "10.0.0.1", 60), address("web.example.", "10.0.0.1", 9)],
                addrs(&["10.0.0.1"], 9),
            ),
        ];
        for (records, expected) in cases {
            assert_eq!(reply(records.clone()), expected, "{records:?}");
        }
    }

    #[test]
    fn aliases_are_followed_in_whatever_order_they_stand() {
        let chain = [
            address("c.example.", "10.0.0.1", 60),
            alias("b.example.", "c.example.", 7),
            alias("web.example.", "b.example.", 300),
            address("web.example.", "10.6.6.6", 1),
        ];
        assert_eq!(reply(chain.to_vec()), addrs(&["10.0.0.1"], 7));
        let circle = vec![alias("web.example.", "b.example.", 7), alias("b.example.", "web.example.", 7)];
        assert_eq!(reply(circle), Reply::NoAddrs);
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let question = question();
        let good = answer(&question, vec![address("web.example.", "10.0.0.1", 60)]);
        let spoilt = |spoil: fn(&mut Message)| {
            let mut message = good.clone();
            spoil(&mut message);
            verdict(&question, &message)
        };
        assert!(spoilt(|_| {}).is_some());
        assert_eq!(spoilt(|message| message.metadata.id ^= 1), None);
        assert_eq!(spoilt(|message| message.metadata.message_type = MessageType::Query), None);
        assert_eq!(spoilt(|message| message.metadata.op_code = OpCode::Notify), None);
        assert_eq!(spoilt(|message| message.queries[0].name = name("other.example.")), None);
        assert_eq!(spoilt(|message| message.queries[0].query_type = RecordType::AAAA), None);
        assert_eq!(spoilt(|message| message.queries.clear()), None);
        assert_eq!(question.answered_by(&good.to_vec().unwrap()[..11], Transport::Udp), None);
    }

    #[test]
    fn codes_say_what_an_answer_is_good_for() {
        let coded = |code| {
            let question = question();
            let mut message = answer(&question, Vec::new());
            message.metadata.response_code = code;
            verdict(&question, &message)
        };
        assert_eq!(coded(ResponseCode::NXDomain), Some(Verdict::Reply(Reply::NoName)));
        for code in
            [ResponseCode::ServFail, ResponseCode::Refused, ResponseCode::NotImp, ResponseCode::FormErr]
        {
            assert!(matches!(coded(code), Some(Verdict::CannotSay(_))), "{code}");
        }
        let question = question();
        let mut bare = Message::response(question.id, OpCode::Query);
        bare.metadata.response_code = ResponseCode::FormErr;
        assert!(matches!(verdict(&question, &bare), Some(Verdict::CannotSay(_))));
        let mut lame = answer(&question, Vec::new());
        lame.metadata.recursion_available = false;
        assert!(matches!(verdict(&question, &lame), Some(Verdict::CannotSay(_))));
    }

    #[test]
    fn what_follows_the_answer_may_be_anything() {
        let question = question();
        let mut message = answer(&question, vec![address("web.example.", "10.0.0.1", 60)]);
        message.add_additional(Record::from_rdata(
            name("x."),
            1,
            RData::TXT(TXT::new(vec![String::from("x")])),
        ));
        let mut bytes = message.to_vec().unwrap();
        bytes.truncate(bytes.len() - 3);
        let verdict = question.answered_by(&bytes, Transport::Udp);
        assert_eq!(verdict, Some(Verdict::Reply(addrs(&["10.0.0.1"], 60))));
    }

    #[test]
    fn a_cut_answer_is_asked_for_by_tcp() {
        let question = question();
        let mut message = answer(&question, vec![address("web.example.", "10.0.0.1", 60)]);
        message.metadata.truncation = true;
        let bytes = message.to_vec().unwrap();
        assert_eq!(question.answered_by(&bytes, Transport::Udp), Some(Verdict::Truncated));
        let by_tcp = question.answered_by(&bytes, Transport::Tcp);
        assert_eq!(by_tcp, Some(Verdict::Reply(addrs(&["10.0.0.1"], 60))), "there is no more to be had");
        let mut cut = bytes;
        cut.truncate(cut.len() - 8);
        assert_eq!(question.answered_by(&cut, Transport::Udp), Some(Verdict::Truncated));
        assert!(matches!(question.answered_by(&cut, Transport::Tcp), Some(Verdict::CannotSay(_))));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_none(
            behind in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..600),
            counts in proptest::arbitrary::any::<[u8; 8]>(),
        ) {
            let question = question();
            for transport in [Transport::Udp, Transport::Tcp] {
                question.answered_by(&behind, transport);
                // The same behind a head and a question that fit.
                let mut message = answer(&question, Vec::new()).to_vec().unwrap();
                message[6..12].copy_from_slice(&counts[..6]);
                message.extend(&behind);
                question.answered_by(&message, transport);
            }
        }
    }
}
