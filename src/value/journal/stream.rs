//! Edits of streams and of their groups.
//!
//! Notes of a group follow one that names it, and those of a consumer one that names the consumer; they stay named up
//! to the next such note. How entries are cut into nodes is not noted.

use super::note::{Notes, holds};
use super::{Edit, Journal, Malformed};
use crate::value::stream::{
    ConsumerId, Group, Id, Log, NewId, NodeLimits, Pending, Refused, Stream, Trim, TrimTo,
};
use std::ops::Deref;

/// ID (two numbers), number of texts; fields and values.
const ADD: u8 = 0x50;
/// Number: so many entries have gone from the front.
const TRIM: u8 = 0x51;
/// Number of IDs, IDs: those of them that were there are gone.
const DELETE: u8 = 0x52;
/// Last ID, entries added, greatest ID deleted.
const SET_IDS: u8 = 0x53;
/// Name, [`position`].
const CREATE_GROUP: u8 = 0x54;
/// Name.
const DESTROY_GROUP: u8 = 0x55;
/// Name of the group that the next notes are of.
const GROUP: u8 = 0x56;
/// [`position`], as it is.
const POSITION: u8 = 0x57;
/// Time it was seen; name of the consumer, which the next notes are of.
const ADD_CONSUMER: u8 = 0x58;
/// Name of the consumer; what it had yet to acknowledge is gone too.
const REMOVE_CONSUMER: u8 = 0x59;
/// Name of the consumer that the next notes are of.
const CONSUMER: u8 = 0x5A;
/// Time.
const SEEN: u8 = 0x5B;
/// Time.
const ACTIVE: u8 = 0x5C;
/// ID, time of delivery, number of deliveries.
const DELIVER: u8 = 0x5D;
/// ID.
const ACKNOWLEDGE: u8 = 0x5E;

/// How notes are done again: by the defaults of Redis.
const LIMITS: NodeLimits = NodeLimits { bytes: 4096, entries: 100 };

impl Edit<'_, Stream> {
    /// As [`Log::add`].
    ///
    /// # Errors
    /// When the entry cannot be added; nothing is changed then.
    #[inline]
    pub fn add(
        &mut self,
        id: NewId,
        now_ms: i64,
        fields: &[&[u8]],
        limits: NodeLimits,
    ) -> Result<Id, Refused> {
        let id = self.value.log.add(id, now_ms, fields, limits)?;
        self.note(ADD, &[id.ms, id.seq, fields.len() as u64], fields);
        Ok(id)
    }

    /// As [`Log::trim`].
    #[inline]
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let removed = self.value.log.trim(trim);
        if removed > 0 {
            self.note(TRIM, &[removed], &[]);
        }
        removed
    }

    /// As [`Log::delete`].
    #[inline]
    pub fn delete(&mut self, ids: &[Id]) -> usize {
        let deleted = self.value.log.delete(ids);
        if deleted > 0
            && let Some(journal) = &mut self.journal
        {
            let count = std::iter::once(ids.len() as u64);
            let numbers: Vec<u64> = count.chain(ids.iter().flat_map(|id| [id.ms, id.seq])).collect();
            journal.note(DELETE, &numbers, &[]);
        }
        deleted
    }

    /// Sets what is known of all entries ever added.
    pub fn set_ids(&mut self, last_id: Id, entries_added: u64, max_deleted_id: Id) {
        let log = &mut self.value.log;
        (log.last_id, log.entries_added, log.max_deleted_id) = (last_id, entries_added, max_deleted_id);
        let (last, deleted) = (last_id, max_deleted_id);
        self.note(SET_IDS, &[last.ms, last.seq, entries_added, deleted.ms, deleted.seq], &[]);
    }

    /// Adds a group, whose name must be new.
    pub fn create_group(&mut self, name: &[u8], last_id: Id, entries_read: Option<i64>) {
        self.value.groups.insert(name.into(), Group::new(last_id, entries_read));
        self.note(CREATE_GROUP, &[], &[name, &position(last_id, entries_read)]);
    }

    /// Removes a group; answers whether it was there.
    pub fn destroy_group(&mut self, name: &[u8]) -> bool {
        let removed = self.value.groups.remove(name).is_some();
        if removed {
            self.note(DESTROY_GROUP, &[], &[name]);
        }
        removed
    }

    /// A group to edit, and the entries to read.
    #[inline]
    pub fn group<'s>(&'s mut self, name: &'s [u8]) -> Option<(&'s Log, GroupEdit<'s>)> {
        let Stream { log, groups } = &mut *self.value;
        let group = groups.get_mut(name)?;
        let journal = self.journal.as_deref_mut();
        Some((&*log, GroupEdit { name, group, journal, told: Told::default() }))
    }
}

/// A consumer group under a command's hands.
#[derive(Debug)]
pub struct GroupEdit<'s> {
    name: &'s [u8],
    group: &'s mut Group,
    journal: Option<&'s mut Journal>,
    told: Told,
}

/// What the notes have said of a group.
#[derive(Default, Debug)]
struct Told {
    /// That they are of it.
    group: bool,
    /// Which consumer they are of.
    consumer: Option<ConsumerId>,
    /// Where its position is: a group that moves on moves often.
    position_at: Option<usize>,
}

impl Deref for GroupEdit<'_> {
    type Target = Group;
    #[inline]
    fn deref(&self) -> &Group {
        self.group
    }
}

const POSITION_BYTES: usize = 25;

/// A group's position as bytes: last ID 16, whether the entries read are known 1, entries read 8; little-endian.
fn position(last_id: Id, entries_read: Option<i64>) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    bytes[..8].copy_from_slice(&last_id.ms.to_le_bytes());
    bytes[8..16].copy_from_slice(&last_id.seq.to_le_bytes());
    bytes[16] = entries_read.is_some().into();
    bytes[17..].copy_from_slice(&entries_read.unwrap_or(0).to_le_bytes());
    bytes
}

impl<'s> GroupEdit<'s> {
    /// The journal, after it has been told which group and consumer the next note is of.
    fn journal_of(&mut self, consumer: Option<ConsumerId>) -> Option<&mut Journal> {
        let journal = self.journal.as_deref_mut()?;
        if !self.told.group {
            journal.note(GROUP, &[], &[self.name]);
            self.told.group = true;
        }
        if let Some(id) = consumer
            && self.told.consumer != consumer
        {
            journal.note(CONSUMER, &[], &[&self.group.consumer(id).name]);
            self.told.consumer = consumer;
        }
        Some(journal)
    }

    fn note(&mut self, consumer: Option<ConsumerId>, op: u8, numbers: &[u64], texts: &[&[u8]]) {
        if let Some(journal) = self.journal_of(consumer) {
            journal.note(op, numbers, texts);
        }
    }

    fn note_position(&mut self) {
        let bytes = position(self.group.last_id, self.group.entries_read);
        let told_at = self.told.position_at;
        let Some(journal) = self.journal_of(None) else { return };
        match told_at {
            Some(at) => journal.note_again(at, &bytes),
            None => {
                let at = journal.note_fixed(POSITION, &bytes);
                self.told.position_at = Some(at);
            }
        }
    }

    /// Sets how far it has read.
    pub fn set_position(&mut self, last_id: Id, entries_read: Option<i64>) {
        if (self.group.last_id, self.group.entries_read) != (last_id, entries_read) {
            (self.group.last_id, self.group.entries_read) = (last_id, entries_read);
            self.note_position();
        }
    }

    /// As [`Log::note_read`].
    #[inline]
    pub fn note_read(&mut self, log: &Log, id: Id) {
        let before = (self.group.last_id, self.group.entries_read);
        log.note_read(self.group, id);
        if self.journal.is_some() && before != (self.group.last_id, self.group.entries_read) {
            self.note_position();
        }
    }

    /// As [`Group::add_consumer`].
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> ConsumerId {
        let id = self.group.add_consumer(name, now_ms);
        self.note(None, ADD_CONSUMER, &[now_ms as u64], &[name]);
        self.told.consumer = Some(id);
        id
    }

    /// As [`Group::remove_consumer`].
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let pending = self.group.remove_consumer(name)?;
        self.note(None, REMOVE_CONSUMER, &[], &[name]);
        Some(pending)
    }

    /// Sets when a consumer last asked.
    #[inline]
    pub fn set_seen(&mut self, consumer: ConsumerId, at_ms: i64) {
        let old = std::mem::replace(&mut self.group.consumer_mut(consumer).seen_at_ms, at_ms);
        if self.journal.is_some() && old != at_ms {
            self.note(Some(consumer), SEEN, &[at_ms as u64], &[]);
        }
    }

    /// Sets when a consumer last got something.
    #[inline]
    pub fn set_active(&mut self, consumer: ConsumerId, at_ms: i64) {
        let old = self.group.consumer_mut(consumer).active_at_ms.replace(at_ms);
        if self.journal.is_some() && old != Some(at_ms) {
            self.note(Some(consumer), ACTIVE, &[at_ms as u64], &[]);
        }
    }

    /// As [`Group::deliver`].
    #[inline]
    pub fn deliver(&mut self, id: Id, delivery: Pending) {
        self.group.deliver(id, delivery);
        if self.journal.is_some() {
            let numbers = [id.ms, id.seq, delivery.delivered_at_ms as u64, delivery.deliveries];
            self.note(Some(delivery.consumer), DELIVER, &numbers, &[]);
        }
    }

    /// As [`Group::acknowledge`].
    #[inline]
    pub fn acknowledge(&mut self, id: Id) -> bool {
        let there = self.group.acknowledge(id);
        if there && self.journal.is_some() {
            self.note(None, ACKNOWLEDGE, &[id.ms, id.seq], &[]);
        }
        there
    }
}

fn read_id(notes: &mut Notes<'_>) -> Result<Id, Malformed> {
    Ok(Id { ms: notes.number()?, seq: notes.number()? })
}

fn read_time(notes: &mut Notes<'_>) -> Result<i64, Malformed> {
    notes.number().map(|at_ms| at_ms as i64)
}

fn read_position(bytes: [u8; POSITION_BYTES]) -> Result<(Id, Option<i64>), Malformed> {
    let mut notes = Notes::new(&bytes);
    let id = Id { ms: u64::from_le_bytes(notes.array()?), seq: u64::from_le_bytes(notes.array()?) };
    let [known] = notes.array()?;
    Ok((id, (known != 0).then_some(i64::from_le_bytes(notes.array()?))))
}

/// Which group and consumer notes are of.
#[derive(Default)]
struct Named<'n> {
    group: Option<&'n [u8]>,
    consumer: Option<&'n [u8]>,
}

impl Named<'_> {
    fn group<'s>(&self, stream: &'s mut Stream) -> Result<&'s mut Group, Malformed> {
        self.group.and_then(|name| stream.groups.get_mut(name)).ok_or(Malformed)
    }

    fn consumer<'s>(&self, stream: &'s mut Stream) -> Result<(&'s mut Group, ConsumerId), Malformed> {
        let group = self.group(stream)?;
        let id = self.consumer.and_then(|name| group.find(name)).ok_or(Malformed)?;
        Ok((group, id))
    }
}

pub(super) fn replay(stream: &mut Stream, mut notes: Notes<'_>) -> Result<(), Malformed> {
    let mut named = Named::default();
    while let Some(op) = notes.op() {
        match op {
            ADD..=SET_IDS => replay_log(&mut stream.log, op, &mut notes)?,
            _ => replay_group(stream, &mut named, op, &mut notes)?,
        }
    }
    Ok(())
}

fn replay_log(log: &mut Log, op: u8, notes: &mut Notes<'_>) -> Result<(), Malformed> {
    match op {
        ADD => {
            let (id, count) = (read_id(notes)?, notes.index()?);
            let mut fields = Vec::new();
            for _ in 0..count {
                fields.push(notes.text()?);
            }
            holds(count > 0 && count.is_multiple_of(2))?;
            log.add(NewId::Exact(id), 0, &fields, LIMITS).map_err(|_| Malformed)?;
        }
        TRIM => {
            let count = notes.number()?;
            let left = log.len().checked_sub(count).ok_or(Malformed)?;
            let trim = Trim { to: TrimTo::Len(left), approximate: false, limit: 0 };
            holds(log.trim(trim) == count)?;
        }
        DELETE => {
            let count = notes.index()?;
            let mut ids = Vec::new();
            for _ in 0..count {
                ids.push(read_id(notes)?);
            }
            holds(log.delete(&ids) > 0)?;
        }
        _ => {
            let (last_id, entries_added, max_deleted_id) =
                (read_id(notes)?, notes.number()?, read_id(notes)?);
            holds(log.last_entry_id().is_none_or(|last| last <= last_id))?;
            (log.last_id, log.entries_added, log.max_deleted_id) = (last_id, entries_added, max_deleted_id);
        }
    }
    Ok(())
}

fn replay_group<'n>(
    stream: &mut Stream,
    named: &mut Named<'n>,
    op: u8,
    notes: &mut Notes<'n>,
) -> Result<(), Malformed> {
    match op {
        CREATE_GROUP => {
            let (name, bytes) = (notes.text()?, notes.text()?);
            let (last_id, entries_read) = read_position(bytes.try_into().map_err(|_| Malformed)?)?;
            let group = Group::new(last_id, entries_read);
            holds(stream.groups.insert(name.into(), group).is_none())?;
        }
        DESTROY_GROUP => holds(stream.groups.remove(notes.text()?).is_some())?,
        GROUP => *named = Named { group: Some(notes.text()?), consumer: None },
        POSITION => {
            let group = named.group(stream)?;
            (group.last_id, group.entries_read) = read_position(notes.array()?)?;
        }
        ADD_CONSUMER => {
            let (seen_at_ms, name) = (read_time(notes)?, notes.text()?);
            let group = named.group(stream)?;
            holds(group.find(name).is_none())?;
            group.add_consumer(name, seen_at_ms);
            named.consumer = Some(name);
        }
        REMOVE_CONSUMER => {
            let removed = named.group(stream)?.remove_consumer(notes.text()?);
            holds(removed.is_some())?;
        }
        CONSUMER => named.consumer = Some(notes.text()?),
        SEEN => {
            let (group, consumer) = named.consumer(stream)?;
            group.consumer_mut(consumer).seen_at_ms = read_time(notes)?;
        }
        ACTIVE => {
            let (group, consumer) = named.consumer(stream)?;
            group.consumer_mut(consumer).active_at_ms = Some(read_time(notes)?);
        }
        DELIVER => {
            let (group, consumer) = named.consumer(stream)?;
            let id = read_id(notes)?;
            let (delivered_at_ms, deliveries) = (read_time(notes)?, notes.number()?);
            group.deliver(id, Pending { consumer, delivered_at_ms, deliveries });
        }
        ACKNOWLEDGE => {
            let id = read_id(notes)?;
            holds(named.group(stream)?.acknowledge(id))?;
        }
        _ => return Err(Malformed),
    }
    Ok(())
}
