//! Effects on their way to whoever listens; to subscribers as messages on `__keyspace@N__:key` and
//! `__keyevent@N__:event`.

use super::reclaim::Garbage;
use super::{Change, Effect, Keyspace, Scratch};
use crate::config::NotifyFlags;
use crate::pubsub::Kind;

impl Keyspace {
    /// Hands effects to whoever listens, and large entries to the reclaimer. No lock is held.
    #[cold]
    pub(super) fn deliver(&self, scratch: &mut Scratch) {
        let effects = std::mem::take(&mut scratch.effects);
        if !self.waiting.is_empty() {
            for Effect { database, key, change, .. } in &effects {
                match change {
                    Change::None => {}
                    Change::Flush => {
                        let keys = self.waiting.keys_of(*database).into_iter();
                        scratch.ready.extend(keys.map(|key| (*database, key)));
                    }
                    _ if self.waiting.has(*database, key) => {
                        let ready = (*database, key.clone());
                        if !scratch.ready.contains(&ready) {
                            scratch.ready.push(ready);
                        }
                    }
                    _ => {}
                }
            }
        }
        self.notify(&effects);
        scratch.effects = effects;
        scratch.effects.clear();
        if !scratch.garbage.is_empty() {
            self.reclaimer().free(Garbage::Entries(std::mem::take(&mut scratch.garbage)));
        }
    }

    /// Records an effect that no [`super::Access`] made. The lock of its shards is still held.
    pub(super) fn push_effect(&self, scratch: &mut Scratch, effect: Effect) {
        scratch.counts.changes += 1;
        if self.has_listeners() {
            if effect.change != Change::Flush {
                self.watchers.touch(effect.database, &effect.key);
            }
            scratch.effects.push(effect);
        }
    }

    /// Publishes the effects whose class is wanted.
    fn notify(&self, effects: &[Effect]) {
        let wanted = self.notify_flags();
        for effect in
            effects.iter().filter(|effect| !effect.event.is_empty() && wanted.contains(effect.class))
        {
            if wanted.contains(NotifyFlags::KEYSPACE) {
                let prefix = format!("__keyspace@{}__:", effect.database);
                let channel = [prefix.as_bytes(), &effect.key].concat();
                self.pubsub.publish(Kind::Channel, &channel, effect.event.as_bytes());
            }
            if wanted.contains(NotifyFlags::KEYEVENT) {
                let channel = format!("__keyevent@{}__:{}", effect.database, effect.event);
                self.pubsub.publish(Kind::Channel, channel.as_bytes(), &effect.key);
            }
        }
    }
}
