//! Sorted sets: union, intersection, difference; sets take part with the score 1.

use super::parse::{int, int_or, is};
use super::row::{ArgKind, Category, Flag, Row, arg, key, keys_at, keys_counted, one_of, row, token};
use super::zset::{limits, reply_members};
use super::zset_range::store;
use super::{Answer, Ctx, DONE, Error};
use crate::keyspace::{Key, Lookup};
use crate::number;
use crate::value::Collection;
use crate::value::zset::Zset;
use std::collections::HashMap;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

#[derive(Clone, Copy)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

impl Aggregate {
    fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs make zero.
            Aggregate::Sum => not_nan(a + b),
            Aggregate::Min => a.min(b),
            Aggregate::Max => a.max(b),
        }
    }
}

fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

struct Source<'k> {
    key: Key<'k>,
    len: usize,
    weight: f64,
}

struct Request<'k> {
    sources: Vec<Source<'k>>,
    aggregate: Aggregate,
    with_scores: bool,
    limit: usize,
}

/// What the reply is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Members,
    Stored,
    Cardinality,
}

fn request<'k>(ctx: &mut Ctx<'k>, operation: Operation, form: Form) -> Result<Request<'k>, Error> {
    let number_at = if form == Form::Stored { 2 } else { 1 };
    let count = int(&ctx.args[number_at])?;
    if count < 1 {
        let name = ctx.row.name;
        return Err(Error::new(format!("ERR at least 1 input key is needed for '{name}' command")));
    }
    if count > (ctx.args.len() - number_at - 1) as i64 {
        return Err(Error::SYNTAX);
    }
    let count = count as usize;
    let keys = &ctx.keys[number_at - 1..];
    let mut sources = Vec::with_capacity(keys.len());
    for key in keys {
        let len = match ctx.access.get(*key, Lookup::Read) {
            Some(entry) => match entry.collection() {
                Some(collection @ (Collection::Set(_) | Collection::Zset(_))) => collection.len(),
                _ => return Err(Error::WRONG_TYPE),
            },
            None => 0,
        };
        sources.push(Source { key: *key, len, weight: 1.0 });
    }
    let mut request = Request { sources, aggregate: Aggregate::Sum, with_scores: false, limit: 0 };
    let mut at = number_at + 1 + count;
    let combines = operation != Operation::Difference && form != Form::Cardinality;
    while let Some(word) = ctx.args.get(at) {
        let left = ctx.args.len() - at;
        if combines && left > count && is(word, "weights") {
            for (index, source) in request.sources.iter_mut().enumerate() {
                let weight = number::parse_f64(&ctx.args[at + 1 + index]);
                source.weight = weight.ok_or(Error::fixed("ERR weight value is not a float"))?;
            }
            at += count;
        } else if combines && left >= 2 && is(word, "aggregate") {
            request.aggregate = match &ctx.args[at + 1] {
                word if is(word, "sum") => Aggregate::Sum,
                word if is(word, "min") => Aggregate::Min,
                word if is(word, "max") => Aggregate::Max,
                _ => return Err(Error::SYNTAX),
            };
            at += 1;
        } else if form == Form::Members && is(word, "withscores") {
            request.with_scores = true;
        } else if form == Form::Cardinality && left >= 2 && is(word, "limit") {
            let text = "ERR LIMIT can't be negative";
            request.limit =
                usize::try_from(int_or(&ctx.args[at + 1], text)?).map_err(|_| Error::fixed(text))?;
            at += 1;
        } else {
            return Err(Error::SYNTAX);
        }
        at += 1;
    }
    Ok(request)
}

fn all(ctx: &mut Ctx<'_>, key: Key<'_>) -> Vec<(Vec<u8>, f64)> {
    let mut members = Vec::new();
    match ctx.access.get(key, Lookup::Silent).as_ref().and_then(|entry| entry.collection()) {
        Some(Collection::Zset(zset)) => {
            zset.visit(0, usize::MAX, false, |member, score| members.push((member.to_vec(), score)));
        }
        Some(Collection::Set(set)) => set.for_each(|member| members.push((member.to_vec(), 1.0))),
        _ => {}
    }
    members
}

fn score(ctx: &mut Ctx<'_>, key: Key<'_>, member: &[u8]) -> Option<f64> {
    match ctx.access.get(key, Lookup::Silent)?.collection()? {
        Collection::Zset(zset) => zset.score(member),
        Collection::Set(set) => set.contains(member).then_some(1.0),
        _ => None,
    }
}

/// The result, in no particular order.
fn combine(ctx: &mut Ctx<'_>, mut request: Request<'_>, operation: Operation) -> Vec<(Vec<u8>, f64)> {
    if operation != Operation::Difference {
        request.sources.sort_by_key(|source| source.len);
    }
    let Some((first, others)) = request.sources.split_first() else { return Vec::new() };
    match operation {
        Operation::Union => {
            let mut scores: HashMap<Vec<u8>, f64> = HashMap::new();
            for source in &request.sources {
                for (member, score) in all(ctx, source.key) {
                    let score = not_nan(score * source.weight);
                    let sum = scores.entry(member).and_modify(|sum| *sum = request.aggregate.of(*sum, score));
                    sum.or_insert(score);
                }
            }
            scores.into_iter().collect()
        }
        Operation::Intersection => {
            let mut found = Vec::new();
            if first.len == 0 {
                return found;
            }
            for (member, first_score) in all(ctx, first.key) {
                if request.limit > 0 && found.len() == request.limit {
                    break;
                }
                let mut sum = Some(not_nan(first_score * first.weight));
                for other in others {
                    let Some(so_far) = sum else { break };
                    sum = score(ctx, other.key, &member)
                        .map(|score| request.aggregate.of(so_far, score * other.weight));
                }
                found.extend(sum.map(|sum| (member, sum)));
            }
            found
        }
        Operation::Difference => {
            let mut found = all(ctx, first.key);
            found.retain(|(member, _)| !others.iter().any(|other| score(ctx, other.key, member).is_some()));
            found
        }
    }
}

fn reply_combined(ctx: &mut Ctx<'_>, operation: Operation) -> Answer {
    let request = request(ctx, operation, Form::Members)?;
    let with_scores = request.with_scores;
    let mut found = combine(ctx, request, operation);
    found.sort_by(|a, b| {
        a.1.partial_cmp(&b.1).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.0.cmp(&b.0))
    });
    reply_members(ctx, &found, with_scores);
    DONE
}

fn store_combined(ctx: &mut Ctx<'_>, operation: Operation, event: &'static str) -> Answer {
    let request = request(ctx, operation, Form::Stored)?;
    let found = combine(ctx, request, operation);
    let limits = limits(ctx.settings);
    let mut zset = Zset::for_members(found.len(), 0, &limits);
    for (member, score) in &found {
        zset.insert(member, *score, &limits);
    }
    store(ctx, zset, event)?;
    ctx.reply.int(found.len() as i64);
    DONE
}

fn zunion(ctx: &mut Ctx<'_>) -> Answer {
    reply_combined(ctx, Operation::Union)
}

fn zinter(ctx: &mut Ctx<'_>) -> Answer {
    reply_combined(ctx, Operation::Intersection)
}

fn zdiff(ctx: &mut Ctx<'_>) -> Answer {
    reply_combined(ctx, Operation::Difference)
}

fn zunionstore(ctx: &mut Ctx<'_>) -> Answer {
    store_combined(ctx, Operation::Union, "zunionstore")
}

fn zinterstore(ctx: &mut Ctx<'_>) -> Answer {
    store_combined(ctx, Operation::Intersection, "zinterstore")
}

fn zdiffstore(ctx: &mut Ctx<'_>) -> Answer {
    store_combined(ctx, Operation::Difference, "zdiffstore")
}

fn zintercard(ctx: &mut Ctx<'_>) -> Answer {
    let request = request(ctx, Operation::Intersection, Form::Cardinality)?;
    let found = combine(ctx, request, Operation::Intersection);
    ctx.reply.int(found.len() as i64);
    DONE
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("zdiff", -3, "sorted-set", zdiff)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_counted(1, 0, 1, 1, &["RO", "access"])])
        .docs("Returns the difference between multiple sorted sets.", "6.2.0")
        .complexity("O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.")
        .args(&[
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            token("withscores", "WITHSCORES").optional(),
        ]),
    row("zdiffstore", -4, "sorted-set", zdiffstore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_counted(2, 0, 1, 1, &["RO", "access"])])
        .docs("Stores the difference of multiple sorted sets in a key.", "6.2.0")
        .complexity("O(L + (N-K)log(N)) worst case where L is the total number of elements in all the sets, N is the size of the first set, and K is the size of the result set.")
        .args(&[key("destination", 0), arg("numkeys", ArgKind::Integer), key("key", 1).multiple()]),
    row("zinter", -3, "sorted-set", zinter)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_counted(1, 0, 1, 1, &["RO", "access"])])
        .docs("Returns the intersect of multiple sorted sets.", "6.2.0")
        .complexity("O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.")
        .args(&[
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            arg("weight", ArgKind::Integer).token("WEIGHTS").optional().multiple(),
            one_of("aggregate", &[
                token("sum", "SUM"),
                token("min", "MIN"),
                token("max", "MAX"),
            ]).token("AGGREGATE").optional(),
            token("withscores", "WITHSCORES").optional(),
        ]),
    row("zintercard", -3, "sorted-set", zintercard)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_counted(1, 0, 1, 1, &["RO", "access"])])
        .docs("Returns the number of members of the intersect of multiple sorted sets.", "7.0.0")
        .complexity("O(N*K) worst case with N being the smallest input sorted set, K being the number of input sorted sets.")
        .args(&[
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            arg("limit", ArgKind::Integer).token("LIMIT").optional(),
        ]),
    row("zinterstore", -4, "sorted-set", zinterstore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_counted(2, 0, 1, 1, &["RO", "access"])])
        .docs("Stores the intersect of multiple sorted sets in a key.", "2.0.0")
        .complexity("O(N*K)+O(M*log(M)) worst case with N being the smallest input sorted set, K being the number of input sorted sets and M being the number of elements in the resulting sorted set.")
        .args(&[
            key("destination", 0),
            arg("numkeys", ArgKind::Integer),
            key("key", 1).multiple(),
            arg("weight", ArgKind::Integer).token("WEIGHTS").optional().multiple(),
            one_of("aggregate", &[
                token("sum", "SUM"),
                token("min", "MIN"),
                token("max", "MAX"),
            ]).token("AGGREGATE").optional(),
        ]),
    row("zunion", -3, "sorted-set", zunion)
        .flags(&[Flag::Readonly])
        .acl(&[Category::SortedSet])
        .keys(&[keys_counted(1, 0, 1, 1, &["RO", "access"])])
        .docs("Returns the union of multiple sorted sets.", "6.2.0")
        .complexity("O(N)+O(M*log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.")
        .args(&[
            arg("numkeys", ArgKind::Integer),
            key("key", 0).multiple(),
            arg("weight", ArgKind::Integer).token("WEIGHTS").optional().multiple(),
            one_of("aggregate", &[
                token("sum", "SUM"),
                token("min", "MIN"),
                token("max", "MAX"),
            ]).token("AGGREGATE").optional(),
            token("withscores", "WITHSCORES").optional(),
        ]),
    row("zunionstore", -4, "sorted-set", zunionstore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::SortedSet])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_counted(2, 0, 1, 1, &["RO", "access"])])
        .docs("Stores the union of multiple sorted sets in a key.", "2.0.0")
        .complexity("O(N)+O(M log(M)) with N being the sum of the sizes of the input sorted sets, and M being the number of elements in the resulting sorted set.")
        .args(&[
            key("destination", 0),
            arg("numkeys", ArgKind::Integer),
            key("key", 1).multiple(),
            arg("weight", ArgKind::Integer).token("WEIGHTS").optional().multiple(),
            one_of("aggregate", &[
                token("sum", "SUM"),
                token("min", "MIN"),
                token("max", "MAX"),
            ]).token("AGGREGATE").optional(),
        ]),
];
