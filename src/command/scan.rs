//! SCAN and KEYS.

use super::key::type_name;
use super::parse::{int, is};
use super::{Answer, Ctx, DONE, Error};
use crate::{glob, number};

/// What a SCAN returns of the keys that it meets.
struct Filter<'a> {
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
    count: usize,
}

fn filter<'a>(ctx: &Ctx<'a>) -> Result<Filter<'a>, Error> {
    let mut filter = Filter { pattern: None, type_name: None, count: 10 };
    let mut at = 2;
    while let Some(word) = ctx.args.get(at) {
        let Some(value) = ctx.args.get(at + 1) else {
            return Err(if is(word, "novalues") { no_values() } else { Error::SYNTAX });
        };
        if is(word, "count") {
            filter.count =
                usize::try_from(int(value)?).ok().filter(|count| *count > 0).ok_or(Error::SYNTAX)?;
        } else if is(word, "match") {
            filter.pattern = Some(value).filter(|pattern| *pattern != b"*");
        } else if is(word, "type") {
            filter.type_name = Some(value);
        } else if is(word, "novalues") {
            return Err(no_values());
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
    let filter = filter(ctx)?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let (database, now_ms) = (ctx.state.database, ctx.now_ms());
    let next = ctx.access.space().scan(database, cursor, filter.count, now_ms, |entry| {
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

pub(super) fn keys(ctx: &mut Ctx<'_>) -> Answer {
    let pattern = &ctx.args[1];
    let mut found: Vec<Vec<u8>> = Vec::new();
    let (database, now_ms) = (ctx.state.database, ctx.now_ms());
    let mut cursor = 0;
    loop {
        cursor = ctx.access.space().scan(database, cursor, 1024, now_ms, |entry| {
            if pattern == b"*" || glob::matches(pattern, entry.key()) {
                found.push(entry.key().to_vec());
            }
        });
        if cursor == 0 {
            break;
        }
    }
    ctx.reply.bulks(&found);
    DONE
}
