//! Pub/sub.

use super::row::{ArgKind, Flag, Row, arg, container, keys_at, row};
use super::{Answer, Ctx, DONE, Step};
use crate::client::{Flags, Subscriptions};
use crate::pubsub::Kind;
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;

/// The words of a kind's confirmations.
fn words(kind: Kind) -> (&'static [u8], &'static [u8]) {
    match kind {
        Kind::Channel => (b"subscribe", b"unsubscribe"),
        Kind::Pattern => (b"psubscribe", b"punsubscribe"),
        Kind::Shard => (b"ssubscribe", b"sunsubscribe"),
    }
}

fn set_of(subscriptions: &mut Subscriptions, kind: Kind) -> &mut HashSet<Bytes> {
    match kind {
        Kind::Channel => &mut subscriptions.channels,
        Kind::Pattern => &mut subscriptions.patterns,
        Kind::Shard => &mut subscriptions.shard_channels,
    }
}

/// The count that a confirmation of this kind shows.
fn count(ctx: &Ctx<'_>, kind: Kind) -> i64 {
    let count = match kind {
        Kind::Channel | Kind::Pattern => ctx.state.subscription_count(),
        Kind::Shard => ctx.state.shard_subscription_count(),
    };
    count as i64
}

/// Makes the client's shared side say what its own side knows.
fn publish_counts(ctx: &mut Ctx<'_>) {
    let subscriptions = ctx.state.subscriptions_mut();
    let lens =
        [subscriptions.channels.len(), subscriptions.patterns.len(), subscriptions.shard_channels.len()];
    for (shown, len) in ctx.client.subscriptions.iter().zip(lens) {
        shown.store(len as u32, Relaxed);
    }
    ctx.client.set_flags(Flags::PUBSUB, lens.iter().sum::<usize>() > 0);
}

fn subscribe_to(ctx: &mut Ctx<'_>, kind: Kind) -> Answer {
    for name in ctx.args.iter().skip(1) {
        let name = Bytes::copy_from_slice(name);
        if set_of(ctx.state.subscriptions_mut(), kind).insert(name.clone()) {
            ctx.services.pubsub.subscribe(kind, name.clone(), ctx.client);
        }
        ctx.reply.push(3);
        ctx.reply.bulk(words(kind).0);
        ctx.reply.bulk(&name);
        let count = count(ctx, kind);
        ctx.reply.int(count);
    }
    publish_counts(ctx);
    DONE
}

fn unsubscribe_from(ctx: &mut Ctx<'_>, kind: Kind) -> Answer {
    let names: Vec<Bytes> = if ctx.args.len() > 1 {
        ctx.args.iter().skip(1).map(Bytes::copy_from_slice).collect()
    } else {
        set_of(ctx.state.subscriptions_mut(), kind).iter().cloned().collect()
    };
    for name in &names {
        if set_of(ctx.state.subscriptions_mut(), kind).remove(name) {
            ctx.services.pubsub.unsubscribe(kind, name, ctx.client.id);
        }
        ctx.reply.push(3);
        ctx.reply.bulk(words(kind).1);
        ctx.reply.bulk(name);
        let count = count(ctx, kind);
        ctx.reply.int(count);
    }
    if names.is_empty() {
        ctx.reply.push(3);
        ctx.reply.bulk(words(kind).1);
        ctx.reply.null();
        let count = count(ctx, kind);
        ctx.reply.int(count);
    }
    publish_counts(ctx);
    DONE
}

/// Gives up all subscriptions without a word (RESET, and the end of a connection).
pub fn forget_subscriptions(
    services: &super::Services,
    client: &crate::client::Client,
    state: &mut crate::client::State,
) {
    if let Some(subscriptions) = state.subscriptions() {
        let all = [
            (Kind::Channel, &subscriptions.channels),
            (Kind::Pattern, &subscriptions.patterns),
            (Kind::Shard, &subscriptions.shard_channels),
        ];
        for (kind, names) in all {
            names.iter().for_each(|name| services.pubsub.unsubscribe(kind, name, client.id));
        }
        state.clear_subscriptions();
        client.subscriptions.iter().for_each(|shown| shown.store(0, Relaxed));
        client.set_flags(Flags::PUBSUB, false);
    }
}

fn subscribe(ctx: &mut Ctx<'_>) -> Answer {
    subscribe_to(ctx, Kind::Channel)
}

fn psubscribe(ctx: &mut Ctx<'_>) -> Answer {
    subscribe_to(ctx, Kind::Pattern)
}

fn ssubscribe(ctx: &mut Ctx<'_>) -> Answer {
    subscribe_to(ctx, Kind::Shard)
}

fn unsubscribe(ctx: &mut Ctx<'_>) -> Answer {
    unsubscribe_from(ctx, Kind::Channel)
}

fn punsubscribe(ctx: &mut Ctx<'_>) -> Answer {
    unsubscribe_from(ctx, Kind::Pattern)
}

fn sunsubscribe(ctx: &mut Ctx<'_>) -> Answer {
    unsubscribe_from(ctx, Kind::Shard)
}

fn publish(ctx: &mut Ctx<'_>) -> Answer {
    let receivers = ctx.services.pubsub.publish(Kind::Channel, &ctx.args[1], &ctx.args[2]);
    ctx.reply.int(receivers as i64);
    Ok(Step::Done)
}

fn spublish(ctx: &mut Ctx<'_>) -> Answer {
    let receivers = ctx.services.pubsub.publish(Kind::Shard, &ctx.args[1], &ctx.args[2]);
    ctx.reply.int(receivers as i64);
    Ok(Step::Done)
}

fn names(ctx: &mut Ctx<'_>, kind: Kind) -> Answer {
    if ctx.args.len() > 3 {
        return Err(super::Error::subcommand_syntax(&ctx.args[0], &ctx.args[1]));
    }
    let names = ctx.services.pubsub.names(kind, ctx.args.get(2));
    ctx.reply.bulks(&names);
    DONE
}

fn pubsub_channels(ctx: &mut Ctx<'_>) -> Answer {
    names(ctx, Kind::Channel)
}

fn pubsub_shardchannels(ctx: &mut Ctx<'_>) -> Answer {
    names(ctx, Kind::Shard)
}

fn subscriber_counts(ctx: &mut Ctx<'_>, kind: Kind) -> Answer {
    let channels = ctx.args.from(2);
    ctx.reply.array(channels.len() * 2);
    for channel in channels.iter() {
        ctx.reply.bulk(channel);
        ctx.reply.int(ctx.services.pubsub.subscriber_count(kind, channel) as i64);
    }
    DONE
}

fn pubsub_numsub(ctx: &mut Ctx<'_>) -> Answer {
    subscriber_counts(ctx, Kind::Channel)
}

fn pubsub_shardnumsub(ctx: &mut Ctx<'_>) -> Answer {
    subscriber_counts(ctx, Kind::Shard)
}

fn pubsub_numpat(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.int(ctx.services.pubsub.pattern_count() as i64);
    DONE
}

fn pubsub_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
    ])
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("psubscribe", -2, "pubsub", psubscribe)
        .flags(&[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale])
        .docs("Listens for messages published to channels that match one or more patterns.", "2.0.0")
        .complexity("O(N) where N is the number of patterns to subscribe to.")
        .args(&[arg("pattern", ArgKind::Pattern).multiple()]),
    row("publish", 3, "pubsub", publish)
        .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale, Flag::Fast, Flag::MayReplicate])
        .docs("Posts a message to a channel.", "2.0.0")
        .complexity("O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total number of subscribed patterns (by any client).")
        .args(&[arg("channel", ArgKind::String), arg("message", ArgKind::String)]),
    container("pubsub", -2, "pubsub", &[
        row("channels", -2, "pubsub", pubsub_channels)
            .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale])
            .docs("Returns the active channels.", "2.8.0")
            .complexity("O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively short channels and patterns)")
            .args(&[arg("pattern", ArgKind::Pattern).optional()]),
        row("help", 2, "pubsub", pubsub_help)
            .flags(&[Flag::Loading, Flag::Stale])
            .docs("Returns helpful text about the different subcommands.", "6.2.0")
            .complexity("O(1)"),
        row("numpat", 2, "pubsub", pubsub_numpat)
            .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale])
            .docs("Returns a count of unique pattern subscriptions.", "2.8.0")
            .complexity("O(1)"),
        row("numsub", -2, "pubsub", pubsub_numsub)
            .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale])
            .docs("Returns a count of subscribers to channels.", "2.8.0")
            .complexity("O(N) for the NUMSUB subcommand, where N is the number of requested channels")
            .args(&[arg("channel", ArgKind::String).optional().multiple()]),
        row("shardchannels", -2, "pubsub", pubsub_shardchannels)
            .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale])
            .docs("Returns the active shard channels.", "7.0.0")
            .complexity("O(N) where N is the number of active shard channels, and assuming constant time pattern matching (relatively short shard channels).")
            .args(&[arg("pattern", ArgKind::Pattern).optional()]),
        row("shardnumsub", -2, "pubsub", pubsub_shardnumsub)
            .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale])
            .docs("Returns the count of subscribers of shard channels.", "7.0.0")
            .complexity("O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels")
            .args(&[arg("shardchannel", ArgKind::String).optional().multiple()]),
    ])
        .docs("A container for Pub/Sub commands.", "2.8.0")
        .complexity("Depends on subcommand."),
    row("punsubscribe", -1, "pubsub", punsubscribe)
        .flags(&[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale])
        .docs("Stops listening to messages published to channels that match one or more patterns.", "2.0.0")
        .complexity("O(N) where N is the number of patterns to unsubscribe.")
        .args(&[arg("pattern", ArgKind::Pattern).optional().multiple()]),
    row("spublish", 3, "pubsub", spublish)
        .flags(&[Flag::PubSub, Flag::Loading, Flag::Stale, Flag::Fast, Flag::MayReplicate])
        .keys(&[keys_at(1, 0, 1, &["not_key"])])
        .docs("Post a message to a shard channel", "7.0.0")
        .complexity("O(N) where N is the number of clients subscribed to the receiving shard channel.")
        .args(&[arg("shardchannel", ArgKind::String), arg("message", ArgKind::String)]),
    row("ssubscribe", -2, "pubsub", ssubscribe)
        .flags(&[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale])
        .keys(&[keys_at(1, -1, 1, &["not_key"])])
        .docs("Listens for messages published to shard channels.", "7.0.0")
        .complexity("O(N) where N is the number of shard channels to subscribe to.")
        .args(&[arg("shardchannel", ArgKind::String).multiple()]),
    row("subscribe", -2, "pubsub", subscribe)
        .flags(&[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale])
        .docs("Listens for messages published to channels.", "2.0.0")
        .complexity("O(N) where N is the number of channels to subscribe to.")
        .args(&[arg("channel", ArgKind::String).multiple()]),
    row("sunsubscribe", -1, "pubsub", sunsubscribe)
        .flags(&[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale])
        .keys(&[keys_at(1, -1, 1, &["not_key"])])
        .docs("Stops listening to messages posted to shard channels.", "7.0.0")
        .complexity("O(N) where N is the number of shard channels to unsubscribe.")
        .args(&[arg("shardchannel", ArgKind::String).optional().multiple()]),
    row("unsubscribe", -1, "pubsub", unsubscribe)
        .flags(&[Flag::PubSub, Flag::NoScript, Flag::Loading, Flag::Stale])
        .docs("Stops listening to messages posted to channels.", "2.0.0")
        .complexity("O(N) where N is the number of channels to unsubscribe.")
        .args(&[arg("channel", ArgKind::String).optional().multiple()]),
];
