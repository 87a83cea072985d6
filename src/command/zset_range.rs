//! Sorted sets: ranges by rank, by score and by name.

use super::parse::{int, is};
use super::row::{ArgKind, Category, Flag, Row, arg, block, key, keys_at, one_of, row, token};
use super::zset::limits;
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Expiry, Lookup};
use crate::number;
use crate::value::Collection;
use crate::value::zset::Zset;
use std::ops::Range;

const ZSET: NotifyFlags = NotifyFlags::ZSET;

/// By what a range is given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// One end of a range of scores.
#[derive(Clone, Copy)]
struct ScoreBound {
    score: f64,
    exclusive: bool,
}

/// One end of a range of names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LexBound<'a> {
    Least,
    Greatest,
    Inclusive(&'a [u8]),
    Exclusive(&'a [u8]),
}

/// A range as it was given.
enum Span<'a> {
    Ranks(i64, i64),
    Scores(ScoreBound, ScoreBound),
    Names(LexBound<'a>, LexBound<'a>),
}

fn score_bound(arg: &[u8]) -> Result<ScoreBound, Error> {
    let (exclusive, text) = match arg.strip_prefix(b"(") {
        Some(text) => (true, text),
        None => (false, arg),
    };
    let score = number::parse_f64_loosely(text).ok_or(Error::fixed("ERR min or max is not a float"))?;
    Ok(ScoreBound { score, exclusive })
}

fn lex_bound(arg: &[u8]) -> Result<LexBound<'_>, Error> {
    match arg {
        b"-" => Ok(LexBound::Least),
        b"+" => Ok(LexBound::Greatest),
        [b'(', name @ ..] => Ok(LexBound::Exclusive(name)),
        [b'[', name @ ..] => Ok(LexBound::Inclusive(name)),
        _ => Err(Error::fixed("ERR min or max not valid string range item")),
    }
}

impl<'a> Span<'a> {
    fn read(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Span<'a>, Error> {
        Ok(match by {
            By::Rank => Span::Ranks(int(min)?, int(max)?),
            By::Score => Span::Scores(score_bound(min)?, score_bound(max)?),
            By::Lex => Span::Names(lex_bound(min)?, lex_bound(max)?),
        })
    }

    /// The ranks, from the least score, that the range covers.
    fn ranks(&self, zset: &Zset) -> Range<usize> {
        let (start, end) =
            match self {
                Span::Ranks(start, end) => return super::list::range(*start, *end, zset.len()),
                Span::Scores(min, max) => (
                    zset.count_scores_while(|score| {
                        if min.exclusive { score <= min.score } else { score < min.score }
                    }),
                    zset.count_scores_while(|score| {
                        if max.exclusive { score < max.score } else { score <= max.score }
                    }),
                ),
                Span::Names(min, max) => (
                    zset.count_while(|name, _| match min {
                        LexBound::Least => false,
                        LexBound::Greatest => true,
                        LexBound::Inclusive(bound) => name < *bound,
                        LexBound::Exclusive(bound) => name <= *bound,
                    }),
                    zset.count_while(|name, _| match max {
                        LexBound::Least => false,
                        LexBound::Greatest => true,
                        LexBound::Inclusive(bound) => name <= *bound,
                        LexBound::Exclusive(bound) => name < *bound,
                    }),
                ),
            };
        start..end.max(start)
    }
}

struct Options {
    by: By,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

/// Which options a command takes: those of ZRANGE, or what its name says is fixed.
#[derive(Clone, Copy)]
struct Form {
    by: Option<By>,
    reverse: Option<bool>,
    stores: bool,
}

fn options(ctx: &Ctx<'_>, form: Form, mut at: usize) -> Result<Options, Error> {
    let mut options = Options {
        by: form.by.unwrap_or(By::Rank),
        reverse: form.reverse.unwrap_or(false),
        with_scores: false,
        offset: 0,
        limit: -1,
    };
    let mut by_given = form.by.is_some();
    let mut reverse_given = form.reverse.is_some();
    while let Some(word) = ctx.args.get(at) {
        if !form.stores && is(word, "withscores") {
            options.with_scores = true;
        } else if is(word, "limit") && at + 2 < ctx.args.len() {
            options.offset = int(&ctx.args[at + 1])?;
            options.limit = int(&ctx.args[at + 2])?;
            at += 2;
        } else if !reverse_given && is(word, "rev") {
            (options.reverse, reverse_given) = (true, true);
        } else if !by_given && is(word, "bylex") {
            (options.by, by_given) = (By::Lex, true);
        } else if !by_given && is(word, "byscore") {
            (options.by, by_given) = (By::Score, true);
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    if options.limit != -1 && options.by == By::Rank {
        let text = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
        return Err(Error::fixed(text));
    }
    if options.with_scores && options.by == By::Lex {
        return Err(Error::fixed("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
    }
    Ok(options)
}

/// The ranks that a range with its options covers.
fn covered(zset: &Zset, span: &Span<'_>, options: &Options) -> Range<usize> {
    let ranks = span.ranks(zset);
    if options.by == By::Rank {
        let len = zset.len();
        let reversed = len - ranks.end..len - ranks.start;
        return if options.reverse { reversed } else { ranks };
    }
    let Ok(offset) = usize::try_from(options.offset) else { return 0..0 };
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let len = ranks.len();
    let skipped = offset.min(len);
    let taken = limit.min(len - skipped);
    if options.reverse {
        ranks.end - skipped - taken..ranks.end - skipped
    } else {
        ranks.start + skipped..ranks.start + skipped + taken
    }
}

fn range(ctx: &mut Ctx<'_>, form: Form) -> Answer {
    let first = if form.stores { 2 } else { 1 };
    let options = options(ctx, form, first + 3)?;
    let (mut min, mut max) = (&ctx.args[first + 1], &ctx.args[first + 2]);
    if options.reverse && options.by != By::Rank {
        (min, max) = (max, min);
    }
    let span = Span::read(options.by, min, max)?;
    let source = ctx.key(first - 1);
    let zset = ctx.access.read::<Zset>(source, Lookup::Read)?;
    let ranks = zset.map_or(0..0, |zset| covered(zset, &span, &options));
    if form.stores {
        let limits = limits(ctx.settings);
        let mut result = Zset::for_members(ranks.len(), 0, &limits);
        if let Some(zset) = zset {
            zset.visit(ranks.start, ranks.end, false, |member, score| {
                result.insert(member, score, &limits);
            });
        }
        let len = result.len();
        store(ctx, result, "zrangestore")?;
        ctx.reply.int(len as i64);
        return DONE;
    }
    let nested = options.with_scores && ctx.reply.is_resp3();
    ctx.reply.array(ranks.len() * if options.with_scores && !nested { 2 } else { 1 });
    if let Some(zset) = zset {
        zset.visit(ranks.start, ranks.end, options.reverse, |member, score| {
            if nested {
                ctx.reply.array(2);
            }
            ctx.reply.bulk(member);
            if options.with_scores {
                ctx.reply.double(score);
            }
        });
    }
    DONE
}

/// Puts a sorted set under the first key; an empty one removes it.
pub(super) fn store(ctx: &mut Ctx<'_>, zset: Zset, event: &'static str) -> Result<(), Error> {
    let target = ctx.key(0);
    if zset.is_empty() {
        ctx.access.delete(target, NotifyFlags::GENERIC, "del");
    } else {
        let zset = Collection::Zset(zset);
        ctx.access.log_room_for(&zset)?;
        ctx.access.put(target, zset, Expiry::Clear, ZSET, event);
    }
    Ok(())
}

fn zrange(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, Form { by: None, reverse: None, stores: false })
}

fn zrangestore(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, Form { by: None, reverse: None, stores: true })
}

fn zrevrange(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, Form { by: Some(By::Rank), reverse: Some(true), stores: false })
}

fn zrangebyscore(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, Form { by: Some(By::Score), reverse: Some(false), stores: false })
}

fn zrevrangebyscore(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, Form { by: Some(By::Score), reverse: Some(true), stores: false })
}

fn zrangebylex(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, Form { by: Some(By::Lex), reverse: Some(false), stores: false })
}

fn zrevrangebylex(ctx: &mut Ctx<'_>) -> Answer {
    range(ctx, Form { by: Some(By::Lex), reverse: Some(true), stores: false })
}

fn count(ctx: &mut Ctx<'_>, by: By) -> Answer {
    let key = ctx.key(0);
    let span = Span::read(by, &ctx.args[2], &ctx.args[3])?;
    let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
    ctx.reply.int(zset.map_or(0, |zset| span.ranks(zset).len()) as i64);
    DONE
}

fn zcount(ctx: &mut Ctx<'_>) -> Answer {
    count(ctx, By::Score)
}

fn zlexcount(ctx: &mut Ctx<'_>) -> Answer {
    count(ctx, By::Lex)
}

fn remove_range(ctx: &mut Ctx<'_>, by: By, event: &'static str) -> Answer {
    let (key, args) = (ctx.key(0), ctx.args);
    let span = Span::read(by, &args[2], &args[3])?;
    let removed = match ctx.access.write::<Zset>(key)? {
        Some(mut zset) => {
            let ranks = span.ranks(&zset);
            zset.remove_ranks(ranks.start, ranks.end, |_, _| {});
            ranks.len()
        }
        None => 0,
    };
    if removed > 0 {
        ctx.access.edited(key, ZSET, event);
        ctx.access.remove_if_empty(key);
    }
    ctx.reply.int(removed as i64);
    DONE
}

fn zremrangebyrank(ctx: &mut Ctx<'_>) -> Answer {
    remove_range(ctx, By::Rank, "zremrangebyrank")
}

fn zremrangebyscore(ctx: &mut Ctx<'_>) -> Answer {
    remove_range(ctx, By::Score, "zremrangebyscore")
}

fn zremrangebylex(ctx: &mut Ctx<'_>) -> Answer {
    remove_range(ctx, By::Lex, "zremrangebylex")
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("zcount", 4, "sorted-set", zcount)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the count of members in a sorted set that have scores within a range.", "2.0.0")
        .complexity("O(log(N)) with N being the number of elements in the sorted set.")
        .args(&[key("key", 0), arg("min", ArgKind::Double), arg("max", ArgKind::Double)]),
    row("zlexcount", 4, "sorted-set", zlexcount)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the number of members in a sorted set within a lexicographical range.", "2.8.9")
        .complexity("O(log(N)) with N being the number of elements in the sorted set.")
        .args(&[key("key", 0), arg("min", ArgKind::String), arg("max", ArgKind::String)]),
    row("zrange", -4, "sorted-set", zrange)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members in a sorted set within a range of indexes.", "1.2.0")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.")
        .history(&[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")])
        .args(&[
            key("key", 0),
            arg("start", ArgKind::String),
            arg("stop", ArgKind::String),
            one_of("sortby", &[
                token("byscore", "BYSCORE"),
                token("bylex", "BYLEX"),
            ]).since("6.2.0").optional(),
            token("rev", "REV").since("6.2.0").optional(),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").since("6.2.0").optional(),
            token("withscores", "WITHSCORES").optional(),
        ]),
    row("zrangebylex", -4, "sorted-set", zrangebylex)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members in a sorted set within a lexicographical range.", "2.8.9")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`ZRANGE` with the `BYLEX` argument"))
        .args(&[
            key("key", 0),
            arg("min", ArgKind::String),
            arg("max", ArgKind::String),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").optional(),
        ]),
    row("zrangebyscore", -4, "sorted-set", zrangebyscore)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members in a sorted set within a range of scores.", "1.0.5")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`ZRANGE` with the `BYSCORE` argument"))
        .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")])
        .args(&[
            key("key", 0),
            arg("min", ArgKind::Double),
            arg("max", ArgKind::Double),
            token("withscores", "WITHSCORES").since("2.0.0").optional(),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").optional(),
        ]),
    row("zrangestore", -5, "sorted-set", zrangestore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_at(2, 0, 1, &["RO", "access"])])
        .docs("Stores a range of members from sorted set in a key.", "6.2.0")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements stored into the destination key.")
        .args(&[
            key("dst", 0),
            key("src", 1),
            arg("min", ArgKind::String),
            arg("max", ArgKind::String),
            one_of("sortby", &[token("byscore", "BYSCORE"), token("bylex", "BYLEX")]).optional(),
            token("rev", "REV").optional(),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").optional(),
        ]),
    row("zremrangebylex", 4, "sorted-set", zremrangebylex)
        .flags(&[Flag::Write])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Removes members in a sorted set within a lexicographical range. Deletes the sorted set if all members were removed.", "2.8.9")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.")
        .args(&[key("key", 0), arg("min", ArgKind::String), arg("max", ArgKind::String)]),
    row("zremrangebyrank", 4, "sorted-set", zremrangebyrank)
        .flags(&[Flag::Write])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Removes members in a sorted set within a range of indexes. Deletes the sorted set if all members were removed.", "2.0.0")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.")
        .args(&[key("key", 0), arg("start", ArgKind::Integer), arg("stop", ArgKind::Integer)]),
    row("zremrangebyscore", 4, "sorted-set", zremrangebyscore)
        .flags(&[Flag::Write])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Removes members in a sorted set within a range of scores. Deletes the sorted set if all members were removed.", "1.2.0")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements removed by the operation.")
        .args(&[key("key", 0), arg("min", ArgKind::Double), arg("max", ArgKind::Double)]),
    row("zrevrange", -4, "sorted-set", zrevrange)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members in a sorted set within a range of indexes in reverse order.", "1.2.0")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements returned.")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`ZRANGE` with the `REV` argument"))
        .args(&[
            key("key", 0),
            arg("start", ArgKind::Integer),
            arg("stop", ArgKind::Integer),
            token("withscores", "WITHSCORES").optional(),
        ]),
    row("zrevrangebylex", -4, "sorted-set", zrevrangebylex)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members in a sorted set within a lexicographical range in reverse order.", "2.8.9")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`ZRANGE` with the `REV` and `BYLEX` arguments"))
        .args(&[
            key("key", 0),
            arg("max", ArgKind::String),
            arg("min", ArgKind::String),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").optional(),
        ]),
    row("zrevrangebyscore", -4, "sorted-set", zrevrangebyscore)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members in a sorted set within a range of scores in reverse order.", "2.2.0")
        .complexity("O(log(N)+M) with N being the number of elements in the sorted set and M the number of elements being returned. If M is constant (e.g. always asking for the first 10 elements with LIMIT), you can consider it O(log(N)).")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`ZRANGE` with the `REV` and `BYSCORE` arguments"))
        .history(&[("2.1.6", "`min` and `max` can be exclusive.")])
        .args(&[
            key("key", 0),
            arg("max", ArgKind::Double),
            arg("min", ArgKind::Double),
            token("withscores", "WITHSCORES").optional(),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").optional(),
        ]),
];
