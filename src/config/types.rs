//! The types of settings that are more than a number or a text, each with the form Redis reads and prints.
//!
//! They are defined here and not where they are used because the table of parameters must be able to read them without
//! knowing the server. What a policy or an event class *does* is written elsewhere.

use crate::number;

/// What to do when `maxmemory` is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Refuse commands that need memory.
    #[default]
    NoEviction,
    /// Any key, the least recently used first.
    AllkeysLru,
    /// Any key, the least frequently used first.
    AllkeysLfu,
    /// Any key, at random.
    AllkeysRandom,
    /// A key with an expiry, the least recently used first.
    VolatileLru,
    /// A key with an expiry, the least frequently used first.
    VolatileLfu,
    /// A key with an expiry, at random.
    VolatileRandom,
    /// A key with an expiry, the one that expires soonest first.
    VolatileTtl,
}

/// The least urgent messages that are still logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Debug,
    /// Much that is rarely useful.
    Verbose,
    /// What an operator wants to see.
    #[default]
    Notice,
    /// Only what needs attention.
    Warning,
    /// No messages.
    Nothing,
}

/// When what was logged is given to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppendFsync {
    /// Before the reply.
    Always,
    /// Once a second.
    #[default]
    EverySecond,
    /// When the kernel likes.
    No,
}

impl Choice for AppendFsync {
    const WORDS: &'static [(&'static str, Self)] =
        &[("always", AppendFsync::Always), ("everysec", AppendFsync::EverySecond), ("no", AppendFsync::No)];
}

/// Who may use a dangerous command or setting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    #[default]
    No,
    /// Everybody.
    Yes,
    /// Clients on this host (loopback or unix socket).
    Local,
}

/// A setting that is one of a few words. The order of the words is the order in which an error lists them.
pub trait Choice: Copy + PartialEq + Sized + 'static {
    /// The words and what they mean.
    const WORDS: &'static [(&'static str, Self)];

    /// The word for this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }

    /// The value of a word, without regard to case.
    fn from_word(text: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|(_, value)| *value)
    }
}

impl Choice for Policy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("volatile-lru", Self::VolatileLru),
        ("volatile-lfu", Self::VolatileLfu),
        ("volatile-random", Self::VolatileRandom),
        ("volatile-ttl", Self::VolatileTtl),
        ("allkeys-lru", Self::AllkeysLru),
        ("allkeys-lfu", Self::AllkeysLfu),
        ("allkeys-random", Self::AllkeysRandom),
        ("noeviction", Self::NoEviction),
    ];
}

impl Choice for LogLevel {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("debug", Self::Debug),
        ("verbose", Self::Verbose),
        ("notice", Self::Notice),
        ("warning", Self::Warning),
        ("nothing", Self::Nothing),
    ];
}

impl Choice for Access {
    const WORDS: &'static [(&'static str, Self)] =
        &[("no", Self::No), ("yes", Self::Yes), ("local", Self::Local)];
}

/// `save`: when a snapshot is made without being asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavePoints(Vec<(u64, u64)>);

impl SavePoints {
    /// Reads any number of `<seconds> <changes>`.
    ///
    /// # Errors
    /// The reason in Redis's words.
    pub fn parse(text: &str) -> Result<SavePoints, String> {
        let wrong = || "Invalid save parameters".to_owned();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let number = |word: &str, least: i64| {
            let number = word.parse::<i64>().ok().filter(|number| *number >= least);
            number.and_then(|number| u64::try_from(number).ok()).ok_or_else(wrong)
        };
        if !words.len().is_multiple_of(2) {
            return Err(wrong());
        }
        let points = words.chunks(2).map(|pair| Ok((number(pair[0], 1)?, number(pair[1], 0)?)));
        points.collect::<Result<_, String>>().map(SavePoints)
    }

    /// The points: seconds since the last snapshot, and changes.
    #[must_use]
    pub fn points(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// The form of CONFIG GET.
    #[must_use]
    pub fn print(&self) -> String {
        let points: Vec<_> = self.0.iter().map(|(seconds, changes)| format!("{seconds} {changes}")).collect();
        points.join(" ")
    }
}

/// How much unsent output one class of clients may pile up. Zero means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassLimit {
    /// Above this the client is closed at once.
    pub hard_bytes: u64,
    /// Above this for `soft_seconds` on end the client is closed.
    pub soft_bytes: u64,
    /// How long the soft limit may be exceeded.
    pub soft_seconds: u64,
}

/// `client-output-buffer-limit`: a limit for each class of clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimits {
    /// Clients that ask and get answers, MONITOR included.
    pub normal: ClassLimit,
    /// Replicas.
    pub replica: ClassLimit,
    /// Clients subscribed to at least one channel or pattern.
    pub pubsub: ClassLimit,
}

impl OutputLimits {
    /// Reads any number of `<class> <hard> <soft> <soft seconds>`; classes that are not named keep their limits.
    ///
    /// # Errors
    /// The reason in Redis's words. Nothing is changed then.
    pub fn update(&mut self, text: &str) -> Result<(), String> {
        let words: Vec<&str> = text.split(' ').filter(|_| !text.is_empty()).collect();
        if !words.len().is_multiple_of(4) {
            return Err("Wrong number of arguments in buffer limit configuration.".to_owned());
        }
        let mut updated = *self;
        for class in words.chunks_exact(4) {
            let limit = match class[0].to_ascii_lowercase().as_str() {
                "normal" => &mut updated.normal,
                "slave" | "replica" => &mut updated.replica,
                "pubsub" => &mut updated.pubsub,
                _ => {
                    return Err("Invalid client class specified in buffer limit configuration.".to_owned());
                }
            };
            let seconds = class[3].parse::<u64>().ok();
            match (parse_memory(class[1]), parse_memory(class[2]), seconds) {
                (Some(hard_bytes), Some(soft_bytes), Some(soft_seconds)) => {
                    *limit = ClassLimit { hard_bytes, soft_bytes, soft_seconds };
                }
                _ => {
                    return Err("Error in hard, soft or soft_seconds setting in buffer limit configuration."
                        .to_owned());
                }
            }
        }
        *self = updated;
        Ok(())
    }

    /// One text a class, in Redis's order and with its old word for replicas.
    #[must_use]
    pub fn classes(&self) -> [String; 3] {
        let print = |name: &str, limit: &ClassLimit| {
            format!("{name} {} {} {}", limit.hard_bytes, limit.soft_bytes, limit.soft_seconds)
        };
        [print("normal", &self.normal), print("slave", &self.replica), print("pubsub", &self.pubsub)]
    }
}

bitflags::bitflags! {
    /// `notify-keyspace-events`: which events are published, and on which kind of channel.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct NotifyFlags: u16 {
        /// `K`: on `__keyspace@<db>__:<key>`.
        const KEYSPACE = 1 << 0;
        /// `E`: on `__keyevent@<db>__:<event>`.
        const KEYEVENT = 1 << 1;
        /// `g`: commands for any type, such as DEL and EXPIRE.
        const GENERIC = 1 << 2;
        /// `$`: strings.
        const STRING = 1 << 3;
        /// `l`: lists.
        const LIST = 1 << 4;
        /// `s`: sets.
        const SET = 1 << 5;
        /// `h`: hashes.
        const HASH = 1 << 6;
        /// `z`: sorted sets.
        const ZSET = 1 << 7;
        /// `x`: a key expired.
        const EXPIRED = 1 << 8;
        /// `e`: a key was evicted.
        const EVICTED = 1 << 9;
        /// `t`: streams.
        const STREAM = 1 << 10;
        /// `m`: a key was asked for and not there. Not part of `A`.
        const KEY_MISS = 1 << 11;
        /// `d`: module types.
        const MODULE = 1 << 13;
        /// `n`: a key was created. Not part of `A`.
        const NEW = 1 << 14;
        /// `A`: all classes but `m` and `n`.
        const ALL = Self::GENERIC.bits() | Self::STRING.bits() | Self::LIST.bits() | Self::SET.bits()
            | Self::HASH.bits() | Self::ZSET.bits() | Self::EXPIRED.bits() | Self::EVICTED.bits()
            | Self::STREAM.bits() | Self::MODULE.bits();
    }
}

/// Letters of the classes in the order in which Redis prints them, those that `A` stands for first. (`n` is not in
/// `A`, but Redis prints it only without `A`.)
const NOTIFY_CLASSES: [(char, NotifyFlags); 11] = [
    ('g', NotifyFlags::GENERIC),
    ('$', NotifyFlags::STRING),
    ('l', NotifyFlags::LIST),
    ('s', NotifyFlags::SET),
    ('h', NotifyFlags::HASH),
    ('z', NotifyFlags::ZSET),
    ('x', NotifyFlags::EXPIRED),
    ('e', NotifyFlags::EVICTED),
    ('t', NotifyFlags::STREAM),
    ('d', NotifyFlags::MODULE),
    ('n', NotifyFlags::NEW),
];
const NOTIFY_OTHERS: [(char, NotifyFlags); 3] =
    [('K', NotifyFlags::KEYSPACE), ('E', NotifyFlags::KEYEVENT), ('m', NotifyFlags::KEY_MISS)];

impl NotifyFlags {
    /// Reads letters in any order; `None` if one of them is no class.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.chars()
            .map(|letter| match letter {
                'A' => Some(Self::ALL),
                _ => NOTIFY_CLASSES
                    .iter()
                    .chain(&NOTIFY_OTHERS)
                    .find(|(known, _)| *known == letter)
                    .map(|(_, flag)| *flag),
            })
            .try_fold(Self::empty(), |flags, flag| Some(flags | flag?))
    }

    /// The letters in Redis's normal form, such as `AKE`.
    #[must_use]
    pub fn print(self) -> String {
        let letters = |classes: &[(char, Self)]| -> String {
            classes.iter().filter(|(_, flag)| self.contains(*flag)).map(|(letter, _)| *letter).collect()
        };
        let classes = if self.contains(Self::ALL) { "A".to_owned() } else { letters(&NOTIFY_CLASSES) };
        classes + &letters(&NOTIFY_OTHERS)
    }
}

/// Reads a number of bytes such as `100`, `8mb` or `1g`: `k`, `m`, `g` are powers of 1000, `kb`, `mb`, `gb` of 1024.
/// `None` if it is not one or does not fit. An empty text is zero, as for Redis.
#[must_use]
pub fn parse_memory(text: &str) -> Option<u64> {
    // Redis reads a C string.
    let text = text.split('\0').next().unwrap_or_default();
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(unit_at);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    if digits.is_empty() {
        return Some(0);
    }
    // As strtoull does, more digits than fit are the largest number; only the unit may overflow.
    digits.parse::<u64>().unwrap_or(u64::MAX).checked_mul(unit)
}

/// A number of bytes with the largest binary unit that divides it, as CONFIG REWRITE writes it.
#[must_use]
pub fn print_memory(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// Reads percentiles between 0 and 100, separated by spaces.
///
/// # Errors
/// The reason in Redis's words.
pub fn parse_percentiles(text: &str) -> Result<Vec<f64>, String> {
    text.split(' ')
        .filter(|_| !text.is_empty())
        .map(|word| match number::parse_f64(word.as_bytes()) {
            None => Err("Invalid latency-tracking-info-percentiles parameters".to_owned()),
            Some(number) if !(0.0..=100.0).contains(&number) => {
                Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".to_owned())
            }
            Some(number) => Ok(number),
        })
        .collect()
}

/// A percentile with at most six decimals and no trailing zeros, as INFO and CONFIG GET print it.
#[must_use]
pub fn print_percentile(percentile: f64) -> String {
    let text = format!("{percentile:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_units_are_those_of_redis() {
        for (text, expected) in [
            ("0", Some(0)),
            ("", Some(0)),
            ("100", Some(100)),
            ("1\0x", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("8mb", Some(8 << 20)),
            ("2g", Some(2_000_000_000)),
            ("2Gb", Some(2 << 30)),
            ("7b", Some(7)),
            ("-1", None),
            ("1.5gb", None),
            ("1tb", None),
            (" 1", None),
            ("99999999999999999999", Some(u64::MAX)),
            ("99999999999999gb", None),
        ] {
            assert_eq!(parse_memory(text), expected, "{text:?}");
        }
        assert_eq!(print_memory(8 << 20), "8mb");
        assert_eq!(print_memory(1000), "1000");
        assert_eq!(print_memory(0), "0");
    }

    #[test]
    fn events_have_a_normal_form() {
        for (text, expected) in [
            ("", Some("")),
            ("KEA", Some("AKE")),
            ("Ex", Some("xE")),
            ("g$lshzxetdK", Some("AK")),
            ("KEAmn", Some("AKEm")),
            ("Kn$", Some("$nK")),
            ("q", None),
        ] {
            assert_eq!(NotifyFlags::parse(text).map(NotifyFlags::print).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn output_limits_change_only_the_classes_named() {
        let mut limits = OutputLimits::default();
        assert_eq!(limits.update("Replica 256mb 64mb 60 pubsub 1k 0 0"), Ok(()));
        assert_eq!(limits.classes().join(" "), "normal 0 0 0 slave 268435456 67108864 60 pubsub 1000 0 0");
        let before = limits;
        for wrong in ["normal 0 0", "master 0 0 0", "normal 0 0 -1", "normal 1 1 1 slave x 0 0"] {
            assert!(limits.update(wrong).is_err(), "{wrong:?}");
            assert_eq!(limits, before);
        }
    }

    #[test]
    fn percentiles_print_short() {
        let print = |text| {
            parse_percentiles(text)
                .map(|all| all.into_iter().map(print_percentile).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(print("50 99.0 99.900"), Ok("50 99 99.9".to_owned()));
        assert_eq!(print("0 100"), Ok("0 100".to_owned()));
        assert_eq!(print(""), Ok(String::new()));
        assert!(print("101").is_err() && print("x").is_err());
    }
}
