//! A name server at the socket, by UDP and TCP, that says what a test tells it to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::CNAME;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What it says of a name and a record type.
#[derive(Clone)]
pub(super) enum Reply {
    Addrs(Vec<&'static str>, u32),
    /// So many addresses, all in one datagram.
    Many(u8),
    /// So many addresses, by TCP; by UDP one of them and that it was cut.
    Cut(u8),
    /// Addresses of other names beside an alias's.
    Mixed(&'static str),
    /// An answer under a wrong number, and one to another question, before this one.
    Forged(&'static str),
    NoAddrs,
    Fails(ResponseCode),
    Silent,
}

/// What isn't in it doesn't exist.
type Zone = HashMap<(&'static str, RecordType), Reply>;

/// Its zone can be changed while it runs; it ends with the runtime.
#[derive(Clone, Default)]
pub(super) struct NameServer {
    zone: Arc<Mutex<Zone>>,
    is_silent: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// On `ip` and a port at which nobody listens by UDP and TCP.
    pub(super) async fn start(ip: Ipv4Addr) -> (Self, u16) {
        loop {
            let listener = TcpListener::bind((ip, 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            if let Ok(socket) = UdpSocket::bind((ip, port)).await {
                return (Self::serving(listener, socket), port);
            }
        }
    }

    /// At a port that another one has at another address; nothing if it is taken here.
    pub(super) async fn start_at(address: SocketAddr) -> Option<Self> {
        let listener = TcpListener::bind(address).await.ok()?;
        Some(Self::serving(listener, UdpSocket::bind(address).await.ok()?))
    }

    fn serving(listener: TcpListener, socket: UdpSocket) -> Self {
        let server = Self::default();
        tokio::spawn(server.clone().serve_udp(Arc::new(socket)));
        tokio::spawn(server.clone().serve_tcp(listener));
        server
    }

    pub(super) fn says(&self, name: &'static str, family: RecordType, reply: Reply) {
        self.zone.lock().unwrap().insert((name, family), reply);
    }

    pub(super) fn forgets(&self, name: &'static str, family: RecordType) {
        self.zone.lock().unwrap().remove(&(name, family));
    }

    /// Answers nothing any more, or again.
    pub(super) fn is_silent(&self, is_silent: bool) {
        *self.is_silent.lock().unwrap() = is_silent;
    }

    /// What was asked since the last time: `web. A udp`, sorted, for both families are asked for at once.
    pub(super) fn asked(&self) -> Vec<String> {
        let mut asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.sort();
        asked
    }

    async fn serve_udp(self, socket: Arc<UdpSocket>) {
        let mut buffer = [0; 4096];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            for message in self.answers(&buffer[..length], "udp") {
                socket.send_to(&message, peer).await.unwrap();
            }
        }
    }

    async fn serve_tcp(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(self.clone().serve_stream(stream));
        }
    }

    async fn serve_stream(self, mut stream: TcpStream) {
        while let Ok(length) = stream.read_u16().await {
            let mut query = vec![0; length.into()];
            stream.read_exact(&mut query).await.unwrap();
            for message in self.answers(&query, "tcp") {
                let length = u16::try_from(message.len()).unwrap();
                stream.write_all(&[&length.to_be_bytes()[..], &message].concat()).await.unwrap();
            }
        }
    }

    fn answers(&self, query: &[u8], transport: &str) -> Vec<Vec<u8>> {
        let query = Message::from_vec(query).unwrap();
        let question = query.queries[0].clone();
        let name = question.name().to_lowercase().to_string();
        self.asked.lock().unwrap().push(format!("{name} {} {transport}", question.query_type()));
        if *self.is_silent.lock().unwrap() {
            return Vec::new();
        }
        let key = |(host, family): &(&str, RecordType)| *host == name && *family == question.query_type();
        let reply = self.zone.lock().unwrap().iter().find_map(|(at, reply)| key(at).then(|| reply.clone()));
        let mut response = Message::response(query.metadata.id, query.metadata.op_code);
        response.metadata.recursion_desired = true;
        response.metadata.recursion_available = true;
        response.add_query(question.clone());
        let owner = question.name();
        let mut before = Vec::new();
        match reply {
            Some(Reply::Addrs(addrs, ttl)) => {
                response.add_answers(addrs.into_iter().map(|addr| address(owner, addr, ttl)));
            }
            Some(Reply::Many(count)) => many(&mut response, owner, count),
            Some(Reply::Cut(count)) if transport == "tcp" => many(&mut response, owner, count),
            Some(Reply::Cut(_)) => {
                response.metadata.truncation = true;
                many(&mut response, owner, 1);
            }
            Some(Reply::Mixed(addr)) => {
                let (alias, other) =
                    (Name::from_ascii("alias.").unwrap(), Name::from_ascii("other.").unwrap());
                let cname = RData::CNAME(CNAME(alias.clone()));
                response.add_answer(address(&other, "10.6.6.6", 1));
                response.add_answer(Record::from_rdata(owner.clone(), 30, cname));
                response.add_answer(address(&alias, addr, 60));
                response.add_answer(address(owner, "10.6.6.7", 1));
            }
            Some(Reply::Forged(addr)) => {
                let mut forged = response.clone();
                forged.add_answer(address(owner, "10.6.6.6", 60));
                forged.metadata.id ^= 1;
                before.push(forged.to_vec().unwrap());
                let mut other = response.clone();
                let name = Name::from_ascii("other.").unwrap();
                other.add_answer(address(&name, "10.6.6.6", 60));
                other.queries[0].name = name;
                before.push(other.to_vec().unwrap());
                before.push(b"no message".to_vec());
                response.add_answer(address(owner, addr, 60));
            }
            Some(Reply::NoAddrs) => {}
            Some(Reply::Fails(code)) => response.metadata.response_code = code,
            Some(Reply::Silent) => return Vec::new(),
            None => response.metadata.response_code = ResponseCode::NXDomain,
        }
        before.push(response.to_vec().unwrap());
        before
    }
}

fn address(owner: &Name, addr: &str, ttl: u32) -> Record {
    Record::from_rdata(owner.clone(), ttl, RData::from(addr.parse::<IpAddr>().unwrap()))
}

fn many(response: &mut Message, owner: &Name, count: u8) {
    response.add_answers((1..=count).map(|last| address(owner, &format!("10.0.0.{last}"), 60)));
}
