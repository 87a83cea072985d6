//! One connection that asks and reads answers: for what is not load.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::Failure;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A string or a number.
    Text(String),
    /// Nothing there.
    Missing,
    /// An error.
    Error(String),
}

/// A connection.
#[derive(Debug)]
pub struct Talk {
    stream: BufReader<TcpStream>,
}

impl Talk {
    /// Connects.
    pub fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::with_capacity(1 << 16, stream) })
    }

    /// Sends what is written already.
    pub fn send(&mut self, requests: &[u8]) -> Result<(), Failure> {
        Ok(self.stream.get_mut().write_all(requests)?)
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&mut self, words: &[&str]) -> Result<Reply, Failure> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.send(request.as_bytes())?;
        self.reply()
    }

    /// Reads an answer, which is no array.
    pub fn reply(&mut self) -> Result<Reply, Failure> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the server closed the connection".into());
        }
        let text = line.get(1..).unwrap_or_default().trim_end();
        match line.as_bytes().first() {
            Some(b'-') => Ok(Reply::Error(text.to_owned())),
            Some(b'$') if text == "-1" => Ok(Reply::Missing),
            Some(b'$') => {
                let mut value = vec![0; text.parse::<usize>()? + 2];
                self.stream.read_exact(&mut value)?;
                value.truncate(value.len() - 2);
                Ok(Reply::Text(String::from_utf8_lossy(&value).into_owned()))
            }
            Some(b'+' | b':') => Ok(Reply::Text(text.to_owned())),
            _ => Err(format!("an answer that is not understood: {line:?}").into()),
        }
    }

    /// Numbers of INFO, by name.
    pub fn info<const N: usize>(&mut self, names: [&str; N]) -> Result<[f64; N], Failure> {
        let Reply::Text(text) = self.ask(&["INFO", "everything"])? else { return Err("no INFO".into()) };
        let find = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|number| number.parse().ok()).ok_or_else(|| format!("no {name} in INFO"))
        };
        let mut numbers = [0.0; N];
        for (number, name) in numbers.iter_mut().zip(names) {
            *number = find(name)?;
        }
        Ok(numbers)
    }
}
