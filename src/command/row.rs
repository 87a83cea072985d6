//! A row of the command table: everything that is known of a command, as data.
//!
//! Rows stand at the foot of their family's file. From a row come dispatch, arity and state checks, key
//! positions, COMMAND, COMMAND DOCS, COMMAND GETKEYS, and the table of commands in the README.

use super::{Ctx, Handler};
use crate::keyspace::Scope;
use crate::number;
use crate::resp::Args;
use smallvec::SmallVec;

/// Properties of a command; the names are those of COMMAND INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[expect(missing_docs, reason = "https://redis.io/docs/latest/commands/command/ says what each means")]
pub enum Flag {
    Write = 1 << 0,
    Readonly = 1 << 1,
    DenyOom = 1 << 2,
    Admin = 1 << 3,
    PubSub = 1 << 4,
    NoScript = 1 << 5,
    Blocking = 1 << 6,
    Loading = 1 << 7,
    Stale = 1 << 8,
    SkipMonitor = 1 << 9,
    SkipSlowlog = 1 << 10,
    Fast = 1 << 11,
    NoAuth = 1 << 12,
    /// Not shown: waits while writes are paused, as a write does.
    MayReplicate = 1 << 13,
    NoMandatoryKeys = 1 << 14,
    /// Not shown: may be switched off by configuration.
    Protected = 1 << 15,
    NoAsyncLoading = 1 << 16,
    NoMulti = 1 << 17,
    AllowBusy = 1 << 18,
    /// Not shown: touches keys that are not among its arguments.
    TouchesArbitraryKeys = 1 << 19,
    /// Not shown: changes values, of which the rest stays. It follows from the key specifications.
    ChangesValues = 1 << 20,
}

/// Flags in the order of COMMAND INFO; those that it hides have no name.
pub const FLAG_NAMES: &[(Flag, &str)] = &[
    (Flag::Write, "write"),
    (Flag::Readonly, "readonly"),
    (Flag::DenyOom, "denyoom"),
    (Flag::Admin, "admin"),
    (Flag::PubSub, "pubsub"),
    (Flag::NoScript, "noscript"),
    (Flag::Blocking, "blocking"),
    (Flag::Loading, "loading"),
    (Flag::Stale, "stale"),
    (Flag::SkipMonitor, "skip_monitor"),
    (Flag::SkipSlowlog, "skip_slowlog"),
    (Flag::Fast, "fast"),
    (Flag::NoAuth, "no_auth"),
    (Flag::NoMandatoryKeys, "no_mandatory_keys"),
    (Flag::NoAsyncLoading, "no_async_loading"),
    (Flag::NoMulti, "no_multi"),
    (Flag::AllowBusy, "allow_busy"),
];

/// ACL categories in the order of COMMAND INFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
#[expect(
    missing_docs,
    reason = "https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/"
)]
pub enum Category {
    Keyspace = 1 << 0,
    Read = 1 << 1,
    Write = 1 << 2,
    Set = 1 << 3,
    SortedSet = 1 << 4,
    List = 1 << 5,
    Hash = 1 << 6,
    String = 1 << 7,
    Bitmap = 1 << 8,
    HyperLogLog = 1 << 9,
    Geo = 1 << 10,
    Stream = 1 << 11,
    PubSub = 1 << 12,
    Admin = 1 << 13,
    Fast = 1 << 14,
    Slow = 1 << 15,
    Blocking = 1 << 16,
    Dangerous = 1 << 17,
    Connection = 1 << 18,
    Transaction = 1 << 19,
    Scripting = 1 << 20,
}

/// The names of the categories.
pub const CATEGORY_NAMES: &[(Category, &str)] = &[
    (Category::Keyspace, "keyspace"),
    (Category::Read, "read"),
    (Category::Write, "write"),
    (Category::Set, "set"),
    (Category::SortedSet, "sortedset"),
    (Category::List, "list"),
    (Category::Hash, "hash"),
    (Category::String, "string"),
    (Category::Bitmap, "bitmap"),
    (Category::HyperLogLog, "hyperloglog"),
    (Category::Geo, "geo"),
    (Category::Stream, "stream"),
    (Category::PubSub, "pubsub"),
    (Category::Admin, "admin"),
    (Category::Fast, "fast"),
    (Category::Slow, "slow"),
    (Category::Blocking, "blocking"),
    (Category::Dangerous, "dangerous"),
    (Category::Connection, "connection"),
    (Category::Transaction, "transaction"),
    (Category::Scripting, "scripting"),
];

/// Where the search for keys begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// At the argument of this index.
    Index(usize),
    /// After this word, looked for from an index on (negative: from the end, backwards).
    Keyword(&'static str, i32),
    /// Only the command's own rules tell.
    Unknown,
}

/// Which arguments from there on are keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Find {
    /// Each `step`-th up to `last`, which is relative to the first, or, negative, to the end; of what is
    /// left only one `limit`-th, where that is more than 1.
    Range {
        /// The last key.
        last: i32,
        /// The distance between keys.
        step: usize,
        /// The part of the rest that is keys.
        limit: usize,
    },
    /// As many as an argument says.
    Counted {
        /// Where the number stands.
        number_at: usize,
        /// Where the first key stands.
        first: usize,
        /// The distance between keys.
        step: usize,
    },
    /// Only the command's own rules tell.
    Unknown,
}

/// Where a command has keys among its arguments.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// What is done with the keys, in the words of COMMAND INFO.
    pub flags: &'static [&'static str],
    /// Where they begin.
    pub begin: Begin,
    /// Which they are.
    pub find: Find,
    /// A remark of COMMAND INFO.
    pub notes: Option<&'static str>,
}

type Flags = &'static [&'static str];

/// Keys from `first` to `last`, each `step`-th.
pub const fn keys_at(first: usize, last: i32, step: usize, flags: Flags) -> KeySpec {
    KeySpec { flags, begin: Begin::Index(first), find: Find::Range { last, step, limit: 0 }, notes: None }
}

/// Keys after a number of keys: number and first key relative to `begin`.
pub const fn keys_counted(
    begin: usize,
    number_at: usize,
    first: usize,
    step: usize,
    flags: Flags,
) -> KeySpec {
    KeySpec { flags, begin: Begin::Index(begin), find: Find::Counted { number_at, first, step }, notes: None }
}

/// Keys after a word that is looked for from `from` on.
pub const fn keys_after(
    word: &'static str,
    from: i32,
    last: i32,
    step: usize,
    limit: usize,
    flags: Flags,
) -> KeySpec {
    KeySpec { flags, begin: Begin::Keyword(word, from), find: Find::Range { last, step, limit }, notes: None }
}

/// Keys that only the command's own rules find.
pub const fn keys_unknown(flags: Flags) -> KeySpec {
    KeySpec { flags, begin: Begin::Unknown, find: Find::Unknown, notes: None }
}

impl KeySpec {
    /// With a remark.
    pub const fn notes(self, notes: &'static str) -> KeySpec {
        KeySpec { notes: Some(notes), ..self }
    }

    /// Whether it has a flag of two letters: the standard library compares nothing where constants are made.
    const fn has(&self, flag: &str) -> bool {
        let mut at = 0;
        while at < self.flags.len() {
            if let ([a, b], [c, d]) = (self.flags[at].as_bytes(), flag.as_bytes())
                && *a == *c
                && *b == *d
            {
                return true;
            }
            at += 1;
        }
        false
    }

    /// The index of the key where there is exactly one, at a fixed place.
    #[inline]
    pub fn single(&self) -> Option<usize> {
        match (self.begin, self.find) {
            (Begin::Index(index), Find::Range { last: 0, .. }) => Some(index),
            _ => None,
        }
    }

    /// Whether a number of keys, where there is one, is a number of arguments that are there.
    pub fn counts_within(&self, args: &Args<'_>, begin: usize) -> bool {
        let Find::Counted { number_at, first, step } = self.find else { return true };
        let number = args.get(begin + number_at).and_then(number::parse_i64);
        let number = number.and_then(|number| usize::try_from(number).ok()).filter(|number| *number > 0);
        number.is_some_and(|number| number <= args.len() && begin + first + (number - 1) * step < args.len())
    }

    /// The keys' indices in a request.
    pub fn indices(&self, args: &Args<'_>) -> SmallVec<[usize; 2]> {
        let is_word = |index: &usize, word: &str| {
            args.get(*index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
        };
        let begin = match self.begin {
            Begin::Index(index) => Some(index),
            Begin::Keyword(word, from) => match usize::try_from(from) {
                Ok(from) => (from..args.len()).find(|index| is_word(index, word)),
                Err(_) => {
                    let last = args.len().saturating_sub(from.unsigned_abs() as usize);
                    (1..=last).rev().find(|index| is_word(index, word))
                }
            }
            .map(|index| index + 1),
            Begin::Unknown => None,
        };
        let Some(begin) = begin else { return SmallVec::new() };
        let (first, end, step) = match self.find {
            Find::Range { last, step, limit } => {
                let end = if last >= 0 {
                    begin + last as usize + 1
                } else if limit > 1 {
                    begin + args.len().saturating_sub(begin) / limit
                } else {
                    (args.len() + 1).saturating_sub(last.unsigned_abs() as usize)
                };
                (begin, end, step)
            }
            Find::Counted { number_at, first, step } => {
                let number = args.get(begin + number_at).and_then(number::parse_i64).unwrap_or(0);
                let first = begin + first;
                let number = usize::try_from(number).unwrap_or(0).min(args.len());
                (first, first + number * step, step)
            }
            Find::Unknown => return SmallVec::new(),
        };
        (first..end.min(args.len())).step_by(step).collect()
    }
}

/// What kind of argument it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    String,
    Integer,
    Double,
    Key,
    Pattern,
    UnixTime,
    PureToken,
    OneOf,
    Block,
}

impl ArgKind {
    /// The name that COMMAND DOCS uses.
    pub fn name(self) -> &'static str {
        match self {
            ArgKind::String => "string",
            ArgKind::Integer => "integer",
            ArgKind::Double => "double",
            ArgKind::Key => "key",
            ArgKind::Pattern => "pattern",
            ArgKind::UnixTime => "unix-time",
            ArgKind::PureToken => "pure-token",
            ArgKind::OneOf => "oneof",
            ArgKind::Block => "block",
        }
    }
}

/// An argument as COMMAND DOCS describes it.
#[derive(Clone, Copy, Debug)]
pub struct Arg {
    pub name: &'static str,
    pub kind: ArgKind,
    pub token: Option<&'static str>,
    pub key_spec: Option<usize>,
    pub display: Option<&'static str>,
    pub since: Option<&'static str>,
    pub deprecated_since: Option<&'static str>,
    pub optional: bool,
    pub multiple: bool,
    pub multiple_token: bool,
    pub args: &'static [Arg],
}

/// An argument of a name and kind.
pub const fn arg(name: &'static str, kind: ArgKind) -> Arg {
    Arg {
        name,
        kind,
        token: None,
        key_spec: None,
        display: None,
        since: None,
        deprecated_since: None,
        optional: false,
        multiple: false,
        multiple_token: false,
        args: &[],
    }
}

/// A key, of the key specification of this index.
pub const fn key(name: &'static str, spec: usize) -> Arg {
    Arg { key_spec: Some(spec), ..arg(name, ArgKind::Key) }
}

/// A word that stands for itself.
pub const fn token(name: &'static str, token: &'static str) -> Arg {
    Arg { token: Some(token), ..arg(name, ArgKind::PureToken) }
}

/// A choice between arguments.
pub const fn one_of(name: &'static str, args: &'static [Arg]) -> Arg {
    Arg { args, ..arg(name, ArgKind::OneOf) }
}

/// Arguments that come together.
pub const fn block(name: &'static str, args: &'static [Arg]) -> Arg {
    Arg { args, ..arg(name, ArgKind::Block) }
}

impl Arg {
    pub const fn token(self, token: &'static str) -> Arg {
        Arg { token: Some(token), ..self }
    }
    pub const fn display(self, display: &'static str) -> Arg {
        Arg { display: Some(display), ..self }
    }
    pub const fn since(self, since: &'static str) -> Arg {
        Arg { since: Some(since), ..self }
    }
    pub const fn deprecated_since(self, since: &'static str) -> Arg {
        Arg { deprecated_since: Some(since), ..self }
    }
    pub const fn optional(self) -> Arg {
        Arg { optional: true, ..self }
    }
    pub const fn multiple(self) -> Arg {
        Arg { multiple: true, ..self }
    }
    pub const fn multiple_token(self) -> Arg {
        Arg { multiple_token: true, ..self }
    }
}

/// What is used to find the database of each key.
pub type Databases = fn(&Args<'_>, usize) -> SmallVec<[(usize, usize); 2]>;

/// A command.
#[derive(Debug)]
pub struct Row {
    /// The name in lower case; of a subcommand its own name only.
    pub name: &'static str,
    /// The number of arguments with the name; negative: at least so many.
    pub arity: i32,
    /// The group of the documentation.
    pub group: &'static str,
    /// What runs it.
    pub handler: Handler,
    /// The sum of its [`Flag`]s.
    pub flags: u32,
    /// The sum of its own [`Category`]s, without those that follow from flags.
    pub own_categories: u32,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Names the databases of its keys where they are not all in the selected one: pairs of database and
    /// index of the argument.
    pub databases: Option<Databases>,
    /// What it uses beside its keys; `None` for nothing.
    pub scope: Option<fn(&Args<'_>) -> Scope>,
    /// Its subcommands.
    pub subcommands: &'static [Row],
    /// What it does.
    pub summary: &'static str,
    /// The version of Redis that had it first.
    pub since: &'static str,
    /// What it costs.
    pub complexity: Option<&'static str>,
    /// `deprecated`, `syscmd`.
    pub doc_flags: &'static [&'static str],
    /// The version that deprecated it, and what to use instead.
    pub deprecated: Option<(&'static str, Option<&'static str>)>,
    /// Versions and what they changed.
    pub history: &'static [(&'static str, &'static str)],
    /// Hints to clients.
    pub tips: &'static [&'static str],
    /// Its arguments.
    pub args: &'static [Arg],
}

fn container_only(_: &mut Ctx<'_>) -> super::Answer {
    Err(super::Error::SYNTAX)
}

/// A row with the least that a command has.
pub const fn row(name: &'static str, arity: i32, group: &'static str, handler: Handler) -> Row {
    Row {
        name,
        arity,
        group,
        handler,
        flags: 0,
        own_categories: 0,
        keys: &[],
        databases: None,
        scope: None,
        subcommands: &[],
        summary: "",
        since: "",
        complexity: None,
        doc_flags: &[],
        deprecated: None,
        history: &[],
        tips: &[],
        args: &[],
    }
}

/// The row of a command that only has subcommands.
pub const fn container(
    name: &'static str,
    arity: i32,
    group: &'static str,
    subcommands: &'static [Row],
) -> Row {
    Row { subcommands, ..row(name, arity, group, container_only) }
}

#[expect(missing_docs, reason = "each sets the field of its name")]
impl Row {
    pub const fn flags(mut self, flags: &[Flag]) -> Row {
        let mut at = 0;
        while at < flags.len() {
            self.flags |= flags[at] as u32;
            at += 1;
        }
        self
    }
    pub const fn acl(mut self, categories: &[Category]) -> Row {
        let mut at = 0;
        while at < categories.len() {
            self.own_categories |= categories[at] as u32;
            at += 1;
        }
        self
    }
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Row {
        let mut at = 0;
        while at < keys.len() {
            if keys[at].has("RW") {
                self.flags |= Flag::ChangesValues as u32;
            }
            at += 1;
        }
        self.keys = keys;
        self
    }
    pub const fn databases(self, databases: Databases) -> Row {
        Row { databases: Some(databases), ..self }
    }
    pub const fn scope(self, scope: fn(&Args<'_>) -> Scope) -> Row {
        Row { scope: Some(scope), ..self }
    }
    pub const fn docs(self, summary: &'static str, since: &'static str) -> Row {
        Row { summary, since, ..self }
    }
    pub const fn complexity(self, complexity: &'static str) -> Row {
        Row { complexity: Some(complexity), ..self }
    }
    pub const fn doc_flags(self, doc_flags: &'static [&'static str]) -> Row {
        Row { doc_flags, ..self }
    }
    pub const fn deprecated(self, since: &'static str, replaced_by: Option<&'static str>) -> Row {
        Row { deprecated: Some((since, replaced_by)), ..self }
    }
    pub const fn history(self, history: &'static [(&'static str, &'static str)]) -> Row {
        Row { history, ..self }
    }
    pub const fn tips(self, tips: &'static [&'static str]) -> Row {
        Row { tips, ..self }
    }
    pub const fn args(self, args: &'static [Arg]) -> Row {
        Row { args, ..self }
    }
}

impl Row {
    /// Whether it has a flag.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags & flag as u32 != 0
    }

    /// Whether this many arguments, the name included, are right.
    pub fn accepts(&self, arguments: usize) -> bool {
        if self.arity >= 0 { arguments == self.arity as usize } else { arguments >= -self.arity as usize }
    }

    /// Whether it is in a category, by itself or by its flags.
    pub fn is_in(&self, category: Category) -> bool {
        if self.own_categories & category as u32 != 0 {
            return true;
        }
        match category {
            Category::Write => self.has(Flag::Write),
            Category::Read => {
                self.has(Flag::Readonly) && self.own_categories & Category::Scripting as u32 == 0
            }
            Category::Admin | Category::Dangerous => self.has(Flag::Admin),
            Category::PubSub => self.has(Flag::PubSub),
            Category::Fast => self.has(Flag::Fast),
            Category::Slow => !self.has(Flag::Fast),
            Category::Blocking => self.has(Flag::Blocking),
            _ => false,
        }
    }

    /// Whether it is about a type that is no string.
    #[inline]
    pub fn is_of_collections(&self) -> bool {
        const TYPES: u32 = Category::Hash as u32
            | Category::List as u32
            | Category::Set as u32
            | Category::SortedSet as u32
            | Category::Stream as u32
            | Category::Geo as u32;
        self.own_categories & TYPES != 0
    }

    /// Whether it has keys: what shard channels are declared as are none.
    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty() && !self.has(Flag::PubSub)
    }

    /// What a request uses beside its keys.
    #[inline]
    pub fn scope_of(&self, args: &Args<'_>) -> Scope {
        self.scope.map_or(Scope::Keys, |scope| scope(args))
    }

    /// Whether its keys' places depend on the arguments.
    pub fn has_movable_keys(&self) -> bool {
        let fixed = |spec: &KeySpec| matches!((spec.begin, spec.find), (Begin::Index(_), Find::Range { .. }));
        !self.keys.iter().all(fixed)
    }

    /// The databases and argument indices of the keys of a request, in order.
    pub fn key_places(&self, args: &Args<'_>, selected: usize) -> SmallVec<[(usize, usize); 2]> {
        match self.databases {
            Some(databases) => databases(args, selected),
            None => {
                self.keys.iter().flat_map(|spec| spec.indices(args)).map(|index| (selected, index)).collect()
            }
        }
    }
}
