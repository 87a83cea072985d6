//! Reading what is not in the kernel's memory, for whoever can wait: one read of a record, for however many want it.

use super::place::Location;
use super::store::Store;
use std::sync::Arc;
use tokio::sync::watch;

/// How many threads read what one batch wants.
const READERS_MAX: usize = 4;

/// Has the records at `locations` come into the kernel's memory. Whatever the outcome, who wants them fetches them then, and
/// learns what is wrong.
pub async fn load(store: &Arc<Store>, locations: &[Location]) {
    let (mut own, mut others) = (Vec::new(), Vec::new());
    {
        let mut reading = store.reading.lock();
        for location in locations {
            match reading.get(location) {
                Some(read) => others.push(read.clone()),
                None => {
                    // Nobody is told anything but the end, when the sender goes.
                    let (sender, read) = watch::channel(());
                    reading.insert(*location, read);
                    own.push((*location, sender));
                }
            }
        }
    }
    let mut reads = Vec::new();
    while !own.is_empty() {
        let some = own.split_off(own.len() - locations.len().div_ceil(READERS_MAX).min(own.len()));
        let store = Arc::clone(store);
        reads.push(tokio::task::spawn_blocking(move || {
            let mut buffer = Vec::new();
            for (location, sender) in some {
                let _ = store.fetch(location, &mut buffer, true);
                store.reading.lock().remove(&location);
                drop(sender);
            }
        }));
    }
    for read in reads {
        // An error would be a panic there: the request then waits for the disk itself.
        let _ = read.await;
    }
    for mut read in others {
        // The sender is gone when it is read.
        let _ = read.changed().await;
    }
}
