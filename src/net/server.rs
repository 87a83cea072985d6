//! The whole server: starts the workers, listens, waits for the order to stop.

use super::listener::{BindError, Door, Listeners, bind_unix};
use super::worker::Worker;
use super::{cron, disk};
use crate::client::Registry;
use crate::clock;
use crate::command::{BlockedClients, Monitors, Pause, Saves, Services};
use crate::config::{Config, Settings};
use crate::keyspace::snapshot::ImportError;
use crate::keyspace::{Keyspace, Progress, Tier};
use crate::memory::usage;
use crate::metrics::Metrics;
use crate::pubsub::PubSub;
use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// An address of `bind` cannot be listened on.
    Bind(String, u16, io::Error),
    /// The unix socket cannot be made.
    UnixSocket(String, io::Error),
    /// The file of `pidfile` cannot be written.
    PidFile(String, io::Error),
    /// The directory of `dir` cannot be entered.
    Directory(String, io::Error),
    /// The second tier cannot be had.
    Tier(String),
    /// The snapshot at this path is not loaded.
    Snapshot(PathBuf, ImportError),
    /// There is neither a port nor a unix socket.
    NothingToListenOn,
    /// The system refused something else, named here.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Bind(address, port, error) => {
                write!(f, "bind: cannot listen on {address} port {port}: {error}")
            }
            StartError::UnixSocket(path, error) => {
                write!(f, "unixsocket: cannot listen on {path}: {error}")
            }
            StartError::PidFile(path, error) => write!(f, "pidfile: cannot write {path}: {error}"),
            StartError::Directory(path, error) => write!(f, "dir: cannot enter {path}: {error}"),
            StartError::Tier(why) => write!(f, "l2-dir: {why}"),
            StartError::Snapshot(path, error) => {
                write!(f, "dbfilename: cannot load {}: {error}", path.display())
            }
            StartError::NothingToListenOn => {
                write!(
                    f,
                    "port is 0 or bind is empty, and unixsocket is empty: there is nothing to listen on"
                )
            }
            StartError::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<BindError> for StartError {
    fn from(bind: BindError) -> StartError {
        StartError::Bind(bind.word, bind.port, bind.error)
    }
}

/// Makes the server follow changed settings, or refuses them in Redis's words.
fn follow(
    services: &Services,
    listeners: &Listeners,
    door: &Door,
    old: &Settings,
    new: &Settings,
) -> Result<(), (&'static str, String)> {
    if new.appendonly && services.keyspace.tier().is_none() {
        return Err(("appendonly", "it needs a second tier, and l2-size was 0 at the start".to_owned()));
    }
    if (new.l2_size == 0) != (old.l2_size == 0) {
        return Err(("l2-size", "whether there is a second tier is decided at the start".to_owned()));
    }
    if new.maxclients > old.maxclients {
        let enough_for = raise_file_limit(new.maxclients);
        door.set_files_for_clients(enough_for);
        if enough_for < new.maxclients as usize {
            let text = "The operating system is not able to handle the specified number of clients, try with";
            return Err(("maxclients", format!("{text} {enough_for}")));
        }
    }
    if new.dir != old.dir {
        std::env::set_current_dir(&new.dir).map_err(|error| ("dir", os_text(&error)))?;
    }
    if (new.port, &new.bind) != (old.port, &old.bind) {
        listeners.follow(new).map_err(|refused| {
            tracing::warn!(word = refused.word, port = refused.port, error = %refused.error, "cannot listen");
            if new.port == old.port {
                ("bind", "Failed to bind to specified addresses.".to_owned())
            } else {
                ("port", "Unable to listen on this port. Check server logs.".to_owned())
            }
        })?;
    }
    let used = usage::allocated_bytes().saturating_sub(usage::startup_bytes()) as u64;
    if new.maxmemory != old.maxmemory && (1..used).contains(&new.maxmemory) {
        tracing::warn!(
            "WARNING: the new maxmemory value set via CONFIG SET ({}) is smaller than the current memory usage \
             ({used}). This will result in key eviction and/or the inability to accept new write commands \
             depending on the maxmemory-policy.",
            new.maxmemory
        );
    }
    cron::apply(services, new);
    Ok(())
}

/// What the system says of an error, without the number that the standard library adds.
fn os_text(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// A server that runs.
pub struct Server {
    services: Arc<Services>,
    workers: Arc<Vec<Worker>>,
    /// What is to be removed at the end.
    files: Vec<String>,
    /// Threads of the second tier.
    tier: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts everything; must be called within a runtime, on which listeners and the cron then run.
    ///
    /// # Errors
    /// What stands against it, in words for the user.
    pub fn start(config: Arc<Config>) -> Result<Server, StartError> {
        let settings = config.snapshot();
        let files_for_clients = raise_file_limit(settings.maxclients);
        std::env::set_current_dir(&settings.dir)
            .map_err(|error| StartError::Directory(settings.dir.clone(), error))?;
        let pubsub = Arc::new(PubSub::default());
        let mut keyspace = Keyspace::new(settings.databases as usize, settings.shards, Arc::clone(&pubsub));
        if settings.l2_size > 0 {
            let store = disk::open(&settings).map_err(StartError::Tier)?;
            keyspace = keyspace.with_tier(Arc::new(Tier::new(store, settings.databases as usize)));
        } else if settings.appendonly {
            return Err(StartError::Tier("appendonly needs a second tier: l2-size is 0".to_owned()));
        }
        let services = Arc::new(Services {
            keyspace,
            pubsub,
            clients: Registry::default(),
            metrics: Metrics::new(settings.workers),
            monitors: Monitors::default(),
            pause: Pause::default(),
            blocked: BlockedClients::default(),
            loading: AtomicBool::new(true),
            progress: Progress::default(),
            saves: Saves::new(clock::now_ms()),
            shutdown: watch::Sender::new(false),
            started_at_ms: clock::now_ms(),
            run_id: run_id(),
            config: Arc::clone(&config),
        });
        cron::apply(&services, &settings);
        if (1..1 << 20).contains(&settings.maxmemory) {
            tracing::warn!(
                "WARNING: You specified a maxmemory value that is less than 1MB (current value is {} bytes). Are \
                 you sure this is what you really want?",
                settings.maxmemory
            );
        }
        let mut files = Vec::new();
        let unix = if settings.unixsocket.is_empty() {
            None
        } else {
            let path = settings.unixsocket.clone();
            files.push(path.clone());
            let listener = bind_unix(&path, settings.unixsocketperm);
            Some((listener.map_err(|error| StartError::UnixSocket(path.clone(), error))?, path))
        };
        if (settings.port == 0 || settings.bind.iter().all(|word| word.is_empty())) && unix.is_none() {
            return Err(StartError::NothingToListenOn);
        }
        if !settings.pidfile.is_empty() {
            let path = settings.pidfile.clone();
            fs::write(&path, format!("{}\n", std::process::id()))
                .map_err(|error| StartError::PidFile(path.clone(), error))?;
            files.push(path);
        }
        let workers: io::Result<Vec<Worker>> =
            (0..settings.workers).map(|index| Worker::start(Arc::clone(&services), index)).collect();
        let workers = Arc::new(workers.map_err(|error| StartError::System("starting a worker", error))?);
        usage::note_start();
        // What a log has is newer than any snapshot.
        let has_log = services.keyspace.tier().is_some_and(|tier| !tier.store().segments().is_empty());
        if !has_log {
            services.saves.load(&services).map_err(|(path, error)| StartError::Snapshot(path, error))?;
            services.loading.store(false, Relaxed);
        }
        let door = Arc::new(Door::new(Arc::clone(&services), Arc::clone(&workers), files_for_clients));
        let listeners = Arc::new(Listeners::new(Arc::clone(&door)));
        listeners.follow(&settings)?;
        let changed = Arc::clone(&services);
        let entrance = Arc::clone(&door);
        config.on_change(move |old, new| follow(&changed, &listeners, &entrance, old, new));
        if let Some((listener, path)) = unix {
            tracing::info!(path, "ready to accept connections on a unix socket");
            tokio::spawn(Arc::clone(&door).serve_unix(listener, path));
        }
        tokio::spawn(cron::run(Arc::clone(&services)));
        let tier = disk::start(&services, has_log)
            .map_err(|error| StartError::System("starting a thread", error))?;
        Ok(Server { services, workers, files, tier })
    }

    /// Orders the server to stop; first, where there are save points, it saves. When that fails it goes on.
    pub fn stop(&self) {
        let save = !self.services.config.settings().save.points().is_empty();
        Saves::stop(&self.services, save, false, || {});
    }

    /// Waits for the order to stop.
    pub async fn stopped(&self) {
        // The sender is in `services`, which this holds: waiting cannot fail.
        let _ = self.services.shutdown.subscribe().wait_for(|stop| *stop).await;
    }

    /// Waits until every worker has ended its batch and its connections are closed, and until nothing is left to save.
    ///
    /// # Errors
    /// When what was written last could not be saved.
    pub fn finish(self) -> Result<(), &'static str> {
        for file in &self.files {
            // Somebody may have removed it first.
            let _ = fs::remove_file(file);
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while self.workers.iter().any(|worker| !worker.thread.is_finished()) {
            if std::time::Instant::now() > deadline {
                tracing::warn!("a worker did not stop in time");
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let stopped = disk::stop(&self.services, self.tier);
        self.services.saves.finish(&self.services).and(stopped)
    }
}

/// 40 random hexadecimal digits.
fn run_id() -> String {
    let random = ahash::RandomState::new();
    (0..3).map(|part: u64| format!("{:016x}", random.hash_one(part))).collect::<String>()[..40].to_owned()
}

/// Asks for enough file descriptors for `maxclients`; returns how many clients there are enough for, and
/// says so where that is fewer.
fn raise_file_limit(maxclients: u32) -> usize {
    const OTHERS: u64 = 32;
    let wanted = u64::from(maxclients) + OTHERS;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local rlimit, which the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return maxclients as usize;
    }
    if limit.rlim_cur < wanted {
        let raised = libc::rlimit { rlim_cur: wanted, rlim_max: limit.rlim_max.max(wanted) };
        let allowed = libc::rlimit { rlim_cur: limit.rlim_max.min(wanted), rlim_max: limit.rlim_max };
        // SAFETY: the pointers are to local rlimits, which the calls read.
        unsafe {
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
                limit = raised;
            } else if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const allowed) == 0 {
                limit = allowed;
            }
        }
    }
    let enough_for = usize::try_from(limit.rlim_cur.saturating_sub(OTHERS)).unwrap_or(usize::MAX);
    if limit.rlim_cur < wanted {
        tracing::warn!(maxclients, enough_for, "too few file descriptors for maxclients");
    }
    enough_for
}
