//! COMMAND: the table, shown to clients.

use super::parse::is;
use super::row::{
    Arg, ArgKind, Begin, CATEGORY_NAMES, Category, FLAG_NAMES, Find, Flag, KeySpec, Row, arg, container,
    one_of, row,
};
use super::table::{Found, all_rows, lookup};
use super::{Answer, Ctx, DONE, Error};
use crate::glob;
use crate::resp::Reply;

fn command(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.array(all_rows().count());
    all_rows().for_each(|row| write_info(&mut ctx.reply, row, None));
    DONE
}

fn command_count(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.int(all_rows().count() as i64);
    DONE
}

/// The row of a name such as `get` or `client|list`, with its container.
fn find(name: &[u8]) -> Option<(&'static Row, Option<&'static Row>)> {
    let mut words = name.splitn(2, |byte| *byte == b'|');
    let first = words.next().unwrap_or_default();
    let second = words.next();
    let Found::Command(_, outer) = lookup(first, None) else { return None };
    match (second, lookup(first, second)) {
        (None, _) => Some((outer, None)),
        (Some(_), Found::Command(_, row)) if !outer.subcommands.is_empty() => Some((row, Some(outer))),
        _ => None,
    }
}

fn full_name(row: &Row, outer: Option<&Row>) -> String {
    match outer {
        Some(outer) => format!("{}|{}", outer.name, row.name),
        None => row.name.to_owned(),
    }
}

/// First key, last key and step as COMMAND INFO shows them.
fn legacy_range(row: &Row) -> (i64, i64, i64) {
    let ranges = row.keys.iter().filter_map(|spec| match (spec.begin, spec.find) {
        (Begin::Index(first), Find::Range { last, step, .. }) => Some((first as i64, i64::from(last), step)),
        _ => None,
    });
    // Several specifications of single keys next to one another are shown as one range.
    match (ranges.clone().next(), ranges.clone().next_back()) {
        (Some((first, _, step)), Some((last_first, last, _))) => {
            (first, if last >= 0 { last_first + last } else { last }, step as i64)
        }
        _ => (0, 0, 0),
    }
}

fn write_key_spec(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3 + usize::from(spec.notes.is_some()));
    if let Some(notes) = spec.notes {
        reply.bulk(b"notes");
        reply.bulk(notes.as_bytes());
    }
    reply.bulk(b"flags");
    reply.simple_set(spec.flags);
    match spec.begin {
        Begin::Index(index) => write_search(reply, "begin_search", "index", &[("index", index as i64)]),
        Begin::Keyword(word, from) => {
            write_search_type(reply, "begin_search", "keyword", 2);
            reply.bulk(b"keyword");
            reply.bulk(word.as_bytes());
            reply.bulk(b"startfrom");
            reply.int(from.into());
        }
        Begin::Unknown => write_search(reply, "begin_search", "unknown", &[]),
    }
    match spec.find {
        Find::Range { last, step, limit } => {
            let parts = [("lastkey", last.into()), ("keystep", step as i64), ("limit", limit as i64)];
            write_search(reply, "find_keys", "range", &parts);
        }
        Find::Counted { number_at, first, step } => {
            let parts =
                [("keynumidx", number_at as i64), ("firstkey", first as i64), ("keystep", step as i64)];
            write_search(reply, "find_keys", "keynum", &parts);
        }
        Find::Unknown => write_search(reply, "find_keys", "unknown", &[]),
    }
}

fn write_search_type(reply: &mut Reply<'_>, part: &str, kind: &str, len: usize) {
    reply.bulk(part.as_bytes());
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
    reply.map(len);
}

fn write_search(reply: &mut Reply<'_>, part: &str, kind: &str, fields: &[(&str, i64)]) {
    write_search_type(reply, part, kind, fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.int(*value);
    }
}

fn write_info(reply: &mut Reply<'_>, row: &Row, outer: Option<&Row>) {
    let (first, last, step) = legacy_range(row);
    reply.array(10);
    reply.bulk(full_name(row, outer).as_bytes());
    reply.int(row.arity.into());
    let mut flags: Vec<&str> =
        FLAG_NAMES.iter().filter(|(flag, _)| row.has(*flag)).map(|(_, name)| *name).collect();
    if row.has_movable_keys() {
        flags.insert(
            flags.iter().position(|name| *name > "movablekeys").unwrap_or(flags.len()),
            "movablekeys",
        );
    }
    reply.simple_set(&flags);
    reply.int(first);
    reply.int(last);
    reply.int(step);
    let categories: Vec<String> = CATEGORY_NAMES
        .iter()
        .filter(|(category, _)| row.is_in(*category))
        .map(|(_, name)| format!("@{name}"))
        .collect();
    let categories: Vec<&str> = categories.iter().map(String::as_str).collect();
    reply.simple_set(&categories);
    reply.set(row.tips.len());
    row.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(row.keys.len());
    row.keys.iter().for_each(|spec| write_key_spec(reply, spec));
    if row.subcommands.is_empty() {
        reply.set(0)
    } else {
        reply.array(row.subcommands.len())
    }
    row.subcommands.iter().for_each(|sub| write_info(reply, sub, Some(row)));
}

fn command_info(ctx: &mut Ctx<'_>) -> Answer {
    let names = ctx.args.from(2);
    if names.is_empty() {
        return command(ctx);
    }
    ctx.reply.array(names.len());
    for name in names.iter() {
        match find(name) {
            Some((row, outer)) => write_info(&mut ctx.reply, row, outer),
            None => ctx.reply.null(),
        }
    }
    DONE
}

fn write_pair(reply: &mut Reply<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn write_arg(reply: &mut Reply<'_>, arg: &Arg) {
    let nested = matches!(arg.kind, ArgKind::OneOf | ArgKind::Block);
    let mut flags = Vec::new();
    for (is_set, name) in
        [(arg.optional, "optional"), (arg.multiple, "multiple"), (arg.multiple_token, "multiple_token")]
    {
        flags.extend(is_set.then_some(name));
    }
    let optional = [
        arg.key_spec.is_some(),
        arg.token.is_some(),
        arg.since.is_some(),
        arg.deprecated_since.is_some(),
        !flags.is_empty(),
    ];
    reply.map(3 + optional.iter().filter(|there| **there).count());
    write_pair(reply, "name", arg.name);
    write_pair(reply, "type", arg.kind.name());
    if !nested {
        write_pair(reply, "display_text", arg.display.unwrap_or(arg.name));
    }
    if let Some(spec) = arg.key_spec {
        reply.bulk(b"key_spec_index");
        reply.int(spec as i64);
    }
    for (name, value) in
        [("token", arg.token), ("since", arg.since), ("deprecated_since", arg.deprecated_since)]
    {
        if let Some(value) = value {
            write_pair(reply, name, value);
        }
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        reply.simple_set(&flags);
    }
    if nested {
        reply.bulk(b"arguments");
        write_args(reply, arg.args);
    }
}

fn write_args(reply: &mut Reply<'_>, args: &[Arg]) {
    reply.array(args.len());
    args.iter().for_each(|arg| write_arg(reply, arg));
}

fn write_docs(reply: &mut Reply<'_>, row: &Row) {
    let optional = [
        row.complexity.is_some(),
        !row.doc_flags.is_empty(),
        row.deprecated.is_some(),
        row.deprecated.is_some_and(|(_, replaced_by)| replaced_by.is_some()),
        !row.history.is_empty(),
        !row.args.is_empty(),
        !row.subcommands.is_empty(),
    ];
    reply.map(3 + optional.iter().filter(|there| **there).count());
    write_pair(reply, "summary", row.summary);
    write_pair(reply, "since", row.since);
    write_pair(reply, "group", row.group);
    if let Some(complexity) = row.complexity {
        write_pair(reply, "complexity", complexity);
    }
    if !row.doc_flags.is_empty() {
        reply.bulk(b"doc_flags");
        reply.simple_set(row.doc_flags);
    }
    if let Some((since, replaced_by)) = row.deprecated {
        write_pair(reply, "deprecated_since", since);
        if let Some(replaced_by) = replaced_by {
            write_pair(reply, "replaced_by", replaced_by);
        }
    }
    if !row.history.is_empty() {
        reply.bulk(b"history");
        reply.set(row.history.len());
        for (since, change) in row.history {
            reply.array(2);
            reply.bulk(since.as_bytes());
            reply.bulk(change.as_bytes());
        }
    }
    if !row.args.is_empty() {
        reply.bulk(b"arguments");
        write_args(reply, row.args);
    }
    if !row.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(row.subcommands.len());
        for sub in row.subcommands {
            reply.bulk(full_name(sub, Some(row)).as_bytes());
            write_docs(reply, sub);
        }
    }
}

fn command_docs(ctx: &mut Ctx<'_>) -> Answer {
    let names = ctx.args.from(2);
    let found: Vec<_> = if names.is_empty() {
        all_rows().map(|row| (row, None)).collect()
    } else {
        names.iter().filter_map(find).collect()
    };
    ctx.reply.map(found.len());
    for (row, outer) in found {
        ctx.reply.bulk(full_name(row, outer).as_bytes());
        write_docs(&mut ctx.reply, row);
    }
    DONE
}

fn command_list(ctx: &mut Ctx<'_>) -> Answer {
    let options = ctx.args.from(2);
    let with_subcommands = |row: &'static Row| {
        std::iter::once(row.name.to_owned())
            .chain(row.subcommands.iter().map(move |sub| full_name(sub, Some(row))))
    };
    let mut names: Vec<String> = Vec::new();
    match (options.get(0), options.get(1), options.get(2)) {
        (None, ..) => names.extend(all_rows().flat_map(with_subcommands)),
        (Some(filter), Some(by), Some(value)) if is(filter, "filterby") && options.len() == 3 => {
            if is(by, "module") {
                // There are no modules, so no command is of one.
            } else if is(by, "aclcat") {
                let wanted = CATEGORY_NAMES.iter().find(|(_, name)| is(value, name));
                if let Some((category, _)) = wanted {
                    for row in all_rows() {
                        names.extend(row.is_in(*category).then(|| row.name.to_owned()));
                        let subs = row.subcommands.iter().filter(|sub| sub.is_in(*category));
                        names.extend(subs.map(|sub| full_name(sub, Some(row))));
                    }
                }
            } else if is(by, "pattern") {
                let all = all_rows().flat_map(with_subcommands);
                names.extend(all.filter(|name| glob::matches_nocase(value, name.as_bytes())));
            } else {
                return Err(Error::SYNTAX);
            }
        }
        _ => return Err(Error::SYNTAX),
    }
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk(name.as_bytes()));
    DONE
}

/// The keys of the request that follows GETKEYS: their indices within it and what is done with them.
fn keys_of_request(ctx: &Ctx<'_>) -> Result<Vec<(usize, &'static [&'static str])>, Error> {
    let request = ctx.args.from(2);
    let Some(name) = request.get(0) else { return Err(Error::SYNTAX) };
    let Found::Command(_, row) = lookup(name, request.get(1)) else {
        return Err(Error::fixed("ERR Invalid command specified"));
    };
    if !row.has_keys() {
        return Err(Error::fixed("ERR The command has no key arguments"));
    }
    if !row.accepts(request.len()) {
        return Err(Error::fixed("ERR Invalid number of arguments specified for command"));
    }
    if row.keys.iter().any(|spec| spec.find == Find::Unknown) {
        // Only the command's own rules find them: the first as its first specification says, then the last.
        let places = row.key_places(&request, 0).into_iter().enumerate();
        return Ok(places
            .filter_map(|(nth, (_, index))| {
                let spec = if nth == 0 { row.keys.first() } else { row.keys.last() };
                Some((index, spec?.flags))
            })
            .collect());
    }
    let mut keys = Vec::new();
    for spec in row.keys {
        let indices = spec.indices(&request);
        let is_short = |begin| indices.is_empty() || !spec.counts_within(&request, begin);
        if matches!(spec.begin, Begin::Index(begin) if is_short(begin)) {
            keys.clear();
            break;
        }
        keys.extend(indices.into_iter().map(|index| (index, key_flags(&request, row, spec))));
    }
    if row.name == "migrate" {
        // Where KEYS follows, the first is an empty word.
        keys.retain(|(index, _)| request.get(*index).is_some_and(|key| !key.is_empty()));
    }
    if keys.is_empty() {
        return Err(Error::fixed("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

/// What is done with a key; for some commands that depends on the options.
fn key_flags(request: &crate::resp::Args<'_>, row: &Row, spec: &KeySpec) -> &'static [&'static str] {
    if row.name == "set" {
        let gets = request.iter().skip(3).any(|word| is(word, "get"));
        return if gets { &["RW", "access", "update"] } else { &["OW", "update"] };
    }
    if row.name == "bitfield" {
        return if reads_fields(request) { &["RO", "access"] } else { &["RW", "access", "update"] };
    }
    spec.flags
}

/// Whether a BITFIELD has nothing but GET and OVERFLOW.
fn reads_fields(request: &crate::resp::Args<'_>) -> bool {
    let mut at = 2;
    while let Some(word) = request.get(at) {
        let more = request.len() - at - 1;
        if is(word, "get") && more >= 2 {
            at += 3;
        } else if is(word, "overflow") && more >= 1 {
            at += 2;
        } else {
            return false;
        }
    }
    true
}

fn command_getkeys(ctx: &mut Ctx<'_>) -> Answer {
    let keys = keys_of_request(ctx)?;
    let request = ctx.args.from(2);
    ctx.reply.array(keys.len());
    keys.iter().for_each(|(index, _)| ctx.reply.bulk(&request[*index]));
    DONE
}

fn command_getkeysandflags(ctx: &mut Ctx<'_>) -> Answer {
    let keys = keys_of_request(ctx)?;
    let request = ctx.args.from(2);
    ctx.reply.array(keys.len());
    for (index, flags) in keys {
        ctx.reply.array(2);
        ctx.reply.bulk(&request[index]);
        ctx.reply.simple_set(flags);
    }
    DONE
}

fn command_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
    ])
}

/// The rows of this family.
pub const ROWS: &[Row] = &[Row {
    handler: command,
    ..container(
        "command",
        -1,
        "server",
        &[
            row("count", 2, "server", command_count)
                .flags(&[Flag::Loading, Flag::Stale])
                .acl(&[Category::Connection])
                .docs("Returns a count of commands.", "2.8.13")
                .complexity("O(1)"),
            row("docs", -2, "server", command_docs)
                .flags(&[Flag::Loading, Flag::Stale])
                .acl(&[Category::Connection])
                .docs("Returns documentary information about one, multiple or all commands.", "7.0.0")
                .complexity("O(N) where N is the number of commands to look up")
                .tips(&["nondeterministic_output_order"])
                .args(&[arg("command-name", ArgKind::String).optional().multiple()]),
            row("getkeys", -3, "server", command_getkeys)
                .flags(&[Flag::Loading, Flag::Stale])
                .acl(&[Category::Connection])
                .docs("Extracts the key names from an arbitrary command.", "2.8.13")
                .complexity("O(N) where N is the number of arguments to the command")
                .args(&[arg("command", ArgKind::String), arg("arg", ArgKind::String).optional().multiple()]),
            row("getkeysandflags", -3, "server", command_getkeysandflags)
                .flags(&[Flag::Loading, Flag::Stale])
                .acl(&[Category::Connection])
                .docs("Extracts the key names and access flags for an arbitrary command.", "7.0.0")
                .complexity("O(N) where N is the number of arguments to the command")
                .args(&[arg("command", ArgKind::String), arg("arg", ArgKind::String).optional().multiple()]),
            row("help", 2, "server", command_help)
                .flags(&[Flag::Loading, Flag::Stale])
                .acl(&[Category::Connection])
                .docs("Returns helpful text about the different subcommands.", "5.0.0")
                .complexity("O(1)"),
            row("info", -2, "server", command_info)
                .flags(&[Flag::Loading, Flag::Stale])
                .acl(&[Category::Connection])
                .docs("Returns information about one, multiple or all commands.", "2.8.13")
                .complexity("O(N) where N is the number of commands to look up")
                .history(&[("7.0.0", "Allowed to be called with no argument to get info on all commands.")])
                .tips(&["nondeterministic_output_order"])
                .args(&[arg("command-name", ArgKind::String).optional().multiple()]),
            row("list", -2, "server", command_list)
                .flags(&[Flag::Loading, Flag::Stale])
                .acl(&[Category::Connection])
                .docs("Returns a list of command names.", "7.0.0")
                .complexity("O(N) where N is the total number of Redis commands")
                .tips(&["nondeterministic_output_order"])
                .args(&[one_of(
                    "filterby",
                    &[
                        arg("module-name", ArgKind::String).token("MODULE"),
                        arg("category", ArgKind::String).token("ACLCAT"),
                        arg("pattern", ArgKind::Pattern).token("PATTERN"),
                    ],
                )
                .token("FILTERBY")
                .optional()]),
        ],
    )
}
.flags(&[Flag::Loading, Flag::Stale])
.acl(&[Category::Connection])
.docs("Returns detailed information about all commands.", "2.8.13")
.complexity("O(N) where N is the total number of Redis commands")
.tips(&["nondeterministic_output_order"])];
