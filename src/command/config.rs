//! CONFIG.

use super::row::{ArgKind, Flag, Row, arg, block, container, row};
use super::{Answer, Ctx, DONE, Error};
use crate::config::RewriteError;

fn config_get(ctx: &mut Ctx<'_>) -> Answer {
    let patterns: Vec<&[u8]> = ctx.args.from(2).iter().collect();
    let found = ctx.services.config.get(&patterns);
    ctx.reply.map(found.len());
    for (name, value) in found {
        ctx.reply.bulk(name.as_bytes());
        ctx.reply.bulk(value.as_bytes());
    }
    DONE
}

fn config_set(ctx: &mut Ctx<'_>) -> Answer {
    let words: Vec<&[u8]> = ctx.args.from(2).iter().collect();
    if !words.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    let local = crate::client::is_local(ctx.client);
    match ctx.services.config.set_from(local, &pairs) {
        Ok(()) => {
            ctx.reply.ok();
            DONE
        }
        Err(error) => Err(Error::new([b"ERR ".as_slice(), error.message()].concat())),
    }
}

fn config_rewrite(ctx: &mut Ctx<'_>) -> Answer {
    match ctx.services.config.rewrite() {
        Ok(()) => {
            ctx.reply.ok();
            DONE
        }
        Err(error) => {
            if !matches!(error, RewriteError::NoFile) {
                tracing::warn!(%error, "CONFIG REWRITE failed");
            }
            Err(Error::new(format!("ERR {error}")))
        }
    }
}

fn config_resetstat(ctx: &mut Ctx<'_>) -> Answer {
    ctx.services.metrics.reset();
    ctx.access.space().reclaimer().reset();
    ctx.reply.ok();
    DONE
}

fn config_help(ctx: &mut Ctx<'_>) -> Answer {
    ctx.help(&[
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
    ])
}

/// The rows of this family.
pub const ROWS: &[Row] = &[container(
    "config",
    -2,
    "server",
    &[
        row("get", -3, "server", config_get)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .docs("Returns the effective values of configuration parameters.", "2.0.0")
            .complexity("O(N) when N is the number of configuration parameters provided")
            .history(&[("7.0.0", "Added the ability to pass multiple pattern parameters in one call")])
            .args(&[arg("parameter", ArgKind::String).multiple()]),
        row("help", 2, "server", config_help)
            .flags(&[Flag::Loading, Flag::Stale])
            .docs("Returns helpful text about the different subcommands.", "5.0.0")
            .complexity("O(1)"),
        row("resetstat", 2, "server", config_resetstat)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .docs("Resets the server's statistics.", "2.0.0")
            .complexity("O(1)")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        row("rewrite", 2, "server", config_rewrite)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .docs("Persists the effective configuration to file.", "2.8.0")
            .complexity("O(1)")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        row("set", -4, "server", config_set)
            .flags(&[Flag::Admin, Flag::NoScript, Flag::Loading, Flag::Stale])
            .docs("Sets configuration parameters in-flight.", "2.0.0")
            .complexity("O(N) when N is the number of configuration parameters provided")
            .history(&[("7.0.0", "Added the ability to set multiple parameters in one call.")])
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"])
            .args(&[
                block("data", &[arg("parameter", ArgKind::String), arg("value", ArgKind::String)]).multiple()
            ]),
    ],
)
.docs("A container for server configuration commands.", "2.0.0")
.complexity("Depends on subcommand.")];
