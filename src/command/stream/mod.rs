//! Streams: one file a concern, the rows in `rows`.

mod add;
mod claim;
mod group;
mod info;
mod pending;
mod range;
mod read;
mod rows;

pub use rows::ROWS;

use super::parse::c_string;
use super::{Ctx, Error};
use crate::config::{NotifyFlags, Settings};
use crate::keyspace::Key;
use crate::resp::Reply;
use crate::value::journal::GroupEdit;
use crate::value::listpack::Element;
use crate::value::stream::{ConsumerId, Entry, Id, NodeLimits};

const STREAM: NotifyFlags = NotifyFlags::STREAM;
const INVALID_ID: Error = Error::fixed("ERR Invalid stream ID specified as stream command argument");

/// An ID in full, or with a number of 0 within its millisecond.
fn id(text: &[u8]) -> Result<Id, Error> {
    Id::parse(text, 0).ok_or(INVALID_ID)
}

/// The first ID of an interval.
fn start_id(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            id(rest)?.next().ok_or(Error::fixed("ERR invalid start ID for the interval"))
        }
        _ => Id::parse_bound(text, 0).ok_or(INVALID_ID),
    }
}

/// The last ID of an interval.
fn end_id(text: &[u8]) -> Result<Id, Error> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => {
            let id = Id::parse(rest, u64::MAX).ok_or(INVALID_ID)?;
            id.prev().ok_or(Error::fixed("ERR invalid end ID for the interval"))
        }
        _ => Id::parse_bound(text, u64::MAX).ok_or(INVALID_ID),
    }
}

/// Whether an argument is this byte alone.
fn is_byte(arg: &[u8], byte: u8) -> bool {
    c_string(arg) == [byte]
}

fn node_limits(settings: &Settings) -> NodeLimits {
    NodeLimits { bytes: settings.stream_node_max_bytes, entries: settings.stream_node_max_entries }
}

/// An error that quotes a key and a group.
fn no_group(before: &str, first: &[u8], between: &str, second: &[u8], after: &str) -> Error {
    let text = [before.as_bytes(), c_string(first), between.as_bytes(), c_string(second), after.as_bytes()];
    Error::new(text.concat())
}

fn no_key_or_group(key: &[u8], group: &[u8]) -> Error {
    no_group("NOGROUP No such key '", key, "' or consumer group '", group, "'")
}

fn no_group_of_key(group: &[u8], key: &[u8]) -> Error {
    no_group("NOGROUP No such consumer group '", group, "' for key name '", key, "'")
}

fn write_id(reply: &mut Reply<'_>, id: Id) {
    id.with_text(|text| reply.bulk(text));
}

#[inline]
fn write_element(reply: &mut Reply<'_>, element: Element<'_>) {
    element.with(|bytes| reply.bulk(bytes));
}

/// Writes an ID and its fields and values.
fn write_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    write_id(reply, entry.id);
    reply.array(entry.len() * 2);
    for (field, value) in entry.pairs() {
        write_element(reply, field);
        write_element(reply, value);
    }
}

/// Writes entries as an array; answers how many.
fn write_entries<'e>(reply: &mut Reply<'_>, entries: impl Iterator<Item = Entry<'e>>) -> usize {
    let mark = reply.mark();
    let mut count = 0;
    for entry in entries {
        write_entry(reply, &entry);
        count += 1;
    }
    reply.array_at(mark, count);
    count
}

/// Finds the consumer of this name, or makes it; answers which it did.
fn find_or_add_consumer(group: &mut GroupEdit<'_>, name: &[u8], now_ms: i64) -> (ConsumerId, bool) {
    match group.find(name) {
        Some(id) => {
            group.set_seen(id, now_ms);
            (id, false)
        }
        None => (group.add_consumer(name, now_ms), true),
    }
}

/// Records what became of a group, and tells of a new consumer.
fn note_group_change(ctx: &mut Ctx<'_>, key: Key<'_>, new_consumer: bool, changed: bool) {
    if new_consumer {
        ctx.access.group_edited(key, "xgroup-createconsumer");
    }
    if changed {
        ctx.access.group_edited(key, "");
    }
}
