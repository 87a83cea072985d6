//! Strings as bitmaps: single bits, counts, positions, BITOP, and the integer fields of BITFIELD.

use super::parse::{c_string, int, int_or, is};
use super::row::{ArgKind, Category, Flag, Row, arg, block, key, keys_at, one_of, row, token};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Expiry, Key, Lookup};
use crate::number;
use crate::value::bits::{self, Field, Operation, Overflow};
use crate::value::string::NewString;
use std::ops::Range;

const STRING: NotifyFlags = NotifyFlags::STRING;

/// A bit's offset; `#3` counts in fields of `field_bits`, where those are known.
fn offset(ctx: &Ctx<'_>, text: &[u8], field_bits: Option<u32>) -> Result<usize, Error> {
    let invalid = Error::fixed("ERR bit offset is not an integer or out of range");
    let offset = match (text.strip_prefix(b"#"), field_bits) {
        (Some(fields), Some(bits)) => {
            number::parse_i64(fields).map(|fields| fields.wrapping_mul(bits.into()))
        }
        _ => number::parse_i64(text),
    };
    let limit = ctx.settings.proto_max_bulk_len;
    let offset = offset.and_then(|offset| u64::try_from(offset).ok()).filter(|offset| offset >> 3 < limit);
    offset.and_then(|offset| usize::try_from(offset).ok()).ok_or(invalid)
}

/// How an edit found the string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// As long as it has to be.
    Nothing,
    /// It was made, or made longer.
    Bytes,
}

/// Edits these ranges of the first key's string in place, once it has at least so many bytes as the last of them needs. The
/// edit answers whether there is an event to tell.
fn edit_text(
    ctx: &mut Ctx<'_>,
    ranges: &[Range<usize>],
    edit: impl FnOnce(&mut [u8], Made) -> bool,
) -> Result<(), Error> {
    let (key, len) = (ctx.key(0), ranges.iter().map(|range| range.end).max().unwrap_or(0));
    ctx.access.log_room_to_change(key, len)?;
    if let Some(mut text) = ctx.access.write_long(key)? {
        let made = if text.len() < len { Made::Bytes } else { Made::Nothing };
        let changed = text.change(len, ranges, |text| edit(text, made));
        if changed {
            ctx.access.edited(key, STRING, "setbit");
        } else if made == Made::Bytes {
            ctx.access.reformed(key);
        }
        return Ok(());
    }
    let Some(mut entry) = ctx.access.edit(key) else {
        let mut text = vec![0; len];
        let event = if edit(&mut text, Made::Bytes) { "setbit" } else { "" };
        ctx.access.put(key, NewString::own(&mut text), Expiry::Clear, STRING, event);
        if let Some(mut entry) = ctx.access.edit(key) {
            entry.mark_edited();
        }
        return Ok(());
    };
    let value = entry.string().ok_or(Error::WRONG_TYPE)?;
    let (old_len, is_int, was_edited) = (value.len(), value.is_int(), entry.is_edited());
    let made = if old_len < len { Made::Bytes } else { Made::Nothing };
    if made == Made::Bytes || is_int {
        let mut text = entry.string().map(|value| value.to_vec()).unwrap_or_default();
        text.resize(old_len.max(len), 0);
        let expires_at_ms = entry.expires_at_ms();
        entry.overwrite(NewString::own(&mut text), expires_at_ms);
    }
    let changed = entry.bytes_mut().is_some_and(|text| edit(text, made));
    let reformed = is_int || made == Made::Bytes || entry.is_edited() != was_edited;
    drop(entry);
    if changed {
        ctx.access.edited(key, STRING, "setbit");
    } else if reformed {
        ctx.access.reformed(key);
    }
    Ok(())
}

fn setbit(ctx: &mut Ctx<'_>) -> Answer {
    let offset = offset(ctx, &ctx.args[2], None)?;
    let new = match int_or(&ctx.args[3], "ERR bit is not an integer or out of range")? {
        0 => false,
        1 => true,
        _ => return Err(Error::fixed("ERR bit is not an integer or out of range")),
    };
    let mut old = false;
    let byte = offset / 8..offset / 8 + 1;
    edit_text(ctx, std::slice::from_ref(&byte), |text, made| {
        old = bits::get(text, offset);
        bits::set(text, offset, new);
        made == Made::Bytes || old != new
    })?;
    ctx.reply.int(old.into());
    DONE
}

fn getbit(ctx: &mut Ctx<'_>) -> Answer {
    let (key, offset) = (ctx.key(0), offset(ctx, &ctx.args[2], None)?);
    let value = ctx.access.string(key, Lookup::Read)?;
    let bit = value.is_some_and(|value| value.with(|text| bits::get(text, offset)));
    ctx.reply.int(bit.into());
    DONE
}

/// Whether a range is in bits.
fn in_bits(unit: Option<&[u8]>) -> Result<bool, Error> {
    match unit {
        Some(unit) if is(unit, "bit") => Ok(true),
        Some(unit) if !is(unit, "byte") => Err(Error::SYNTAX),
        _ => Ok(false),
    }
}

/// The first and last bit of a range that counts from either end, within a string of `len` bytes.
fn bit_range(start: i64, end: i64, len: usize, in_bits: bool) -> Option<(usize, usize)> {
    let total = len as i64 * if in_bits { 8 } else { 1 };
    let from_end = |index: i64| if index < 0 { (total + index).max(0) } else { index };
    let (first, last) = (from_end(start), from_end(end).min(total - 1));
    if first > last {
        return None;
    }
    let (first, last) = (first as usize, last as usize);
    Some(if in_bits { (first, last) } else { (first * 8, last * 8 + 7) })
}

fn bitcount(ctx: &mut Ctx<'_>) -> Answer {
    let (start, end, in_bits) = match ctx.args.len() {
        2 => (0, -1, false),
        4 | 5 => (int(&ctx.args[2])?, int(&ctx.args[3])?, in_bits(ctx.args.get(4))?),
        _ => return Err(Error::SYNTAX),
    };
    let key = ctx.key(0);
    let count = ctx.access.string(key, Lookup::Read)?.map_or(0, |value| {
        value.with(|text| match bit_range(start, end, text.len(), in_bits) {
            Some(_) if start < 0 && end < 0 && start > end => 0,
            Some((first, last)) => bits::count_between(text, first, last),
            None => 0,
        })
    });
    ctx.reply.int(count as i64);
    DONE
}

fn bitpos(ctx: &mut Ctx<'_>) -> Answer {
    let wanted = match int(&ctx.args[2])? {
        0 => false,
        1 => true,
        _ => return Err(Error::fixed("ERR The bit argument must be 1 or 0.")),
    };
    let start = ctx.args.get(3).map_or(Ok(0), int)?;
    let in_bits = in_bits(ctx.args.get(5))?;
    let end = ctx.args.get(4).map(int).transpose()?;
    if ctx.args.len() > 6 {
        return Err(Error::SYNTAX);
    }
    let key = ctx.key(0);
    let Some(value) = ctx.access.string(key, Lookup::Read)? else {
        ctx.reply.int(if wanted { -1 } else { 0 });
        return DONE;
    };
    let position = value.with(|text| {
        let (first, last) = bit_range(start, end.unwrap_or(-1), text.len(), in_bits)?;
        let found = bits::find(text, wanted, first, last);
        // A string without an end goes on in zeros.
        found.or((!wanted && end.is_none()).then_some(text.len() * 8))
    });
    ctx.reply.int(position.map_or(-1, |position| position as i64));
    DONE
}

fn bitop(ctx: &mut Ctx<'_>) -> Answer {
    let name = &ctx.args[1];
    let operation = if is(name, "and") {
        Operation::And
    } else if is(name, "or") {
        Operation::Or
    } else if is(name, "xor") {
        Operation::Xor
    } else if is(name, "not") {
        Operation::Not
    } else {
        return Err(Error::SYNTAX);
    };
    if operation == Operation::Not && ctx.args.len() != 4 {
        return Err(Error::fixed("ERR BITOP NOT must be called with a single source key."));
    }
    let (target, sources) = (ctx.key(0), &ctx.keys[1..]);
    let mut len_of = |key: &Key<'_>| ctx.access.get(*key, Lookup::Silent)?.string().map(|value| value.len());
    let len = sources.iter().filter_map(&mut len_of).max().unwrap_or(0);
    ctx.access.log_room(len)?;
    let mut result = spare_buffer(ctx, target, sources);
    for (index, key) in sources.iter().enumerate() {
        let value = ctx.access.string(*key, Lookup::Read)?;
        let mut take = |text: &[u8]| match index {
            0 => operation.start(&mut result, text),
            _ => operation.add(&mut result, text),
        };
        match value {
            Some(value) => value.with(take),
            None => take(b""),
        }
    }
    let len = result.len();
    if len == 0 {
        ctx.access.delete(target, NotifyFlags::GENERIC, "del");
    } else {
        ctx.access.put(target, NewString::own(&mut result), Expiry::Clear, STRING, "set");
        if let Some(mut entry) = ctx.access.edit(target) {
            entry.mark_edited();
        }
    }
    ctx.reply.int(len as i64);
    DONE
}

/// The memory of a long string that BITOP is going to replace, where that cannot fail and needs it no more:
/// fresh memory of that size costs more than the operation.
fn spare_buffer(ctx: &mut Ctx<'_>, target: Key<'_>, sources: &[Key<'_>]) -> Vec<u8> {
    let mut stays_readable = |key: &Key<'_>| {
        key.name != target.name
            && ctx.access.get(*key, Lookup::Silent).is_none_or(|entry| entry.string().is_some())
    };
    if !sources.iter().all(&mut stays_readable) {
        return Vec::new();
    }
    let spare = ctx.access.edit(target).and_then(|mut entry| entry.shared_mut().map(std::mem::take));
    spare.unwrap_or_default()
}

/// One operation of BITFIELD.
struct FieldOperation {
    field: Field,
    action: Action,
    overflow: Overflow,
}

enum Action {
    Get,
    Set(i64),
    Add(i64),
}

fn field(ctx: &Ctx<'_>, kind: &[u8], at: &[u8]) -> Result<Field, Error> {
    let invalid = Error::fixed(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
    );
    let (signed, bits) = match c_string(kind) {
        [b'i', bits @ ..] => (true, bits),
        [b'u', bits @ ..] => (false, bits),
        _ => return Err(invalid),
    };
    let max = if signed { 64 } else { 63 };
    let bits = number::parse_i64(bits).filter(|bits| (1..=max).contains(bits)).ok_or(invalid)? as u32;
    Ok(Field { signed, bits, offset: offset(ctx, at, Some(bits))? })
}

fn field_operations(ctx: &Ctx<'_>) -> Result<Vec<FieldOperation>, Error> {
    let mut operations = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut at = 2;
    while let Some(word) = ctx.args.get(at) {
        let more = ctx.args.len() - at - 1;
        if is(word, "overflow") && more >= 1 {
            let mode = &ctx.args[at + 1];
            overflow = if is(mode, "wrap") {
                Overflow::Wrap
            } else if is(mode, "sat") {
                Overflow::Saturate
            } else if is(mode, "fail") {
                Overflow::Fail
            } else {
                return Err(Error::fixed("ERR Invalid OVERFLOW type specified"));
            };
            at += 2;
            continue;
        }
        let get = is(word, "get") && more >= 2;
        let set = is(word, "set") && more >= 3;
        let add = is(word, "incrby") && more >= 3;
        if !get && !set && !add {
            return Err(Error::SYNTAX);
        }
        let field = field(ctx, &ctx.args[at + 1], &ctx.args[at + 2])?;
        let action = if get {
            Action::Get
        } else if set {
            Action::Set(int(&ctx.args[at + 3])?)
        } else {
            Action::Add(int(&ctx.args[at + 3])?)
        };
        operations.push(FieldOperation { field, action, overflow });
        at += if get { 3 } else { 4 };
    }
    Ok(operations)
}

impl FieldOperation {
    /// Reads, and writes where it is to; returns the answer, and whether the field has changed.
    fn run(&self, text: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.field.get(text);
        let (wanted, answers_old) = match self.action {
            Action::Get => return (Some(old), false),
            // What is set counts as unsigned where the field is: no number is below its range.
            Action::Set(new) if !self.field.signed => (i128::from(new as u64), true),
            // As in Redis, where so low a number's distance from the highest that fits overflows.
            Action::Set(new) if self.field.bits < 64 && self.field.max().checked_sub(new).is_none() => {
                (i128::from(new) + (1 << 64), true)
            }
            Action::Set(new) => (new.into(), true),
            Action::Add(more) => (i128::from(old) + i128::from(more), false),
        };
        let Some(new) = self.field.fit(wanted, self.overflow) else { return (None, false) };
        self.field.set(text, new);
        (Some(if answers_old { old } else { new }), old != new)
    }

    fn writes(&self) -> bool {
        !matches!(self.action, Action::Get)
    }
}

fn bitfield(ctx: &mut Ctx<'_>) -> Answer {
    let operations = field_operations(ctx)?;
    let written = operations.iter().filter(|operation| operation.writes());
    let ranges: Vec<Range<usize>> =
        written.map(|one| one.field.offset / 8..one.field.last() / 8 + 1).collect();
    let mut answers = Vec::with_capacity(operations.len());
    match ranges.as_slice() {
        [] => {
            let key = ctx.key(0);
            let read = |text: &[u8]| operations.iter().map(|one| Some(one.field.get(text))).collect();
            answers = match ctx.access.string(key, Lookup::Read)? {
                Some(value) => value.with(read),
                None => read(b""),
            };
        }
        _ if ctx.row.name == "bitfield_ro" => {
            return Err(Error::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
        }
        ranges => edit_text(ctx, ranges, |text, made| {
            let mut changed = false;
            for operation in &operations {
                let (answer, differs) = operation.run(text);
                changed |= operation.writes() && answer.is_some() && (differs || made == Made::Bytes);
                answers.push(answer);
            }
            changed
        })?,
    }
    ctx.reply.array(answers.len());
    for answer in answers {
        match answer {
            Some(number) => ctx.reply.int(number),
            None => ctx.reply.null(),
        }
    }
    DONE
}

use self::bitfield as bitfield_ro;

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("bitcount", -2, "bitmap", bitcount)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Bitmap])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Counts the number of set bits (population counting) in a string.", "2.6.0")
        .complexity("O(N)")
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")])
        .args(&[
            key("key", 0),
            block(
                "range",
                &[
                    arg("start", ArgKind::Integer),
                    arg("end", ArgKind::Integer),
                    one_of("unit", &[token("byte", "BYTE"), token("bit", "BIT")]).since("7.0.0").optional(),
                ],
            )
            .optional(),
        ]),
    row("bitfield", -2, "bitmap", bitfield)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Bitmap])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update", "variable_flags"])
            .notes("This command allows both access and modification of the key")])
        .docs("Performs arbitrary bitfield integer operations on strings.", "3.2.0")
        .complexity("O(1) for each subcommand specified")
        .args(&[
            key("key", 0),
            one_of(
                "operation",
                &[
                    block("get-block", &[arg("encoding", ArgKind::String), arg("offset", ArgKind::Integer)])
                        .token("GET"),
                    block(
                        "write",
                        &[
                            one_of(
                                "overflow-block",
                                &[token("wrap", "WRAP"), token("sat", "SAT"), token("fail", "FAIL")],
                            )
                            .token("OVERFLOW")
                            .optional(),
                            one_of(
                                "write-operation",
                                &[
                                    block(
                                        "set-block",
                                        &[
                                            arg("encoding", ArgKind::String),
                                            arg("offset", ArgKind::Integer),
                                            arg("value", ArgKind::Integer),
                                        ],
                                    )
                                    .token("SET"),
                                    block(
                                        "incrby-block",
                                        &[
                                            arg("encoding", ArgKind::String),
                                            arg("offset", ArgKind::Integer),
                                            arg("increment", ArgKind::Integer),
                                        ],
                                    )
                                    .token("INCRBY"),
                                ],
                            ),
                        ],
                    ),
                ],
            )
            .optional()
            .multiple(),
        ]),
    row("bitfield_ro", -2, "bitmap", bitfield_ro)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Bitmap])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Performs arbitrary read-only bitfield integer operations on strings.", "6.0.0")
        .complexity("O(1) for each subcommand specified")
        .args(&[
            key("key", 0),
            block("get-block", &[arg("encoding", ArgKind::String), arg("offset", ArgKind::Integer)])
                .token("GET")
                .optional()
                .multiple()
                .multiple_token(),
        ]),
    row("bitop", -4, "bitmap", bitop)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Bitmap])
        .keys(&[keys_at(2, 0, 1, &["OW", "update"]), keys_at(3, -1, 1, &["RO", "access"])])
        .docs("Performs bitwise operations on multiple strings, and stores the result.", "2.6.0")
        .complexity("O(N)")
        .args(&[
            one_of(
                "operation",
                &[token("and", "AND"), token("or", "OR"), token("xor", "XOR"), token("not", "NOT")],
            ),
            key("destkey", 0),
            key("key", 1).multiple(),
        ]),
    row("bitpos", -3, "bitmap", bitpos)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Bitmap])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Finds the first set (1) or clear (0) bit in a string.", "2.8.7")
        .complexity("O(N)")
        .history(&[("7.0.0", "Added the `BYTE|BIT` option.")])
        .args(&[
            key("key", 0),
            arg("bit", ArgKind::Integer),
            block(
                "range",
                &[
                    arg("start", ArgKind::Integer),
                    block(
                        "end-unit-block",
                        &[
                            arg("end", ArgKind::Integer),
                            one_of("unit", &[token("byte", "BYTE"), token("bit", "BIT")])
                                .since("7.0.0")
                                .optional(),
                        ],
                    )
                    .optional(),
                ],
            )
            .optional(),
        ]),
    row("getbit", 3, "bitmap", getbit)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Bitmap])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns a bit value by offset.", "2.2.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("offset", ArgKind::Integer)]),
    row("setbit", 4, "bitmap", setbit)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Bitmap])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs(
            "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.",
            "2.2.0",
        )
        .complexity("O(1)")
        .args(&[key("key", 0), arg("offset", ArgKind::Integer), arg("value", ArgKind::Integer)]),
];
