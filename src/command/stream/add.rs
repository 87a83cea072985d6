//! XADD, XTRIM, XDEL, XSETID: what changes the entries.

use super::{INVALID_ID, STREAM, id, is_byte, node_limits, write_id};
use crate::command::parse::{int, is};
use crate::command::{Answer, Ctx, DONE, Error};
use crate::keyspace::Lookup;
use crate::value::stream::{Id, NewId, Refused, Stream, Trim, TrimTo};
use smallvec::SmallVec;

/// Options of XADD and XTRIM.
#[derive(Default)]
struct Options {
    /// XADD's choice of an ID, and where it stands.
    id: Option<(NewId, usize)>,
    no_mkstream: bool,
    trim: Option<TrimTo>,
    approximate: bool,
    limit: Option<i64>,
}

/// Reads the number or ID of MAXLEN or MINID, and `~` or `=` before it; answers where it stood.
fn trim_to(ctx: &Ctx<'_>, mut at: usize, options: &mut Options) -> Result<usize, Error> {
    if options.trim.is_some() {
        let text = "ERR syntax error, MAXLEN and MINID options at the same time are not compatible";
        return Err(Error::fixed(text));
    }
    let by_len = is(&ctx.args[at], "maxlen");
    at += 1;
    let operator = &ctx.args[at];
    options.approximate = false;
    if ctx.args.len() > at + 1 && (is_byte(operator, b'~') || is_byte(operator, b'=')) {
        options.approximate = is_byte(operator, b'~');
        at += 1;
    }
    let threshold = &ctx.args[at];
    options.trim = Some(if by_len {
        let len = int(threshold)?;
        TrimTo::Len(u64::try_from(len).map_err(|_| Error::fixed("ERR The MAXLEN argument must be >= 0."))?)
    } else {
        TrimTo::Id(id(threshold)?)
    });
    Ok(at)
}

fn options(ctx: &Ctx<'_>, adds: bool) -> Result<Options, Error> {
    let mut options = Options::default();
    let mut at = 2;
    while let Some(word) = ctx.args.get(at) {
        let more = at + 1 < ctx.args.len();
        if adds && is_byte(word, b'*') {
            options.id = Some((NewId::Auto, at));
            break;
        } else if more && (is(word, "maxlen") || is(word, "minid")) {
            at = trim_to(ctx, at, &mut options)?;
        } else if more && is(word, "limit") {
            at += 1;
            let limit = int(&ctx.args[at])?;
            if limit < 0 {
                return Err(Error::fixed("ERR The LIMIT argument must be >= 0."));
            }
            options.limit = Some(limit);
        } else if adds && is(word, "nomkstream") {
            options.no_mkstream = true;
        } else if adds {
            options.id = Some((NewId::parse(word).ok_or(INVALID_ID)?, at));
            break;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    let text = match (options.trim, options.limit) {
        (None, Some(1..)) => "LIMIT cannot be used without specifying a trimming strategy",
        (None, _) if !adds => "XTRIM must be called with a trimming strategy",
        (_, Some(_)) if !options.approximate => "LIMIT cannot be used without the special ~ option",
        _ => return Ok(options),
    };
    Err(Error::new(format!("ERR syntax error, {text}")))
}

impl Options {
    fn trim(&self, node_entries_max: usize) -> Option<Trim> {
        let limit = match self.limit {
            _ if !self.approximate => 0,
            Some(limit) => limit as u64,
            // A hundred nodes, so that it never takes long.
            None => match (node_entries_max as u64).saturating_mul(100) {
                0 => 10_000,
                limit => limit.min(1_000_000),
            },
        };
        Some(Trim { to: self.trim?, approximate: self.approximate, limit })
    }
}

pub(super) fn xadd(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx, true)?;
    let Some((id, at)) = options.id else { return Err(Error::arity("xadd")) };
    let fields: SmallVec<[&[u8]; 16]> = ctx.args.iter().skip(at + 1).collect();
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(Error::arity("xadd"));
    }
    if id == NewId::Exact(Id::MIN) {
        return Err(Error::fixed("ERR The ID specified in XADD must be greater than 0-0"));
    }
    let (key, now_ms, limits) = (ctx.key(0), ctx.now_ms(), node_limits(ctx.settings));
    if options.no_mkstream && ctx.access.read::<Stream>(key, Lookup::Write)?.is_none() {
        ctx.reply.null();
        return DONE;
    }
    let trim = options.trim(limits.entries);
    let mut stream = ctx.access.write_or_create::<Stream>(key)?;
    let added = stream.add(id, now_ms, &fields, limits).map_err(|refused| {
        Error::fixed(match refused {
            Refused::Exhausted => {
                "ERR The stream has exhausted the last possible ID, unable to add more items"
            }
            Refused::NotGreater => {
                "ERR The ID specified in XADD is equal or smaller than the target stream top item"
            }
            Refused::TooLarge => "ERR Elements are too large to be stored",
        })
    })?;
    let trimmed = trim.map_or(0, |trim| stream.trim(trim));
    ctx.access.edited(key, STREAM, "xadd");
    if trimmed > 0 {
        ctx.access.event(key, STREAM, "xtrim");
    }
    write_id(&mut ctx.reply, added);
    DONE
}

pub(super) fn xtrim(ctx: &mut Ctx<'_>) -> Answer {
    let options = options(ctx, false)?;
    let (key, trim) = (ctx.key(0), options.trim(ctx.settings.stream_node_max_entries));
    let stream = ctx.access.write::<Stream>(key)?;
    let trimmed = stream.zip(trim).map_or(0, |(mut stream, trim)| stream.trim(trim));
    if trimmed > 0 {
        ctx.access.edited(key, STREAM, "xtrim");
    }
    ctx.reply.int(trimmed as i64);
    DONE
}

pub(super) fn xdel(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let Some(mut stream) = ctx.access.write::<Stream>(key)? else {
        ctx.reply.int(0);
        return DONE;
    };
    let ids = ctx.args.iter().skip(2).map(id).collect::<Result<SmallVec<[Id; 8]>, Error>>()?;
    let deleted = stream.delete(&ids);
    if deleted > 0 {
        ctx.access.edited(key, STREAM, "xdel");
    }
    ctx.reply.int(deleted as i64);
    DONE
}

pub(super) fn xsetid(ctx: &mut Ctx<'_>) -> Answer {
    let last_id = id(&ctx.args[2])?;
    let (mut entries_added, mut max_deleted_id) = (None, Id::MIN);
    let mut at = 3;
    while let Some(word) = ctx.args.get(at) {
        let Some(value) = ctx.args.get(at + 1) else { return Err(Error::SYNTAX) };
        if is(word, "entriesadded") {
            let added = u64::try_from(int(value)?);
            entries_added = Some(added.map_err(|_| Error::fixed("ERR entries_added must be positive"))?);
        } else if is(word, "maxdeletedid") {
            max_deleted_id = id(value)?;
            if last_id < max_deleted_id {
                let text = "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id";
                return Err(Error::fixed(text));
            }
        } else {
            return Err(Error::SYNTAX);
        }
        at += 2;
    }
    let key = ctx.key(0);
    let mut stream = ctx.access.write::<Stream>(key)?.ok_or(Error::NO_SUCH_KEY)?;
    let log = &stream.log;
    if last_id < log.max_deleted_id {
        let text = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";
        return Err(Error::fixed(text));
    }
    if !log.is_empty() {
        if log.last_entry_id().is_some_and(|last| last_id < last) {
            let text = "ERR The ID specified in XSETID is smaller than the target stream top item";
            return Err(Error::fixed(text));
        }
        if entries_added.is_some_and(|added| added < log.len()) {
            let text = "ERR The entries_added specified in XSETID is smaller than the target stream length";
            return Err(Error::fixed(text));
        }
    }
    let entries_added = entries_added.unwrap_or(log.entries_added);
    let max_deleted_id = if max_deleted_id.is_zero() { log.max_deleted_id } else { max_deleted_id };
    stream.set_ids(last_id, entries_added, max_deleted_id);
    ctx.access.edited(key, STREAM, "xsetid");
    ctx.reply.ok();
    DONE
}
