//! SORT and SORT_RO.

use super::list::limit;
use super::parse::{int, is};
use super::row::{
    Arg, ArgKind, Category, Databases, Flag, Row, arg, block, key, keys_at, keys_unknown, one_of, row, token,
};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Expiry, Lookup, Scope};
use crate::number;
use crate::resp::Args;
use crate::value::Collection;
use crate::value::hash::Hash;
use crate::value::list::{End, List};
use std::cmp::Ordering;

#[derive(Default)]
struct Options<'a> {
    descending: bool,
    alpha: bool,
    offset: i64,
    count: Option<i64>,
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
    /// The index of STORE's key.
    store_at: Option<usize>,
}

impl<'a> Options<'a> {
    fn read(args: Args<'a>) -> Result<Options<'a>, Error> {
        let mut options = Options::default();
        let stores = !is(&args[0], "sort_ro");
        let mut at = 2;
        while let Some(word) = args.get(at) {
            let left = args.len() - at - 1;
            let next = args.get(at + 1).unwrap_or_default();
            if is(word, "asc") {
                options.descending = false;
            } else if is(word, "desc") {
                options.descending = true;
            } else if is(word, "alpha") {
                options.alpha = true;
            } else if is(word, "limit") && left >= 2 {
                options.offset = int(next)?;
                options.count = Some(int(&args[at + 2])?);
                at += 2;
            } else if stores && is(word, "store") && left >= 1 {
                options.store_at = Some(at + 1);
                at += 1;
            } else if is(word, "by") && left >= 1 {
                options.by = Some(next);
                at += 1;
            } else if is(word, "get") && left >= 1 {
                options.get.push(next);
                at += 1;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }

    fn sorts(&self) -> bool {
        self.by.is_none_or(|pattern| pattern.contains(&b'*'))
    }

    /// Whether keys are read that only the elements name.
    fn reads_other_keys(&self) -> bool {
        (self.by.is_some() && self.sorts()) || self.get.iter().any(|pattern| *pattern != b"#")
    }
}

/// The key and STORE's. What is wrong is the handler's to report; COMMAND GETKEYS looks for STORE all the same.
const SORT_KEYS: Databases = |args, selected| {
    let store_at = match Options::read(*args) {
        Ok(options) => options.store_at,
        Err(_) => guess_store(args),
    };
    std::iter::once(1).chain(store_at).map(|at| (selected, at)).collect()
};

/// Where the last STORE has its key in a request that is none.
fn guess_store(args: &Args<'_>) -> Option<usize> {
    let (mut at, mut found) = (2, None);
    while let Some(word) = args.get(at) {
        at += match word {
            word if is(word, "limit") => 3,
            word if is(word, "get") || is(word, "by") => 2,
            word if is(word, "store") && at + 1 < args.len() => {
                found = Some(at + 1);
                1
            }
            _ => 1,
        };
    }
    found
}

fn scope(args: &Args<'_>) -> Scope {
    match Options::read(*args) {
        Ok(options) if options.reads_other_keys() => Scope::Database,
        _ => Scope::Keys,
    }
}

/// What a pattern of BY or GET means for an element: `*` is replaced by it, `->` names a field.
fn look_up(ctx: &mut Ctx<'_>, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    if pattern == b"#" {
        return Some(element.to_vec());
    }
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let after = &pattern[star + 1..];
    let arrow = after.windows(2).position(|pair| pair == b"->").filter(|at| at + 2 < after.len());
    let (suffix, field) = match arrow {
        Some(at) => (&after[..at], Some(&after[at + 2..])),
        None => (after, None),
    };
    let name = [&pattern[..star], element, suffix].concat();
    let (key, now_ms) = (ctx.access.space().key(ctx.state.database, &name), ctx.now_ms());
    match field {
        Some(field) => {
            let hash = ctx.access.read::<Hash>(key, Lookup::Read).ok().flatten()?;
            hash.get(field, now_ms).map(|value| value.to_vec())
        }
        None => ctx.access.string(key, Lookup::Read).ok().flatten().map(|value| value.to_vec()),
    }
}

/// All elements, in their own order.
fn elements(ctx: &mut Ctx<'_>, options: &Options<'_>) -> Result<(Vec<Vec<u8>>, bool), Error> {
    let key = ctx.key(0);
    let mut elements = Vec::new();
    // Where nothing is compared, DESC still turns what has an order.
    let reverse = !options.sorts() && options.descending;
    let Some(entry) = ctx.access.get(key, Lookup::Read) else { return Ok((elements, false)) };
    match entry.collection() {
        Some(Collection::List(list)) => list.visit(0, list.len(), reverse, |element| {
            elements.push(element.to_vec());
            true
        }),
        Some(Collection::Set(set)) => set.for_each(|member| elements.push(member.to_vec())),
        Some(Collection::Zset(zset)) => {
            zset.visit(0, usize::MAX, reverse, |member, _| elements.push(member.to_vec()));
        }
        _ => return Err(Error::WRONG_TYPE),
    }
    Ok((elements, matches!(entry.collection(), Some(Collection::Set(_)))))
}

/// What elements are compared by.
enum Weight {
    Number(f64),
    Text(Option<Vec<u8>>),
}

impl Weight {
    fn compare(&self, other: &Weight) -> Ordering {
        match (self, other) {
            (Weight::Number(a), Weight::Number(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Weight::Text(a), Weight::Text(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

fn weight(ctx: &mut Ctx<'_>, by: Option<&[u8]>, alpha: bool, element: &[u8]) -> Result<Weight, Error> {
    let text = match by {
        Some(pattern) => look_up(ctx, pattern, element),
        None => Some(element.to_vec()),
    };
    if alpha {
        return Ok(Weight::Text(text));
    }
    match text {
        Some(text) => number::parse_f64_as_c(&text)
            .map(Weight::Number)
            .ok_or(Error::fixed("ERR One or more scores can't be converted into double")),
        None => Ok(Weight::Number(0.0)),
    }
}

fn sort(ctx: &mut Ctx<'_>) -> Answer {
    let options = Options::read(ctx.args)?;
    let (mut elements, is_set) = elements(ctx, &options)?;
    let (mut sorts, mut alpha, mut by) = (options.sorts(), options.alpha, options.by);
    if !sorts && is_set && options.store_at.is_some() {
        // What is stored must not depend on the order of a table.
        (sorts, alpha, by) = (true, true, None);
    }
    if sorts {
        let mut weighted = Vec::with_capacity(elements.len());
        for element in elements {
            weighted.push((weight(ctx, by, alpha, &element)?, element));
        }
        weighted.sort_by(|(a, element), (b, other)| {
            let mut order = a.compare(b);
            if !alpha {
                order = order.then_with(|| element.cmp(other));
            }
            if options.descending { order.reverse() } else { order }
        });
        elements = weighted.into_iter().map(|(_, element)| element).collect();
    }
    let start = usize::try_from(options.offset).unwrap_or(0).min(elements.len());
    let count = options.count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    let end = start + count.min(elements.len() - start);
    let mut found: Vec<Option<Vec<u8>>> = Vec::new();
    for element in elements.drain(start..end) {
        if options.get.is_empty() {
            found.push(Some(element));
        } else {
            found.extend(options.get.iter().map(|pattern| look_up(ctx, pattern, &element)));
        }
    }
    if ctx.access.has_missed() {
        return DONE;
    }
    if options.store_at.is_some() {
        return store(ctx, &found);
    }
    ctx.reply.array(found.len());
    for element in &found {
        match element {
            Some(element) => ctx.reply.bulk(element),
            None => ctx.reply.null(),
        }
    }
    DONE
}

fn store(ctx: &mut Ctx<'_>, found: &[Option<Vec<u8>>]) -> Answer {
    let (target, limit) = (ctx.key(1), limit(ctx));
    if found.is_empty() {
        ctx.access.delete(target, NotifyFlags::GENERIC, "del");
    } else {
        let mut list = List::default();
        for element in found {
            let element = element.as_deref().unwrap_or_default();
            list.make_room(element.len(), 1, limit);
            list.push(End::Back, element, limit);
        }
        let list = Collection::List(list);
        ctx.access.log_room_for(&list)?;
        ctx.access.put(target, list, Expiry::Clear, NotifyFlags::LIST, "sortstore");
    }
    ctx.reply.int(found.len() as i64);
    DONE
}

use self::sort as sort_ro;

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("sort", -2, "generic", sort)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Set, Category::SortedSet, Category::List, Category::Dangerous])
        .keys(&[
            keys_at(1, 0, 1, &["RO", "access"]),
            keys_unknown(&["RO", "access"]).notes("For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort"),
            keys_unknown(&["OW", "update"]).notes("For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the argument array"),
        ])
        .databases(SORT_KEYS)
        .scope(scope)
        .docs("Sorts the elements in a list, a set, or a sorted set, optionally storing the result.", "1.0.0")
        .complexity("O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).")
        .args(&[
            key("key", 0),
            Arg { key_spec: Some(1), ..arg("by-pattern", ArgKind::Pattern) }.token("BY").display("pattern").optional(),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").optional(),
            Arg { key_spec: Some(1), ..arg("get-pattern", ArgKind::Pattern) }.token("GET").display("pattern").optional().multiple().multiple_token(),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
            token("sorting", "ALPHA").optional(),
            key("destination", 2).token("STORE").optional(),
        ]),
    row("sort_ro", -2, "generic", sort_ro)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Set, Category::SortedSet, Category::List, Category::Dangerous])
        .keys(&[
            keys_at(1, 0, 1, &["RO", "access"]),
            keys_unknown(&["RO", "access"]).notes("For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content of the key we sort"),
        ])
        .databases(SORT_KEYS)
        .scope(scope)
        .docs("Returns the sorted elements of a list, a set, or a sorted set.", "7.0.0")
        .complexity("O(N+M*log(M)) where N is the number of elements in the list or set to sort, and M the number of returned elements. When the elements are not sorted, complexity is O(N).")
        .args(&[
            key("key", 0),
            Arg { key_spec: Some(1), ..arg("by-pattern", ArgKind::Pattern) }.token("BY").display("pattern").optional(),
            block("limit", &[
                arg("offset", ArgKind::Integer),
                arg("count", ArgKind::Integer),
            ]).token("LIMIT").optional(),
            Arg { key_spec: Some(1), ..arg("get-pattern", ArgKind::Pattern) }.token("GET").display("pattern").optional().multiple().multiple_token(),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
            token("sorting", "ALPHA").optional(),
        ]),
];
