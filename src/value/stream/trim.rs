//! Trimming: entries go from the front of a stream, whole nodes of them where that will do.

use super::Log;
use super::id::Id;

/// What is to be left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TrimTo {
    /// So many entries.
    Len(u64),
    /// Entries from this ID on.
    Id(Id),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trim {
    /// What is to be left.
    pub to: TrimTo,
    /// Whether it may be more: only whole nodes go.
    pub approximate: bool,
    /// The most entries to remove; 0 for no limit.
    pub limit: u64,
}

impl Log {
    /// Removes entries from the front; answers how many.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let mut removed = 0;
        while let Some(node) = self.nodes.front() {
            if matches!(trim.to, TrimTo::Len(len) if self.len <= len) {
                break;
            }
            let master = node.master();
            let live = u64::try_from(master.live).unwrap_or(0);
            if trim.limit > 0 && removed + live > trim.limit {
                break;
            }
            let whole = match trim.to {
                TrimTo::Len(len) => self.len - live.min(self.len) >= len,
                TrimTo::Id(id) => {
                    node.entry_before(None).is_none_or(|last| node.entry(&master, last).id < id)
                }
            };
            if whole {
                self.nodes.pop_front();
                self.len -= live.min(self.len);
                removed += live;
                continue;
            }
            if !trim.approximate {
                removed += self.trim_front(trim.to);
            }
            break;
        }
        if removed > 0 || self.len == 0 {
            self.find_first();
        }
        removed
    }

    /// Marks entries of the first node as deleted.
    fn trim_front(&mut self, to: TrimTo) -> u64 {
        let Some(node) = self.nodes.front_mut() else { return 0 };
        let master = node.master();
        let (mut places, mut at) = (Vec::new(), master.first);
        while let Some(place) = at {
            let entry = node.entry(&master, place);
            let stay = match to {
                TrimTo::Len(len) => self.len - places.len() as u64 <= len,
                TrimTo::Id(id) => entry.id >= id,
            };
            if stay {
                break;
            }
            if !entry.deleted {
                places.push(place);
            }
            at = entry.after();
        }
        node.delete(&places);
        self.len -= places.len() as u64;
        places.len() as u64
    }
}
