//! What only the client's own connection needs to know.

use bytes::Bytes;
use std::collections::HashSet;

/// Whether replies are sent (CLIENT REPLY).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    /// They are.
    #[default]
    On,
    /// They are not.
    Off,
    /// That of the next command is not.
    SkipNext,
    /// That of the present command is not.
    Skipping,
}

/// What a client is subscribed to.
#[derive(Default, Debug)]
pub struct Subscriptions {
    /// SUBSCRIBE.
    pub channels: HashSet<Bytes>,
    /// PSUBSCRIBE.
    pub patterns: HashSet<Bytes>,
    /// SSUBSCRIBE.
    pub shard_channels: HashSet<Bytes>,
}

/// A client's own state.
#[derive(Default, Debug)]
pub struct State {
    /// The number of the selected database.
    pub database: usize,
    /// Whether HELLO asked for RESP3.
    pub resp3: bool,
    /// Whether commands may run: there is no password, or it was shown.
    pub authenticated: bool,
    /// Whether replies are sent.
    pub reply_mode: ReplyMode,
    /// CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// Runs MONITOR.
    pub monitor: bool,
    /// The connection closes when the present replies are sent.
    pub close_after_reply: bool,
    /// Made by the first subscription.
    subscriptions: Option<Box<Subscriptions>>,
}

impl State {
    /// What it is subscribed to, to change.
    pub fn subscriptions_mut(&mut self) -> &mut Subscriptions {
        self.subscriptions.get_or_insert_default()
    }

    /// What it is subscribed to, if it ever was.
    pub fn subscriptions(&self) -> Option<&Subscriptions> {
        self.subscriptions.as_deref()
    }

    /// Forgets all subscriptions; they must have been given up.
    pub fn clear_subscriptions(&mut self) {
        self.subscriptions = None;
    }

    /// Channels and patterns: the count that SUBSCRIBE answers.
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |s| s.channels.len() + s.patterns.len())
    }

    /// Shard channels: the count that SSUBSCRIBE answers.
    pub fn shard_subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |s| s.shard_channels.len())
    }

    /// Whether it is subscribed to anything.
    pub fn is_subscribed(&self) -> bool {
        self.subscription_count() + self.shard_subscription_count() > 0
    }
}
