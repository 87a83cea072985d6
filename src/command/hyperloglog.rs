//! HyperLogLogs: counts of different elements, by estimate.

use super::parse::is;
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, row};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Expiry, Key, Lookup, WrongType};
use crate::memory::Entry;
use crate::value::hyperloglog::{
    self as hll, Corrupted, Edit, Encoding, REGISTERS, Raising, Registers, cache_count, cached_count,
    invalidate, locate,
};
use crate::value::string::NewString;

const STRING: NotifyFlags = NotifyFlags::STRING;
const CORRUPTED: Error = Error::fixed("INVALIDOBJ Corrupted HLL object detected");

impl From<Corrupted> for Error {
    fn from(_: Corrupted) -> Error {
        CORRUPTED
    }
}

/// The encoding of what must be a HyperLogLog.
fn encoding(text: &[u8]) -> Result<Encoding, Error> {
    hll::encoding(text).ok_or(Error::fixed("WRONGTYPE Key is not a valid HyperLogLog string value."))
}

/// Puts an edited text in a key's place. With an event it counts as a change.
fn store(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    text: &mut Vec<u8>,
    event: Option<&'static str>,
) -> Result<(), Error> {
    ctx.access.log_room(text.len())?;
    let Some(mut entry) = ctx.access.edit(key) else {
        ctx.access.put(key, NewString::own(text), Expiry::Clear, STRING, event.unwrap_or(""));
        if let Some(mut entry) = ctx.access.edit(key) {
            entry.mark_edited();
        }
        return Ok(());
    };
    let expires_at_ms = entry.expires_at_ms();
    entry.overwrite(NewString::own(text), expires_at_ms);
    entry.mark_edited();
    drop(entry);
    if let Some(event) = event {
        ctx.access.edited(key, STRING, event);
    }
    Ok(())
}

fn pfadd(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    if let Some(changed) = pfadd_in_place(ctx)? {
        ctx.reply.int(changed.into());
        return DONE;
    }
    let mut text = hll::empty();
    let sparse_bytes_max = ctx.settings.hll_sparse_max_bytes as usize;
    for (register, run) in ctx.args.iter().skip(2).map(locate) {
        hll::raise(&mut text, register, run, sparse_bytes_max)?;
    }
    invalidate(&mut text);
    store(ctx, key, &mut text, Some("pfadd"))?;
    ctx.reply.int(1);
    DONE
}

/// Adds to the HyperLogLog that is there, if there is one; answers whether a register was raised.
fn pfadd_in_place(ctx: &mut Ctx<'_>) -> Result<Option<bool>, Error> {
    let key = ctx.key(0);
    let sparse_bytes_max = ctx.settings.hll_sparse_max_bytes as usize;
    let (mut changed, mut outcome) = (false, Ok(()));
    ctx.access.log_room_to_change(key, 0)?;
    let Some(mut entry) = ctx.access.edit(key) else { return Ok(None) };
    entry.string().ok_or(WrongType)?.with(encoding)?;
    for (register, run) in ctx.args.iter().skip(2).map(locate) {
        match raise(&mut entry, register, run, sparse_bytes_max) {
            Ok(raised) => changed |= raised,
            Err(corrupted) => {
                outcome = Err(corrupted);
                break;
            }
        }
    }
    let reformed = !entry.is_edited();
    entry.mark_edited();
    if changed && let Some(text) = entry.bytes_mut() {
        invalidate(text);
    }
    drop(entry);
    if changed {
        ctx.access.edited(key, STRING, if outcome.is_ok() { "pfadd" } else { "" });
    } else if reformed {
        ctx.access.reformed(key);
    }
    outcome?;
    Ok(Some(changed))
}

/// Raises a register of an entry's HyperLogLog; answers whether it was lower.
fn raise(entry: &mut Entry, register: usize, run: u8, sparse_bytes_max: usize) -> Result<bool, Corrupted> {
    let Some(value) = entry.string() else { return Ok(false) };
    let raising = value.with(|text| hll::raising(text, register, run, sparse_bytes_max))?;
    let mut text = match raising {
        Raising::Needless => return Ok(false),
        Raising::Edit(Edit { range, code }) => {
            if entry.splice(range.clone(), &code) {
                return Ok(true);
            }
            let mut text = entry.string().map_or_else(Vec::new, |value| value.to_vec());
            text.splice(range, code);
            text
        }
        Raising::Dense => {
            if value.with(hll::encoding) == Some(Encoding::Dense) {
                return Ok(entry.bytes_mut().is_some_and(|text| hll::raise_dense(text, register, run)));
            }
            let mut text = value.with(hll::to_dense)?;
            hll::raise_dense(&mut text, register, run);
            text
        }
    };
    let expires_at_ms = entry.expires_at_ms();
    entry.overwrite(NewString::own(&mut text), expires_at_ms);
    Ok(true)
}

/// All keys' registers, the higher of each, and whether any of them is dense.
fn merged(ctx: &mut Ctx<'_>) -> Result<(Registers, bool), Error> {
    let (mut registers, mut dense) = (Registers::default(), false);
    for key in ctx.keys {
        if let Some(value) = ctx.access.string(*key, Lookup::Read)? {
            value.with(|text| {
                dense |= encoding(text)? == Encoding::Dense;
                registers.merge(text).map_err(Error::from)
            })?;
        }
    }
    Ok((registers, dense))
}

fn pfcount(ctx: &mut Ctx<'_>) -> Answer {
    if ctx.keys.len() > 1 {
        let (registers, _) = merged(ctx)?;
        ctx.reply.int(registers.count() as i64);
        return DONE;
    }
    let key = ctx.key(0);
    let Some(value) = ctx.access.string(key, Lookup::Read)? else {
        ctx.reply.int(0);
        return DONE;
    };
    let (cached, count) = value.with(|text| {
        encoding(text)?;
        match cached_count(text) {
            Some(count) => Ok((true, count)),
            None => Ok::<_, Error>((false, hll::count(text)?)),
        }
    })?;
    // Who reads is not refused for lack of room: it is counted again then.
    if !cached && ctx.access.log_room_to_change(key, 0).is_ok() {
        if let Some(mut entry) = ctx.access.edit(key)
            && let Some(text) = entry.bytes_mut()
        {
            cache_count(text, count);
        }
        ctx.access.edited(key, STRING, "");
    }
    ctx.reply.int(count as i64);
    DONE
}

fn pfmerge(ctx: &mut Ctx<'_>) -> Answer {
    let (registers, dense) = merged(ctx)?;
    let target = ctx.key(0);
    let old = ctx.access.string(target, Lookup::Write)?.map(|value| value.to_vec());
    let mut text = old.unwrap_or_else(hll::empty);
    if dense {
        text = hll::to_dense(&text)?;
    }
    if hll::encoding(&text) == Some(Encoding::Dense) {
        // The target was merged too: none of its registers is higher.
        registers.write_dense(&mut text);
    } else {
        let sparse_bytes_max = ctx.settings.hll_sparse_max_bytes as usize;
        for (register, run) in registers.iter().enumerate().filter(|(_, run)| *run > 0) {
            hll::raise(&mut text, register, run, sparse_bytes_max)?;
        }
    }
    invalidate(&mut text);
    store(ctx, target, &mut text, Some("pfadd"))?;
    ctx.reply.ok();
    DONE
}

fn pfdebug(ctx: &mut Ctx<'_>) -> Answer {
    let (key, word) = (ctx.key(0), &ctx.args[1]);
    let Some(value) = ctx.access.string(key, Lookup::Write)? else {
        return Err(Error::fixed("ERR The specified key does not exist"));
    };
    let text = value.to_vec();
    let encoding = encoding(&text)?;
    if !["getreg", "decode", "encoding", "todense"].iter().any(|known| is(word, known)) {
        return Err(Error::quoting("ERR Unknown PFDEBUG subcommand '", word, "'"));
    }
    if let Some(mut entry) = ctx.access.edit(key) {
        entry.mark_edited();
    }
    if is(word, "encoding") {
        ctx.reply.simple(if encoding == Encoding::Dense { "dense" } else { "sparse" });
        return DONE;
    }
    if is(word, "decode") {
        if encoding == Encoding::Dense {
            return Err(Error::fixed("ERR HLL encoding is not sparse"));
        }
        ctx.reply.bulk(hll::decode(&text).as_bytes());
        return DONE;
    }
    let mut dense = hll::to_dense(&text)?;
    if is(word, "getreg") {
        let mut registers = Registers::default();
        registers.merge(&dense)?;
        ctx.reply.array(REGISTERS);
        registers.iter().for_each(|register| ctx.reply.int(register.into()));
    } else {
        ctx.reply.int((encoding == Encoding::Sparse).into());
    }
    if encoding == Encoding::Sparse {
        store(ctx, key, &mut dense, Some(""))?;
    }
    DONE
}

/// Counts a million elements, sparse and dense, and compares the estimates with one another and the truth.
fn pfselftest(ctx: &mut Ctx<'_>) -> Answer {
    let seed = ctx.access.scratch().random();
    let sparse_bytes_max = ctx.settings.hll_sparse_max_bytes as usize;
    let (mut sparse, mut dense) = (hll::empty(), hll::to_dense(&hll::empty())?);
    let relative_error = 1.04 / (REGISTERS as f64).sqrt();
    let mut checkpoint = 1_u64;
    for number in 1..=1_000_000_u64 {
        let (register, run) = locate(&(number ^ seed).to_le_bytes());
        hll::raise(&mut sparse, register, run, sparse_bytes_max)?;
        hll::raise_dense(&mut dense, register, run);
        if number != checkpoint {
            continue;
        }
        if number < sparse_bytes_max as u64 / 2 && hll::encoding(&sparse) != Some(Encoding::Sparse) {
            return Err(Error::fixed("ERR TESTFAILED sparse encoding not used"));
        }
        let count = hll::count(&dense)?;
        if count != hll::count(&sparse)? {
            return Err(Error::fixed("ERR TESTFAILED dense/sparse disagree"));
        }
        let error = count.abs_diff(number);
        let error_max = if number == 10 { 1 } else { (relative_error * 6.0 * number as f64).ceil() as u64 };
        if error > error_max {
            return Err(Error::new(format!("ERR TESTFAILED Too big error. card:{number} abserr:{error}")));
        }
        checkpoint *= 10;
    }
    ctx.reply.ok();
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("pfadd", -2, "hyperloglog", pfadd)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::HyperLogLog])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.", "2.8.9")
        .complexity("O(1) to add every element.")
        .args(&[key("key", 0), arg("element", ArgKind::String).optional().multiple()]),
    row("pfcount", -2, "hyperloglog", pfcount)
        .flags(&[Flag::Readonly, Flag::MayReplicate])
        .acl(&[Category::HyperLogLog])
        .keys(&[
            keys_at(1, -1, 1, &["RW", "access"]).notes("RW because it may change the internal representation of the key, and propagate to replicas"),
        ])
        .docs("Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).", "2.8.9")
        .complexity("O(1) with a very small average constant time when called with a single key. O(N) with N being the number of keys, and much bigger constant times, when called with multiple keys.")
        .args(&[key("key", 0).multiple()]),
    row("pfdebug", 3, "hyperloglog", pfdebug)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Admin])
        .acl(&[Category::HyperLogLog])
        .keys(&[keys_at(2, 0, 1, &["RW", "access"])])
        .docs("Internal commands for debugging HyperLogLog values.", "2.8.9")
        .complexity("N/A")
        .doc_flags(&["syscmd"])
        .args(&[arg("subcommand", ArgKind::String), key("key", 0)]),
    row("pfmerge", -2, "hyperloglog", pfmerge)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::HyperLogLog])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "insert"]), keys_at(2, -1, 1, &["RO", "access"])])
        .docs("Merges one or more HyperLogLog values into a single key.", "2.8.9")
        .complexity("O(N) to merge N HyperLogLogs, but with high constant times.")
        .args(&[key("destkey", 0), key("sourcekey", 1).optional().multiple()]),
    row("pfselftest", 1, "hyperloglog", pfselftest)
        .flags(&[Flag::Admin])
        .acl(&[Category::HyperLogLog])
        .docs("An internal command for testing HyperLogLog values.", "2.8.9")
        .complexity("N/A")
        .doc_flags(&["syscmd"]),
];
