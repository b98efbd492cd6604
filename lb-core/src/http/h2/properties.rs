//! What holds for any frames that pass ([`super::frames`]; see [`crate::fuzz`]).

use super::PREFACE;
use super::frame::{CONTINUATION, END_HEADERS, HEAD, HEADERS, Head, PADDED, PRIORITY};
use super::frames::Frames;
use super::pseudo::{Text, integer, string};

/// More bytes than that are no more telling.
const MAX_FRAME: usize = 16 * 1024;
/// Of a client's heads.
const LIMIT: usize = 64 * 1024;

/// The first byte says who sends, and how what is behind it is cut into reads. What passes does not depend on that. Its
/// frames are whole where those sent are; those that are no heads are the same, and heads come to as many. A block that
/// can be read is one that can be read with the same values, a client's with what stands in for the pseudo-fields, ours
/// without. A client's that can't be read stays.
pub(crate) fn frames(bytes: &[u8]) {
    let Some((mode, sent)) = bytes.split_first().filter(|(_, sent)| sent.len() < MAX_FRAME) else { return };
    let is_client = mode & 1 == 0;
    let sent = [PREFACE, sent].concat();
    let passed = pass(is_client, &sent, sent.len());
    let size = usize::from(mode >> 1) + 1;
    assert!(pass(is_client, &sent, size) == passed, "it passes otherwise in pieces of {size}");
    let passed = Seen::read(&passed);
    let sent = Seen::read(&sent);
    assert!(sent.others.starts_with(&passed.others), "a frame is not what it was");
    if !sent.is_in_order {
        return;
    }
    assert_eq!(passed.others.len(), sent.others.len());
    assert!(passed.is_in_order, "heads are no longer in order");
    assert_eq!(passed.blocks.len(), sent.blocks.len());
    let mut newest = 0;
    for (sent, passed) in sent.blocks.iter().zip(&passed.blocks) {
        assert_eq!((sent.stream, &sent.priority), (passed.stream, &passed.priority));
        let is_head = sent.stream > newest;
        newest = newest.max(sent.stream);
        match (values(&sent.bytes), values(&passed.bytes)) {
            (Some(sent), Some(passed)) if is_client => check_of_client(&sent, &passed, is_head),
            (Some(sent), Some(passed)) => check_to_server(&sent, &passed),
            (None, _) => assert!(!is_client || sent.bytes == passed.bytes, "what can't be read has changed"),
            (Some(_), None) => panic!("a block can no longer be read: {:x?}", sent.bytes),
        }
    }
}

fn pass(is_client: bool, sent: &[u8], size: usize) -> Vec<u8> {
    let mut frames = if is_client { Frames::of_client(LIMIT) } else { Frames::to_server(PREFACE.len()) };
    let mut passed = Vec::new();
    for piece in sent.chunks(size) {
        let mut rewritten = Vec::new();
        let kept = frames.take(piece, &mut rewritten);
        passed.extend_from_slice(&piece[..kept]);
        passed.append(&mut rewritten);
    }
    passed
}

/// What a sequence of frames holds.
struct Seen<'a> {
    /// Whole frames that are no heads.
    others: Vec<&'a [u8]>,
    blocks: Vec<Block>,
    /// Every head is brought to its end before another frame comes, in no more frames than a client may use, and has
    /// room for its padding.
    is_in_order: bool,
}

#[derive(Default)]
struct Block {
    stream: u32,
    priority: Vec<u8>,
    bytes: Vec<u8>,
}

impl<'a> Seen<'a> {
    fn read(bytes: &'a [u8]) -> Self {
        let mut seen = Self { others: Vec::new(), blocks: Vec::new(), is_in_order: true };
        let mut rest = bytes.strip_prefix(PREFACE).expect("a preface");
        let mut open: Option<Block> = None;
        let mut continuations = 0;
        while let Some((head, behind)) = rest.split_first_chunk::<HEAD>() {
            let head = Head::read(*head);
            let Some((payload, behind)) = behind.split_at_checked(head.length) else { break };
            let frame = &rest[..HEAD + head.length];
            rest = behind;
            match (head.kind, open.take()) {
                (HEADERS, None) => {
                    let block = begin(head, payload);
                    seen.is_in_order &= block.is_some();
                    (open, continuations) = (block, 0);
                }
                (CONTINUATION, Some(mut block)) if block.stream == head.stream => {
                    block.bytes.extend_from_slice(payload);
                    continuations += 1;
                    seen.is_in_order &= continuations < 5;
                    open = Some(block);
                }
                (kind, None) if kind != CONTINUATION => seen.others.push(frame),
                (kind, _) => {
                    seen.is_in_order = false;
                    if kind != HEADERS && kind != CONTINUATION {
                        seen.others.push(frame);
                    }
                }
            }
            if matches!(head.kind, HEADERS | CONTINUATION) && head.flags & END_HEADERS != 0 {
                seen.blocks.extend(open.take());
            }
        }
        seen
    }
}

/// RFC 9113 section 6.2.
fn begin(head: Head, payload: &[u8]) -> Option<Block> {
    let is_padded = head.flags & PADDED != 0;
    let padding = if is_padded { usize::from(*payload.first()?) } else { 0 };
    let start = usize::from(is_padded);
    let end = payload.len().checked_sub(padding).filter(|end| *end >= start)?;
    let (priority, bytes) =
        payload[start..end].split_at_checked(if head.flags & PRIORITY != 0 { 5 } else { 0 })?;
    Some(Block { stream: head.stream, priority: priority.to_vec(), bytes: bytes.to_vec() })
}

/// One field of a block, or a size of the table.
#[derive(Debug, PartialEq, Eq)]
enum Value<'a> {
    Size(usize),
    Indexed(usize),
    Literal(&'a [u8]),
}

/// What can be read with nothing left.
fn values(mut block: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut values = Vec::new();
    while let Some(first) = block.first() {
        let (value, behind) = match first.leading_zeros() {
            0 => integer(block, 7).map(|(index, behind)| (Value::Indexed(index), behind))?,
            2 => integer(block, 5).map(|(size, behind)| (Value::Size(size), behind))?,
            zeros => {
                let (index, mut behind) = integer(block, if zeros == 1 { 6 } else { 4 })?;
                if index == 0 {
                    (_, behind) = string(behind)?;
                }
                let (Text::Plain(value) | Text::Coded(value), behind) = string(behind)?;
                (Value::Literal(value), behind)
            }
        };
        values.push(value);
        block = behind;
    }
    Some(values)
}

fn check_of_client(sent: &[Value<'_>], passed: &[Value<'_>], is_head: bool) {
    let sizes = sent.iter().take_while(|value| matches!(value, Value::Size(_))).count();
    let stand_in = [Value::Indexed(2), Value::Indexed(6), Value::Indexed(4)];
    let rest = if is_head {
        passed[sizes..].strip_prefix(&stand_in).expect("what stands in")
    } else {
        &passed[sizes..]
    };
    assert_eq!((sent.len() - sizes, &sent[..sizes]), (rest.len(), &passed[..sizes]));
    for (sent, passed) in sent[sizes..].iter().zip(rest) {
        match sent {
            Value::Indexed(1..=7) => assert!(matches!(passed, Value::Literal(_)), "{sent:?}: {passed:?}"),
            _ => assert_eq!(sent, passed),
        }
    }
}

fn check_to_server(sent: &[Value<'_>], passed: &[Value<'_>]) {
    let mut rest = passed.iter().peekable();
    for value in sent {
        let is_made_up = matches!(value, Value::Indexed(4 | 6));
        if rest.next_if_eq(&value).is_none() {
            assert!(is_made_up, "{value:?} is missing in {passed:?}");
        }
    }
    assert!(rest.next().is_none(), "there is more than was sent");
}
