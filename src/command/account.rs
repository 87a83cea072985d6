//! What a call leaves behind: its time, and its line in the slow log and before the eyes of MONITOR.

use super::engine::Engine;
use super::row::{Flag, Row};
use super::table::CommandId;
use crate::client::{Client, State};
use crate::clock;
use crate::metrics::Sample;
use crate::resp::Args;
use std::sync::Arc;

impl Engine {
    /// Notes the call: time, slow log, latency, monitors. `waited` nanoseconds are still to come.
    #[expect(clippy::too_many_arguments, reason = "one call site; a struct would only name them again")]
    #[inline(always)]
    pub(super) fn account(
        &mut self,
        client: &Arc<Client>,
        id: CommandId,
        row: &'static Row,
        args: Args<'_>,
        failed: bool,
        waited: u64,
        state: &State,
    ) {
        self.account_until(client, id, row, args, failed, waited, state, clock::ticks());
    }

    /// As [`Self::account`], of a call that ended at `now` ticks.
    #[expect(clippy::too_many_arguments, reason = "two call sites; a struct would only name them again")]
    #[inline(always)]
    pub(super) fn account_until(
        &mut self,
        client: &Arc<Client>,
        id: CommandId,
        row: &'static Row,
        args: Args<'_>,
        failed: bool,
        waited: u64,
        state: &State,
        now: u64,
    ) {
        let nanos = clock::nanos_between(self.ticks, now) + waited;
        self.ticks = now;
        self.samples.push(Sample { command: id.0, failed, nanos: nanos.min(u64::from(u32::MAX)) as u32 });
        self.note_if_slow(client, row, args, nanos);
        let threshold = self.settings.latency_monitor_threshold_ms;
        if threshold > 0 && nanos / 1_000_000 >= threshold {
            let event = if row.has(Flag::Fast) { "fast-command" } else { "command" };
            self.services.metrics.latency.add(event, self.now_ms / 1000, nanos / 1_000_000);
        }
        self.show_monitors(client, state.database, row, args);
    }

    #[inline]
    pub(super) fn note_if_slow(&self, client: &Client, row: &Row, args: Args<'_>, nanos: u64) {
        let micros = (nanos / 1000) as i64;
        let slower_than = self.settings.slowlog_log_slower_than_us;
        if slower_than >= 0 && micros >= slower_than && !row.has(Flag::SkipSlowlog) {
            self.note_slow(client, row, args, micros);
        }
    }

    #[cold]
    fn note_slow(&self, client: &Client, row: &Row, args: Args<'_>, micros: i64) {
        let name = client.info.lock().name.to_vec();
        let len_max = self.settings.slowlog_max_len;
        let at = self.now_ms / 1000;
        let shown = (0..args.len()).map(|index| shown(row, &args, index));
        self.services.metrics.slowlog.add(at, micros, shown, client.address.clone(), name, len_max);
    }

    #[inline]
    pub(super) fn show_monitors(&self, client: &Client, database: usize, row: &Row, args: Args<'_>) {
        if !self.services.monitors.is_empty() && !row.has(Flag::SkipMonitor) && !row.has(Flag::Admin) {
            self.feed_monitors(client, database, row, args);
        }
    }

    #[cold]
    fn feed_monitors(&self, client: &Client, database: usize, row: &Row, args: Args<'_>) {
        let now_us = clock::now_us();
        let address = if client.flags().contains(crate::client::Flags::UNIX_SOCKET) {
            format!("unix:{}", client.local_address.trim_end_matches(":0"))
        } else {
            client.address.clone()
        };
        let (seconds, micros) = (now_us / 1_000_000, now_us % 1_000_000);
        let mut line = format!("+{seconds}.{micros:06} [{database} {address}]").into_bytes();
        for index in 0..args.len() {
            line.push(b' ');
            quote(&mut line, shown(row, &args, index));
        }
        line.extend_from_slice(b"\r\n");
        let limit = self.settings.client_output_buffer_limit.replica.hard_bytes;
        self.services.monitors.feed(line.into(), limit);
    }
}

/// An argument as others may see it: passwords are hidden.
fn shown<'a>(row: &Row, args: &Args<'a>, index: usize) -> &'a [u8] {
    let before = |distance: usize, word: &str| {
        index > distance
            && args.get(index - distance).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let secret = match row.name {
        "auth" => index > 0,
        "hello" => before(1, "auth") || before(2, "auth"),
        "set" if row.has(Flag::Admin) => before(1, "requirepass"),
        "migrate" => before(1, "auth") || before(1, "auth2") || before(2, "auth2"),
        _ => false,
    };
    if secret { b"(redacted)" } else { args.get(index).unwrap_or_default() }
}
/// Appends an argument in quotes, with escapes for what does not print.
fn quote(line: &mut Vec<u8>, arg: &[u8]) {
    line.push(b'"');
    for byte in arg {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            7 => line.extend_from_slice(b"\\a"),
            8 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    line.push(b'"');
}
