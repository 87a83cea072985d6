//! OBJECT: how a value is kept, and what is known of its use.

use super::{Answer, Ctx, DONE, Error};
use crate::keyspace::Lookup;
use crate::memory::Entry;
use crate::value::Collection;
use crate::value::string::{EMBSTR_BYTES_MAX, StringRef};

/// The name that Redis has for the way an entry's value is kept.
pub fn encoding(entry: &Entry) -> &'static str {
    match entry.string() {
        Some(StringRef::Int(_)) => "int",
        Some(StringRef::Inline(bytes)) if bytes.len() <= EMBSTR_BYTES_MAX && !entry.is_edited() => "embstr",
        Some(StringRef::Inline(_) | StringRef::Shared(_)) => "raw",
        None => entry.collection().map_or("unknown", Collection::encoding),
    }
}

pub(super) fn object_encoding(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    match ctx.access.get(key, Lookup::Silent) {
        Some(entry) => ctx.reply.bulk(encoding(&entry).as_bytes()),
        None => ctx.reply.null(),
    }
    DONE
}

pub(super) fn object_refcount(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    match ctx.access.get(key, Lookup::Silent) {
        // Redis shares the integers below 10,000 unless an eviction policy needs their use apart.
        Some(entry) => {
            let shared = matches!(entry.string(), Some(StringRef::Int(0..10_000))) && !entry.is_edited();
            let evicts = ctx.settings.maxmemory > 0 && needs_use(ctx.settings.maxmemory_policy);
            ctx.reply.int(if shared && !evicts { i64::from(i32::MAX) } else { 1 });
        }
        None => ctx.reply.null(),
    }
    DONE
}

fn needs_use(policy: crate::config::Policy) -> bool {
    use crate::config::Policy::{AllkeysLfu, AllkeysLru, VolatileLfu, VolatileLru};
    matches!(policy, AllkeysLfu | AllkeysLru | VolatileLfu | VolatileLru)
}

pub(super) fn object_idletime(ctx: &mut Ctx<'_>) -> Answer {
    let (key, now_ms, mode) = (ctx.key(0), ctx.now_ms(), ctx.access.space().access_mode());
    let Some(entry) = ctx.access.get(key, Lookup::Silent) else {
        ctx.reply.null();
        return DONE;
    };
    if mode.lfu {
        let text = "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
                    switching between policies at runtime LRU and LFU data will take some time to adjust.";
        return Err(Error::fixed(text));
    }
    ctx.reply.int(mode.idle_seconds(entry.access_bits(), now_ms).into());
    DONE
}

pub(super) fn object_freq(ctx: &mut Ctx<'_>) -> Answer {
    let (key, now_ms, mode) = (ctx.key(0), ctx.now_ms(), ctx.access.space().access_mode());
    let Some(entry) = ctx.access.get(key, Lookup::Silent) else {
        ctx.reply.null();
        return DONE;
    };
    if !mode.lfu {
        let text = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
                    that when switching between policies at runtime LRU and LFU data will take some time to \
                    adjust.";
        return Err(Error::fixed(text));
    }
    ctx.reply.int(mode.frequency(entry.access_bits(), now_ms).into());
    DONE
}

pub(super) fn object_tier(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let cold = ctx.access.came_from_disk(key);
    match ctx.access.get(key, Lookup::Silent) {
        Some(_) => ctx.reply.bulk(if cold { b"disk" } else { b"memory" }),
        None => ctx.reply.null(),
    }
    DONE
}

pub(super) fn object_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "TIER <key>",
        "    Return where the value of the <key> is: memory or disk.",
    ])
}
