//! Sorted sets: members, scores, ranks.

use super::parse::is;
use super::row::{ArgKind, Category, Flag, Row, arg, block, key, keys_at, one_of, row, token};
use super::sample::{self, Sample};
use super::scan::{ScanOf, scan_collection};
use super::{Answer, Ctx, DONE, Error};
use crate::config::{NotifyFlags, Settings};
use crate::keyspace::Lookup;
use crate::number;
use crate::value::PackLimits;
use crate::value::zset::Zset;
use smallvec::SmallVec;

const ZSET: NotifyFlags = NotifyFlags::ZSET;

/// Up to where sorted sets stay packed.
pub(super) fn limits(settings: &Settings) -> PackLimits {
    PackLimits { entries: settings.zset_max_listpack_entries, value_bytes: settings.zset_max_listpack_value }
}

/// The options of ZADD.
#[derive(Default)]
pub(super) struct AddOptions {
    pub(super) if_absent: bool,
    pub(super) if_present: bool,
    if_greater: bool,
    if_less: bool,
    changed: bool,
    increment: bool,
}

impl AddOptions {
    /// Reads the options among `words`; returns where the members begin.
    pub(super) fn read_words(&mut self, ctx: &Ctx<'_>, words: &[&str]) -> usize {
        let mut at = 2;
        while let Some(word) = ctx.args.get(at) {
            let option = match words.iter().find(|option| is(word, option)) {
                Some(&"nx") => &mut self.if_absent,
                Some(&"xx") => &mut self.if_present,
                Some(&"gt") => &mut self.if_greater,
                Some(&"lt") => &mut self.if_less,
                Some(&"ch") => &mut self.changed,
                Some(&"incr") => &mut self.increment,
                _ => break,
            };
            *option = true;
            at += 1;
        }
        at
    }

    fn check(&self, members: usize) -> Result<(), Error> {
        if self.if_absent && self.if_present {
            return Err(Error::fixed("ERR XX and NX options at the same time are not compatible"));
        }
        if (self.if_greater || self.if_less) && self.if_absent || (self.if_greater && self.if_less) {
            let text = "ERR GT, LT, and/or NX options at the same time are not compatible";
            return Err(Error::fixed(text));
        }
        if self.increment && members > 1 {
            return Err(Error::fixed("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    fn is_plain(&self) -> bool {
        !(self.if_absent || self.if_present || self.if_greater || self.if_less || self.increment)
    }

    /// The score that a member gets; `None` where it stays as it is.
    fn score(&self, old: Option<f64>, given: f64) -> Result<Option<f64>, Error> {
        let Some(old) = old else { return Ok((!self.if_present).then_some(given)) };
        if self.if_absent {
            return Ok(None);
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Err(Error::fixed("ERR resulting score is not a number (NaN)"));
        }
        let refused = (self.if_less && new >= old) || (self.if_greater && new <= old);
        Ok((!refused).then_some(new))
    }
}

fn zadd(ctx: &mut Ctx<'_>) -> Answer {
    let mut options = AddOptions::default();
    let first = options.read_words(ctx, &["nx", "xx", "gt", "lt", "ch", "incr"]);
    let pairs = ctx.args.from(first);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    options.check(pairs.len() / 2)?;
    let mut members = SmallVec::new();
    for at in (0..pairs.len()).step_by(2) {
        let score = number::parse_f64(&pairs[at]).ok_or(Error::NOT_A_FLOAT)?;
        members.push((score, pairs.get(at + 1).unwrap_or_default()));
    }
    add_members(ctx, &options, &members)
}

/// Adds members with their scores to the first key's sorted set, and replies as ZADD does.
pub(super) fn add_members(
    ctx: &mut Ctx<'_>,
    options: &AddOptions,
    members: &SmallVec<[(f64, &[u8]); 2]>,
) -> Answer {
    let (key, limits) = (ctx.key(0), limits(ctx.settings));
    let (mut added, mut updated, mut last) = (0, 0, None);
    if !options.if_present || ctx.access.write::<Zset>(key)?.is_some() {
        let mut zset = ctx.access.write_or_create::<Zset>(key)?;
        zset.expect_members(members[0].1, members.len(), &limits);
        for (given, member) in members {
            let new =
                if options.is_plain() { Some(*given) } else { options.score(zset.score(member), *given)? };
            last = new;
            if let Some(new) = new {
                match zset.insert(member, new, &limits) {
                    None => added += 1,
                    Some(old) => updated += i64::from(old != new),
                }
            }
        }
        if added + updated > 0 {
            ctx.access.edited(key, ZSET, if options.increment { "zincr" } else { "zadd" });
        }
    }
    match last {
        Some(score) if options.increment => ctx.reply.double(score),
        None if options.increment => ctx.reply.null(),
        _ => ctx.reply.int(if options.changed { added + updated } else { added }),
    }
    DONE
}

fn zincrby(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args, limits) = (ctx.key(0), ctx.args, limits(ctx.settings));
    let by = number::parse_f64(&args[2]).ok_or(Error::NOT_A_FLOAT)?;
    let old = ctx.access.write::<Zset>(key)?.and_then(|zset| zset.score(&args[3]));
    let new = old.map_or(by, |old| old + by);
    if new.is_nan() {
        return Err(Error::fixed("ERR resulting score is not a number (NaN)"));
    }
    let mut zset = ctx.access.write_or_create::<Zset>(key)?;
    zset.expect_members(&args[3], 1, &limits);
    zset.insert(&args[3], new, &limits);
    if old != Some(new) {
        ctx.access.edited(key, ZSET, "zincr");
    }
    ctx.reply.double(new);
    DONE
}

fn zrem(ctx: &mut Ctx<'_>) -> Answer {
    let (key, args) = (ctx.key(0), ctx.args);
    let removed = match ctx.access.write::<Zset>(key)? {
        Some(mut zset) => args.from(2).iter().filter(|member| zset.remove(member).is_some()).count(),
        None => 0,
    };
    if removed > 0 {
        ctx.access.edited(key, ZSET, "zrem");
        ctx.access.remove_if_empty(key);
    }
    ctx.reply.int(removed as i64);
    DONE
}

fn zcard(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let len = ctx.access.read::<Zset>(key, Lookup::Read)?.map_or(0, Zset::len);
    ctx.reply.int(len as i64);
    DONE
}

fn zscore(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
    match zset.and_then(|zset| zset.score(&ctx.args[2])) {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    DONE
}

fn zmscore(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
    ctx.reply.array(ctx.args.len() - 2);
    for member in ctx.args.from(2).iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    DONE
}

fn rank(ctx: &mut Ctx<'_>, reverse: bool) -> Answer {
    let key = ctx.key(0);
    if ctx.args.len() > 4 {
        return Err(Error::arity(ctx.row.name));
    }
    let with_score = ctx.args.get(3).is_some();
    if ctx.args.get(3).is_some_and(|word| !is(word, "withscore")) {
        return Err(Error::SYNTAX);
    }
    let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
    let found = zset.and_then(|zset| {
        let (rank, score) = zset.rank(&ctx.args[2])?;
        Some((if reverse { zset.len() - 1 - rank } else { rank }, score))
    });
    match found {
        Some((rank, score)) => {
            if with_score {
                ctx.reply.array(2);
            }
            ctx.reply.int(rank as i64);
            if with_score {
                ctx.reply.double(score);
            }
        }
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
    }
    DONE
}

fn zrank(ctx: &mut Ctx<'_>) -> Answer {
    rank(ctx, false)
}

fn zrevrank(ctx: &mut Ctx<'_>) -> Answer {
    rank(ctx, true)
}

fn zrandmember(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let mut random = ctx.access.random_source();
    if ctx.args.len() == 2 {
        let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
        match zset.and_then(|zset| zset.random(|| random.next())) {
            Some((member, _)) => ctx.reply.bulk(&member),
            None => ctx.reply.null(),
        }
        return DONE;
    }
    let (count, with_scores) = sample::pair_options(ctx.args, "withscores")?;
    let Some(zset) = ctx.access.read::<Zset>(key, Lookup::Read)? else {
        ctx.reply.array(0);
        return DONE;
    };
    let all = || {
        let mut pairs = Vec::new();
        zset.visit(0, usize::MAX, false, |member, score| pairs.push((member.to_vec(), score.to_bits())));
        pairs
    };
    let mut other = random.fork();
    let one = || zset.random(|| other.next()).map(|(member, score)| (member, score.to_bits()));
    let picked = Sample::new(count, zset.len()).pick(zset.len(), all, one, || random.next());
    let pairs = picked.into_iter().map(|(member, score)| (member, f64::from_bits(score))).collect::<Vec<_>>();
    reply_members(ctx, &pairs, with_scores);
    DONE
}

/// Writes members, with their scores in pairs of their own in RESP3.
pub(super) fn reply_members(ctx: &mut Ctx<'_>, members: &[(Vec<u8>, f64)], with_scores: bool) {
    let nested = with_scores && ctx.reply.is_resp3();
    ctx.reply.array(members.len() * if with_scores && !nested { 2 } else { 1 });
    for (member, score) in members {
        if nested {
            ctx.reply.array(2);
        }
        ctx.reply.bulk(member);
        if with_scores {
            ctx.reply.double(*score);
        }
    }
}

fn zscan(ctx: &mut Ctx<'_>) -> Answer {
    scan_collection(ctx, ScanOf::Zset)
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("zadd", -4, "sorted-set", zadd)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Adds one or more members to a sorted set, or updates their scores. Creates the key if it doesn't exist.", "1.2.0")
        .complexity("O(log(N)) for each item added, where N is the number of elements in the sorted set.")
        .history(&[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ])
        .args(&[
            key("key", 0),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).since("3.0.2").optional(),
            one_of("comparison", &[token("gt", "GT"), token("lt", "LT")]).since("6.2.0").optional(),
            token("change", "CH").since("3.0.2").optional(),
            token("increment", "INCR").since("3.0.2").optional(),
            block("data", &[arg("score", ArgKind::Double), arg("member", ArgKind::String)]).multiple(),
        ]),
    row("zcard", 2, "sorted-set", zcard)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Returns the number of members in a sorted set.", "1.2.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("zincrby", 4, "sorted-set", zincrby)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "access", "update"])])
        .docs("Increments the score of a member in a sorted set.", "1.2.0")
        .complexity("O(log(N)) where N is the number of elements in the sorted set.")
        .args(&[key("key", 0), arg("increment", ArgKind::Integer), arg("member", ArgKind::String)]),
    row("zmscore", -3, "sorted-set", zmscore)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the score of one or more members in a sorted set.", "6.2.0")
        .complexity("O(N) where N is the number of members being requested.")
        .args(&[key("key", 0), arg("member", ArgKind::String).multiple()]),
    row("zrandmember", -2, "sorted-set", zrandmember)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns one or more random members from a sorted set.", "6.2.0")
        .complexity("O(N) where N is the number of members returned")
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            block("options", &[
                arg("count", ArgKind::Integer),
                token("withscores", "WITHSCORES").optional(),
            ]).optional(),
        ]),
    row("zrank", -3, "sorted-set", zrank)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the index of a member in a sorted set ordered by ascending scores.", "2.0.0")
        .complexity("O(log(N))")
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")])
        .args(&[key("key", 0), arg("member", ArgKind::String), token("withscore", "WITHSCORE").optional()]),
    row("zrem", -3, "sorted-set", zrem)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Removes one or more members from a sorted set. Deletes the sorted set if all members were removed.", "1.2.0")
        .complexity("O(M*log(N)) with N being the number of elements in the sorted set and M the number of elements to be removed.")
        .history(&[("2.4.0", "Accepts multiple elements.")])
        .args(&[key("key", 0), arg("member", ArgKind::String).multiple()]),
    row("zrevrank", -3, "sorted-set", zrevrank)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the index of a member in a sorted set ordered by descending scores.", "2.0.0")
        .complexity("O(log(N))")
        .history(&[("7.2.0", "Added the optional `WITHSCORE` argument.")])
        .args(&[key("key", 0), arg("member", ArgKind::String), token("withscore", "WITHSCORE").optional()]),
    row("zscan", -3, "sorted-set", zscan)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Iterates over members and scores of a sorted set.", "2.8.0")
        .complexity("O(1) for every call. O(N) for a complete iteration, including enough command calls for the cursor to return back to 0. N is the number of elements inside the collection.")
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            arg("cursor", ArgKind::Integer),
            arg("pattern", ArgKind::Pattern).token("MATCH").optional(),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("zscore", 3, "sorted-set", zscore)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the score of a member in a sorted set.", "1.2.0")
        .complexity("O(1)")
        .args(&[key("key", 0), arg("member", ArgKind::String)]),
];
