//! What a clean stop leaves behind, and the tools that work on it: `strata export`, `import` and `backup`.

use crate::snapshot::{assert_same, contents, fill, on};
use crate::support::server::run_to_exit;
use crate::support::{Client, Random, Server, StopAtEnd, random, strata_only};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const LOGGED: [&str; 4] = ["--appendonly", "yes", "--l2-size", "256mb"];

/// How many records the last start has looked at.
fn records_read(server: &Server) -> u64 {
    let log = server.log();
    let line =
        log.lines().rfind(|line| line.contains("all keys of the log on disk are known")).expect("a start");
    let records = line.split("records=").nth(1).and_then(|rest| rest.split(' ').next());
    records.expect("a number of records").parse().expect("a number")
}

fn stop(server: &mut Server) {
    server.signal("TERM");
    assert!(server.wait().success(), "{}", server.log());
}

/// A clean stop leaves an index, with which the next start need not look at records; what was written since is read, also
/// after a crash, and a damaged index is no index.
#[test]
fn a_clean_stop_leaves_an_index() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    fill(&mut client);
    client.expect("SET soon x PX 86400000", "+OK");
    let before = contents(&mut client);
    stop(&mut server);
    server.restart(&LOGGED);
    assert_eq!(records_read(&server), 0);
    let mut client = server.client();
    assert_same(&before, &contents(&mut client));
    let expires = |client: &mut Client| {
        let line = client.info("db0");
        let number = line.split("expires=").nth(1).and_then(|rest| rest.split(',').next());
        number.and_then(|number| number.parse::<u64>().ok()).expect("a number")
    };
    let with_deadline = expires(&mut client);
    client.expect("SET later 1", "+OK");
    client.expect("DEL soon", ":1");
    let before = contents(&mut client);
    server.crash_and_restart(&LOGGED);
    assert_eq!(records_read(&server), 2);
    assert_same(&before, &contents(&mut server.client()));
    assert_eq!(expires(&mut server.client()), with_deadline - 1);
    stop(&mut server);
    let index = server.directory.join("l2/checkpoint");
    let mut bytes = std::fs::read(&index).expect("an index");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&index, bytes).expect("it is written");
    server.restart(&LOGGED);
    assert!(records_read(&server) > 20);
    assert!(server.log().contains("the checkpoint is damaged"));
    assert_same(&before, &contents(&mut server.client()));
}

/// Export and import move everything, to and from redis-server too.
#[test]
fn export_and_import_move_everything() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&LOGGED);
    fill(&mut server.client());
    let expected = contents(&mut server.client());
    let l2 = server.directory.join("l2").display().to_string();
    let file = server.directory.join("dump.rdb").display().to_string();
    let (status, output) = run_to_exit(&["export", &file, "--l2-dir", &l2, "--l2-size", "256mb"], &[]);
    assert!(!status.success() && output.contains("another server is using this directory"), "{output}");
    stop(&mut server);
    let (status, output) = run_to_exit(&["export", &file, "--l2-dir", &l2, "--l2-size", "256mb"], &[]);
    assert!(status.success() && output.contains("26 keys exported"), "{output}");
    let (status, output) = run_to_exit(&["import", &file, "--l2-dir", &l2, "--l2-size", "256mb"], &[]);
    assert!(!status.success() && output.contains("there are 26 keys already"), "{output}");
    let other = server.directory.join("other").display().to_string();
    let (status, output) = run_to_exit(&["import", &file, "--l2-dir", &other, "--l2-size", "256mb"], &[]);
    assert!(status.success() && output.contains("26 keys imported"), "{output}");
    let imported = Server::start(&["--l2-dir", &other, "--l2-size", "256mb"]);
    // The test of every type asks before all keys are known.
    let mut client = imported.client();
    crate::support::eventually("the keys are known", || {
        (client.run("DBSIZE").text_if_error().is_empty()).then_some(())
    });
    assert_same(&expected, &contents(&mut client));
    let redis = Server::redis(&on(&server.directory));
    assert_same(&expected, &contents(&mut redis.client()));
}

/// Who moved in with a dump.rdb beside a log that had been begun before, though it had no keys, was not told that the file
/// counted for nothing.
#[test]
fn a_snapshot_beside_a_log_without_keys_is_named_and_can_be_imported() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    client.expect("SET a 1", "+OK");
    client.expect("SAVE", "+OK");
    stop(&mut server);
    server.restart(&LOGGED);
    assert!(server.log().contains("dump.rdb is not loaded: the log in l2 is newer"), "{}", server.log());
    assert!(!server.log().contains("strata import"), "{}", server.log());
    server.client().expect("DEL a", ":1");
    server.crash_and_restart(&LOGGED);
    assert!(server.log().contains("dump.rdb is not loaded, although"), "{}", server.log());
    assert!(server.log().contains("run `strata import "), "{}", server.log());
    server.client().expect("DBSIZE", ":0");
    stop(&mut server);
    let [file, l2] = ["dump.rdb", "l2"].map(|name| server.directory.join(name).display().to_string());
    let (status, output) = run_to_exit(&["import", &file, "--l2-dir", &l2, "--l2-size", "256mb"], &[]);
    assert!(status.success() && output.contains("1 keys imported"), "{output}");
    server.restart(&LOGGED);
    server.client().expect("GET a", "$1 1");
}

/// A name that was mistyped became an empty directory, a file that was there was written over, and an import that failed
/// left segments behind.
#[test]
fn tools_that_fail_leave_everything_as_it_was() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let fails = |arguments: &[&str], why: &str| {
        let (status, output) = run_to_exit(arguments, &[]);
        assert!(!status.success() && output.contains(why), "{arguments:?}: {output}");
    };
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    client.expect("DEBUG POPULATE 20 key 1000000", "+OK");
    client.expect("SAVE", "+OK");
    stop(&mut server);
    let name = |name: &str| server.directory.join(name).display().to_string();
    let [l2, file, missing, new] = ["l2", "dump.rdb", "outer/inner", "new.rdb"].map(name);
    fails(&["import", &file, "--l2-dir", &missing, "--l2-size", "16mb"], "l2-size is reached");
    assert!(!server.directory.join("outer").exists());
    fails(&["export", &new, "--l2-dir", &missing], "there is no such directory");
    fails(&["import", &new, "--l2-dir", &missing], "No such file");
    fails(&["export", &new, "--l2-dir", &name("")], "there is no log in this directory");
    assert!(!Path::new(&new).exists() && !server.directory.join("outer").exists());
    let before = std::fs::read(&file).expect("a snapshot");
    fails(&["export", &file, "--l2-dir", &l2], "there is such a file already");
    assert_eq!(std::fs::read(&file).expect("the snapshot"), before);
    // Damaged at its end, and no dump.rdb file at all.
    for bytes in [&before[..before.len() - 12], b"no such thing"] {
        std::fs::write(&new, bytes).expect("a file");
        fails(&["import", &new, "--l2-dir", &missing], "new.rdb");
        assert!(!server.directory.join("outer").exists());
    }
    // A directory that was there stays, with what it had.
    let outer = server.directory.join("outer/inner");
    std::fs::create_dir_all(&outer).expect("a directory");
    std::fs::write(outer.join("mine"), "").expect("a file");
    fails(&["import", &new, "--l2-dir", &missing], "new.rdb");
    let names: Vec<_> = std::fs::read_dir(&outer).expect("it is there").flatten().collect();
    assert_eq!(names.iter().map(|entry| entry.file_name()).collect::<Vec<_>>(), ["mine"]);
}

/// The tools were not named anywhere, and one that there is not was taken for a configuration file.
#[test]
fn the_tools_say_what_they_take() {
    if strata_only("it is about the program's own tools") {
        return;
    }
    let (status, help) = run_to_exit(&["--help"], &[]);
    assert!(status.success());
    for (tool, takes) in [
        ("check", "DIR [--repair]"),
        ("backup", "DIR TO"),
        ("export", "FILE [OPTIONS]"),
        ("import", "FILE [OPTIONS]"),
    ] {
        assert!(help.contains(&format!("strata {tool:<6} {takes}")), "{tool}: {help}");
        let (status, output) = run_to_exit(&[tool, "--help"], &[]);
        assert!(status.success() && output.contains(&format!("usage: strata {tool} {takes}")), "{output}");
        let (status, output) = run_to_exit(&[tool], &[]);
        assert_eq!(status.code(), Some(2), "{output}");
        assert!(output.contains(&format!("usage: strata {tool} {takes}")), "{output}");
    }
    let (status, output) = run_to_exit(&["frob"], &[]);
    assert_eq!(status.code(), Some(2), "{output}");
    assert!(output.contains("no command 'frob'") && output.contains("strata check"), "{output}");
}

/// A backup of a server that is being written to has everything that was acknowledged before, and no halves.
#[test]
fn a_backup_of_a_running_server_is_whole() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let arguments = ["--appendonly", "yes", "--l2-size", "32mb"];
    let server = Server::start(&arguments);
    let mut random = Random::new(random::seed("backup"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (server, stop) = (&server, &stop);
        let mut writer = Random::new(random.next());
        scope.spawn(move || {
            let mut client = server.client();
            while !stop.load(Ordering::Relaxed) {
                let (key, value) = (writer.below(100), "v".repeat(writer.below(5000)));
                client.run("MULTI");
                client.run(&format!("SET one:{key} {value}"));
                client.run(&format!("SET other:{key} {value}"));
                client.run("EXEC");
            }
        });
        // Also where the test fails.
        let _stop = StopAtEnd(stop);
        let mut client = server.client();
        for round in 0..5 {
            client.expect(&format!("SET before:{round} {round}"), "+OK");
            let (from, to) = (server.directory.join("l2"), server.directory.join(format!("backup{round}")));
            backup(&from, &to);
            let copy = to.display().to_string();
            let started = Server::start(&["--l2-dir", &copy, "--appendonly", "yes", "--l2-size", "256mb"]);
            let mut copy = started.client();
            crate::support::eventually("the keys are known", || {
                (copy.run("DBSIZE").text_if_error().is_empty()).then_some(())
            });
            check_backup(&mut copy, round);
        }
    });
}

fn backup(from: &Path, to: &Path) {
    let [from, to] = [from, to].map(|path| path.display().to_string());
    let (status, output) = run_to_exit(&["backup", &from, &to], &[]);
    assert!(status.success() && output.contains("0 damaged"), "{output}");
    let (status, output) = run_to_exit(&["backup", &from, &to], &[]);
    assert!(!status.success() && output.contains("not empty"), "{output}");
}

fn check_backup(client: &mut Client, round: usize) {
    for earlier in 0..=round {
        client.expect(&format!("GET before:{earlier}"), &format!("$1 {earlier}"));
    }
    for key in 0..100 {
        let one = client.run(&format!("GET one:{key}"));
        assert!(
            one == client.run(&format!("GET other:{key}")),
            "round {round}, key {key}: half of a transaction"
        );
    }
}

/// A client that has stopped a server found the directory in use for another moment, and so did its scripts.
#[test]
fn a_tool_can_follow_a_stop_at_once() {
    if strata_only("Redis has no second tier") {
        return;
    }
    let mut server = Server::start(&LOGGED);
    let mut client = server.client();
    client.expect("SET a 1", "+OK");
    client.send("SHUTDOWN");
    client.read_to_end();
    let l2 = server.directory.join("l2").to_string_lossy().into_owned();
    let (status, output) = run_to_exit(&["check", &l2], &[]);
    assert!(status.success(), "{output}");
    assert!(server.wait().success());
}
