//! Servers as processes: how each is started, pinned, waited for and ended.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::wire::Protocol;
use super::{Failure, system};

/// How to start a kind of server.
#[derive(Clone, Debug)]
pub struct Template {
    /// What it is called in tables.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// The command line, with `{port}` and `{threads}` to be replaced.
    command: Vec<String>,
    /// Whether it takes `--maxmemory` and the like.
    pub takes_redis_options: bool,
}

impl Template {
    /// A server given by the words of its command line.
    pub fn new(name: &str, protocol: Protocol, command: Vec<String>) -> Self {
        Self { name: name.to_owned(), protocol, command, takes_redis_options: protocol == Protocol::Redis }
    }

    /// A redis-server or one that takes the same options.
    pub fn redis(name: &str, path: &str) -> Self {
        let name = name.rsplit('/').next().unwrap_or(name);
        let options = "--port {port} --save '' --appendonly no --protected-mode no --maxclients 10100 \
                       --io-threads {threads} --io-threads-do-reads yes";
        let mut command = vec![path.to_owned()];
        command.extend(split(options));
        Self::new(name, Protocol::Redis, command)
    }

    /// Strata.
    pub fn strata(path: &str) -> Self {
        let options = "--port {port} --save '' --appendonly no --l2-size 0 --protected-mode no --maxclients 10100 --workers {threads}";
        let mut command = vec![path.to_owned()];
        command.extend(split(options));
        Self::new("strata", Protocol::Redis, command)
    }

    /// memcached, with memory enough to evict nothing.
    pub fn memcached() -> Self {
        let command = "memcached -l 127.0.0.1 -p {port} -U 0 -t {threads} -c 10100 -m 16384 -u nobody";
        Self::new("memcached", Protocol::Memcached, split(command))
    }

    /// A server given by its whole command line. A name that begins with `memcached` tells its protocol.
    pub fn custom(name: &str, command: &str) -> Self {
        let protocol = if name.starts_with("memcached") { Protocol::Memcached } else { Protocol::Redis };
        Self::new(name, protocol, split(command))
    }

    /// Whether the number of threads can be chosen.
    pub fn takes_threads(&self) -> bool {
        self.command.iter().any(|word| word.contains("{threads}"))
    }

    /// Starts one on a free port with so many threads and further options, pinned to `cores`, and waits until it
    /// accepts connections.
    pub fn start(&self, threads: usize, cores: &[usize], options: &[&str]) -> Result<Server, Failure> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let replace = |word: &String| {
            word.replace("{port}", &port.to_string()).replace("{threads}", &threads.to_string())
        };
        let mut words: Vec<String> = self.command.iter().map(replace).collect();
        words.extend(options.iter().map(|&word| word.to_owned()));
        let directory = std::env::temp_dir().join(format!("bench-{}-{port}", std::process::id()));
        fs::create_dir_all(&directory)?;
        let mut server = Server {
            name: self.name.clone(),
            protocol: self.protocol,
            child: spawn(&words, cores, &directory)?,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            directory,
            words,
            cores: cores.to_vec(),
        };
        server.wait()?;
        Ok(server)
    }
}

/// Starts a process in a directory, to which it writes its log.
fn spawn(words: &[String], cores: &[usize], directory: &Path) -> Result<Child, Failure> {
    let (program, arguments) = words.split_first().ok_or("no command to start a server")?;
    let log = File::create(directory.join("log"))?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    system::pin_child(&mut command, cores);
    command.spawn().map_err(|error| format!("starting {program}: {error}").into())
}

/// Splits a command line at spaces, outside of single and double quotes.
fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for letter in command.chars() {
        match (quote, letter) {
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == letter => quote = None,
            (None, ' ' | '\t' | '\n') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    words
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// What it is called in tables.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it runs and has its files; removed when it ends.
    pub directory: PathBuf,
    child: Child,
    words: Vec<String>,
    cores: Vec<usize>,
}

impl Server {
    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time used so far, in nanoseconds.
    pub fn cpu_ns(&self) -> Result<u64, Failure> {
        system::cpu_ns(self.pid())
    }

    /// Resident memory in bytes.
    pub fn rss_bytes(&self) -> Result<u64, Failure> {
        system::rss_bytes(self.pid())
    }

    /// Resident memory in bytes once it has stopped falling or growing: a server may still resize tables or give
    /// memory back when the last reply has left.
    pub fn settled_rss_bytes(&self) -> Result<u64, Failure> {
        let mut last = self.rss_bytes()?;
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.rss_bytes()?;
            if now.abs_diff(last) < last / 1000 {
                return Ok(now);
            }
            last = now;
        }
        Ok(last)
    }

    /// Ends it as `kill -9` does, and starts it again with what it left: at the moment that is returned.
    pub fn restart_after_kill(&mut self) -> Result<Instant, Failure> {
        self.child.kill()?;
        self.restart()
    }

    /// Has it stop by itself, and starts it again with what it left: at the moment that is returned.
    pub fn restart_after_stop(&mut self) -> Result<Instant, Failure> {
        system::terminate(self.pid())?;
        self.restart()
    }

    /// Does not wait until it listens.
    fn restart(&mut self) -> Result<Instant, Failure> {
        self.child.wait()?;
        let began = Instant::now();
        self.child = spawn(&self.words, &self.cores, &self.directory)?;
        Ok(began)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            if TcpStream::connect(self.address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(format!("{} ended at once ({status}):\n{log}", self.name).into());
            }
            if Instant::now() > patience {
                return Err(format!("{} does not listen on {}", self.name, self.address).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
