//! A server process on a free port of the loopback interface, gone when the test is.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::wire::Client;
use super::{PATIENCE, within};

/// A running server with a directory of its own, where its log lies too.
pub struct Server {
    child: Child,
    pub port: u16,
    pub directory: PathBuf,
}

impl Server {
    /// Starts the server under test with `arguments` after the usual ones, and waits until it answers PING.
    pub fn start(arguments: &[&str]) -> Server {
        Server::start_program(&program(), arguments)
            .unwrap_or_else(|log| panic!("no start with {arguments:?}:\n{log}"))
    }

    /// Starts Debian's redis-server, the oracle of the differential test.
    pub fn redis(arguments: &[&str]) -> Server {
        let oracle = std::env::var_os("STRATA_TEST_ORACLE").unwrap_or_else(|| "redis-server".into());
        Server::start_program(Path::new(&oracle), arguments)
            .unwrap_or_else(|log| panic!("redis-server does not start:\n{log}"))
    }

    fn start_program(program: &Path, arguments: &[&str]) -> Result<Server, String> {
        let mut log = String::new();
        for _ in 0..5 {
            let port = free_port();
            let directory = fresh_directory();
            let mut child = spawn(program, port, &directory, arguments);
            let up = within(PATIENCE, || match child.try_wait().expect("a child to ask") {
                Some(_) => Some(false),
                None => answers_ping(port).then_some(true),
            });
            let server = Server { child, port, directory };
            if up == Some(true) {
                return Ok(server);
            }
            log = server.log();
            if !log.to_lowercase().contains("address already in use") && !log.contains("Failed listening") {
                break;
            }
        }
        Err(log)
    }

    /// Ends the process as a crash would, and starts it again in its directory.
    pub fn crash_and_restart(&mut self, arguments: &[&str]) {
        self.child.kill().expect("a child to kill");
        self.child.wait().expect("a child to wait for");
        self.restart(arguments);
    }

    /// Starts the program again in its directory, once it has ended; waits until it serves.
    pub fn restart(&mut self, arguments: &[&str]) {
        self.child = spawn(&program(), self.port, &self.directory, arguments);
        let child = &mut self.child;
        let up = within(PATIENCE, || match child.try_wait().expect("a child to ask") {
            Some(_) => Some(false),
            None => serves(self.port).then_some(true),
        });
        assert_eq!(up, Some(true), "no second start:\n{}", read_log(&self.directory));
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// A new connection that speaks RESP3.
    pub fn client3(&self) -> Client {
        let mut client = self.client();
        client.send("HELLO 3");
        client.read();
        client
    }

    /// Everything the process has written so far.
    pub fn log(&self) -> String {
        read_log(&self.directory)
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by its name (`TERM`, `INT`, `STOP`, `CONT`).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.expect("kill exists").success());
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        within(PATIENCE, || child.try_wait().expect("a child to ask")).expect("the server ends by itself")
    }

    /// Resident memory in KiB, as the kernel sees it.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a live process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a VmRSS line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number of KiB")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(20).collect::<Vec<_>>();
            eprintln!("the server's last lines:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Runs the server under test with exactly `arguments` (and, if given, one environment variable) until it ends, and
/// returns how it ended with all it wrote. For starts that must fail; one that stays up is killed and panics.
pub fn run_to_exit(arguments: &[&str], environment: &[(&str, &str)]) -> (ExitStatus, String) {
    let directory = fresh_directory();
    let log = File::create(directory.join("log")).expect("a log file");
    let mut child = command(&program())
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a second handle"))
        .stderr(log)
        .spawn()
        .expect("the server's program");
    let status = within(PATIENCE, || child.try_wait().expect("a child to ask"));
    let _ = child.kill();
    let _ = child.wait();
    let output = read_log(&directory);
    let _ = std::fs::remove_dir_all(&directory);
    (status.unwrap_or_else(|| panic!("{arguments:?} started:\n{output}")), output)
}

/// True, with a line that says so, when a test of what only Strata promises must be skipped: another server is under test.
pub fn strata_only(test: &str) -> bool {
    let skip = std::env::var_os("STRATA_TEST_SERVER").is_some();
    if skip {
        println!("{test}: skipped, the server under test is not strata");
    }
    skip
}

fn is_strata(program: &Path) -> bool {
    std::env::var_os("STRATA_TEST_SERVER").is_none() && program == self::program()
}

/// The program under test.
pub fn program() -> PathBuf {
    match std::env::var_os("STRATA_TEST_SERVER") {
        Some(path) => path.into(),
        None => env!("CARGO_BIN_EXE_strata").into(),
    }
}

/// The program's command, without the variables that are the tests' own: strata takes each `STRATA_…` for a setting.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("RUST_BACKTRACE", "0");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STRATA_")) {
        command.env_remove(name);
    }
    command
}

/// A port nobody listened on a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// A new empty directory, short enough a path for a unix socket in it.
pub fn fresh_directory() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("strata-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a temporary directory");
    directory
}

fn spawn(program: &Path, port: u16, directory: &Path, arguments: &[&str]) -> Child {
    let log = File::create(directory.join("log")).expect("a log file");
    let port = port.to_string();
    let usual = ["--port", &port, "--save", "", "--appendonly", "no", "--enable-debug-command", "yes"];
    let mut command = command(program);
    command.args(usual);
    if !arguments.contains(&"--l2-size") && is_strata(program) {
        command.args(["--l2-size", "0"]);
    }
    if !arguments.contains(&"--bind") {
        command.args(["--bind", "127.0.0.1"]);
    }
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command.stdout(log.try_clone().expect("a second handle")).stderr(log);
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Whether a command on keys is answered, as it is once all keys are known.
fn serves(port: u16) -> bool {
    answers_ping(port) && !Client::connect(port).run("DBSIZE").text_if_error().starts_with("LOADING")
}

/// One PING over a fresh connection; a server with a password or in protected mode answers too, with an error.
fn answers_ping(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let _ = stream.write_all(b"PING\r\n");
    let mut answer = [0; 64];
    let Ok(length) = stream.read(&mut answer) else {
        return false;
    };
    let answer = &answer[..length];
    answer.starts_with(b"+PONG") || answer.starts_with(b"-NOAUTH") || answer.starts_with(b"-DENIED")
}

fn read_log(directory: &Path) -> String {
    let bytes = std::fs::read(directory.join("log")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
