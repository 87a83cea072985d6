//! What the server remembers of slowness: SLOWLOG and LATENCY.

use super::parse::int_or;
use super::row::{ArgKind, Flag, Row, arg, container, row};
use super::table::{CommandId, full_name, row_count};
use super::{Answer, Ctx, DONE, Error};
use crate::metrics::{CommandStats, Series};

fn slowlog_get(ctx: &mut Ctx<'_>) -> Answer {
    const COUNT: &str = "ERR count should be greater than or equal to -1";
    if ctx.args.len() > 3 {
        return Err(Error::subcommand_syntax(&ctx.args[0], &ctx.args[1]));
    }
    let count = match ctx.args.get(2) {
        None => 10,
        Some(count) => match int_or(count, COUNT)? {
            -1 => usize::MAX,
            count => usize::try_from(count).map_err(|_| Error::fixed(COUNT))?,
        },
    };
    let entries = ctx.services.metrics.slowlog.newest(count);
    ctx.reply.array(entries.len());
    for entry in entries {
        ctx.reply.array(6);
        ctx.reply.int(entry.id as i64);
        ctx.reply.int(entry.at);
        ctx.reply.int(entry.micros);
        ctx.reply.bulks(&entry.args);
        ctx.reply.bulk(entry.address.as_bytes());
        ctx.reply.bulk(&entry.name);
    }
    DONE
}

fn slowlog_len(ctx: &mut Ctx<'_>) -> Answer {
    ctx.reply.int(ctx.services.metrics.slowlog.len() as i64);
    DONE
}

fn slowlog_reset(ctx: &mut Ctx<'_>) -> Answer {
    ctx.services.metrics.slowlog.reset();
    ctx.reply.ok();
    DONE
}

fn slowlog_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
    ])
}

fn latency_latest(ctx: &mut Ctx<'_>) -> Answer {
    let events = ctx.services.metrics.latency.all();
    ctx.reply.array(events.len());
    for (event, series) in events {
        let (at, latest) = series.spikes.back().copied().unwrap_or_default();
        ctx.reply.array(4);
        ctx.reply.bulk(event.as_bytes());
        ctx.reply.int(at);
        ctx.reply.int(latest as i64);
        ctx.reply.int(series.worst_ms as i64);
    }
    DONE
}

fn latency_history(ctx: &mut Ctx<'_>) -> Answer {
    let series = ctx.services.metrics.latency.get(&ctx.args[2]).map(|(_, series)| series).unwrap_or_default();
    ctx.reply.array(series.spikes.len());
    for (at, latency) in series.spikes {
        ctx.reply.array(2);
        ctx.reply.int(at);
        ctx.reply.int(latency as i64);
    }
    DONE
}

fn latency_reset(ctx: &mut Ctx<'_>) -> Answer {
    let monitor = &ctx.services.metrics.latency;
    let events = ctx.args.from(2);
    let reset = if events.is_empty() {
        monitor.clear()
    } else {
        events.iter().filter(|event| monitor.forget(event)).count()
    };
    ctx.reply.int(reset as i64);
    DONE
}

/// Draws spikes as columns of characters, newest to the right, with their ages below.
fn draw(event: &str, series: &Series, now: i64) -> String {
    const ROWS: usize = 4;
    const COLUMNS_MAX: usize = 80;
    let shown: Vec<_> = series.spikes.iter().rev().take(COLUMNS_MAX).rev().collect();
    let high = shown.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    let low = shown.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
    let mut text = format!("{event} - high {high} ms, low {low} ms (all time high {} ms)\n", series.worst_ms);
    text.push_str(&"-".repeat(COLUMNS_MAX));
    text.push('\n');
    for row in (0..ROWS).rev() {
        let line: String = shown
            .iter()
            .map(|(_, ms)| {
                let steps =
                    ((ms - low) * (ROWS as u64 * 2 - 1)).checked_div(high - low).unwrap_or(1) as usize;
                match steps.checked_sub(row * 2) {
                    Some(0) => '_',
                    Some(1) if steps + 1 < ROWS * 2 => 'o',
                    Some(1) => '#',
                    Some(_) => '|',
                    None => ' ',
                }
            })
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let ages: Vec<String> = shown
        .iter()
        .map(|(at, _)| match (now - at).max(0) {
            age @ 0..60 => format!("{age}s"),
            age @ 60..3600 => format!("{}m", age / 60),
            age @ 3600..86_400 => format!("{}h", age / 3600),
            age => format!("{}d", age / 86_400),
        })
        .collect();
    text.push('\n');
    for row in 0..ages.iter().map(String::len).max().unwrap_or(0) {
        let line: String = ages.iter().map(|age| age.chars().nth(row).unwrap_or(' ')).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn latency_graph(ctx: &mut Ctx<'_>) -> Answer {
    let event = &ctx.args[2];
    let Some((name, series)) = ctx.services.metrics.latency.get(event) else {
        return Err(Error::quoting("ERR No samples available for event '", event, "'"));
    };
    let text = draw(name, &series, ctx.now_ms() / 1000);
    ctx.reply.verbatim(text.as_bytes());
    DONE
}

fn latency_doctor(ctx: &mut Ctx<'_>) -> Answer {
    let events = ctx.services.metrics.latency.all();
    let text = if ctx.settings.latency_monitor_threshold_ms == 0 {
        "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use \
         \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we weren't in a deep \
         space mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n"
            .to_owned()
    } else if events.is_empty() {
        "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest \
         bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n"
            .to_owned()
    } else {
        let mut text = "Dave, I have observed latency spikes in this Redis instance. You don't mind talking \
                        about it, do you Dave?\n\n"
            .to_owned();
        for (index, (event, series)) in events.iter().enumerate() {
            let count = series.spikes.len() as u64;
            let sum: u64 = series.spikes.iter().map(|(_, ms)| ms).sum();
            text.push_str(&format!(
                "{}. {event}: {count} latency spikes (average {}ms). Worst all time event {}ms.\n",
                index + 1,
                sum.checked_div(count).unwrap_or(0),
                series.worst_ms
            ));
        }
        text.push_str("\nCheck your Slow Log to understand what are the commands you are running which are too slow to execute.\n");
        text
    };
    ctx.reply.verbatim(text.as_bytes());
    DONE
}

fn write_histogram(ctx: &mut Ctx<'_>, id: u16, stats: &CommandStats) {
    let (calls, steps) = stats.cumulative_us();
    ctx.reply.bulk(full_name(CommandId(id)).as_bytes());
    ctx.reply.map(2);
    ctx.reply.bulk(b"calls");
    ctx.reply.int(calls as i64);
    ctx.reply.bulk(b"histogram_usec");
    ctx.reply.map(steps.len());
    for (micros, count) in steps {
        ctx.reply.int(micros as i64);
        ctx.reply.int(count as i64);
    }
}

fn latency_histogram(ctx: &mut Ctx<'_>) -> Answer {
    let stats = ctx.services.metrics.command_stats();
    let names = ctx.args.from(2);
    let mut wanted: Vec<u16> = Vec::new();
    if names.is_empty() {
        wanted.extend(0..row_count() as u16);
    }
    for name in names.iter() {
        // A command with subcommands stands for all of them.
        wanted.extend((0..row_count() as u16).filter(|id| {
            let full_name = full_name(CommandId(*id)).as_bytes();
            let container = full_name.split(|byte| *byte == b'|').next().unwrap_or_default();
            full_name.eq_ignore_ascii_case(name) || container.eq_ignore_ascii_case(name)
        }));
    }
    wanted.retain(|id| stats.get(id).is_some_and(CommandStats::has_times));
    ctx.reply.map(wanted.len());
    for id in wanted {
        if let Some(stats) = stats.get(&id) {
            write_histogram(ctx, id, stats);
        }
    }
    DONE
}

fn latency_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
        "    If no commands are specified then all histograms are replied.",
    ])
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    container(
        "latency",
        -2,
        "server",
        &[
            row("doctor", 2, "server", latency_doctor)
                .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
                .docs("Returns a human-readable latency analysis report.", "2.8.13")
                .complexity("O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
            row("graph", 3, "server", latency_graph)
                .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
                .docs("Returns a latency graph for an event.", "2.8.13")
                .complexity("O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .args(&[arg("event", ArgKind::String)]),
            row("help", 2, "server", latency_help)
                .flags(&[Flag::Loading, Flag::Stale])
                .docs("Returns helpful text about the different subcommands.", "2.8.13")
                .complexity("O(1)"),
            row("histogram", -2, "server", latency_histogram)
                .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
                .docs(
                    "Returns the cumulative distribution of latencies of a subset or all commands.",
                    "7.0.0",
                )
                .complexity(
                    "O(N) where N is the number of commands with latency information being retrieved.",
                )
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .args(&[arg("command", ArgKind::String).optional().multiple()]),
            row("history", 3, "server", latency_history)
                .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
                .docs("Returns timestamp-latency samples for an event.", "2.8.13")
                .complexity("O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"])
                .args(&[arg("event", ArgKind::String)]),
            row("latest", 2, "server", latency_latest)
                .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
                .docs("Returns the latest latency samples for all events.", "2.8.13")
                .complexity("O(1)")
                .tips(&["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"]),
            row("reset", -2, "server", latency_reset)
                .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
                .docs("Resets the latency data for one or more events.", "2.8.13")
                .complexity("O(1)")
                .tips(&["request_policy:all_nodes", "response_policy:agg_sum"])
                .args(&[arg("event", ArgKind::String).optional().multiple()]),
        ],
    )
    .docs("A container for latency diagnostics commands.", "2.8.13")
    .complexity("Depends on subcommand."),
    container(
        "slowlog",
        -2,
        "server",
        &[
            row("get", -2, "server", slowlog_get)
                .flags(&[Flag::Admin, Flag::Loading, Flag::Stale])
                .docs("Returns the slow log's entries.", "2.2.12")
                .complexity("O(N) where N is the number of entries returned")
                .history(&[("4.0.0", "Added client IP address, port and name to the reply.")])
                .tips(&["request_policy:all_nodes", "nondeterministic_output"])
                .args(&[arg("count", ArgKind::Integer).optional()]),
            row("help", 2, "server", slowlog_help)
                .flags(&[Flag::Loading, Flag::Stale])
                .docs("Show helpful text about the different subcommands", "6.2.0")
                .complexity("O(1)"),
            row("len", 2, "server", slowlog_len)
                .flags(&[Flag::Admin, Flag::Loading, Flag::Stale])
                .docs("Returns the number of entries in the slow log.", "2.2.12")
                .complexity("O(1)")
                .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
            row("reset", 2, "server", slowlog_reset)
                .flags(&[Flag::Admin, Flag::Loading, Flag::Stale])
                .docs("Clears all entries from the slow log.", "2.2.12")
                .complexity("O(N) where N is the number of entries in the slowlog")
                .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        ],
    )
    .docs("A container for slow log commands.", "2.2.12")
    .complexity("Depends on subcommand."),
];
