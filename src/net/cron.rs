//! What is done at intervals (`hz`), on the main thread: memory figures, rates, limits that time decides.

use super::disk;
use crate::client::{Client, Flags};
use crate::clock;
use crate::command::{Paused, Services};
use crate::config::{Policy, Settings};
use crate::memory::access::AccessMode;
use crate::memory::usage;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Time between looks at all clients.
const CLIENTS_EVERY_MS: i64 = 1000;

/// Makes the parts of the server follow the settings.
pub fn apply(services: &Services, settings: &Settings) {
    services.keyspace.set_notify(settings.notify_keyspace_events);
    services.keyspace.set_access_mode(AccessMode {
        lfu: matches!(settings.maxmemory_policy, Policy::AllkeysLfu | Policy::VolatileLfu),
        log_factor: settings.lfu_log_factor,
        decay_minutes: settings.lfu_decay_time_minutes,
    });
    if let Some(tier) = services.keyspace.tier() {
        disk::follow(tier, settings);
    }
    services.pubsub.set_limit(settings.client_output_buffer_limit.pubsub.hard_bytes);
}

/// Runs for as long as the server does.
pub async fn run(services: Arc<Services>) {
    let mut clients_at_ms = 0;
    loop {
        let hz = services.config.settings().hz.clamp(1, 500);
        tokio::time::sleep(Duration::from_millis(1000) / hz).await;
        let settings = services.config.snapshot();
        let now_ms = clock::now_ms();
        usage::sample(settings.maxmemory);
        services.metrics.sample_rates(now_ms);
        note_excess(&services, &settings);
        services.saves.tick(&services, &settings, now_ms);
        if services.pause.state(now_ms) == Paused::No {
            services.keyspace.paused.store(false, Relaxed);
        }
        if now_ms - clients_at_ms >= CLIENTS_EVERY_MS {
            clients_at_ms = now_ms;
            for client in services.clients.all() {
                look_at(&client, &settings, now_ms);
            }
        }
    }
}

fn note_excess(services: &Services, settings: &Settings) {
    let over = settings.maxmemory > 0 && usage::excess_bytes(settings.maxmemory).is_some();
    let since = &services.metrics.over_maxmemory_since_us;
    match (over, since.load(Relaxed)) {
        (true, 0) => since.store(clock::now_us(), Relaxed),
        (false, 1..) => since.store(0, Relaxed),
        _ => {}
    }
}

/// Closes a client that was idle for too long; lets one look that is over its soft limit.
fn look_at(client: &Client, settings: &Settings, now_ms: i64) {
    let idle_ms = now_ms - client.active_at_ms.load(Relaxed);
    let may_idle = client.flags().intersects(Flags::PUBSUB | Flags::MONITOR | Flags::BLOCKED);
    if settings.timeout_seconds > 0 && !may_idle && idle_ms > settings.timeout_seconds as i64 * 1000 {
        client.mailbox.close();
    } else if client.output_bytes.load(Relaxed) > 0 {
        // Its connection checks the limits whenever it runs.
        client.mailbox.wake();
    }
}
