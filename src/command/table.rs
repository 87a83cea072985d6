//! The command table: every row of every family, found by name in any case.

use super::row::Row;
use std::sync::LazyLock;

/// The rows of all families.
const FAMILIES: &[&[Row]] = &[
    super::string::ROWS,
    super::list::ROWS,
    super::list_blocking::ROWS,
    super::set::ROWS,
    super::zset::ROWS,
    super::zset_range::ROWS,
    super::zset_combine::ROWS,
    super::zset_pop::ROWS,
    super::geo::ROWS,
    super::hash::ROWS,
    super::hash_expire::ROWS,
    super::stream::ROWS,
    super::bitmap::ROWS,
    super::hyperloglog::ROWS,
    super::key::ROWS,
    super::dump::ROWS,
    super::migrate::ROWS,
    super::sort::ROWS,
    super::expire::ROWS,
    super::pubsub::ROWS,
    super::transaction::ROWS,
    super::wait::ROWS,
    super::connection::ROWS,
    super::client::ROWS,
    super::save::ROWS,
    super::server::ROWS,
    super::memory::ROWS,
    super::debug::ROWS,
    super::config::ROWS,
    super::observe::ROWS,
    super::info::ROWS,
    super::introspect::ROWS,
];

/// A row with its place in the table.
struct Entry {
    row: &'static Row,
    full_name: String,
    /// The index of its first subcommand; they follow one another.
    first_subcommand: usize,
    folded: Folded,
    /// Whether names of its length that are folded alike are the same: so it is with letters, not with other bytes.
    is_plain: bool,
}

impl Entry {
    fn new(row: &'static Row, full_name: String) -> Entry {
        let name = row.name.as_bytes();
        let is_plain = name.len() <= 16 && name.iter().all(u8::is_ascii_alphabetic);
        Entry { row, full_name, first_subcommand: 0, folded: Folded::of(name), is_plain }
    }

    #[inline]
    fn is_named(&self, name: &[u8], folded: Folded) -> bool {
        let own = self.row.name.as_bytes();
        self.folded == folded && own.len() == name.len() && (self.is_plain || own.eq_ignore_ascii_case(name))
    }
}

/// The ends of a name, in any case: all of it, up to 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Folded {
    head: u64,
    tail: u64,
}

impl Folded {
    #[inline]
    fn of(name: &[u8]) -> Folded {
        let (head, tail) = if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
            (u64::from_le_bytes(*head), u64::from_le_bytes(*tail))
        } else if let (Some(head), Some(tail)) = (name.first_chunk(), name.last_chunk()) {
            (u32::from_le_bytes(*head).into(), u32::from_le_bytes(*tail).into())
        } else {
            let byte = |at: Option<&u8>| at.map_or(0, |byte| u64::from(*byte));
            (byte(name.first()) | byte(name.get(1)) << 8, byte(name.last()))
        };
        // The bit that small letters have and large ones have not.
        Folded { head: head | 0x2020_2020_2020_2020, tail: tail | 0x2020_2020_2020_2020 }
    }

    fn slot(self) -> usize {
        let mixed = (self.head ^ self.tail.rotate_left(31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed >> (u64::BITS - SLOTS.ilog2())) as usize
    }
}

struct Table {
    entries: Vec<Entry>,
    /// Open addressing by [`Folded::slot`]; indices into `entries` plus one.
    slots: Box<[u16; SLOTS]>,
    commands: usize,
}

const SLOTS: usize = 1024;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let commands: Vec<&'static Row> = FAMILIES.iter().flat_map(|family| family.iter()).collect();
    let mut entries: Vec<Entry> = commands.iter().map(|row| Entry::new(row, row.name.to_owned())).collect();
    for (index, row) in commands.iter().enumerate() {
        entries[index].first_subcommand = entries.len();
        for sub in row.subcommands {
            let full_name = format!("{}|{}", row.name, sub.name);
            entries.push(Entry::new(sub, full_name));
        }
    }
    let mut slots = Box::new([0_u16; SLOTS]);
    for (index, row) in commands.iter().enumerate() {
        let mut slot = Folded::of(row.name.as_bytes()).slot();
        while slots[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        slots[slot] = index as u16 + 1;
    }
    Table { entries, slots, commands: commands.len() }
});

/// A command's place in the table: the key of its statistics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommandId(pub u16);

/// What a request's first words name.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// A command.
    Command(CommandId, &'static Row),
    /// No command.
    Unknown,
    /// A command, but no subcommand of it.
    UnknownSubcommand(&'static Row),
}

/// Finds the row of a request by its first and, for a command with subcommands, second word.
#[inline]
pub fn lookup(name: &[u8], second: Option<&[u8]>) -> Found {
    let table = &*TABLE;
    let folded = Folded::of(name);
    let mut slot = folded.slot();
    let index = loop {
        let Some(index) = usize::from(table.slots[slot]).checked_sub(1) else { return Found::Unknown };
        if table.entries[index].is_named(name, folded) {
            break index;
        }
        slot = (slot + 1) % SLOTS;
    };
    let row = table.entries[index].row;
    match second {
        Some(word) if !row.subcommands.is_empty() => {
            match row.subcommands.iter().position(|sub| sub.name.as_bytes().eq_ignore_ascii_case(word)) {
                Some(sub) => {
                    let id = table.entries[index].first_subcommand + sub;
                    Found::Command(CommandId(id as u16), &row.subcommands[sub])
                }
                None => Found::UnknownSubcommand(row),
            }
        }
        _ => Found::Command(CommandId(index as u16), row),
    }
}

/// All commands, without subcommands, in the order of the table.
pub fn all_rows() -> impl Iterator<Item = &'static Row> {
    TABLE.entries[..TABLE.commands].iter().map(|entry| entry.row)
}

/// How many rows there are, subcommands included.
pub fn row_count() -> usize {
    TABLE.entries.len()
}

/// The row at a place.
pub fn row_at(id: CommandId) -> &'static Row {
    TABLE.entries[usize::from(id.0)].row
}

/// The name with that of its container, as in `client|list`.
pub fn full_name(id: CommandId) -> &'static str {
    &TABLE.entries[usize::from(id.0)].full_name
}
