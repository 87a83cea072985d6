//! Streams: their nodes as they are, then the counters, the groups and what they have yet to acknowledge.

use super::Malformed;
use super::read::Reader;
use super::types::{STREAM_LISTPACKS, STREAM_LISTPACKS_2, STREAM_LISTPACKS_3};
use super::write::{begin, bytes, length};
use crate::value::listpack::Listpack;
use crate::value::stream::{Group, Id, Log, Node, Pending, Stream};
use std::collections::BTreeMap;

fn write_id(out: &mut Vec<u8>, id: Id) {
    length(out, id.ms);
    length(out, id.seq);
}

fn raw_id(id: Id) -> [u8; 16] {
    let mut raw = [0; 16];
    raw[..8].copy_from_slice(&id.ms.to_be_bytes());
    raw[8..].copy_from_slice(&id.seq.to_be_bytes());
    raw
}

/// Appends the type and the value, in the form of version 7.0.
pub fn write(out: &mut Vec<u8>, key: Option<&[u8]>, stream: &Stream) {
    write_as(STREAM_LISTPACKS_2, out, key, stream);
}

/// Appends the type and the value with all that there is to them, in the form of version 7.2.
pub fn write_copy(out: &mut Vec<u8>, stream: &Stream) {
    write_as(STREAM_LISTPACKS_3, out, None, stream);
}

fn write_as(kind: u8, out: &mut Vec<u8>, key: Option<&[u8]>, stream: &Stream) {
    let Stream { log, groups } = stream;
    begin(out, kind, key);
    length(out, log.nodes().len() as u64);
    for node in log.nodes() {
        bytes(out, &raw_id(node.id()));
        bytes(out, node.pack().as_bytes());
    }
    length(out, log.len());
    for id in [log.last_id, log.first_id(), log.max_deleted_id] {
        write_id(out, id);
    }
    length(out, log.entries_added);
    length(out, groups.len() as u64);
    for (name, group) in groups {
        bytes(out, name);
        write_id(out, group.last_id);
        // -1, where it cannot be known, as an unsigned number.
        length(out, group.entries_read.unwrap_or(-1) as u64);
        length(out, group.pending_len() as u64);
        for (id, pending) in group.pending_from(Id::MIN) {
            out.extend_from_slice(&raw_id(id));
            out.extend_from_slice(&pending.delivered_at_ms.to_le_bytes());
            length(out, pending.deliveries);
        }
        length(out, group.consumers().len() as u64);
        for consumer in group.consumers() {
            bytes(out, &consumer.name);
            out.extend_from_slice(&consumer.seen_at_ms.to_le_bytes());
            if kind == STREAM_LISTPACKS_3 {
                out.extend_from_slice(&consumer.active_at_ms.unwrap_or(-1).to_le_bytes());
            }
            length(out, consumer.pending_len() as u64);
            consumer.pending_from(Id::MIN).for_each(|id| out.extend_from_slice(&raw_id(id)));
        }
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<Id, Malformed> {
    Ok(Id { ms: reader.length()?, seq: reader.length()? })
}

fn read_raw_id(reader: &mut Reader<'_>) -> Result<Id, Malformed> {
    Ok(Id { ms: u64::from_be_bytes(reader.array()?), seq: u64::from_be_bytes(reader.array()?) })
}

/// Reads a stream of one of the three forms.
pub fn read(reader: &mut Reader<'_>, kind: u8) -> Result<Stream, Malformed> {
    let mut nodes = Vec::new();
    for _ in 0..reader.length()? {
        let master = reader.string()?;
        let master = read_raw_id(&mut Reader::new(&master)).and_then(|id| match master.len() {
            16 => Ok(id),
            _ => Err(Malformed),
        })?;
        let pack = Listpack::from_bytes(reader.string()?).map_err(|_| Malformed)?;
        nodes.push(Node::from_pack(master, pack).map_err(|_| Malformed)?);
    }
    let len = reader.length()?;
    let last_id = read_id(reader)?;
    let counters = if kind == STREAM_LISTPACKS {
        None
    } else {
        Some((read_id(reader)?, read_id(reader)?, reader.length()?))
    };
    let (max_deleted_id, entries_added) = counters.map_or((Id::MIN, len), |(_, max, added)| (max, added));
    let log = Log::from_nodes(nodes, len, last_id, max_deleted_id, entries_added).ok_or(Malformed)?;
    let mut stream = Stream { log, groups: BTreeMap::new() };
    for _ in 0..reader.length()? {
        let name = reader.string()?;
        let last_id = read_id(reader)?;
        let entries_read = if kind == STREAM_LISTPACKS {
            stream.log.entries_up_to(last_id)
        } else {
            // Other negative numbers come of counting past the largest one.
            Some(reader.length()? as i64).filter(|read| *read != -1)
        };
        let group = read_group(reader, kind, Group::new(last_id, entries_read))?;
        if stream.groups.insert(name.into(), group).is_some() {
            return Err(Malformed);
        }
    }
    Ok(stream)
}

fn read_group(reader: &mut Reader<'_>, kind: u8, mut group: Group) -> Result<Group, Malformed> {
    let mut pending = BTreeMap::new();
    for _ in 0..reader.length()? {
        let id = read_raw_id(reader)?;
        let delivery = (i64::from_le_bytes(reader.array()?), reader.length()?);
        if pending.insert(id, delivery).is_some() {
            return Err(Malformed);
        }
    }
    for _ in 0..reader.length()? {
        let name = reader.string()?;
        if group.find(&name).is_some() {
            return Err(Malformed);
        }
        let seen_at_ms = i64::from_le_bytes(reader.array()?);
        let active_at_ms =
            if kind == STREAM_LISTPACKS_3 { i64::from_le_bytes(reader.array()?) } else { seen_at_ms };
        let consumer = group.add_consumer(&name, seen_at_ms);
        group.consumer_mut(consumer).active_at_ms = Some(active_at_ms).filter(|at| *at >= 0);
        for _ in 0..reader.length()? {
            let id = read_raw_id(reader)?;
            // Each is somebody's, and nobody else's.
            let (delivered_at_ms, deliveries) = pending.remove(&id).ok_or(Malformed)?;
            group.deliver(id, Pending { consumer, delivered_at_ms, deliveries });
        }
    }
    if pending.is_empty() { Ok(group) } else { Err(Malformed) }
}
