//! MIGRATE: keys go to another server.
//!
//! ```text
//! 1  the handler writes the values of its keys down as RESTORE requests, while they are locked
//! 2  the connection sends them and reads the replies (`net::migrate`); nothing is locked
//! 3  `Migration::finish` removes the keys that were taken; one that has changed meanwhile stays
//! ```

use super::dump::payload;
use super::parse::{int, is};
use super::row::{
    ArgKind, Category, Databases, Flag, Row, arg, block, key, keys_after, keys_at, one_of, row, token,
};
use super::{Answer, Ctx, DONE, Error, Services, Step, Wait};
use crate::clock;
use crate::config::NotifyFlags;
use crate::keyspace::{Lookup, Scratch};
use crate::resp::{Args, Output, Reply};
use smallvec::{SmallVec, smallvec};
use std::time::Duration;

/// A key on its way, with what was sent of it.
#[derive(Debug)]
struct Moved {
    database: usize,
    name: Vec<u8>,
    payload: Vec<u8>,
}

/// What is sent where, and what is to be done with the replies.
#[derive(Debug)]
pub struct Migration {
    /// The host's name or address, and its port.
    pub host: String,
    /// See `host`.
    pub port: u16,
    /// How long connecting, sending and each reply may take.
    pub timeout: Duration,
    /// The requests.
    pub requests: Vec<u8>,
    /// How many replies come before those of the keys.
    preliminary: usize,
    keys: Vec<Moved>,
    copy: bool,
    resp3: bool,
}

/// How the exchange went wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// There is no connection.
    Connecting,
    /// The requests were not all sent.
    Writing,
    /// Replies are missing.
    Reading,
}

struct Options<'a> {
    copy: bool,
    replace: bool,
    auth: SmallVec<[&'a [u8]; 2]>,
    /// The index of the first key.
    first: usize,
    /// One past the last.
    end: usize,
}

impl<'a> Options<'a> {
    fn read(args: Args<'a>) -> Result<Options<'a>, Error> {
        let mut options = Options { copy: false, replace: false, auth: SmallVec::new(), first: 3, end: 4 };
        let mut at = 6;
        while let Some(word) = args.get(at) {
            let left = args.len() - at - 1;
            if is(word, "copy") {
                options.copy = true;
            } else if is(word, "replace") {
                options.replace = true;
            } else if is(word, "auth") && left >= 1 {
                options.auth = smallvec![args.get(at + 1).unwrap_or_default()];
                at += 1;
            } else if is(word, "auth2") && left >= 2 {
                options.auth = args.from(at + 1).iter().take(2).collect();
                at += 2;
            } else if is(word, "keys") {
                if !args[3].is_empty() {
                    let text = "ERR When using MIGRATE KEYS option, the key argument must be set to the empty \
                                string";
                    return Err(Error::fixed(text));
                }
                (options.first, options.end) = (at + 1, args.len());
                break;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        Ok(options)
    }
}

/// The keys, where the options can be read; errors are the handler's.
const MIGRATE_KEYS: Databases = |args, selected| match Options::read(*args) {
    Ok(options) => (options.first..options.end).map(|index| (selected, index)).collect(),
    Err(_) => SmallVec::new(),
};

fn write_request(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn migrate(ctx: &mut Ctx<'_>) -> Answer {
    let options = Options::read(ctx.args)?;
    let timeout = int(&ctx.args[5])?;
    let database = int(&ctx.args[4])?;
    if !ctx.may_block {
        return Err(Error::fixed("ERR MIGRATE inside a transaction is not supported"));
    }
    let text = "ERR Can't connect to target node: invalid port";
    let port = int(&ctx.args[2])?;
    let port = u16::try_from(port).map_err(|_| Error::fixed(text))?;
    let now_ms = ctx.now_ms();
    let (mut requests, mut preliminary, mut keys) = (Vec::new(), 1, Vec::new());
    if !options.auth.is_empty() {
        let words: SmallVec<[&[u8]; 3]> =
            std::iter::once(&b"AUTH"[..]).chain(options.auth.iter().copied()).collect();
        write_request(&mut requests, &words);
        preliminary += 1;
    }
    write_request(&mut requests, &[b"SELECT", itoa::Buffer::new().format(database).as_bytes()]);
    for key in ctx.keys {
        let Some(expires_at_ms) = ctx.access.get(*key, Lookup::Read).map(|entry| entry.expires_at_ms())
        else {
            continue;
        };
        let Some(payload) = payload(&mut ctx.access, *key, Lookup::Silent) else { continue };
        let ttl = expires_at_ms.map_or(0, |at| (at - now_ms).max(1));
        let mut ttl_text = itoa::Buffer::new();
        let ttl = ttl_text.format(ttl).as_bytes();
        let words: [&[u8]; 5] = [b"RESTORE", key.name, ttl, &payload, b"REPLACE"];
        write_request(&mut requests, &words[..if options.replace { 5 } else { 4 }]);
        keys.push(Moved { database: key.database, name: key.name.to_vec(), payload });
    }
    if keys.is_empty() {
        ctx.reply.simple("NOKEY");
        return DONE;
    }
    Ok(Step::Wait(Box::new(Wait::Migrated(Box::new(Migration {
        host: String::from_utf8_lossy(&ctx.args[1]).into_owned(),
        port,
        timeout: Duration::from_millis(u64::try_from(timeout).ok().filter(|ms| *ms > 0).unwrap_or(1000)),
        requests,
        preliminary,
        keys,
        copy: options.copy,
        resp3: ctx.reply.is_resp3(),
    })))))
}

impl Migration {
    /// How many lines of reply there will be.
    pub fn replies(&self) -> usize {
        self.preliminary + self.keys.len()
    }

    /// Removes what the other server has taken, and gives the reply of MIGRATE. `lines` are the replies
    /// that came, without their ends.
    pub fn finish(self, services: &Services, lines: &[Vec<u8>], broken: Option<Broken>) -> Output {
        let refused = |line: &&Vec<u8>| line.first() == Some(&b'-');
        let preliminary = &lines[..self.preliminary.min(lines.len())];
        let refusal = preliminary.iter().find(refused);
        let replies = &lines[preliminary.len()..];
        if refusal.is_none() && !self.copy {
            for (moved, _) in self.keys.iter().zip(replies).filter(|(_, line)| !refused(line)) {
                remove(services, moved);
            }
        }
        let mut output = Output::default();
        let mut reply = Reply::new(&mut output, self.resp3);
        match (refusal.or(replies.iter().find(refused)), broken) {
            (Some(line), _) => {
                reply.error(&[b"ERR Target instance replied with error: ", &line[1..]].concat());
            }
            (None, Some(Broken::Connecting)) => {
                reply.error(b"IOERR error or timeout connecting to the client");
            }
            (None, Some(Broken::Writing)) => {
                reply.error(b"IOERR error or timeout writing to target instance");
            }
            (None, Some(Broken::Reading)) => {
                reply.error(b"IOERR error or timeout reading to target instance");
            }
            (None, None) => reply.ok(),
        }
        output
    }
}

fn remove(services: &Services, moved: &Moved) {
    let space = &services.keyspace;
    let key = space.key(moved.database, &moved.name);
    let mut scratch = Scratch::default();
    let mut access = space.prepare(&mut scratch, &[key], clock::now_ms(), false);
    if payload(&mut access, key, Lookup::Silent).as_deref() == Some(&moved.payload[..]) {
        access.delete(key, NotifyFlags::GENERIC, "del");
    }
    access.settle();
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("migrate", -6, "generic", migrate)
        .flags(&[Flag::Write])
        .acl(&[Category::Keyspace, Category::Dangerous])
        .keys(&[
            keys_at(3, 0, 1, &["RW", "access", "delete"]),
            keys_after("KEYS", -2, -1, 1, 0, &["RW", "access", "delete", "incomplete"]),
        ])
        .databases(MIGRATE_KEYS)
        .docs("Atomically transfers a key from one Redis instance to another.", "2.6.0")
        .complexity("This command actually executes a DUMP+DEL in the source instance, and a RESTORE in the target instance. See the pages of these commands for time complexity. Also an O(N) data transfer between the two instances is performed.")
        .history(&[
            ("3.0.0", "Added the `COPY` and `REPLACE` options."),
            ("3.0.6", "Added the `KEYS` option."),
            ("4.0.7", "Added the `AUTH` option."),
            ("6.0.0", "Added the `AUTH2` option."),
        ])
        .tips(&["nondeterministic_output"])
        .args(&[
            arg("host", ArgKind::String),
            arg("port", ArgKind::Integer),
            one_of("key-selector", &[key("key", 0), token("empty-string", "")]),
            arg("destination-db", ArgKind::Integer),
            arg("timeout", ArgKind::Integer),
            token("copy", "COPY").since("3.0.0").optional(),
            token("replace", "REPLACE").since("3.0.0").optional(),
            one_of("authentication", &[
                arg("auth", ArgKind::String).token("AUTH").display("password").since("4.0.7"),
                block("auth2", &[
                    arg("username", ArgKind::String),
                    arg("password", ArgKind::String),
                ]).token("AUTH2").since("6.0.0"),
            ]).optional(),
            key("keys", 1).token("KEYS").display("key").since("3.0.6").optional().multiple(),
        ]),
];
