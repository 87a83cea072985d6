//! Keyspace notifications: effects as messages on `__keyspace@N__:key` and `__keyevent@N__:event`.

use super::{Effect, Keyspace};
use crate::config::NotifyFlags;
use crate::pubsub::Kind;

impl Keyspace {
    /// Publishes the effects whose class is wanted.
    pub(super) fn notify(&self, effects: &[Effect]) {
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
