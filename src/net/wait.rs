//! What connections wait for, as futures.

use super::migrate::migrate;
use crate::clock;
use crate::command::{Durability, Services, Wait};
use crate::disk::load::load;
use crate::disk::store::SyncPolicy;
use crate::resp::{Output, Reply};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// What a connection waits for; it may bring the reply.
pub type Waiting = Pin<Box<dyn Future<Output = Option<Output>> + Send>>;

/// The wait that a command has ordered.
pub fn waiting(services: &Arc<Services>, wait: Wait) -> Waiting {
    let services = Arc::clone(services);
    match wait {
        Wait::Load(cold) => Box::pin(async move {
            if let Some(tier) = services.keyspace.tier() {
                let store = Arc::clone(tier.store());
                load(&store, &cold.locations).await;
            }
            None
        }),
        Wait::Durable(wanted) => Box::pin(async move { Some(durable(&services, wanted).await) }),
        Wait::Unpaused => Box::pin(async move {
            unpaused(services).await;
            None
        }),
        Wait::Retry(time) | Wait::For(time) => Box::pin(async move {
            tokio::time::sleep(time).await;
            None
        }),
        Wait::Blocked(wait) => Box::pin(async move { Some(wait.reply().await) }),
        Wait::Migrated(migration) => Box::pin(async move { Some(migrate(&services, *migration).await) }),
        Wait::Answered(answer) => Box::pin(async move { Some(answer.await.unwrap_or_default()) }),
        Wait::Freed(freed) => Box::pin(async move {
            // An error means that the memory was freed on the way.
            let _ = freed.await;
            None
        }),
    }
}

/// Until all that was given to the kernel is on the disk, where that is what a reply means.
pub fn all_synced(services: &Arc<Services>) -> Option<Waiting> {
    let tier = services.keyspace.tier()?;
    let must_sync = tier.logs() && tier.sync_policy() == SyncPolicy::Always;
    if must_sync { synced(services, tier.store().last_flush()) } else { None }
}

/// Until the flush of this number is on the disk.
pub fn synced(services: &Arc<Services>, flush: u64) -> Option<Waiting> {
    let store = services.keyspace.tier()?.store();
    let mut synced = store.synced();
    store.want_sync();
    Some(Box::pin(async move {
        // The sender lives as long as the server.
        let _ = synced.wait_for(|synced| *synced >= flush).await;
        None
    }))
}

/// Waits for what WAIT or WAITAOF wants, and writes the reply.
async fn durable(services: &Services, wanted: Durability) -> Output {
    let synced = services.keyspace.tier().map(|tier| tier.store().synced());
    let done = async {
        if let (Some(mut synced), Some(flush)) = (synced.clone(), wanted.flush) {
            // The sender lives as long as the server.
            let _ = synced.wait_for(|synced| *synced >= flush).await;
        }
        if wanted.replicas {
            std::future::pending::<()>().await;
        }
    };
    let limit = if wanted.timeout_ms == 0 { Duration::MAX } else { Duration::from_millis(wanted.timeout_ms) };
    // Whether it was in time shows in the figures.
    let _ = tokio::time::timeout(limit, done).await;
    let mut out = Output::default();
    let mut reply = Reply::new(&mut out, wanted.resp3);
    match wanted.flush {
        None => reply.int(0),
        Some(flush) => {
            reply.array(2);
            reply.int(i64::from(synced.is_some_and(|synced| *synced.borrow() >= flush)));
            reply.int(0);
        }
    }
    out
}

/// Waits until the pause ends or changes.
async fn unpaused(services: Arc<Services>) {
    let mut changes = services.pause.subscribe();
    let left_ms = services.pause.until_ms() - clock::now_ms();
    if left_ms > 0 {
        let left = Duration::from_millis(left_ms as u64 + 1);
        // Either way the request is tried again; it waits once more if the pause goes on.
        let _ = tokio::time::timeout(left, changes.changed()).await;
    }
}
