//! When two replies count as the same.
//!
//! Byte by byte, unless one of two tables says otherwise: [`NORMALISERS`], for replies that no two runs of one server share,
//! and [`EXCEPTIONS`], for what Redis 7.4 answers differently from the oracle's 7.0, where 7.4 is right.

use super::collections::newer_oracle;
use super::generate::{PARAMETERS, Request, is_shared};
use crate::support::{Reply, Value, show};

/// Whether two replies to a request that are not errors say the same.
type Same = fn(&Request, &Value, &Value) -> bool;

/// How the replies to a command, and a subcommand when it matters, are compared in place of their bytes. Errors never are.
const NORMALISERS: &[(&str, Same)] = &[
    // The order is that of a hash table.
    ("KEYS", unordered),
    ("PUBSUB CHANNELS", unordered),
    ("PUBSUB SHARDCHANNELS", unordered),
    ("SCAN", same_scan),
    ("RANDOMKEY", same_kind),
    ("SMEMBERS", unordered),
    ("SINTER", unordered),
    ("SUNION", unordered),
    ("SDIFF", unordered),
    ("SPOP", unordered),
    ("HKEYS", unordered),
    ("HVALS", unordered),
    ("HGETALL", unordered_pairs),
    ("SSCAN", same_scan),
    ("HSCAN", same_scan_of_pairs),
    ("ZSCAN", same_scan_of_pairs),
    ("SORT", same_sort),
    ("SORT_RO", same_sort),
    // Of places that are equally far any may come first.
    ("GEOSEARCH", same_distances),
    ("GEORADIUS", same_distances),
    ("GEORADIUS_RO", same_distances),
    ("GEORADIUSBYMEMBER", same_distances),
    ("GEORADIUSBYMEMBER_RO", same_distances),
    // Drawn at random.
    ("SRANDMEMBER", same_size),
    ("HRANDFIELD", same_size),
    ("ZRANDMEMBER", same_size),
    // The clocks of two servers.
    ("TTL", near),
    ("PTTL", near),
    ("EXPIRETIME", near),
    ("PEXPIRETIME", near),
    ("HTTL", all_near),
    ("HPTTL", all_near),
    ("HEXPIRETIME", all_near),
    ("HPEXPIRETIME", all_near),
    ("TIME", same_kind),
    ("OBJECT IDLETIME", same_kind),
    ("OBJECT FREQ", same_kind),
    // Redis counts its slow log's hold on an argument that became a value, when the command happened to be slow.
    ("OBJECT REFCOUNT", same_sharing),
    ("XPENDING", same_pending),
    ("XINFO CONSUMERS", same_consumers),
    ("XINFO STREAM", same_stream),
    // Descriptions of the server itself; `server.rs` and `client.rs` check what is in them.
    ("INFO", same_kind),
    ("LOLWUT", same_kind),
    ("CLIENT ID", same_kind),
    ("CLIENT INFO", same_kind),
    ("CLIENT LIST", same_kind),
    ("DEBUG OBJECT", same_kind),
    ("MEMORY USAGE", same_kind),
    ("MEMORY STATS", same_kind),
    ("MEMORY DOCTOR", same_kind),
    ("LATENCY HISTOGRAM", same_kind),
    ("COMMAND COUNT", same_kind),
    // Strata has some of Redis's parameters and commands, and its own: what both have is compared.
    ("CONFIG GET", same_parameters),
    ("COMMAND LIST", same_commands),
    ("COMMAND", same_command_info),
    ("COMMAND INFO", same_command_info),
    ("COMMAND DOCS", same_command_docs),
];

/// Whether a difference is the one that is meant: the request, 7.0's reply, the reply under test.
type Explains = fn(&Request, &Reply, &Reply) -> bool;

/// What Redis 7.4 answers that 7.0 does not, with the reason; rows of COMMAND INFO and DOCS are in [`COMMAND_CHANGES`].
const EXCEPTIONS: &[(&str, Explains)] = &[
    ("7.4 says \"Print this help.\", and CLIENT HELP has what came since", |request, oracle, got| {
        let first_and_last = |reply: &Reply| {
            let lines = reply.value.items();
            (lines.first().cloned(), lines.last().map(|line| line.text().replace("Prints", "Print")))
        };
        let help = request.get(1).is_some_and(|word| word.eq_ignore_ascii_case(b"HELP"));
        help && !oracle.value.is_error()
            && !got.value.is_error()
            && first_and_last(oracle) == first_and_last(got)
    }),
    (
        "7.4 takes a cursor for a number of 64 bits without sign: refuses \"\" and -1, skips leading spaces",
        |request, oracle, got| {
            let cursor = request.get(1).map_or(&b""[..], |cursor| cursor);
            let refused = show(&got.bytes) == "-ERR invalid cursor";
            let spaced = show(&oracle.bytes) == "-ERR invalid cursor" && cursor.starts_with(b" ");
            full_name(request) == "SCAN"
                && (spaced || (refused && (cursor.is_empty() || cursor.starts_with(b"-"))))
        },
    ),
    (
        "7.4 takes COMMAND GETKEYS with a command alone, and judges that command's own arity",
        |request, oracle, _| {
            request.len() == 3
                && show(&oracle.bytes).starts_with("-ERR wrong number of arguments for 'command|getkeys")
        },
    ),
    ("CLIENT SETINFO and NO-TOUCH came with 7.2", |request, oracle, _| {
        let new = ["CLIENT SETINFO", "CLIENT NO-TOUCH"].contains(&full_name(request).as_str());
        new && show(&oracle.bytes).starts_with("-ERR unknown subcommand")
    }),
    ("7.4 allows maxmemory-samples up to 64", |_, oracle, got| {
        let old = show(&oracle.bytes);
        let now = old.replace("between 1 and 2147483647 inclusive", "between 1 and 64 inclusive");
        old.contains("'maxmemory-samples'") && show(&got.bytes) == now
    }),
    ("7.4 writes the shortest form of a score", |request, oracle, got| {
        let name = full_name(request);
        let scored = name.starts_with('Z') || name.starts_with("BZ") || name.starts_with("GEO");
        let one = |reply: &Reply| shortest_doubles(std::slice::from_ref(&reply.value));
        scored && !newer_oracle() && one(oracle) == one(got)
    }),
    ("7.2 made listpacks of small sets and lists", |request, oracle, got| {
        // And 7.4 judges a set or sorted set by how many members a command brings, known or not.
        let encodings = [
            ("hashtable", "listpack"),
            ("quicklist", "listpack"),
            ("intset", "listpack"),
            ("intset", "hashtable"),
            ("listpack", "skiplist"),
        ];
        let bulk = |value: &Value, name: &str| *value == Value::Bulk(name.into());
        full_name(request) == "OBJECT ENCODING"
            && !newer_oracle()
            && encodings.iter().any(|(old, new)| bulk(&oracle.value, old) && bulk(&got.value, new))
    }),
    (
        "7.4 calls a hash whose fields were to expire, and had none of that name, a listpackex",
        |request, oracle, got| {
            full_name(request) == "OBJECT ENCODING"
                && newer_oracle()
                && oracle.bytes == b"$10\r\nlistpackex\r\n"
                && got.bytes == b"$8\r\nlistpack\r\n"
        },
    ),
    ("SORT makes a skiplist of a sorted set that it only reads", |request, oracle, got| {
        full_name(request) == "OBJECT ENCODING"
            && oracle.bytes == b"$8\r\nskiplist\r\n"
            && got.bytes == b"$8\r\nlistpack\r\n"
    }),
    ("7.2 names the command whose list of streams is unbalanced", |request, oracle, got| {
        let unbalanced = |reply: &Reply| show(&reply.bytes).starts_with("-ERR Unbalanced");
        full_name(request).starts_with("XREAD") && unbalanced(oracle) && unbalanced(got)
    }),
    ("CLIENT KILL MAXAGE came with 7.4", |request, _, _| {
        full_name(request) == "CLIENT KILL" && request.iter().any(|word| word.eq_ignore_ascii_case(b"MAXAGE"))
    }),
];

/// Texts that are doubles in their shortest form, within arrays too: 7.0 writes 17 digits, 7.4 as few as tell it apart.
fn shortest_doubles(items: &[Value]) -> Vec<Value> {
    let shortest = |text: &[u8]| {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        // A pack of 7.4 does not know -0.
        number.map_or(text.to_vec(), |number| format!("{:?}", number + 0.0).into_bytes())
    };
    let one = |value: &Value| match value {
        Value::Bulk(text) => Value::Bulk(shortest(text)),
        Value::Double(text) => Value::Double(shortest(text)),
        Value::Array(items) => Value::Array(shortest_doubles(items)),
        other => other.clone(),
    };
    items.iter().map(one).collect()
}

/// A field of COMMAND INFO or DOCS that 7.4 answers otherwise than 7.0.
struct CommandChange {
    command: &'static str,
    now: Now,
}

enum Now {
    Arity(i64),
    Tips(&'static [&'static str]),
    Since(&'static str),
    /// Other key specifications, not compared.
    Keys,
    /// Not `noscript` any more.
    Scriptable,
    /// Another shape, not compared.
    Arguments,
}

const ALL_NODES: Now = Now::Tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]);

/// 7.4 corrected these rows of its table: cluster tips that were missing or wrong, GETKEYS of a command without arguments,
/// and argument lists that redis-cli could not show well.
const COMMAND_CHANGES: &[CommandChange] = &[
    CommandChange { command: "client|setname", now: ALL_NODES },
    CommandChange { command: "config|resetstat", now: ALL_NODES },
    CommandChange { command: "config|rewrite", now: ALL_NODES },
    CommandChange {
        command: "latency|reset",
        now: Now::Tips(&["request_policy:all_nodes", "response_policy:agg_sum"]),
    },
    CommandChange { command: "msetnx", now: Now::Tips(&[]) },
    CommandChange {
        command: "randomkey",
        now: Now::Tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
    },
    CommandChange {
        command: "scan",
        now: Now::Tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    },
    CommandChange { command: "command|getkeys", now: Now::Arity(-3) },
    CommandChange { command: "command|getkeysandflags", now: Now::Arity(-3) },
    CommandChange { command: "client|pause", now: Now::Since("3.0.0") },
    CommandChange { command: "client|kill", now: Now::Arguments },
    CommandChange { command: "command|getkeys", now: Now::Arguments },
    CommandChange { command: "command|getkeysandflags", now: Now::Arguments },
    CommandChange { command: "config|get", now: Now::Arguments },
    CommandChange { command: "client|list", now: Now::Arguments },
    CommandChange { command: "psubscribe", now: Now::Arguments },
    CommandChange { command: "bitop", now: Now::Arguments },
    CommandChange { command: "xinfo|stream", now: Now::Arguments },
    CommandChange { command: "pfmerge", now: Now::Arguments },
    CommandChange { command: "blmove", now: Now::Scriptable },
    CommandChange { command: "blpop", now: Now::Scriptable },
    CommandChange { command: "brpop", now: Now::Scriptable },
    CommandChange { command: "brpoplpush", now: Now::Scriptable },
    CommandChange { command: "bzpopmax", now: Now::Scriptable },
    CommandChange { command: "bzpopmin", now: Now::Scriptable },
    CommandChange { command: "sinterstore", now: Now::Keys },
    CommandChange { command: "zrank", now: Now::Arity(-3) },
    CommandChange { command: "zrevrank", now: Now::Arity(-3) },
    CommandChange { command: "geohash", now: Now::Arguments },
    CommandChange { command: "geopos", now: Now::Arguments },
    CommandChange { command: "georadius", now: Now::Arguments },
    CommandChange { command: "georadiusbymember", now: Now::Arguments },
    CommandChange { command: "hscan", now: Now::Arguments },
    CommandChange { command: "zrank", now: Now::Arguments },
    CommandChange { command: "zrevrank", now: Now::Arguments },
];

/// True when `got` is a right answer to `request`, given what the oracle said.
pub fn same_reply(request: &Request, oracle: &Reply, got: &Reply) -> bool {
    oracle.bytes == got.bytes
        || normaliser(request).is_some_and(|same| {
            !oracle.value.is_error() && !got.value.is_error() && same(request, &oracle.value, &got.value)
        })
        || EXCEPTIONS.iter().any(|(_, explains)| explains(request, oracle, got))
}

/// The command's name in capitals, with the subcommand of those that have some.
pub fn full_name(request: &Request) -> String {
    let upper = |word: &Vec<u8>| String::from_utf8_lossy(word).to_uppercase();
    let name = upper(&request[0]);
    let nested = [
        "CLIENT", "COMMAND", "CONFIG", "DEBUG", "LATENCY", "MEMORY", "OBJECT", "PUBSUB", "SLOWLOG", "XGROUP",
        "XINFO",
    ];
    match request.get(1) {
        Some(second) if nested.contains(&name.as_str()) => format!("{name} {}", upper(second)),
        _ => name,
    }
}

fn normaliser(request: &Request) -> Option<Same> {
    let name = full_name(request);
    NORMALISERS.iter().find(|(command, _)| *command == name).map(|(_, same)| *same)
}

fn same_kind(_: &Request, a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

fn unordered(_: &Request, a: &Value, b: &Value) -> bool {
    sorted(a) == sorted(b)
}

fn sorted(value: &Value) -> Vec<Value> {
    let mut items = value.items();
    items.sort();
    items
}

/// Pairs in any order, be they a map or an array of names and values.
fn unordered_pairs(request: &Request, a: &Value, b: &Value) -> bool {
    same_kind(request, a, b) && pairs(a) == pairs(b)
}

fn pairs(value: &Value) -> Vec<Vec<Value>> {
    let mut pairs = value.items().chunks(2).map(<[Value]>::to_vec).collect::<Vec<_>>();
    pairs.sort();
    pairs
}

/// As many elements of the same kinds, and the same ones where all were asked for.
fn same_size(request: &Request, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            let count = request.get(2).and_then(|count| std::str::from_utf8(count).ok()?.parse::<i64>().ok());
            let all = count.is_some_and(|count| count > a.len() as i64);
            let kinds = |items: &[Value]| {
                items.iter().map(|item| matches!(item, Value::Array(_))).collect::<Vec<_>>()
            };
            let all_of = |items: &[Value]| sorted(&Value::Array(shortest_doubles(items)));
            kinds(a) == kinds(b) && (!all || all_of(a) == all_of(b))
        }
        _ => same_kind(request, a, b),
    }
}

/// The same places, or as many where not all were asked for, and the same distances in their order.
fn same_distances(request: &Request, a: &Value, b: &Value) -> bool {
    let has = |word: &[u8]| request.iter().any(|other| other.eq_ignore_ascii_case(word));
    let distance = |item: &Value| match item {
        Value::Array(parts) if has(b"WITHDIST") => parts.get(1).cloned(),
        _ => None,
    };
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len()
                && a.iter().map(distance).eq(b.iter().map(distance))
                && (has(b"COUNT") || sorted(&Value::Array(a.clone())) == sorted(&Value::Array(b.clone())))
        }
        _ => false,
    }
}

/// The order of a set is not to be relied on, and what weighs the same by an outer key or cannot be told apart comes in any order.
fn same_sort(request: &Request, a: &Value, b: &Value) -> bool {
    let has = |word: &[u8]| request.iter().any(|other| other.eq_ignore_ascii_case(word));
    let by_itself = has(b"BY");
    let limited = has(b"LIMIT");
    match (a, b) {
        (Value::Array(_), Value::Array(_)) if by_itself && limited => a.items().len() == b.items().len(),
        (Value::Array(_), Value::Array(_)) if by_itself => sorted(a) == sorted(b),
        // ALPHA compares as C does, up to a zero byte.
        (Value::Array(_), Value::Array(_)) if has(b"ALPHA") && has(b"GET") => {
            limited || sorted(a) == sorted(b)
        }
        (Value::Array(a), Value::Array(b)) if has(b"ALPHA") => {
            let until_zero = |items: &[Value]| {
                let cut = |item: &Value| match item {
                    Value::Bulk(text) => text.split(|byte| *byte == 0).next().map(<[u8]>::to_vec),
                    _ => None,
                };
                items.iter().map(cut).collect::<Vec<_>>()
            };
            until_zero(a) == until_zero(b)
        }
        _ => false,
    }
}

/// Numbers a few seconds apart, or milliseconds where both are large; the marks -1 and -2 must be the same.
fn near(request: &Request, a: &Value, b: &Value) -> bool {
    let slack = if request[0].to_ascii_uppercase().starts_with(b"P") { 20_000 } else { 20 };
    let (a, b) = (a.integer(), b.integer());
    a == b || (a >= 0 && b >= 0 && (a - b).abs() <= slack)
}

/// Whether both count the references of a value as shared by all.
fn same_sharing(_: &Request, expected: &Value, got: &Value) -> bool {
    const SHARED: i64 = i32::MAX as i64;
    matches!((expected, got), (Value::Integer(expected), Value::Integer(got))
        if (*expected == SHARED) == (*got == SHARED))
        || expected == got
}

/// The same for each of several fields.
fn all_near(_: &Request, a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            let both_near = |(a, b): (&Value, &Value)| {
                let (a, b) = (a.integer(), b.integer());
                a == b || (a >= 0 && b >= 0 && (a - b).abs() <= 20_000)
            };
            a.len() == b.len() && a.iter().zip(b).all(both_near)
        }
        _ => a == b,
    }
}

/// The same but for how long ago each was delivered.
fn same_pending(_: &Request, a: &Value, b: &Value) -> bool {
    let without_idle = |value: &Value| match value {
        Value::Array(items) => items.iter().map(|item| without(item, 2)).collect::<Vec<_>>(),
        other => vec![other.clone()],
    };
    a == b || without_idle(a) == without_idle(b)
}

/// An array of four without the integer at an index.
fn without(value: &Value, index: usize) -> Value {
    match value {
        Value::Array(items) if items.len() == 4 && matches!(items[index], Value::Integer(_)) => {
            let mut items = items.clone();
            items.remove(index);
            Value::Array(items)
        }
        other => other.clone(),
    }
}

/// The same names and what they have pending; 7.0 does not know when a consumer was active.
fn same_consumers(_: &Request, a: &Value, b: &Value) -> bool {
    let known = |value: &Value| {
        let consumers = value.items();
        consumers.iter().map(|one| (one.field("name"), one.field("pending"))).collect::<Vec<_>>()
    };
    known(a) == known(b)
}

/// The same but for moments, and for `active-time`, which 7.0 does not know.
fn same_stream(_: &Request, a: &Value, b: &Value) -> bool {
    timeless(a) == timeless(b)
}

fn timeless(value: &Value) -> Value {
    let mut items = match value {
        Value::Integer(number) if *number > 1_000_000_000_000 => return Value::Integer(0),
        Value::Array(items) => items.clone(),
        Value::Map(pairs) => pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect(),
        other => return other.clone(),
    };
    if let Some(at) = items.iter().position(|item| *item == Value::Bulk(b"active-time".to_vec())) {
        items.drain(at..(at + 2).min(items.len()));
    }
    Value::Array(items.iter().map(timeless).collect())
}

/// A whole iteration in one call must return the same keys; otherwise, both must return a cursor and an array.
fn same_scan(request: &Request, a: &Value, b: &Value) -> bool {
    let (a, b) = (a.items(), b.items());
    let whole = |reply: &[Value]| reply[0] == Value::Bulk(b"0".to_vec());
    let cursor = if full_name(request) == "SCAN" { 1 } else { 2 };
    if request.get(cursor).is_some_and(|cursor| cursor == b"0") && whole(&a) && whole(&b) {
        sorted(&a[1]) == sorted(&b[1])
    } else {
        same_kind(&Vec::new(), &a[1], &b[1])
    }
}

/// As [`same_scan`], of a hash or a sorted set.
fn same_scan_of_pairs(request: &Request, a: &Value, b: &Value) -> bool {
    if request.iter().any(|word| word.eq_ignore_ascii_case(b"NOVALUES")) {
        return same_scan(request, a, b);
    }
    let (a, b) = (a.items(), b.items());
    let whole = |reply: &[Value]| reply[0] == Value::Bulk(b"0".to_vec());
    if request.get(2).is_some_and(|cursor| cursor == b"0") && whole(&a) && whole(&b) {
        pairs(&a[1])
            .iter()
            .map(|pair| shortest_doubles(pair))
            .eq(pairs(&b[1]).iter().map(|pair| shortest_doubles(pair)))
    } else {
        same_kind(request, &a[1], &b[1])
    }
}

fn same_parameters(request: &Request, a: &Value, b: &Value) -> bool {
    let shared = |value: &Value| {
        let items = value.items();
        let mut pairs = items.chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect::<Vec<_>>();
        pairs.retain(|(name, _)| name != "port" && PARAMETERS.iter().any(|(known, ..)| known == name));
        pairs.sort();
        pairs
    };
    same_kind(request, a, b) && shared(a) == shared(b)
}

fn same_commands(_: &Request, a: &Value, b: &Value) -> bool {
    let shared = |value: &Value| {
        let mut names = value.items().iter().map(Value::text).collect::<Vec<_>>();
        names.retain(|name| is_shared(name));
        names.sort();
        names
    };
    shared(a) == shared(b)
}

/// The same rows for the commands that both have, with flags and subcommands in any order.
fn same_command_info(_: &Request, a: &Value, b: &Value) -> bool {
    let shared = |value: &Value, seven_four: bool| {
        let rows =
            value.items().into_iter().filter_map(|row| command_row(row, seven_four)).collect::<Vec<_>>();
        let mut rows = rows;
        rows.sort();
        rows
    };
    shared(a, false) == shared(b, true)
}

/// A row of COMMAND INFO in a form that can be compared; nothing for a command that only one server has.
fn command_row(row: Value, seven_four: bool) -> Option<Value> {
    let Value::Array(mut fields) = row else {
        return Some(row);
    };
    let name = fields[0].text();
    if !is_shared(&name) {
        return None;
    }
    for field in [2, 6, 7] {
        fields[field] = Value::Array(sorted(&fields[field]));
    }
    if !seven_four && !newer_oracle() {
        for change in COMMAND_CHANGES.iter().filter(|change| change.command == name) {
            match change.now {
                Now::Scriptable => {
                    let flags = fields[2].items().into_iter().filter(|flag| flag.text() != "noscript");
                    fields[2] = Value::Array(flags.collect());
                }
                Now::Arity(arity) => fields[1] = Value::Integer(arity),
                Now::Tips(tips) => {
                    fields[7] =
                        Value::Array(tips.iter().map(|tip| Value::Bulk(tip.as_bytes().into())).collect())
                }
                Now::Since(_) | Now::Arguments | Now::Keys => {}
            }
        }
    }
    if COMMAND_CHANGES.iter().any(|change| change.command == name && matches!(change.now, Now::Keys)) {
        fields[8] = Value::Null;
    }
    let rows =
        fields[9].items().into_iter().filter_map(|row| command_row(row, seven_four)).collect::<Vec<_>>();
    fields[9] = Value::Array(rows);
    fields[9] = Value::Array(sorted(&fields[9]));
    Some(Value::Array(fields))
}

/// The same `since`, `group`, argument shapes and subcommands. Summaries, complexities and the names of arguments are prose,
/// nearly all of it rewritten between 7.0 and 7.4.
fn same_command_docs(_: &Request, a: &Value, b: &Value) -> bool {
    documents(a, false) == documents(b, true)
}

/// Name, since, group, argument shapes, subcommands.
type Document = (String, String, String, Vec<Value>, Vec<String>);

fn documents(value: &Value, seven_four: bool) -> Vec<Document> {
    let items = value.items();
    let pairs = items.chunks(2).filter(|pair| is_shared(&pair[0].text()));
    let mut documents = pairs
        .map(|pair| {
            let name = pair[0].text();
            let mut since = pair[1].field("since").text();
            let mut arguments = field_or_none(&pair[1], "arguments").map_or(Vec::new(), |list| shapes(&list));
            for change in COMMAND_CHANGES.iter().filter(|change| change.command == name) {
                match change.now {
                    Now::Since(version) if !seven_four => since = version.to_string(),
                    Now::Arguments => arguments.clear(),
                    _ => {}
                }
            }
            let subcommands = field_or_none(&pair[1], "subcommands").map_or(Vec::new(), |list| {
                let names = list.items().chunks(2).map(|pair| pair[0].text()).collect::<Vec<_>>();
                names.into_iter().filter(|name| is_shared(name)).collect()
            });
            let mut subcommands = subcommands;
            subcommands.sort();
            (name, since, pair[1].field("group").text(), arguments, subcommands)
        })
        .collect::<Vec<_>>();
    documents.sort();
    documents
}

fn field_or_none(value: &Value, name: &str) -> Option<Value> {
    let items = value.items();
    items.chunks(2).find(|pair| pair[0].text() == name).map(|pair| pair[1].clone())
}

/// What matters of an argument: its type, its token, its flags, and its own arguments.
fn shapes(arguments: &Value) -> Vec<Value> {
    let parts = |argument: &Value| {
        let flags = field_or_none(argument, "flags").map_or(Vec::new(), |flags| sorted(&flags));
        let nested = field_or_none(argument, "arguments").map_or(Vec::new(), |list| shapes(&list));
        let token = field_or_none(argument, "token").unwrap_or(Value::Null);
        Value::Array(vec![argument.field("type"), token, Value::Array(flags), Value::Array(nested)])
    };
    arguments.items().iter().map(parts).collect()
}

/// Messages in an order that does not depend on a hash table: one publication to several patterns, and one command that
/// leaves several channels, may come in any order.
pub fn in_stable_order(messages: Vec<Value>) -> Vec<Value> {
    let mut stable = messages;
    let mut start = 0;
    while start < stable.len() {
        let end = (start + 1..stable.len()).find(|&next| !interchangeable(&stable[start], &stable[next]));
        let end = end.unwrap_or(stable.len());
        sort_messages(&mut stable[start..end]);
        start = end;
    }
    stable
}

fn interchangeable(a: &Value, b: &Value) -> bool {
    match (message(a).as_slice(), message(b).as_slice()) {
        ([kind_a, _, rest_a @ ..], [kind_b, _, rest_b @ ..]) if kind_a == kind_b => {
            kind_a.text().ends_with("unsubscribe") || (kind_a.text() == "pmessage" && rest_a == rest_b)
        }
        _ => false,
    }
}

/// Sorts by channel or pattern; the subscription counts stay where they are.
fn sort_messages(run: &mut [Value]) {
    let mut names = run.iter().map(|value| message(value).get(1).cloned()).collect::<Vec<_>>();
    names.sort();
    if run.len() > 1 {
        for (value, name) in run.iter_mut().zip(names) {
            if let (Value::Array(items) | Value::Push(items), Some(name)) = (value, name) {
                items[1] = name;
            }
        }
    }
}

/// The parts of a pub/sub message, empty for anything else.
fn message(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) | Value::Push(items)
            if items.len() >= 3 && matches!(items[0], Value::Bulk(_)) =>
        {
            items.clone()
        }
        _ => Vec::new(),
    }
}

/// True when a session or a listener was sent the same. A message that a client's own command sends to itself comes after the
/// command's reply in 7.4, before it in 7.0.
pub fn same_session(oracle: &[Value], got: &[Value]) -> bool {
    let is_message =
        |value: &Value| matches!(value, Value::Push(items) if items[0].text().ends_with("message"));
    let mut later = oracle.to_vec();
    let mut at = 0;
    while at < later.len() {
        let messages = later[at..].iter().take_while(|value| is_message(value)).count();
        if messages > 0 && later.get(at + messages).is_some_and(|value| !matches!(value, Value::Push(_))) {
            later[at..=at + messages].rotate_right(1);
        }
        at += messages + 1;
    }
    oracle == got || later == got
}

/// A reply within a session with what identifies the server and the client taken out: HELLO's version and id.
pub fn without_identity(value: Value) -> Value {
    let server = Value::Bulk(b"server".to_vec());
    let identifying = |name: &Value| matches!(name, Value::Bulk(text) if text == b"version" || text == b"id");
    match value {
        Value::Map(pairs) if pairs.first().is_some_and(|(name, _)| *name == server) => {
            Value::Map(pairs.into_iter().filter(|(name, _)| !identifying(name)).collect())
        }
        Value::Array(items) if items.first() == Some(&server) => {
            let pairs = items.chunks(2).filter(|pair| !identifying(&pair[0]));
            Value::Array(pairs.flatten().cloned().collect())
        }
        other => other,
    }
}
