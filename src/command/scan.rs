//! SCAN, KEYS, HSCAN, SSCAN and ZSCAN.

use super::key::type_name;
use super::parse::{int, is};
use super::{Answer, Ctx, DONE, Error};
use crate::keyspace::Lookup;
use crate::value::hash::Hash;
use crate::value::set::Set;
use crate::value::zset::Zset;
use crate::{glob, number};

/// What a SCAN returns of the keys or members that it meets.
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
    count: usize,
    no_values: bool,
}

/// Reads the options from argument `at` on; `of` is the type of the collection, if it is one's members.
fn filter<'a>(ctx: &Ctx<'a>, mut at: usize, of: Option<ScanOf>) -> Result<Filter<'a>, Error> {
    let mut filter = Filter { pattern: None, type_name: None, count: 10, no_values: false };
    while let Some(word) = ctx.args.get(at) {
        if is(word, "novalues") {
            filter.no_values = true;
            if of != Some(ScanOf::Hash) {
                return Err(no_values());
            }
            at += 1;
            continue;
        }
        let value = ctx.args.get(at + 1).ok_or(Error::SYNTAX)?;
        if is(word, "count") {
            filter.count =
                usize::try_from(int(value)?).ok().filter(|count| *count > 0).ok_or(Error::SYNTAX)?;
        } else if is(word, "match") {
            filter.pattern = Some(value).filter(|pattern| *pattern != b"*");
        } else if is(word, "type") && of.is_none() {
            filter.type_name = Some(value);
        } else {
            return Err(Error::SYNTAX);
        }
        at += 2;
    }
    Ok(filter)
}

fn no_values() -> Error {
    Error::fixed("ERR NOVALUES option can only be used in HSCAN")
}

/// A cursor as C's `strtoul` reads one, without spaces or anything left over.
fn cursor(text: &[u8]) -> Result<u64, Error> {
    let invalid = Error::fixed("ERR invalid cursor");
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let digits = match digits.iter().position(|digit| *digit != b'0') {
        Some(first) => &digits[first..],
        None if digits.is_empty() => return Err(invalid),
        None => b"0",
    };
    number::parse_u64(digits).ok_or(invalid)
}

pub(super) fn scan(ctx: &mut Ctx<'_>) -> Answer {
    let cursor = cursor(&ctx.args[1])?;
    let filter = filter(ctx, 2, None)?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let database = ctx.state.database;
    let next = ctx.access.scan(database, cursor, filter.count, |entry| {
        let matches = |pattern| glob::matches(pattern, entry.key());
        if filter.type_name.is_none_or(|name| is(name, type_name(entry)))
            && filter.pattern.is_none_or(matches)
        {
            found.push(entry.key().to_vec());
        }
    });
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.bulks(&found);
    DONE
}

/// Of which type HSCAN, SSCAN and ZSCAN are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanOf {
    Hash,
    Set,
    Zset,
}

/// HSCAN, SSCAN and ZSCAN.
pub(super) fn scan_collection(ctx: &mut Ctx<'_>, of: ScanOf) -> Answer {
    let (key, now_ms) = (ctx.key(0), ctx.now_ms());
    let cursor = cursor(&ctx.args[2])?;
    let exists = match of {
        ScanOf::Hash => ctx.access.read::<Hash>(key, Lookup::Read)?.is_some(),
        ScanOf::Set => ctx.access.read::<Set>(key, Lookup::Read)?.is_some(),
        ScanOf::Zset => ctx.access.read::<Zset>(key, Lookup::Read)?.is_some(),
    };
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut next = 0;
    if exists {
        let filter = filter(ctx, 3, Some(of))?;
        let matches = |name: &[u8]| filter.pattern.is_none_or(|pattern| glob::matches(pattern, name));
        let mut visit = |name: &[u8], value: Option<&[u8]>| {
            if matches(name) {
                found.push(name.to_vec());
                found.extend(value.filter(|_| !filter.no_values).map(<[u8]>::to_vec));
            }
        };
        let count = filter.count;
        next = match of {
            ScanOf::Hash => ctx
                .access
                .read::<Hash>(key, Lookup::Silent)?
                .map(|hash| hash.scan(cursor, count, now_ms, |field, value| visit(field, Some(value)))),
            ScanOf::Set => ctx
                .access
                .read::<Set>(key, Lookup::Silent)?
                .map(|set| set.scan(cursor, count, |member| visit(member, None))),
            ScanOf::Zset => ctx.access.read::<Zset>(key, Lookup::Silent)?.map(|zset| {
                zset.scan(cursor, count, |member, score| {
                    visit(member, Some(number::format_double(score).as_bytes()));
                })
            }),
        }
        .unwrap_or(0);
    }
    ctx.reply.array(2);
    ctx.reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    ctx.reply.bulks(&found);
    DONE
}

pub(super) fn keys(ctx: &mut Ctx<'_>) -> Answer {
    let pattern = &ctx.args[1];
    let mut found: Vec<Vec<u8>> = Vec::new();
    let database = ctx.state.database;
    let mut cursor = 0;
    loop {
        let next = ctx.access.scan(database, cursor, 1024, |entry| {
            if pattern == b"*" || glob::matches(pattern, entry.key()) {
                found.push(entry.key().to_vec());
            }
        });
        // It does not get on where it has missed too much.
        if next == 0 || next == cursor {
            break;
        }
        cursor = next;
    }
    ctx.reply.bulks(&found);
    DONE
}
