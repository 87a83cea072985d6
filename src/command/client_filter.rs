//! Which clients CLIENT KILL and CLIENT LIST mean.

use super::Error;
use super::parse::{int_or, is};
use crate::client::{Client, Flags};
use crate::resp::Args;

/// The types of clients that filters know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// None of the others.
    Normal,
    /// The primary that this server replicates.
    Master,
    /// A replica, and as in Redis whoever runs MONITOR.
    Replica,
    /// A subscriber.
    PubSub,
}

impl Kind {
    /// Reads a type's name.
    pub fn parse(word: &[u8]) -> Result<Kind, Error> {
        match word {
            word if is(word, "normal") => Ok(Kind::Normal),
            word if is(word, "master") => Ok(Kind::Master),
            word if is(word, "replica") || is(word, "slave") => Ok(Kind::Replica),
            word if is(word, "pubsub") => Ok(Kind::PubSub),
            _ => Err(Error::quoting("ERR Unknown client type '", word, "'")),
        }
    }

    /// The type of a client.
    pub fn of(client: &Client) -> Kind {
        let flags = client.flags();
        if flags.contains(Flags::PUBSUB) { Kind::PubSub } else { Kind::Normal }
    }
}

/// All that must be true of a client.
#[derive(Default)]
pub struct Filter<'a> {
    id: Option<u64>,
    address: Option<&'a [u8]>,
    local_address: Option<&'a [u8]>,
    kind: Option<Kind>,
    user: bool,
    age_min_seconds: i64,
    include_me: bool,
}

impl<'a> Filter<'a> {
    /// The old form: an address, which may be one's own.
    pub fn of_address(address: &'a [u8]) -> Filter<'a> {
        Filter { address: Some(address), include_me: true, ..Filter::default() }
    }

    /// Pairs of options and values.
    pub fn parse(args: Args<'a>) -> Result<Filter<'a>, Error> {
        let mut filter = Filter::default();
        let mut at = 0;
        while let Some(option) = args.get(at) {
            let Some(value) = args.get(at + 1) else { return Err(Error::SYNTAX) };
            if is(option, "id") {
                let invalid = "ERR client-id should be greater than 0";
                let id = int_or(value, invalid)?;
                filter.id = Some(u64::try_from(id).ok().filter(|id| *id > 0).ok_or(Error::fixed(invalid))?);
            } else if is(option, "maxage") {
                filter.age_min_seconds = int_or(value, "ERR maxage is not an integer or out of range")?;
                if filter.age_min_seconds <= 0 {
                    return Err(Error::fixed("ERR maxage should be greater than 0"));
                }
            } else if is(option, "type") {
                filter.kind = Some(Kind::parse(value)?);
            } else if is(option, "addr") {
                filter.address = Some(value);
            } else if is(option, "laddr") {
                filter.local_address = Some(value);
            } else if is(option, "user") {
                if value != b"default" {
                    return Err(Error::quoting("ERR No such user '", value, "'"));
                }
                filter.user = true;
            } else if is(option, "skipme") && (is(value, "yes") || is(value, "no")) {
                filter.include_me = is(value, "no");
            } else {
                return Err(Error::SYNTAX);
            }
            at += 2;
        }
        Ok(filter)
    }

    /// Whether a client is meant, seen from the client of id `me`.
    pub fn matches(&self, client: &Client, me: u64, now_ms: i64) -> bool {
        let age = (now_ms - client.connected_at_ms) / 1000;
        self.id.is_none_or(|id| id == client.id)
            && self.address.is_none_or(|address| address == client.address.as_bytes())
            && self.local_address.is_none_or(|address| address == client.local_address.as_bytes())
            && self.kind.is_none_or(|kind| kind == Kind::of(client))
            && (!self.user || client.authenticated.load(std::sync::atomic::Ordering::Relaxed))
            && age >= self.age_min_seconds
            && (self.include_me || client.id != me)
    }
}
