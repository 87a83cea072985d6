//! How one setting is read and printed: the kinds of parameters and, for each Rust type, the rules of its kind.
//!
//! A refused value gets the words Redis uses, so that CONFIG SET and the command line explain themselves alike.
//!
//! This file must not know which parameters exist.

use super::types::{self, Choice, NotifyFlags, OutputLimits, SavePoints};
use crate::number;

/// What values a parameter takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A whole number in a range, both ends included.
    Integer(i64, i64),
    /// A number of bytes in a range, with an optional unit.
    Memory(u64, u64),
    /// File permissions in octal digits, up to this.
    Octal(u32),
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Any text.
    Text,
    /// An existing directory.
    Directory,
    /// One word of a form that the text describes.
    Form(&'static str),
    /// Several words, separated by spaces; the text says which.
    Words(&'static str),
}

impl Kind {
    /// What is allowed, for people: the end of "allowed: …".
    #[must_use]
    pub fn allowed(&self) -> String {
        match self {
            Self::Bool => "yes or no".to_owned(),
            Self::Integer(low, high) => format!("a whole number from {low} to {high}"),
            Self::Memory(0, u64::MAX) => "a number of bytes, alone or with k, kb, m, mb, g or gb".to_owned(),
            Self::Memory(low, high) => {
                format!("a number of bytes from {low} to {high}, alone or with k, kb, m, mb, g or gb")
            }
            Self::Octal(high) => format!("octal digits from 0 to {high:o}"),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Text => "any text".to_owned(),
            Self::Directory => "an existing directory".to_owned(),
            Self::Form(form) | Self::Words(form) => (*form).to_owned(),
        }
    }

    /// Whether a value may be several words.
    #[must_use]
    pub fn takes_several_words(&self) -> bool {
        matches!(self, Self::Words(_))
    }
}

/// A Rust type that a parameter can have.
pub(super) trait Value {
    /// Replaces the value by what `text` says, or tells why not and changes nothing.
    fn assign(&mut self, text: &str, kind: &Kind) -> Result<(), String>;
    /// The form CONFIG GET shows.
    fn print(&self, kind: &Kind) -> String;
}

impl Value for bool {
    fn assign(&mut self, text: &str, _kind: &Kind) -> Result<(), String> {
        *self = match text.to_ascii_lowercase().as_str() {
            "yes" => true,
            "no" => false,
            _ => return Err("argument must be 'yes' or 'no'".to_owned()),
        };
        Ok(())
    }

    fn print(&self, _kind: &Kind) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

/// Reads a number of any kind and checks its range.
fn parse_number(text: &str, kind: &Kind) -> Result<i128, String> {
    let (number, low, high) = match *kind {
        Kind::Memory(low, high) => {
            let bytes = types::parse_memory(text).ok_or("argument must be a memory value")?;
            (i128::from(bytes), i128::from(low), i128::from(high))
        }
        Kind::Octal(high) => {
            let number =
                i64::from_str_radix(text, 8).map_err(|_| "argument couldn't be parsed as an octal number")?;
            if !(0..=i64::from(high)).contains(&number) {
                return Err(format!("argument must be between 0 and {high:o} inclusive"));
            }
            return Ok(i128::from(number));
        }
        Kind::Integer(low, high) => {
            let number =
                number::parse_i64(text.as_bytes()).ok_or("argument couldn't be parsed into an integer")?;
            (i128::from(number), i128::from(low), i128::from(high))
        }
        _ => return Err("argument couldn't be parsed into an integer".to_owned()),
    };
    if (low..=high).contains(&number) {
        Ok(number)
    } else {
        Err(format!("argument must be between {low} and {high} inclusive"))
    }
}

macro_rules! number_values {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn assign(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
                let number = parse_number(text, kind)?;
                *self = <$type>::try_from(number).map_err(|_| "argument is out of range".to_owned())?;
                Ok(())
            }

            fn print(&self, kind: &Kind) -> String {
                match kind {
                    Kind::Octal(_) => format!("{self:o}"),
                    _ => self.to_string(),
                }
            }
        }
    )*};
}

number_values!(u16, u32, u64, usize, i64);

impl Value for String {
    fn assign(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
        match kind {
            // The directory the process is in may have been removed; that alone must not stop it.
            Kind::Directory if text == "." && std::env::current_dir().is_err() => text.clone_into(self),
            Kind::Directory => {
                let reason = |error: std::io::Error| super::io_reason(&error);
                let path = std::fs::canonicalize(text).map_err(reason)?;
                std::fs::read_dir(&path).map_err(reason)?;
                *self = path.to_str().ok_or("argument must be valid UTF-8")?.to_owned();
            }
            _ => text.clone_into(self),
        }
        Ok(())
    }

    fn print(&self, _kind: &Kind) -> String {
        self.clone()
    }
}

impl Value for Vec<String> {
    fn assign(&mut self, text: &str, _kind: &Kind) -> Result<(), String> {
        const ADDRESSES_MAX: usize = 16;
        let words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        if words.len() > ADDRESSES_MAX {
            return Err("Too many bind addresses specified.".to_owned());
        }
        *self = words;
        Ok(())
    }

    fn print(&self, _kind: &Kind) -> String {
        self.join(" ")
    }
}

impl Value for Vec<f64> {
    fn assign(&mut self, text: &str, _kind: &Kind) -> Result<(), String> {
        *self = types::parse_percentiles(text)?;
        Ok(())
    }

    fn print(&self, _kind: &Kind) -> String {
        let words: Vec<String> = self.iter().map(|number| types::print_percentile(*number)).collect();
        words.join(" ")
    }
}

impl Value for OutputLimits {
    fn assign(&mut self, text: &str, _kind: &Kind) -> Result<(), String> {
        self.update(text)
    }

    fn print(&self, _kind: &Kind) -> String {
        self.classes().join(" ")
    }
}

impl Value for SavePoints {
    fn assign(&mut self, text: &str, _kind: &Kind) -> Result<(), String> {
        *self = Self::parse(text)?;
        Ok(())
    }

    fn print(&self, _kind: &Kind) -> String {
        SavePoints::print(self)
    }
}

impl Value for NotifyFlags {
    fn assign(&mut self, text: &str, _kind: &Kind) -> Result<(), String> {
        *self = Self::parse(text).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
        Ok(())
    }

    fn print(&self, _kind: &Kind) -> String {
        NotifyFlags::print(*self)
    }
}

macro_rules! choice_values {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn assign(&mut self, text: &str, kind: &Kind) -> Result<(), String> {
                *self = Self::from_word(text).ok_or_else(|| match kind {
                    Kind::Choice(words) => {
                        format!("argument(s) must be one of the following: {}", words.join(", "))
                    }
                    _ => "argument is not one of the allowed words".to_owned(),
                })?;
                Ok(())
            }

            fn print(&self, _kind: &Kind) -> String {
                self.word().to_owned()
            }
        }
    )*};
}

choice_values!(types::Policy, types::LogLevel, types::Access, types::AppendFsync);

/// The words of a [`Choice`] as a constant, for [`Kind::Choice`].
pub(super) const fn words<const N: usize, T: Choice>() -> [&'static str; N] {
    let mut words = [""; N];
    let mut at = 0;
    while at < N {
        words[at] = T::WORDS[at].0;
        at += 1;
    }
    words
}
