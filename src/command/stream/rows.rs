//! The rows of the streams.

use super::add::{xadd, xdel, xsetid, xtrim};
use super::claim::{xautoclaim, xclaim};
use super::group::{
    xack, xgroup_create, xgroup_createconsumer, xgroup_delconsumer, xgroup_destroy, xgroup_help, xgroup_setid,
};
use super::info::{xinfo_consumers, xinfo_groups, xinfo_help, xinfo_stream};
use super::pending::xpending;
use super::range::{xlen, xrange, xrevrange};
use super::read::{PLACES, xread, xreadgroup};
use crate::command::row::{
    ArgKind, Category, Flag, Row, arg, block, container, key, keys_after, keys_at, one_of, row, token,
};

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("xack", -4, "stream", xack)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Returns the number of messages that were successfully acknowledged by the consumer group member of a stream.", "5.0.0")
        .complexity("O(1) for each message ID processed.")
        .args(&[key("key", 0), arg("group", ArgKind::String), arg("id", ArgKind::String).multiple()]),
    row("xadd", -5, "stream", xadd)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Stream])
        .keys(&[
            keys_at(1, 0, 1, &["RW", "update"]).notes("UPDATE instead of INSERT because of the optional trimming feature"),
        ])
        .docs("Appends a new message to a stream. Creates the key if it doesn't exist.", "5.0.0")
        .complexity("O(1) when adding a new entry, O(N) when trimming where N being the number of entries evicted.")
        .history(&[
            ("6.2.0", "Added the `NOMKSTREAM` option, `MINID` trimming strategy and the `LIMIT` option."),
            ("7.0.0", "Added support for the `<ms>-*` explicit ID form."),
        ])
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            token("nomkstream", "NOMKSTREAM").since("6.2.0").optional(),
            block("trim", &[
                one_of("strategy", &[token("maxlen", "MAXLEN"), token("minid", "MINID").since("6.2.0")]),
                one_of("operator", &[token("equal", "="), token("approximately", "~")]).optional(),
                arg("threshold", ArgKind::String),
                arg("count", ArgKind::Integer).token("LIMIT").since("6.2.0").optional(),
            ]).optional(),
            one_of("id-selector", &[token("auto-id", "*"), arg("id", ArgKind::String)]),
            block("data", &[arg("field", ArgKind::String), arg("value", ArgKind::String)]).multiple(),
        ]),
    row("xautoclaim", -6, "stream", xautoclaim)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Changes, or acquires, ownership of messages in a consumer group, as if the messages were delivered to as consumer group member.", "6.2.0")
        .complexity("O(1) if COUNT is small.")
        .history(&[
            ("7.0.0", "Added an element to the reply array, containing deleted entries the command cleared from the PEL"),
        ])
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            arg("group", ArgKind::String),
            arg("consumer", ArgKind::String),
            arg("min-idle-time", ArgKind::String),
            arg("start", ArgKind::String),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
            token("justid", "JUSTID").optional(),
        ]),
    row("xclaim", -6, "stream", xclaim)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Changes, or acquires, ownership of a message in a consumer group, as if the message was delivered a consumer group member.", "5.0.0")
        .complexity("O(log N) with N being the number of messages in the PEL of the consumer group.")
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            arg("group", ArgKind::String),
            arg("consumer", ArgKind::String),
            arg("min-idle-time", ArgKind::String),
            arg("id", ArgKind::String).multiple(),
            arg("ms", ArgKind::Integer).token("IDLE").optional(),
            arg("unix-time-milliseconds", ArgKind::UnixTime).token("TIME").optional(),
            arg("count", ArgKind::Integer).token("RETRYCOUNT").optional(),
            token("force", "FORCE").optional(),
            token("justid", "JUSTID").optional(),
            arg("lastid", ArgKind::String).token("LASTID").optional(),
        ]),
    row("xdel", -3, "stream", xdel)
        .flags(&[Flag::Write, Flag::Fast])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Returns the number of messages after removing them from a stream.", "5.0.0")
        .complexity("O(1) for each single item to delete in the stream, regardless of the stream size.")
        .args(&[key("key", 0), arg("id", ArgKind::String).multiple()]),
    container("xgroup", -2, "stream", &[
        row("create", -5, "stream", xgroup_create)
            .flags(&[Flag::Write, Flag::DenyOom])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RW", "insert"])])
            .docs("Creates a consumer group.", "5.0.0")
            .complexity("O(1)")
            .history(&[("7.0.0", "Added the `entries_read` named argument.")])
            .args(&[
                key("key", 0),
                arg("group", ArgKind::String),
                one_of("id-selector", &[arg("id", ArgKind::String), token("new-id", "$")]),
                token("mkstream", "MKSTREAM").optional(),
                arg("entriesread", ArgKind::Integer).token("ENTRIESREAD").display("entries-read").optional(),
            ]),
        row("createconsumer", 5, "stream", xgroup_createconsumer)
            .flags(&[Flag::Write, Flag::DenyOom])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RW", "insert"])])
            .docs("Creates a consumer in a consumer group.", "6.2.0")
            .complexity("O(1)")
            .args(&[key("key", 0), arg("group", ArgKind::String), arg("consumer", ArgKind::String)]),
        row("delconsumer", 5, "stream", xgroup_delconsumer)
            .flags(&[Flag::Write])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RW", "delete"])])
            .docs("Deletes a consumer from a consumer group.", "5.0.0")
            .complexity("O(1)")
            .args(&[key("key", 0), arg("group", ArgKind::String), arg("consumer", ArgKind::String)]),
        row("destroy", 4, "stream", xgroup_destroy)
            .flags(&[Flag::Write])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RW", "delete"])])
            .docs("Destroys a consumer group.", "5.0.0")
            .complexity("O(N) where N is the number of entries in the group's pending entries list (PEL).")
            .args(&[key("key", 0), arg("group", ArgKind::String)]),
        row("help", 2, "stream", xgroup_help)
            .flags(&[Flag::Loading, Flag::Stale])
            .acl(&[Category::Stream])
            .docs("Returns helpful text about the different subcommands.", "5.0.0")
            .complexity("O(1)"),
        row("setid", -5, "stream", xgroup_setid)
            .flags(&[Flag::Write])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RW", "update"])])
            .docs("Sets the last-delivered ID of a consumer group.", "5.0.0")
            .complexity("O(1)")
            .history(&[("7.0.0", "Added the optional `entries_read` argument.")])
            .args(&[
                key("key", 0),
                arg("group", ArgKind::String),
                one_of("id-selector", &[arg("id", ArgKind::String), token("new-id", "$")]),
                arg("entriesread", ArgKind::Integer).token("ENTRIESREAD").display("entries-read").optional(),
            ]),
    ])
        .docs("A container for consumer groups commands.", "5.0.0")
        .complexity("Depends on subcommand."),
    container("xinfo", -2, "stream", &[
        row("consumers", 4, "stream", xinfo_consumers)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RO", "access"])])
            .docs("Returns a list of the consumers in a consumer group.", "5.0.0")
            .complexity("O(1)")
            .history(&[("7.2.0", "Added the `inactive` field, and changed the meaning of `idle`.")])
            .tips(&["nondeterministic_output"])
            .args(&[key("key", 0), arg("group", ArgKind::String)]),
        row("groups", 3, "stream", xinfo_groups)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RO", "access"])])
            .docs("Returns a list of the consumer groups of a stream.", "5.0.0")
            .complexity("O(1)")
            .history(&[("7.0.0", "Added the `entries-read` and `lag` fields")])
            .args(&[key("key", 0)]),
        row("help", 2, "stream", xinfo_help)
            .flags(&[Flag::Loading, Flag::Stale])
            .acl(&[Category::Stream])
            .docs("Returns helpful text about the different subcommands.", "5.0.0")
            .complexity("O(1)"),
        row("stream", -3, "stream", xinfo_stream)
            .flags(&[Flag::Readonly])
            .acl(&[Category::Stream])
            .keys(&[keys_at(2, 0, 1, &["RO", "access"])])
            .docs("Returns information about a stream.", "5.0.0")
            .complexity("O(1)")
            .history(&[
                ("6.0.0", "Added the `FULL` modifier."),
                ("7.0.0", "Added the `max-deleted-entry-id`, `entries-added`, `recorded-first-entry-id`, `entries-read` and `lag` fields"),
                ("7.2.0", "Added the `active-time` field, and changed the meaning of `seen-time`."),
            ])
            .args(&[
                key("key", 0),
                block("full-block", &[
                    token("full", "FULL"),
                    arg("count", ArgKind::Integer).token("COUNT").optional(),
                ]).optional(),
            ]),
    ])
        .docs("A container for stream introspection commands.", "5.0.0")
        .complexity("Depends on subcommand."),
    row("xlen", 2, "stream", xlen)
        .flags(&[Flag::Readonly, Flag::Fast])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RO"])])
        .docs("Return the number of messages in a stream.", "5.0.0")
        .complexity("O(1)")
        .args(&[key("key", 0)]),
    row("xpending", -3, "stream", xpending)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the information and entries from a stream consumer group's pending entries list.", "5.0.0")
        .complexity("O(N) with N being the number of elements returned, so asking for a small fixed number of entries per call is O(1). O(M), where M is the total number of entries scanned when used with the IDLE filter. When the command returns just the summary and the list of consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for iterating every consumer.")
        .history(&[("6.2.0", "Added the `IDLE` option and exclusive range intervals.")])
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            arg("group", ArgKind::String),
            block("filters", &[
                arg("min-idle-time", ArgKind::Integer).token("IDLE").since("6.2.0").optional(),
                arg("start", ArgKind::String),
                arg("end", ArgKind::String),
                arg("count", ArgKind::Integer),
                arg("consumer", ArgKind::String).optional(),
            ]).optional(),
        ]),
    row("xrange", -4, "stream", xrange)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the messages from a stream within a range of IDs.", "5.0.0")
        .complexity("O(N) with N being the number of elements being returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).")
        .history(&[("6.2.0", "Added exclusive ranges.")])
        .args(&[
            key("key", 0),
            arg("start", ArgKind::String),
            arg("end", ArgKind::String),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("xread", -4, "stream", xread)
        .databases(PLACES)
        .flags(&[Flag::Readonly, Flag::Blocking])
        .acl(&[Category::Stream])
        .keys(&[keys_after("STREAMS", 1, -1, 1, 2, &["RO", "access"])])
        .docs("Returns messages from multiple streams with IDs greater than the ones requested. Blocks until a message is available otherwise.", "5.0.0")
        .args(&[
            arg("count", ArgKind::Integer).token("COUNT").optional(),
            arg("milliseconds", ArgKind::Integer).token("BLOCK").optional(),
            block("streams", &[
                key("key", 0).multiple(),
                arg("id", ArgKind::String).multiple(),
            ]).token("STREAMS"),
        ]),
    row("xreadgroup", -7, "stream", xreadgroup)
        .databases(PLACES)
        .flags(&[Flag::Write, Flag::Blocking])
        .acl(&[Category::Stream])
        .keys(&[keys_after("STREAMS", 4, -1, 1, 2, &["RO", "access"])])
        .docs("Returns new or historical messages from a stream for a consumer in a group. Blocks until a message is available otherwise.", "5.0.0")
        .complexity("For each stream mentioned: O(M) with M being the number of elements returned. If M is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1). On the other side when XREADGROUP blocks, XADD will pay the O(N) time in order to serve the N clients blocked on the stream getting new data.")
        .args(&[
            block("group-block", &[
                arg("group", ArgKind::String),
                arg("consumer", ArgKind::String),
            ]).token("GROUP"),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
            arg("milliseconds", ArgKind::Integer).token("BLOCK").optional(),
            token("noack", "NOACK").optional(),
            block("streams", &[
                key("key", 0).multiple(),
                arg("id", ArgKind::String).multiple(),
            ]).token("STREAMS"),
        ]),
    row("xrevrange", -4, "stream", xrevrange)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the messages from a stream within a range of IDs in reverse order.", "5.0.0")
        .complexity("O(N) with N being the number of elements returned. If N is constant (e.g. always asking for the first 10 elements with COUNT), you can consider it O(1).")
        .history(&[("6.2.0", "Added exclusive ranges.")])
        .args(&[
            key("key", 0),
            arg("end", ArgKind::String),
            arg("start", ArgKind::String),
            arg("count", ArgKind::Integer).token("COUNT").optional(),
        ]),
    row("xsetid", -3, "stream", xsetid)
        .flags(&[Flag::Write, Flag::DenyOom, Flag::Fast])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("An internal command for replicating stream values.", "5.0.0")
        .complexity("O(1)")
        .history(&[("7.0.0", "Added the `entries_added` and `max_deleted_entry_id` arguments.")])
        .args(&[
            key("key", 0),
            arg("last-id", ArgKind::String),
            arg("entries-added", ArgKind::Integer).token("ENTRIESADDED").since("7.0.0").optional(),
            arg("max-deleted-id", ArgKind::String).token("MAXDELETEDID").since("7.0.0").optional(),
        ]),
    row("xtrim", -4, "stream", xtrim)
        .flags(&[Flag::Write])
        .acl(&[Category::Stream])
        .keys(&[keys_at(1, 0, 1, &["RW", "delete"])])
        .docs("Deletes messages from the beginning of a stream.", "5.0.0")
        .complexity("O(N), with N being the number of evicted entries. Constant times are very small however, since entries are organized in macro nodes containing multiple entries that can be released with a single deallocation.")
        .history(&[("6.2.0", "Added the `MINID` trimming strategy and the `LIMIT` option.")])
        .tips(&["nondeterministic_output"])
        .args(&[
            key("key", 0),
            block("trim", &[
                one_of("strategy", &[token("maxlen", "MAXLEN"), token("minid", "MINID").since("6.2.0")]),
                one_of("operator", &[token("equal", "="), token("approximately", "~")]).optional(),
                arg("threshold", ArgKind::String),
                arg("count", ArgKind::Integer).token("LIMIT").since("6.2.0").optional(),
            ]),
        ]),
];
