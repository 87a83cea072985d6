//! redis-cli and redis-benchmark, as people use them at a terminal and in scripts.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use crate::support::*;

/// Runs redis-cli against the server with arguments and standard input, bounded in time.
fn cli_with(server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    tool("redis-cli", server, arguments, input)
}

fn tool(name: &str, server: &Server, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new("timeout")
        .args(["60", name, "-p", &server.port.to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout exists");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("its output");
    writer.join().expect("the writer");
    output
}

/// What redis-cli prints for one command line.
fn cli(server: &Server, arguments: &[&str]) -> String {
    let output = cli_with(server, arguments, b"");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fill(server: &Server, count: usize) {
    let mut c = server.client();
    for number in 0..count {
        c.send(&format!("SET user:{number} value-{number}"));
    }
    (0..count).for_each(|_| assert_eq!(c.read().value.text(), "OK"));
    c.run(&format!("SET the-big-one {}", "x".repeat(5_000)));
}

#[test]
fn commands_from_arguments_and_from_standard_input() {
    let server = Server::start(&[]);
    assert_eq!(cli(&server, &["SET", "k", "a b"]), "OK\n");
    assert_eq!(cli(&server, &["GET", "k"]), "a b\n");
    assert_eq!(cli(&server, &["--no-raw", "GET", "k"]), "\"a b\"\n");
    assert_eq!(cli(&server, &["--no-raw", "GET", "none"]), "(nil)\n");
    assert_eq!(cli(&server, &["--no-raw", "INCR", "n"]), "(integer) 1\n");
    assert_eq!(cli(&server, &["--no-raw", "MGET", "k", "none"]), "1) \"a b\"\n2) (nil)\n");
    assert_eq!(cli(&server, &["-3", "--json", "MGET", "k", "none"]), "[\"a b\",null]\n");
    assert_eq!(cli(&server, &["-n", "3", "DBSIZE"]), "0\n");
    assert_eq!(cli(&server, &["-x", "STRLEN"]).trim(), cli(&server, &["STRLEN", ""]).trim());
    let output = cli_with(&server, &[], b"SET a 1\nINCR a\nSELECT 2\nGET a\nNOSUCH\n");
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "OK\n2\nOK\n\nERR unknown command 'NOSUCH', with args beginning with: \n\n");
    assert_eq!(cli(&server, &["-r", "3", "INCR", "r"]), "1\n2\n3\n");
}

#[test]
fn an_interactive_session_asks_for_command_docs_and_answers() {
    let server = Server::start(&[]);
    let command = format!("redis-cli -p {}", server.port);
    let mut child = Command::new("timeout")
        .args(["60", "script", "-qec", &command, "/dev/null"])
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("script exists");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin
        .write_all(b"SET k 41\nINCR k\nCLIENT SETNAME me\nSUBSCRIBE\nHELP GET\nquit\n")
        .expect("lines taken");
    let output = child.wait_with_output().expect("its output");
    let text = String::from_utf8_lossy(&output.stdout);
    for part in ["OK", "(integer) 42", "wrong number of arguments for 'subscribe'", "summary:", "group:"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn scan_bigkeys_and_memkeys_walk_the_keyspace() {
    let server = Server::start(&[]);
    fill(&server, 2_000);
    let all = cli(&server, &["--scan"]);
    assert_eq!(all.lines().count(), 2_001);
    let some = cli(&server, &["--scan", "--pattern", "user:19*"]);
    assert_eq!(some.lines().count(), 111);
    let big = cli(&server, &["--bigkeys"]);
    assert!(big.contains("Biggest string found '\"the-big-one\"' has 5000 bytes"), "{big}");
    assert!(big.contains("2001 strings with"), "{big}");
    let memory = cli(&server, &["--memkeys"]);
    assert!(memory.contains("Biggest string found '\"the-big-one\"'"), "{memory}");
}

#[test]
fn latency_and_stat_run_for_a_while() {
    let server = Server::start(&[]);
    fill(&server, 10);
    // With standard output no terminal, --latency measures for -i seconds and prints one line.
    let latency = cli(&server, &["--raw", "-i", "0.2", "--latency"]);
    let numbers =
        latency.split_whitespace().map(|word| word.parse::<f64>().expect("a number")).collect::<Vec<_>>();
    assert_eq!(numbers.len(), 4, "{latency}");
    assert!(numbers[3] > 5.0, "{latency}");
    // --stat has no end of its own.
    let port = server.port.to_string();
    let output = Command::new("timeout")
        .args(["0.5", "stdbuf", "-oL", "redis-cli", "-p", &port, "-i", "0.1", "--stat"])
        .output();
    let output = output.expect("timeout exists");
    let stat = String::from_utf8_lossy(&output.stdout);
    assert!(stat.contains("keys       mem      clients") && stat.contains("\n11 "), "{stat}");
}

#[test]
fn pipe_loads_a_file_of_requests() {
    let server = Server::start(&[]);
    let requests =
        (0..20_000).flat_map(|number| encode(&["SET", &format!("k{number}"), "v"])).collect::<Vec<_>>();
    let output = cli_with(&server, &["--pipe"], &requests);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("errors: 0, replies: 20000"), "{text}");
    assert_eq!(cli(&server, &["DBSIZE"]), "20000\n");
}

#[test]
fn subscribers_and_monitors_print_what_comes() {
    let server = Server::start(&[]);
    let mut child = Command::new("timeout")
        .args(["60", "redis-cli", "-p", &server.port.to_string(), "PSUBSCRIBE", "n*"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("timeout exists");
    let mut c = server.client();
    eventually("it is subscribed", || (c.run("PUBSUB NUMPAT").integer() == 1).then_some(()));
    c.expect("PUBLISH news hello", ":1");
    c.run("CLIENT KILL TYPE pubsub");
    let mut text = String::new();
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut bytes = [0; 4096];
    eventually("the message is printed", || {
        let length = std::io::Read::read(&mut stdout, &mut bytes).expect("its output");
        text += &String::from_utf8_lossy(&bytes[..length]);
        text.contains("pmessage\nn*\nnews\nhello\n").then_some(())
    });
    child.kill().expect("it to be killed");
    child.wait().expect("its end");
}

/// redis-benchmark as it is called without and with the usual options: its tests must all end without an error.
#[test]
fn benchmark_runs_without_an_error() {
    let server = Server::start(&[]);
    for options in
        ["-n 2000", "-n 5000 -P 16", "-n 2000 -c 200", "-n 5000 -P 64 -c 10 -r 1000 -d 200", "-n 2000 -3"]
    {
        let mut arguments = vec![
            "-t",
            "ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,spop,zadd,zpopmin,lrange,mset",
            "-q",
        ];
        arguments.extend(options.split(' '));
        let output = tool("redis-benchmark", &server, &arguments, b"");
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{options}: {text}");
        let lower = text.to_lowercase();
        assert!(!lower.contains("error") && !lower.contains("warning"), "{options}: {text}");
        for name in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
            let done = text
                .split(['\r', '\n'])
                .any(|line| line.starts_with(&format!("{name}: ")) && line.contains("requests per second"));
            assert!(done, "{options}: no result of {name} in {text}");
        }
    }
}

/// Each fenced `sh` block of the README that follows `<!-- example -->`: every `$ redis-cli …` line is run, and what it prints
/// must be the lines below it.
#[test]
fn the_readme_examples_print_what_they_say() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap_or_default();
    let server = Server::start(&[]);
    let mut examples = 0;
    for part in readme.split("<!-- example -->").skip(1) {
        let block =
            part.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of sh");
        let mut lines = block.lines().peekable();
        while let Some(line) = lines.next() {
            let Some(command) = line.strip_prefix("$ redis-cli ") else { continue };
            let mut expected = String::new();
            while let Some(next) = lines.next_if(|next| !next.starts_with("$ ")) {
                expected += next;
                expected.push('\n');
            }
            // As a terminal shows it: --no-raw is redis-cli's own default there.
            let shell = format!("redis-cli -p {} --no-raw {command}", server.port);
            let output = Command::new("sh").args(["-c", &shell]).output().expect("a shell");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert_eq!(printed.trim_end(), expected.trim_end(), "$ redis-cli {command}");
            examples += 1;
        }
    }
    println!("{examples} examples of the README");
}
