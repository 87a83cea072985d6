//! What the operating system says and does: cores, CPU time, resident memory, limits. All `unsafe` of the benches that
//! start servers is here.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};

use super::Failure;

/// The core of the load generator.
pub const LOAD_CORE: usize = 0;
/// The core of a server with one thread.
pub const SERVER_CORE: usize = 1;

/// Open files the comparison needs: ten thousand connections and some.
const FILES: u64 = 12_000;

/// The set of these cores.
fn core_set(cores: &[usize]) -> libc::cpu_set_t {
    // SAFETY: cpu_set_t is an array of integers, for which all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for core in cores {
        // SAFETY: CPU_SET checks the index against the size of the set, which is ours alone.
        unsafe { libc::CPU_SET(*core, &mut set) };
    }
    set
}

fn set_affinity(set: &libc::cpu_set_t) -> io::Result<()> {
    // SAFETY: the pointer and the size are of the set passed in; 0 is the calling thread.
    let status = unsafe { libc::sched_setaffinity(0, mem::size_of::<libc::cpu_set_t>(), set) };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps this thread on these cores. On a machine with one core it stays where it is.
pub fn pin_self(cores: &[usize]) -> Result<(), Failure> {
    if core_count() < 2 {
        return Ok(());
    }
    set_affinity(&core_set(cores)).map_err(|error| format!("pinning to cores {cores:?}: {error}").into())
}

/// Keeps the process that `command` will start on these cores, all its threads included.
pub fn pin_child(command: &mut Command, cores: &[usize]) {
    if core_count() < 2 {
        return;
    }
    let set = core_set(cores);
    // SAFETY: between fork and exec only one system call is made, which is allowed there; `set` was built before.
    unsafe { command.pre_exec(move || set_affinity(&set)) };
}

/// Cores of the machine.
pub fn core_count() -> usize {
    // SAFETY: sysconf reads a number and touches no memory of ours.
    let cores = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(cores).unwrap_or(1)
}

/// Raises the limit of open files as far as is needed; children inherit it.
pub fn raise_file_limit() -> Result<(), Failure> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit to the pointer, which is to one of ours.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if limit.rlim_cur >= FILES {
        return Ok(());
    }
    limit.rlim_cur = FILES;
    limit.rlim_max = limit.rlim_max.max(FILES);
    // SAFETY: the kernel reads one rlimit from the pointer, which is to one of ours.
    let status = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    if status == 0 {
        return Ok(());
    }
    Err(format!("{FILES} open files are needed: {}", io::Error::last_os_error()).into())
}

/// CPU time that a process has used so far, in nanoseconds: user and system, all threads, ended ones included.
pub fn cpu_ns(pid: u32) -> Result<u64, Failure> {
    // The kernel's encoding of "CPU clock of a process, scheduler precision" (see clock_getcpuclockid).
    let clock = (!(pid.cast_signed()) << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec to the pointer, which is to one of ours.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    if status != 0 {
        return Err(format!("CPU time of process {pid}: {}", io::Error::last_os_error()).into());
    }
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The threads of a process.
fn threads(pid: u32) -> Result<Vec<i32>, Failure> {
    let names = fs::read_dir(format!("/proc/{pid}/task"))?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    Ok(names.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
}

/// How many established TCP connections each event queue of a process watches, the busiest first.
pub fn watched_sockets(pid: u32) -> Result<Vec<usize>, Failure> {
    let established: HashSet<String> = fs::read_to_string(format!("/proc/{pid}/net/tcp"))?
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.get(3) == Some(&"01"))
        .filter_map(|fields| Some(format!("socket:[{}]", fields.get(9)?)))
        .collect();
    let mut counts = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
        // A file may be closed between the listing and the reading.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let watched =
            text.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_ascii_whitespace().next());
        let sockets = watched.filter(|fd| {
            let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).unwrap_or_default();
            target.to_str().is_some_and(|target| established.contains(target))
        });
        counts.push(sockets.count());
    }
    counts.sort_by(|a, b| b.cmp(a));
    Ok(counts)
}

/// Whether the threads of a process, when they wake, let others that run go on first.
pub fn set_patient(pid: u32, patient: bool) -> Result<(), Failure> {
    let policy = if patient { libc::SCHED_BATCH } else { libc::SCHED_OTHER };
    // SAFETY: sched_param is integers, for which zero is the only priority of these policies.
    let param: libc::sched_param = unsafe { mem::zeroed() };
    for thread in threads(pid)? {
        // SAFETY: the kernel reads one sched_param from the pointer, which is to one of ours.
        let status = unsafe { libc::sched_setscheduler(thread, policy, &param) };
        if status != 0 {
            return Err(format!("scheduling of process {pid}: {}", io::Error::last_os_error()).into());
        }
    }
    Ok(())
}

/// How often the threads of a process went to sleep so far.
pub fn sleeps(pid: u32) -> Result<u64, Failure> {
    let mut sleeps = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end between the listing and the reading.
        let Ok(status) = fs::read_to_string(entry?.path().join("status")) else { continue };
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps += line.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sleeps)
}

/// Resident memory of a process in bytes.
pub fn rss_bytes(pid: u32) -> Result<u64, Failure> {
    smaps_bytes(pid, "Rss:")
}

/// Resident memory of a process that no file backs, in bytes.
pub fn anonymous_bytes(pid: u32) -> Result<u64, Failure> {
    smaps_bytes(pid, "Anonymous:")
}

fn smaps_bytes(pid: u32, field: &str) -> Result<u64, Failure> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let kilobytes = text
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_ascii_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok())
        .ok_or_else(|| format!("no {field} in the memory of process {pid}"))?;
    Ok(kilobytes * 1024)
}

/// Waits until a process has given up the mapped files that nobody reads: what it maps cannot be dropped.
pub fn wait_for_unmapped(pid: u32) -> Result<(), Failure> {
    const PROGRAM_BYTES: u64 = 64 << 20;
    let started = Instant::now();
    while rss_bytes(pid)?.saturating_sub(anonymous_bytes(pid)?) > PROGRAM_BYTES {
        if started.elapsed() > Duration::from_secs(30) {
            return Err(format!("process {pid} does not give up what it maps").into());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Asks a process to stop.
pub fn terminate(pid: u32) -> Result<(), Failure> {
    // SAFETY: kill takes two numbers and touches no memory of ours.
    let status = unsafe { libc::kill(pid.cast_signed(), libc::SIGTERM) };
    if status == 0 {
        return Ok(());
    }
    Err(format!("stopping process {pid}: {}", io::Error::last_os_error()).into())
}

/// Has all files of a directory reach the disk.
pub fn sync_files(directory: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(directory)? {
        fs::File::open(entry?.path())?.sync_data()?;
    }
    Ok(())
}

/// Takes all files of a directory out of the kernel's memory.
pub fn drop_pages(directory: &Path) -> Result<(), Failure> {
    sync_files(directory)?;
    for entry in fs::read_dir(directory)? {
        fadvise(fs::File::open(entry?.path())?, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}
