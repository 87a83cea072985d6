//! Lists.

use super::parse::{self, int, int_or, is};
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, keys_counted, one_of, row, token};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Key, Lookup};
use crate::value::list::{ChunkLimit, End, List};

const LIST: NotifyFlags = NotifyFlags::LIST;

/// The answer to the one integer that has no opposite.
const OUTSIDE_NEGATABLE: &str =
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";

pub(super) fn limit(ctx: &Ctx<'_>) -> ChunkLimit {
    ChunkLimit::new(ctx.settings.list_max_listpack_size)
}

fn push(ctx: &mut Ctx<'_>, end: End, only_if_present: bool) -> Answer {
    let (key, args, limit) = (ctx.key(0), ctx.args.from(2), limit(ctx));
    if only_if_present && ctx.access.write::<List>(key)?.is_none() {
        ctx.reply.int(0);
        return DONE;
    }
    let mut list = ctx.access.write_or_create::<List>(key)?;
    if list.is_packed() {
        list.make_room(args.iter().map(<[u8]>::len).sum(), args.len(), limit);
    }
    args.iter().for_each(|element| list.push(end, element, limit));
    let len = list.len();
    ctx.access.edited(key, LIST, push_event(end));
    ctx.reply.int(len as i64);
    DONE
}

fn push_event(end: End) -> &'static str {
    if end == End::Front { "lpush" } else { "rpush" }
}

fn pop_event(end: End) -> &'static str {
    if end == End::Front { "lpop" } else { "rpop" }
}

fn lpush(ctx: &mut Ctx<'_>) -> Answer {
    push(ctx, End::Front, false)
}

fn rpush(ctx: &mut Ctx<'_>) -> Answer {
    push(ctx, End::Back, false)
}

fn lpushx(ctx: &mut Ctx<'_>) -> Answer {
    push(ctx, End::Front, true)
}

fn rpushx(ctx: &mut Ctx<'_>) -> Answer {
    push(ctx, End::Back, true)
}

/// What follows the removal of elements.
pub(super) fn removed(ctx: &mut Ctx<'_>, key: Key<'_>, event: &'static str) {
    ctx.access.edited(key, LIST, event);
    ctx.access.remove_if_empty(key);
}

/// Writes the element at an end of the list of a key and removes it; answers whether there is a list.
pub(super) fn pop_one(ctx: &mut Ctx<'_>, key: Key<'_>, end: End) -> Result<bool, Error> {
    let limit = limit(ctx);
    let reply = &mut ctx.reply;
    let mut left = None;
    if let Some(mut list) = ctx.access.write::<List>(key)? {
        list.pop(end, |element| element.with(|text| reply.bulk(text)));
        list.shrink(limit);
        left = Some(list.len());
    }
    match left {
        Some(0) => removed(ctx, key, pop_event(end)),
        Some(_) => ctx.access.edited(key, LIST, pop_event(end)),
        None => {}
    }
    Ok(left.is_some())
}

/// Writes up to `count` elements from an end as an array and removes them; answers whether there is a list.
pub(super) fn pop_many(ctx: &mut Ctx<'_>, key: Key<'_>, end: End, count: usize) -> Result<bool, Error> {
    let limit = limit(ctx);
    let Some(mut list) = ctx.access.write::<List>(key)? else { return Ok(false) };
    let count = count.min(list.len());
    ctx.reply.array(count);
    let (start, stop) = if end == End::Front { (0, count) } else { (list.len() - count, list.len()) };
    list.visit(start, stop, end == End::Back, |element| {
        element.with(|text| ctx.reply.bulk(text));
        true
    });
    list.remove_range(start, stop);
    list.shrink(limit);
    if count > 0 {
        removed(ctx, key, pop_event(end));
    }
    Ok(true)
}

fn pop(ctx: &mut Ctx<'_>, end: End) -> Answer {
    let key = ctx.key(0);
    if ctx.args.len() > 3 {
        return Err(Error::arity(ctx.row.name));
    }
    let count = match ctx.args.get(2) {
        Some(count) => {
            let text = "ERR value is out of range, must be positive";
            Some(usize::try_from(int_or(count, text)?).map_err(|_| Error::fixed(text))?)
        }
        None => None,
    };
    match count {
        Some(count) if !pop_many(ctx, key, end, count)? => ctx.reply.null_array(),
        None if !pop_one(ctx, key, end)? => ctx.reply.null(),
        _ => {}
    }
    DONE
}

fn lpop(ctx: &mut Ctx<'_>) -> Answer {
    pop(ctx, End::Front)
}

fn rpop(ctx: &mut Ctx<'_>) -> Answer {
    pop(ctx, End::Back)
}

fn llen(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let len = ctx.access.read::<List>(key, Lookup::Read)?.map_or(0, List::len);
    ctx.reply.int(len as i64);
    DONE
}

/// The place that an index means in a list of `len`, negative from the end.
fn place(index: i64, len: usize) -> Option<usize> {
    let place = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(place).ok().filter(|place| *place < len)
}

/// The range that two indices, both inclusive, mean in a list of `len`.
pub(super) fn range(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let absolute = |index: i64| if index < 0 { (index + len).max(-1) } else { index };
    let (start, end) = (absolute(start).max(0), absolute(end).min(len - 1));
    if start > end || start >= len { 0..0 } else { start as usize..end as usize + 1 }
}

fn lindex(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let list = ctx.access.read::<List>(key, Lookup::Read)?;
    let Some(list) = list else {
        ctx.reply.null();
        return DONE;
    };
    let index = int(&ctx.args[2])?;
    match place(index, list.len()).and_then(|place| list.get(place)) {
        Some(element) => element.with(|text| ctx.reply.bulk(text)),
        None => ctx.reply.null(),
    }
    DONE
}

fn lset(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, limit) = (ctx.key(0), ctx.args, limit(ctx));
    let mut list = ctx.access.write::<List>(key)?.ok_or(Error::NO_SUCH_KEY)?;
    list.make_room(args[3].len(), 1, limit);
    let index = int(&args[2])?;
    let place = place(index, list.len()).ok_or(Error::fixed("ERR index out of range"))?;
    list.set(place, &args[3], limit);
    list.shrink(limit);
    ctx.access.edited(key, LIST, "lset");
    ctx.reply.ok();
    DONE
}

fn linsert(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, limit) = (ctx.key(0), ctx.args, limit(ctx));
    let after = match &args[2] {
        word if is(word, "after") => true,
        word if is(word, "before") => false,
        _ => return Err(Error::SYNTAX),
    };
    let Some(mut list) = ctx.access.write::<List>(key)? else {
        ctx.reply.int(0);
        return DONE;
    };
    list.make_room(args[4].len(), 1, limit);
    let Some(index) = list.find(&args[3]) else {
        ctx.reply.int(-1);
        return DONE;
    };
    list.insert(index + usize::from(after), &args[4], limit);
    let len = list.len();
    ctx.access.edited(key, LIST, "linsert");
    ctx.reply.int(len as i64);
    DONE
}

fn lrange(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let (start, end) = (int(&ctx.args[2])?, int(&ctx.args[3])?);
    let Some(list) = ctx.access.read::<List>(key, Lookup::Read)? else {
        ctx.reply.array(0);
        return DONE;
    };
    let range = range(start, end, list.len());
    ctx.reply.array(range.len());
    list.visit(range.start, range.end, false, |element| {
        element.with(|text| ctx.reply.bulk(text));
        true
    });
    DONE
}

fn ltrim(ctx: &mut Ctx<'_>) -> Answer {
    let (key, limit) = (ctx.key(0), limit(ctx));
    let (start, end) = (int(&ctx.args[2])?, int(&ctx.args[3])?);
    let Some(mut list) = ctx.access.write::<List>(key)? else {
        ctx.reply.ok();
        return DONE;
    };
    let kept = range(start, end, list.len());
    list.remove_range(kept.end, usize::MAX);
    list.remove_range(0, kept.start);
    list.shrink(limit);
    removed(ctx, key, "ltrim");
    ctx.reply.ok();
    DONE
}

fn lrem(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, limit) = (ctx.key(0), ctx.args, limit(ctx));
    let count = int(&args[2])?;
    if count == i64::MIN {
        return Err(Error::fixed(OUTSIDE_NEGATABLE));
    }
    let gone = match ctx.access.write::<List>(key)? {
        Some(mut list) => {
            let most = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
            let gone = list.remove_equal(&args[3], most, count < 0);
            list.shrink(limit);
            gone
        }
        None => 0,
    };
    if gone > 0 {
        removed(ctx, key, "lrem");
    }
    ctx.reply.int(gone as i64);
    DONE
}

struct PosOptions {
    rank: i64,
    count: Option<usize>,
    compared_max: usize,
}

fn pos_options(ctx: &Ctx<'_>) -> Result<PosOptions, Error> {
    let mut options = PosOptions { rank: 1, count: None, compared_max: usize::MAX };
    let mut at = 3;
    while let Some(word) = ctx.args.get(at) {
        let number = ctx.args.get(at + 1).ok_or(Error::SYNTAX)?;
        if is(word, "rank") {
            options.rank = int(number)?;
            if options.rank == 0 {
                let text = "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second \
                            ... or use negative to start from the end of the list";
                return Err(Error::fixed(text));
            }
            if options.rank == i64::MIN {
                return Err(Error::fixed(OUTSIDE_NEGATABLE));
            }
        } else if is(word, "count") {
            let text = "ERR COUNT can't be negative";
            options.count = Some(usize::try_from(int_or(number, text)?).map_err(|_| Error::fixed(text))?);
        } else if is(word, "maxlen") {
            let text = "ERR MAXLEN can't be negative";
            let most = usize::try_from(int_or(number, text)?).map_err(|_| Error::fixed(text))?;
            options.compared_max = if most == 0 { usize::MAX } else { most };
        } else {
            return Err(Error::SYNTAX);
        }
        at += 2;
    }
    Ok(options)
}

fn lpos(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args) = (ctx.key(0), ctx.args);
    let options = pos_options(ctx)?;
    let reverse = options.rank < 0;
    let mut skip = options.rank.unsigned_abs() - 1;
    let wanted = match options.count {
        Some(0) => usize::MAX,
        Some(count) => count,
        None => 1,
    };
    let mut found = Vec::new();
    if let Some(list) = ctx.access.read::<List>(key, Lookup::Read)? {
        let (len, mut compared) = (list.len(), 0);
        list.visit(0, len, reverse, |element| {
            if compared == options.compared_max {
                return false;
            }
            compared += 1;
            if element == args[2] {
                if skip > 0 {
                    skip -= 1;
                } else {
                    found.push(if reverse { len - compared } else { compared - 1 });
                }
            }
            found.len() < wanted
        });
    }
    match (options.count, found.first()) {
        (Some(_), _) => {
            ctx.reply.array(found.len());
            found.iter().for_each(|index| ctx.reply.int(*index as i64));
        }
        (None, Some(index)) => ctx.reply.int(*index as i64),
        (None, None) => ctx.reply.null(),
    }
    DONE
}

/// LEFT or RIGHT.
pub(super) fn end(word: &[u8]) -> Result<End, Error> {
    match word {
        word if is(word, "left") => Ok(End::Front),
        word if is(word, "right") => Ok(End::Back),
        _ => Err(Error::SYNTAX),
    }
}

/// Moves an element from an end of the first key's list to an end of the second's, and writes it.
/// Answers whether there was one.
pub(super) fn move_one(ctx: &mut Ctx<'_>, from_end: End, to_end: End) -> Result<bool, Error> {
    let (from, to, limit) = (ctx.key(0), ctx.key(1), limit(ctx));
    if ctx.access.write::<List>(from)?.is_none() {
        return Ok(false);
    }
    ctx.access.write::<List>(to)?;
    // Nobody has sent the element.
    let list = ctx.access.read::<List>(from, Lookup::Silent)?;
    let moved =
        list.and_then(|list| list.get(if from_end == End::Front { 0 } else { list.len().saturating_sub(1) }));
    let len = moved.map_or(0, |element| element.with(<[u8]>::len));
    ctx.access.log_room(len)?;
    let Some(mut list) = ctx.access.write::<List>(from)? else { return Ok(false) };
    let Some(element) = list.pop(from_end, |element| element.to_vec()) else { return Ok(false) };
    list.shrink(limit);
    ctx.reply.bulk(&element);
    // With both keys the same the list may be empty for this moment only.
    let mut target = ctx.access.write_or_create::<List>(to)?;
    target.make_room(element.len(), 1, limit);
    target.push(to_end, &element, limit);
    ctx.access.edited(to, LIST, push_event(to_end));
    ctx.access.also_edited(from, LIST, pop_event(from_end));
    ctx.access.remove_if_empty(from);
    Ok(true)
}

fn lmove(ctx: &mut Ctx<'_>) -> Answer {
    let (from_end, to_end) = (end(&ctx.args[3])?, end(&ctx.args[4])?);
    if !move_one(ctx, from_end, to_end)? {
        ctx.reply.null();
    }
    DONE
}

fn rpoplpush(ctx: &mut Ctx<'_>) -> Answer {
    if !move_one(ctx, End::Back, End::Front)? {
        ctx.reply.null();
    }
    DONE
}

/// The end and count of LMPOP and BLMPOP, whose number of keys stands at `at`.
pub(super) fn mpop_options(ctx: &Ctx<'_>, at: usize) -> Result<(End, usize), Error> {
    parse::mpop_options(ctx.args, at, end)
}

/// Pops from the first key that has elements; answers whether one had.
pub(super) fn mpop(ctx: &mut Ctx<'_>, end: End, count: usize) -> Result<bool, Error> {
    for key in ctx.keys {
        if ctx.access.write::<List>(*key)?.is_some() {
            ctx.reply.array(2);
            ctx.reply.bulk(key.name);
            pop_many(ctx, *key, end, count)?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn lmpop(ctx: &mut Ctx<'_>) -> Answer {
    let (end, count) = mpop_options(ctx, 1)?;
    if !mpop(ctx, end, count)? {
        ctx.reply.null_array();
    }
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("lindex", 3, "list", lindex)
        .flags(&[Flag::Readonly])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns an element from a list by its index.", "1.0.0")
        .complexity("O(N) where N is the number of elements to traverse to get to the element at index. This makes asking for the first or the last element of the list O(1).")
        .args(&[key("key", 0), arg("index", ArgKind::Integer)]),
    row("linsert", 5, "list", linsert)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Inserts an element before or after another element in a list.", "2.2.0")
        .complexity("O(N) where N is the number of elements to traverse before seeing the value pivot. This means that inserting somewhere on the left end on the list (head) can be considered O(1) and inserting somewhere on the right end (tail) is O(N).")
        .args(&[
            key("key", 0),
            one_of("where", &[token("before", "BEFORE"), token("after", "AFTER")]),
            arg("pivot", ArgKind::String),
            arg("element", ArgKind::String),
        ]),
    row("llen", 2, "list", llen)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Returns the length of a list.", "1.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("lmove", 5, "list", lmove)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"]), keys_at(2, 0, 1, &["RW", "insert"])])
        .docs("Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.", "6.2.0")
        .complexity("O(1)")
        .args(&[
            key("source", 0),
            key("destination", 1),
            one_of("wherefrom", &[token("left", "LEFT"), token("right", "RIGHT")]),
            one_of("whereto", &[token("left", "LEFT"), token("right", "RIGHT")]),
        ]),
    row("lmpop", -4, "list", lmpop)
        .flags(&[Flag::Write])
        .acl(&[Category::List])
        .keys(&[keys_counted(1, 0, 1, 1, &["RW", "access", "delete"])])
        .docs("Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.", "7.0.0")
        .complexity("O(N+M) where N is the number of provided keys and M is the number of elements returned.")
        .args(&[
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            one_of("where", &[token("left", "LEFT"), token("right", "RIGHT")]),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("lpop", -2, "list", lpop)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"])])
        .docs("Returns the first elements in a list after removing it. Deletes the list if the last element was popped.", "1.0.0")
        .complexity("O(N) where N is the number of elements returned")
        .history(&[("6.2.0", "Added the `count` argument.")])
        .args(&[key("key", 0), arg("count", ArgKind::Integer).since("6.2.0").optional()]),
    row("lpos", -3, "list", lpos)
        .flags(&[Flag::Readonly])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the index of matching elements in a list.", "6.0.6")
        .complexity("O(N) where N is the number of elements in the list, for the average case. When searching for elements near the head or the tail of the list, or when the MAXLEN option is provided, the command may run in constant time.")
        .args(&[
            key("key", 0),
            arg("element", ArgKind::String),
            arg("rank", ArgKind::Integer).token("RANK").optional(),
            arg("num-matches", ArgKind::Integer).token("COUNT").optional(),
            arg("len", ArgKind::Integer).token("MAXLEN").optional(),
        ]),
    row("lpush", -3, "list", lpush)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Prepends one or more elements to a list. Creates the key if it doesn't exist.", "1.0.0")
        .complexity("O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.")
        .history(&[("2.4.0", "Accepts multiple `element` arguments.")])
        .args(&[key("key", 0), arg("element", ArgKind::String).multiple()]),
    row("lpushx", -3, "list", lpushx)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Prepends one or more elements to a list only when the list exists.", "2.2.0")
        .complexity("O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.")
        .history(&[("4.0.0", "Accepts multiple `element` arguments.")])
        .args(&[key("key", 0), arg("element", ArgKind::String).multiple()]),
    row("lrange", 4, "list", lrange)
        .flags(&[Flag::Readonly])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns a range of elements from a list.", "1.0.0")
        .complexity("O(S+N) where S is the distance of start offset from HEAD for small lists, from nearest end (HEAD or TAIL) for large lists; and N is the number of elements in the specified range.")
        .args(&[key("key", 0), arg("start", ArgKind::Integer), arg("stop", ArgKind::Integer)]),
    row("lrem", 4, "list", lrem)
        .flags(&[Flag::Write])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Removes elements from a list. Deletes the list if the last element was removed.", "1.0.0")
        .complexity("O(N+M) where N is the length of the list and M is the number of elements removed.")
        .args(&[key("key", 0), arg("count", ArgKind::Integer), arg("element", ArgKind::String)]),
    row("lset", 4, "list", lset)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Sets the value of an element in a list by its index.", "1.0.0")
        .complexity("O(N) where N is the length of the list. Setting either the first or the last element of the list is O(1).")
        .args(&[key("key", 0), arg("index", ArgKind::Integer), arg("element", ArgKind::String)]),
    row("ltrim", 4, "list", ltrim)
        .flags(&[Flag::Write])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Removes elements from both ends a list. Deletes the list if all elements were trimmed.", "1.0.0")
        .complexity("O(N) where N is the number of elements to be removed by the operation.")
        .args(&[key("key", 0), arg("start", ArgKind::Integer), arg("stop", ArgKind::Integer)]),
    row("rpop", -2, "list", rpop)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"])])
        .docs("Returns and removes the last elements of a list. Deletes the list if the last element was popped.", "1.0.0")
        .complexity("O(N) where N is the number of elements returned")
        .history(&[("6.2.0", "Added the `count` argument.")])
        .args(&[key("key", 0), arg("count", ArgKind::Integer).since("6.2.0").optional()]),
    row("rpoplpush", 3, "list", rpoplpush)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "delete"]), keys_at(2, 0, 1, &["RW", "insert"])])
        .docs("Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.", "1.2.0")
        .complexity("O(1)")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`LMOVE` with the `RIGHT` and `LEFT` arguments"))
        .args(&[key("source", 0), key("destination", 1)]),
    row("rpush", -3, "list", rpush)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Appends one or more elements to a list. Creates the key if it doesn't exist.", "1.0.0")
        .complexity("O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.")
        .history(&[("2.4.0", "Accepts multiple `element` arguments.")])
        .args(&[key("key", 0), arg("element", ArgKind::String).multiple()]),
    row("rpushx", -3, "list", rpushx)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::List])
        .keys(&[keys_at(1, 0, 1, &["RW", "insert"])])
        .docs("Appends an element to a list only when the list exists.", "2.2.0")
        .complexity("O(1) for each element added, so O(N) to add N elements when the command is called with multiple arguments.")
        .history(&[("4.0.0", "Accepts multiple `element` arguments.")])
        .args(&[key("key", 0), arg("element", ArgKind::String).multiple()]),
];
