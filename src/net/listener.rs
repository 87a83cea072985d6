//! Listening sockets, and what is refused at the door.

use super::worker::{NewClient, Worker};
use crate::client::Flags;
use crate::command::Services;
use crate::config::Settings;
use parking_lot::Mutex;
use rustix::net::SendFlags;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How long the listener rests when the process has no file descriptor left.
const REST: Duration = Duration::from_millis(50);

/// Turns one word of `bind` into the address to listen on.
fn resolve(word: &str, port: u16) -> io::Result<SocketAddr> {
    match word {
        "*" => Ok(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), port)),
        "::*" => Ok(SocketAddr::new(IpAddr::from([0_u16; 8]), port)),
        word => (word, port)
            .to_socket_addrs()?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")),
    }
}

/// Listens on one word of `bind`. `None`: it begins with `-` and the address is not there.
fn bind_tcp(word: &str, port: u16, backlog: u32) -> io::Result<Option<std::net::TcpListener>> {
    let (optional, word) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word),
    };
    let listen = || -> io::Result<std::net::TcpListener> {
        let address = resolve(word, port)?;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        Ok(std::net::TcpListener::from(socket))
    };
    match listen() {
        Ok(listener) => Ok(Some(listener)),
        Err(error)
            if optional
                && matches!(
                    error.raw_os_error(),
                    Some(
                        libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::ENOPROTOOPT
                    )
                ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Listens on a unix socket. One that an earlier run left behind is replaced; any other file is not.
pub fn bind_unix(path: &str, permissions: u32) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    if permissions != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(permissions))?;
    }
    Ok(listener)
}

const PROTECTED: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and \
no password is set for the default user. In this mode connections are only accepted from the loopback \
interface. If you want to connect from external computers to Redis you may adopt one of the following \
solutions: 1) Just disable protected mode sending the command 'CONFIG SET protected-mode no' from the \
loopback interface by connecting to Redis from the same host the server is running, however MAKE SURE Redis \
is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change permanent. 2) \
Alternatively you can just disable the protected mode by editing the Redis configuration file, and setting \
the protected mode option to 'no', and then restarting the server. 3) If you started the server manually just \
for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication password for the \
default user. NOTE: You only need to do one of the above things in order for the server to start accepting \
connections from the outside.\r\n";

/// Gives new connections to workers.
pub struct Door {
    services: Arc<Services>,
    workers: Arc<Vec<Worker>>,
    files_for_clients: AtomicUsize,
}

impl Door {
    /// A door to these workers; no more clients come in than there are file descriptors for.
    pub fn new(services: Arc<Services>, workers: Arc<Vec<Worker>>, files_for_clients: usize) -> Door {
        Door { services, workers, files_for_clients: AtomicUsize::new(files_for_clients) }
    }

    /// There are file descriptors for so many clients.
    pub fn set_files_for_clients(&self, count: usize) {
        self.files_for_clients.store(count, Relaxed);
    }

    /// Why a client is refused, if it is.
    fn refusal(&self, peer: Option<IpAddr>) -> Option<&'static [u8]> {
        let settings = self.services.config.settings();
        let connected: usize = self.workers.iter().map(|worker| worker.connections.load(Relaxed)).sum();
        if connected >= (settings.maxclients as usize).min(self.files_for_clients.load(Relaxed)) {
            self.services.metrics.connections_refused.add_shared(1);
            return Some(b"-ERR max number of clients reached\r\n");
        }
        let open = !settings.protected_mode || !settings.requirepass.is_empty();
        let local = peer.is_none_or(|ip| ip.to_canonical().is_loopback());
        if open || local {
            return None;
        }
        self.services.metrics.connections_refused.add_shared(1);
        Some(PROTECTED)
    }

    /// Gives a connection to the worker that has the fewest.
    fn admit(&self, new: NewClient, peer: Option<IpAddr>) {
        self.services.metrics.connections.add_shared(1);
        if let Some(text) = self.refusal(peer) {
            // The socket does not block; who does not take the text at once goes without.
            let _ = rustix::net::send(&new.socket, text, SendFlags::NOSIGNAL);
            return;
        }
        let fewest = self.workers.iter().min_by_key(|worker| worker.connections.load(Relaxed));
        if let Some(worker) = fewest {
            worker.connections.fetch_add(1, Relaxed);
            // A worker that is gone means that the server stops.
            let _ = worker.send.send(new);
        }
    }

    fn admit_tcp(&self, stream: tokio::net::TcpStream, peer: SocketAddr) -> io::Result<()> {
        let stream = stream.into_std()?;
        stream.set_nodelay(true)?;
        let keepalive = self.services.config.settings().tcp_keepalive_seconds;
        if keepalive > 0 {
            let interval = Duration::from_secs((keepalive / 3).max(1));
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(keepalive))
                .with_interval(interval)
                .with_retries(3);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        }
        let local_address = stream.local_addr()?.to_string();
        let new = NewClient {
            socket: stream.into(),
            address: peer.to_string(),
            local_address,
            flags: Flags::empty(),
        };
        self.admit(new, Some(peer.ip()));
        Ok(())
    }

    /// Accepts for as long as the server runs.
    async fn serve_tcp(self: Arc<Self>, listener: std::net::TcpListener, closed: Arc<AtomicBool>) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a listening socket could not be watched"),
        };
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "ready to accept connections");
        }
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = self.admit_tcp(stream, peer) {
                        tracing::debug!(%error, "a connection was gone before it was served");
                    }
                }
                // The socket was shut down, and this task not yet ended.
                Err(_) if closed.load(Acquire) => return,
                Err(error) => rest_after(error).await,
            }
        }
    }

    /// Accepts for as long as the server runs.
    pub async fn serve_unix(self: Arc<Self>, listener: UnixListener, path: String) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => match stream.into_std() {
                    Ok(stream) => {
                        let address = format!("{path}:0");
                        let new = NewClient {
                            socket: stream.into(),
                            address: address.clone(),
                            local_address: address,
                            flags: Flags::UNIX_SOCKET,
                        };
                        self.admit(new, None);
                    }
                    Err(error) => tracing::debug!(%error, "a connection was gone before it was served"),
                },
                Err(error) => rest_after(error).await,
            }
        }
    }
}

/// The TCP sockets that are listened on; CONFIG SET may change them.
pub struct Listeners {
    door: Arc<Door>,
    /// The runtime of the main thread, which accepts.
    runtime: Handle,
    /// By word of `bind` and port; without a socket where an optional address is not there.
    active: Mutex<HashMap<Place, Option<Listening>>>,
}

/// A word of `bind`, and the port.
type Place = (String, u16);

/// A socket that is listened on.
struct Listening {
    task: AbortHandle,
    socket: Socket,
    /// Told to the task: the next error of the socket is no news.
    closed: Arc<AtomicBool>,
}

impl Listening {
    /// Leaves the address at once: the task, on another thread, lets its handle of the socket go later.
    fn close(self) {
        self.closed.store(true, Release);
        self.task.abort();
        if let Err(error) = self.socket.shutdown(std::net::Shutdown::Both) {
            tracing::warn!(%error, "a listening socket could not be closed");
        }
    }
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The word of `bind`.
    pub word: String,
    /// The port.
    pub port: u16,
    /// Why.
    pub error: io::Error,
}

impl Listeners {
    /// Listens on nothing yet; must be called within the runtime that shall accept.
    pub fn new(door: Arc<Door>) -> Listeners {
        Listeners { door, runtime: Handle::current(), active: Mutex::default() }
    }

    /// Listens on what these settings say, and no longer on anything else. On an error nothing changes.
    ///
    /// A new address that an old one covers, or that covers it (`127.0.0.1` and `*`), can be had only when the
    /// old one is closed: that is done where the port is taken, and undone where it was in vain.
    pub fn follow(&self, settings: &Settings) -> Result<(), BindError> {
        let mut active = self.active.lock();
        let words = if settings.port > 0 { settings.bind.as_slice() } else { &[] };
        let wanted: Vec<Place> = words.iter().map(|word| (word.clone(), settings.port)).collect();
        let mut new = HashMap::new();
        let mut closed = Vec::new();
        let mut bound = Ok(());
        for place in &wanted {
            if active.contains_key(place) || new.contains_key(place) {
                continue;
            }
            let mut listening = self.listen(place, settings);
            if listening.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
                let unwanted = |old: &Place| old.1 == settings.port && !wanted.contains(old);
                for (old, listening) in active.extract_if(|old, _| unwanted(old)) {
                    listening.into_iter().for_each(Listening::close);
                    closed.push(old);
                }
                listening = self.listen(place, settings);
            }
            match listening {
                Ok(listening) => drop(new.insert(place.clone(), listening)),
                Err(error) => {
                    bound = Err(BindError { word: place.0.clone(), port: place.1, error });
                    break;
                }
            }
        }
        let kept = wanted.iter().filter_map(|place| active.get(place)).flatten().count();
        if bound.is_ok() && !wanted.is_empty() && kept == 0 && new.values().all(Option::is_none) {
            let error = io::ErrorKind::AddrNotAvailable.into();
            bound = Err(BindError { word: words.join(" "), port: settings.port, error });
        }
        if bound.is_err() {
            new.into_values().flatten().for_each(Listening::close);
            for place in closed {
                match self.listen(&place, settings) {
                    Ok(listening) => drop(active.insert(place, listening)),
                    Err(error) => tracing::error!(word = place.0, %error, "an address was lost to another"),
                }
            }
            return bound;
        }
        for (_, listening) in active.extract_if(|place, _| !wanted.contains(place)) {
            listening.into_iter().for_each(Listening::close);
        }
        active.extend(new);
        Ok(())
    }

    /// Listens, and accepts from now on. `None`: the address is optional and not there.
    fn listen(&self, (word, port): &Place, settings: &Settings) -> io::Result<Option<Listening>> {
        let Some(listener) = bind_tcp(word, *port, settings.tcp_backlog)? else { return Ok(None) };
        let socket = Socket::from(listener.try_clone()?);
        let closed = Arc::new(AtomicBool::new(false));
        let serve = Arc::clone(&self.door).serve_tcp(listener, Arc::clone(&closed));
        let task = self.runtime.spawn(serve).abort_handle();
        Ok(Some(Listening { task, socket, closed }))
    }
}

/// After an error that would come back at once, such as too many open files, the listener rests.
async fn rest_after(error: io::Error) {
    tracing::warn!(%error, "accepting a connection failed");
    tokio::time::sleep(REST).await;
}
