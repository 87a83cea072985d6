//! INFO: its sections and fields are those of Redis, as far as Strata has something to say.

use super::memory::Breakdown;
use super::parse::is;
use super::row::{ArgKind, Category, Flag, Row, arg, row};
use super::services::Services;
use super::table::{CommandId, full_name};
use super::{Answer, Ctx, DONE};
use crate::clock;
use crate::config::Settings;
use crate::keyspace::{Access, Scope};
use crate::memory::usage;
use crate::pubsub::Kind;
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;

/// The version of Redis whose commands these are.
pub const REDIS_VERSION: &str = "7.4.0";

/// A report of `name:value` lines in sections.
struct Report<'r, 'a> {
    text: String,
    access: &'r Access<'a>,
}

impl Report<'_, '_> {
    fn section(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.text.push_str("\r\n");
        }
        self.text.push_str("# ");
        self.text.push_str(title);
        self.text.push_str("\r\n");
    }

    fn line(&mut self, name: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{name}:{value}\r\n");
    }

    fn bytes(&mut self, name: &str, bytes: usize) {
        self.line(name, bytes);
        self.line(&format!("{name}_human"), human(bytes));
    }
}

/// Bytes as people read them.
fn human(bytes: usize) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let mut scaled = bytes as f64 / 1024.0;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    format!("{scaled:.2}{}", UNITS[unit])
}

type Section = (&'static str, fn(&mut Report<'_, '_>, &Services, &Settings), Shown);

/// When a section is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    Default,
    All,
}

const SECTIONS: [Section; 14] = [
    ("server", server, Shown::Default),
    ("clients", clients, Shown::Default),
    ("memory", memory, Shown::Default),
    ("persistence", persistence, Shown::Default),
    ("tier", tier, Shown::Default),
    ("stats", stats, Shown::Default),
    ("replication", replication, Shown::Default),
    ("cpu", cpu, Shown::Default),
    ("modules", modules, Shown::Default),
    ("commandstats", command_stats, Shown::All),
    ("errorstats", error_stats, Shown::Default),
    ("latencystats", latency_stats, Shown::All),
    ("cluster", cluster, Shown::Default),
    ("keyspace", keyspace, Shown::Default),
];

fn info(ctx: &mut Ctx<'_>) -> Answer {
    let words = ctx.args.from(1);
    let wanted = |name: &str, shown: Shown| {
        words.is_empty() && shown == Shown::Default
            || words.iter().any(|word| {
                is(word, name)
                    || is(word, "everything")
                    || is(word, "all") && name != "modules"
                    || is(word, "default") && shown == Shown::Default
            })
    };
    let mut report = Report { text: String::new(), access: &ctx.access };
    for (name, write, shown) in SECTIONS {
        if wanted(name, shown) {
            write(&mut report, ctx.services, ctx.settings);
        }
    }
    ctx.reply.verbatim(report.text.as_bytes());
    DONE
}

/// A line of a file, without its end.
fn first_line(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn server(report: &mut Report<'_, '_>, services: &Services, settings: &Settings) {
    let now_us = clock::now_us();
    let uptime = (now_us / 1000 - services.started_at_ms).max(0) / 1000;
    report.section("Server");
    report.line("redis_version", REDIS_VERSION);
    report.line("redis_git_sha1", "00000000");
    report.line("redis_git_dirty", 0);
    report.line("redis_build_id", "0000000000000000");
    report.line("redis_mode", "standalone");
    report.line("server_name", "strata");
    report.line("strata_version", env!("CARGO_PKG_VERSION"));
    let release = first_line("/proc/sys/kernel/osrelease");
    report.line("os", format_args!("Linux {release} {}", std::env::consts::ARCH));
    report.line("arch_bits", usize::BITS);
    report.line("monotonic_clock", "X86 TSC or POSIX clock_gettime");
    report.line("multiplexing_api", "epoll");
    report.line("atomicvar_api", "rust-core");
    report.line("gcc_version", "0.0.0");
    report.line("process_id", std::process::id());
    report.line("process_supervised", "no");
    report.line("run_id", &services.run_id);
    report.line("tcp_port", settings.port);
    report.line("server_time_usec", now_us);
    report.line("uptime_in_seconds", uptime);
    report.line("uptime_in_days", uptime / 86_400);
    report.line("hz", settings.hz);
    report.line("configured_hz", settings.hz);
    report.line("lru_clock", (now_us / 1_000_000) & 0xFF_FFFF);
    let executable = std::env::current_exe().map(|path| path.display().to_string());
    report.line("executable", executable.unwrap_or_default());
    let path = services.config.path().map(|path| path.display().to_string());
    report.line("config_file", path.unwrap_or_default());
    report.line("io_threads_active", 0);
    report.line("workers", settings.workers);
    let mut listeners = 0;
    if settings.port > 0 {
        let binds: Vec<_> = settings.bind.iter().map(|address| format!(",bind={address}")).collect();
        report.line("listener0", format_args!("name=tcp{},port={}", binds.concat(), settings.port));
        listeners += 1;
    }
    if !settings.unixsocket.is_empty() {
        report.line(&format!("listener{listeners}"), format_args!("name=unix,bind={}", settings.unixsocket));
    }
}

fn clients(report: &mut Report<'_, '_>, services: &Services, settings: &Settings) {
    let clients = services.clients.all();
    let largest =
        |size: fn(&crate::client::Client) -> usize| clients.iter().map(|c| size(c)).max().unwrap_or(0);
    let subscribers =
        clients.iter().filter(|client| client.flags().contains(crate::client::Flags::PUBSUB)).count();
    let watching = clients.iter().filter(|client| client.watched.load(Relaxed) > 0).count();
    report.section("Clients");
    report.line("connected_clients", services.clients.len());
    report.line("cluster_connections", 0);
    report.line("maxclients", settings.maxclients);
    report.line("client_recent_max_input_buffer", largest(|client| client.input_capacity.load(Relaxed)));
    report.line("client_recent_max_output_buffer", largest(crate::client::Client::output_memory));
    report.line("blocked_clients", services.blocked.len());
    report.line("tracking_clients", 0);
    report.line("pubsub_clients", subscribers);
    report.line("watching_clients", watching);
    report.line("clients_in_timeout_table", 0);
    report.line("total_watched_keys", services.keyspace.watchers().len());
    report.line("total_blocking_keys", services.keyspace.waiting().len());
    report.line("total_blocking_keys_on_nokey", services.blocked.keys_that_may_go());
}

/// Installed memory, in bytes.
fn system_memory() -> usize {
    first_line("/proc/meminfo")
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<usize>().ok())
        .unwrap_or(0)
        * 1024
}

fn memory(report: &mut Report<'_, '_>, services: &Services, settings: &Settings) {
    let found = Breakdown::measure(services, report.access);
    let a = found.allocator;
    let ratio = |one: usize, other: usize| one as f64 / other.max(1) as f64;
    report.section("Memory");
    report.bytes("used_memory", found.used);
    report.bytes("used_memory_rss", found.resident);
    report.bytes("used_memory_peak", found.peak);
    report.line("used_memory_peak_perc", format_args!("{:.2}%", ratio(found.used, found.peak) * 100.0));
    report.line("used_memory_overhead", found.overhead());
    report.line("used_memory_startup", found.startup);
    report.line("used_memory_dataset", found.dataset());
    report.line("used_memory_dataset_perc", format_args!("{:.2}%", found.dataset_percent()));
    report.line("allocator_allocated", a.allocated);
    report.line("allocator_active", a.active);
    report.line("allocator_resident", a.resident);
    report.line("allocator_muzzy", 0);
    report.bytes("total_system_memory", system_memory());
    report.line("used_memory_lua", 0);
    report.line("used_memory_vm_eval", 0);
    report.line("used_memory_lua_human", "0B");
    report.line("used_memory_scripts_eval", 0);
    report.line("number_of_cached_scripts", 0);
    report.line("number_of_functions", 0);
    report.line("number_of_libraries", 0);
    report.line("used_memory_vm_functions", 0);
    report.line("used_memory_vm_total", 0);
    report.line("used_memory_vm_total_human", "0B");
    report.line("used_memory_functions", 0);
    report.line("used_memory_scripts", 0);
    report.line("used_memory_scripts_human", "0B");
    report.bytes("maxmemory", settings.maxmemory as usize);
    let policy = services.config.get(&[b"maxmemory-policy"]);
    report.line("maxmemory_policy", policy.first().map_or("", |(_, value)| value));
    report.line("allocator_frag_ratio", format_args!("{:.2}", ratio(a.active, a.allocated)));
    report.line("allocator_frag_bytes", a.active.saturating_sub(a.allocated));
    report.line("allocator_rss_ratio", format_args!("{:.2}", ratio(a.resident, a.active)));
    report.line("allocator_rss_bytes", a.resident.saturating_sub(a.active));
    report.line("rss_overhead_ratio", format_args!("{:.2}", ratio(found.resident, a.resident)));
    report.line("rss_overhead_bytes", found.resident as i64 - a.resident as i64);
    report.line("mem_fragmentation_ratio", format_args!("{:.2}", found.fragmentation()));
    report.line("mem_fragmentation_bytes", found.resident as i64 - found.used as i64);
    report.line("mem_not_counted_for_evict", 0);
    report.line("mem_replication_backlog", 0);
    report.line("mem_total_replication_buffers", 0);
    report.line("mem_clients_slaves", 0);
    report.line("mem_clients_normal", found.clients);
    report.line("mem_cluster_links", 0);
    report.line("mem_aof_buffer", 0);
    report.line("mem_allocator", "jemalloc-5.3.0");
    report.line("mem_overhead_db_hashtable_rehashing", 0);
    report.line("active_defrag_running", 0);
    report.line("lazyfree_pending_objects", services.keyspace.reclaimer().pending());
    report.line("lazyfreed_objects", services.keyspace.reclaimer().freed());
}

fn persistence(report: &mut Report<'_, '_>, services: &Services, settings: &Settings) {
    report.section("Persistence");
    let loading = services.loading.load(Relaxed);
    report.line("loading", u8::from(loading));
    if loading {
        let progress = &services.progress;
        let (total, done) = (progress.total_bytes.load(Relaxed), progress.done_bytes.load(Relaxed));
        report.line("loading_start_time", services.started_at_ms / 1000);
        report.line("loading_total_bytes", total);
        report.line("loading_loaded_bytes", done);
        report.line("loading_loaded_perc", format_args!("{:.2}", done as f64 * 100.0 / total.max(1) as f64));
    }
    report.line("async_loading", 0);
    let saves = services.saves.report(services);
    let (saved, all) = saves.keys.unwrap_or((0, 0));
    report.line("current_cow_peak", saves.changed_bytes);
    report.line("current_cow_size", saves.changed_bytes);
    report.line("current_cow_size_age", 0);
    report.line("current_fork_perc", "0.00");
    report.line("current_save_keys_processed", saved);
    report.line("current_save_keys_total", all);
    report.line("rdb_changes_since_last_save", saves.changes);
    report.line("rdb_bgsave_in_progress", u8::from(saves.background_s.is_some()));
    report.line("rdb_last_save_time", saves.last_save_s);
    report.line("rdb_last_bgsave_status", if saves.failed { "err" } else { "ok" });
    report.line("rdb_last_bgsave_time_sec", saves.last_took_s.unwrap_or(-1));
    report.line("rdb_current_bgsave_time_sec", saves.background_s.unwrap_or(-1));
    report.line("rdb_saves", saves.saves);
    report.line("rdb_last_cow_size", saves.last_changed_bytes);
    report.line("rdb_last_load_keys_expired", saves.loaded.expired);
    report.line("rdb_last_load_keys_loaded", saves.loaded.keys);
    let store = services.keyspace.tier().map(|tier| tier.store());
    report.line("aof_enabled", u8::from(settings.appendonly));
    for name in ["aof_rewrite_in_progress", "aof_rewrite_scheduled"] {
        report.line(name, 0);
    }
    report.line("aof_last_rewrite_time_sec", -1);
    report.line("aof_current_rewrite_time_sec", -1);
    report.line("aof_last_bgrewrite_status", "ok");
    report.line("aof_rewrites", 0);
    report.line("aof_rewrites_consecutive_failures", 0);
    report.line(
        "aof_last_write_status",
        if store.is_some_and(|store| store.has_failed()) { "err" } else { "ok" },
    );
    report.line("aof_last_cow_size", 0);
    report.line("module_fork_in_progress", 0);
    report.line("module_fork_last_cow_size", 0);
}

/// The second tier, which Redis does not have.
fn tier(report: &mut Report<'_, '_>, services: &Services, _: &Settings) {
    let Some(tier) = services.keyspace.tier() else { return };
    let (store, counters) = (tier.store(), &tier.store().counters);
    let written = counters.written_bytes.load(Relaxed);
    let moved = counters.moved_bytes.load(Relaxed);
    let cold = services
        .keyspace
        .databases_in_use()
        .iter()
        .map(|(number, _)| report.access.cold_len(*number))
        .sum::<usize>();
    report.section("Tier");
    report.line("l2_segments", store.segments().len());
    report.line("l2_allocated_bytes", store.allocated_bytes());
    report.line("l2_live_bytes", store.live_bytes());
    report.line("l2_size", store.size_max());
    report.line("l2_mapped_bytes", usage::mapped_bytes());
    report.line("l2_cold_keys", cold);
    report.line("l2_written_bytes", written);
    report.line("l2_moved_bytes", moved);
    report.line(
        "l2_write_amplification",
        format_args!("{:.2}", written as f64 / (written - moved).max(1) as f64),
    );
    for (name, counter) in [
        ("l2_reads_resident", &counters.reads_resident),
        ("l2_reads_disk", &counters.reads_disk),
        ("l2_demoted", &counters.demoted),
        ("l2_promoted", &counters.promoted),
        ("l2_damaged_records", &counters.damaged),
        ("l2_reclaimed_segments", &counters.reclaimed),
        ("l2_syncs", &counters.syncs),
        ("l2_sync_errors", &counters.sync_errors),
        ("l2_last_sync_us", &counters.last_sync_us),
    ] {
        report.line(name, counter.load(Relaxed));
    }
    report.line("l2_last_error", if store.has_failed() { store.failure() } else { String::new() });
}

fn stats(report: &mut Report<'_, '_>, services: &Services, _: &Settings) {
    let metrics = &services.metrics;
    let (commands, input, output) = {
        let rates = metrics.rates.lock();
        (rates[0].per_second(), rates[1].per_second(), rates[2].per_second())
    };
    let exceeded_since = metrics.over_maxmemory_since_us.load(Relaxed);
    let exceeded_ms = if exceeded_since > 0 { (clock::now_us() - exceeded_since) / 1000 } else { 0 };
    report.section("Stats");
    report.line("total_connections_received", metrics.connections.get());
    report.line("total_commands_processed", metrics.sum(|c| &c.commands));
    report.line("instantaneous_ops_per_sec", commands);
    report.line("total_net_input_bytes", metrics.sum(|c| &c.input_bytes));
    report.line("total_net_output_bytes", metrics.sum(|c| &c.output_bytes));
    report.line("total_net_repl_input_bytes", 0);
    report.line("total_net_repl_output_bytes", 0);
    report.line("instantaneous_input_kbps", format_args!("{:.2}", input as f64 / 1024.0));
    report.line("instantaneous_output_kbps", format_args!("{:.2}", output as f64 / 1024.0));
    report.line("instantaneous_input_repl_kbps", "0.00");
    report.line("instantaneous_output_repl_kbps", "0.00");
    report.line("rejected_connections", metrics.connections_refused.get());
    report.line("sync_full", 0);
    report.line("sync_partial_ok", 0);
    report.line("sync_partial_err", 0);
    report.line("expired_subkeys", 0);
    report.line("expired_keys", metrics.sum(|c| &c.expired));
    report.line("expired_stale_perc", "0.00");
    report.line("expired_time_cap_reached_count", 0);
    report.line("expire_cycle_cpu_milliseconds", 0);
    let from_disk = services.keyspace.tier().map_or(0, |tier| tier.store().counters.evicted.load(Relaxed));
    report.line("evicted_keys", metrics.sum(|c| &c.evicted) + from_disk);
    report.line("evicted_clients", 0);
    report.line("evicted_scripts", 0);
    report.line("total_eviction_exceeded_time", 0);
    report.line("current_eviction_exceeded_time", exceeded_ms);
    report.line("keyspace_hits", metrics.sum(|c| &c.hits));
    report.line("keyspace_misses", metrics.sum(|c| &c.misses));
    report.line("pubsub_channels", services.pubsub.channel_count(Kind::Channel));
    report.line("pubsub_patterns", services.pubsub.pattern_count());
    report.line("pubsubshard_channels", services.pubsub.channel_count(Kind::Shard));
    for name in [
        "latest_fork_usec",
        "total_forks",
        "migrate_cached_sockets",
        "slave_expires_tracked_keys",
        "active_defrag_hits",
        "active_defrag_misses",
        "active_defrag_key_hits",
        "active_defrag_key_misses",
        "total_active_defrag_time",
        "current_active_defrag_time",
        "tracking_total_keys",
        "tracking_total_items",
        "tracking_total_prefixes",
        "unexpected_error_replies",
    ] {
        report.line(name, 0);
    }
    report.line("total_error_replies", metrics.sum(|c| &c.errors));
    report.line("dump_payload_sanitizations", 0);
    report.line("total_reads_processed", metrics.sum(|c| &c.reads));
    report.line("total_writes_processed", metrics.sum(|c| &c.writes));
    report.line("io_threaded_reads_processed", 0);
    report.line("io_threaded_writes_processed", 0);
    report.line("client_query_buffer_limit_disconnections", metrics.sum(|c| &c.query_buffer_disconnects));
    report.line("client_output_buffer_limit_disconnections", metrics.sum(|c| &c.output_buffer_disconnects));
    report.line("reply_buffer_shrinks", 0);
    report.line("reply_buffer_expands", 0);
    report.line("acl_access_denied_auth", metrics.sum(|c| &c.auth_refused));
    report.line("acl_access_denied_cmd", 0);
    report.line("acl_access_denied_key", 0);
    report.line("acl_access_denied_channel", 0);
}

fn replication(report: &mut Report<'_, '_>, services: &Services, _: &Settings) {
    report.section("Replication");
    report.line("role", "master");
    report.line("connected_slaves", 0);
    report.line("master_failover_state", "no-failover");
    report.line("master_replid", &services.run_id);
    report.line("master_replid2", "0".repeat(40));
    report.line("master_repl_offset", 0);
    report.line("second_repl_offset", -1);
    report.line("repl_backlog_active", 0);
    report.line("repl_backlog_size", 1_048_576);
    report.line("repl_backlog_first_byte_offset", 0);
    report.line("repl_backlog_histlen", 0);
}

/// User and system time of a line of /proc/…/stat, in seconds.
fn cpu_seconds(path: &str) -> (f64, f64) {
    // Fields are counted after the name, which may hold spaces but ends with the last parenthesis. The
    // kernel shows hundredths of a second to user space whatever its own tick is.
    let line = first_line(path);
    let fields: Vec<f64> = line
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or(0.0))
        .collect();
    (fields.get(11).unwrap_or(&0.0) / 100.0, fields.get(12).unwrap_or(&0.0) / 100.0)
}

fn cpu(report: &mut Report<'_, '_>, _: &Services, _: &Settings) {
    let (user, system) = cpu_seconds("/proc/self/stat");
    let (user_main, system_main) = cpu_seconds("/proc/thread-self/stat");
    report.section("CPU");
    report.line("used_cpu_sys", format_args!("{system:.6}"));
    report.line("used_cpu_user", format_args!("{user:.6}"));
    report.line("used_cpu_sys_children", "0.000000");
    report.line("used_cpu_user_children", "0.000000");
    report.line("used_cpu_sys_main_thread", format_args!("{system_main:.6}"));
    report.line("used_cpu_user_main_thread", format_args!("{user_main:.6}"));
}

fn modules(report: &mut Report<'_, '_>, _: &Services, _: &Settings) {
    report.section("Modules");
}

fn command_stats(report: &mut Report<'_, '_>, services: &Services, _: &Settings) {
    report.section("Commandstats");
    for (id, stats) in services.metrics.command_stats() {
        let micros = stats.nanos / 1000;
        let per_call = if stats.calls > 0 { stats.nanos as f64 / 1000.0 / stats.calls as f64 } else { 0.0 };
        report.line(
            &format!("cmdstat_{}", full_name(CommandId(id))),
            format_args!(
                "calls={},usec={micros},usec_per_call={per_call:.2},rejected_calls={},failed_calls={}",
                stats.calls, stats.rejected, stats.failed
            ),
        );
    }
}

fn error_stats(report: &mut Report<'_, '_>, services: &Services, _: &Settings) {
    report.section("Errorstats");
    for (code, count) in services.metrics.error_stats() {
        let code = String::from_utf8_lossy(&code);
        report.line(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn latency_stats(report: &mut Report<'_, '_>, services: &Services, settings: &Settings) {
    report.section("Latencystats");
    for (id, stats) in services.metrics.command_stats() {
        if !stats.has_times() {
            continue;
        }
        let figures: Vec<String> = settings
            .latency_tracking_info_percentiles
            .iter()
            .map(|percentile| format!("p{percentile}={:.3}", stats.percentile_us(*percentile)))
            .collect();
        report.line(&format!("latency_percentiles_usec_{}", full_name(CommandId(id))), figures.join(","));
    }
}

fn cluster(report: &mut Report<'_, '_>, _: &Services, _: &Settings) {
    report.section("Cluster");
    report.line("cluster_enabled", 0);
}

fn keyspace(report: &mut Report<'_, '_>, services: &Services, _: &Settings) {
    report.section("Keyspace");
    for (number, _) in services.keyspace.databases_in_use() {
        let (keys, expires, _) = report.access.sizes(number);
        if keys > 0 {
            let average = report.access.average_ttl_ms(number);
            report.line(
                &format!("db{number}"),
                format_args!("keys={keys},expires={expires},avg_ttl={average},subexpiry=0"),
            );
        }
    }
}

/// The rows of this family.
pub const ROWS: &[Row] = &[row("info", -1, "server", info)
    .scope(|_| Scope::WalkAll)
    .flags(&[Flag::Loading, Flag::Stale])
    .acl(&[Category::Dangerous])
    .docs("Returns information and statistics about the server.", "1.0.0")
    .complexity("O(1)")
    .history(&[("7.0.0", "Added support for taking multiple section arguments.")])
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
    .args(&[arg("section", ArgKind::String).optional().multiple()])];
