//! Channels, patterns and shard channels, and who listens to them. Knows clients' mailboxes, no sockets.
//!
//! A message is encoded once and shared by its subscribers; what a slow subscriber may pile up is bounded
//! by the limit that [`PubSub::set_limit`] was given, and never slows the publisher.

use crate::client::{Client, Mail};
use crate::glob;
use bytes::Bytes;
use dashmap::DashMap;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// What a channel name is looked up among.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// SUBSCRIBE.
    Channel,
    /// PSUBSCRIBE.
    Pattern,
    /// SSUBSCRIBE.
    Shard,
}

type Subscribers = HashMap<u64, Arc<Client>>;

/// The registry of subscriptions.
#[derive(Default)]
pub struct PubSub {
    channels: DashMap<Bytes, Subscribers>,
    shard_channels: DashMap<Bytes, Subscribers>,
    patterns: RwLock<HashMap<Bytes, Subscribers>>,
    pattern_count: AtomicUsize,
    limit_bytes: AtomicU64,
}

/// Appends `$<len>\r\n<bytes>\r\n`.
fn encode(body: &mut Vec<u8>, bytes: &[u8]) {
    body.push(b'$');
    crate::number::write_i64(body, bytes.len() as i64);
    body.extend_from_slice(b"\r\n");
    body.extend_from_slice(bytes);
    body.extend_from_slice(b"\r\n");
}

fn message(parts: &[&[u8]]) -> Mail {
    let mut body = Vec::with_capacity(parts.iter().map(|part| part.len() + 16).sum());
    parts.iter().for_each(|part| encode(&mut body, part));
    Mail::Push { elements: parts.len() as u8, body: body.into() }
}

impl PubSub {
    /// Bounds what may wait for one subscriber, in bytes; 0 for no bound.
    pub fn set_limit(&self, bytes: u64) {
        self.limit_bytes.store(bytes, Relaxed);
    }

    fn table(&self, kind: Kind) -> &DashMap<Bytes, Subscribers> {
        if kind == Kind::Shard { &self.shard_channels } else { &self.channels }
    }

    /// Adds a subscription.
    pub fn subscribe(&self, kind: Kind, name: Bytes, client: &Arc<Client>) {
        if kind == Kind::Pattern {
            let mut patterns = self.patterns.write();
            patterns.entry(name).or_default().insert(client.id, Arc::clone(client));
            self.pattern_count.store(patterns.len(), Relaxed);
        } else {
            self.table(kind).entry(name).or_default().insert(client.id, Arc::clone(client));
        }
    }

    /// Takes a subscription back.
    pub fn unsubscribe(&self, kind: Kind, name: &Bytes, client_id: u64) {
        if kind == Kind::Pattern {
            let mut patterns = self.patterns.write();
            if let Some(subscribers) = patterns.get_mut(name) {
                subscribers.remove(&client_id);
                if subscribers.is_empty() {
                    patterns.remove(name);
                }
            }
            self.pattern_count.store(patterns.len(), Relaxed);
            return;
        }
        let table = self.table(kind);
        if let Some(mut subscribers) = table.get_mut(name) {
            subscribers.remove(&client_id);
        }
        table.remove_if(name, |_, subscribers| subscribers.is_empty());
    }

    /// Sends a message to the subscribers of a channel and, for PUBLISH, of the patterns that match it.
    /// Returns how many got it.
    pub fn publish(&self, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
        let mut receivers = 0;
        let limit = self.limit_bytes.load(Relaxed);
        if let Some(subscribers) = self.table(kind).get(channel) {
            let name: &[u8] = if kind == Kind::Shard { b"smessage" } else { b"message" };
            let mail = message(&[name, channel, payload]);
            for client in subscribers.values() {
                client.mailbox.put(mail.clone(), limit);
            }
            receivers += subscribers.len();
        }
        if kind == Kind::Channel && self.pattern_count.load(Relaxed) > 0 {
            for (pattern, subscribers) in self.patterns.read().iter() {
                if glob::matches(pattern, channel) {
                    let mail = message(&[b"pmessage", pattern, channel, payload]);
                    for client in subscribers.values() {
                        client.mailbox.put(mail.clone(), limit);
                    }
                    receivers += subscribers.len();
                }
            }
        }
        receivers
    }

    /// Whether anybody may listen to anything.
    pub fn is_empty(&self) -> bool {
        self.pattern_count.load(Relaxed) == 0 && self.channels.is_empty()
    }

    /// The names that have subscribers, those that match `pattern` where one is given.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Bytes> {
        self.table(kind)
            .iter()
            .filter(|entry| pattern.is_none_or(|pattern| glob::matches(pattern, entry.key())))
            .map(|entry| entry.key().clone())
            .collect()
    }

    /// How many clients are subscribed to a channel.
    pub fn subscriber_count(&self, kind: Kind, name: &[u8]) -> usize {
        self.table(kind).get(name).map_or(0, |subscribers| subscribers.len())
    }

    /// The number of channels that have subscribers.
    pub fn channel_count(&self, kind: Kind) -> usize {
        self.table(kind).len()
    }

    /// The number of different patterns.
    pub fn pattern_count(&self) -> usize {
        self.pattern_count.load(Relaxed)
    }
}
