//! What configuration promises, tested on its public face: sources and their order, CONFIG GET, SET and REWRITE, and
//! that the documented file is complete.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

fn load_with(args: &[&str], env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let args = std::iter::once("strata").chain(args.iter().copied());
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(args.map(OsString::from), env)
}

fn load(args: &[&str]) -> Config {
    match load_with(args, &[]) {
        Ok(config) => config,
        Err(error) => panic!("{args:?}: {error}"),
    }
}

fn refused(args: &[&str], env: &[(&str, &str)]) -> String {
    match load_with(args, env) {
        Ok(_) => panic!("{args:?} {env:?} were accepted"),
        Err(error) => error.to_string(),
    }
}

fn value(config: &Config, name: &str) -> String {
    match config.get(&[name.as_bytes()]).pop() {
        Some((_, value)) => value,
        None => panic!("no parameter {name}"),
    }
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<(), String> {
    let pairs: Vec<(&[u8], &[u8])> =
        pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    config.set(&pairs).map_err(|error| error.to_string())
}

/// A directory of this test alone, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("strata-config-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }

    fn file(&self, text: &str) -> String {
        let path = self.0.join("strata.toml");
        std::fs::write(&path, text).expect("a scratch file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.0.join("strata.toml")).expect("the scratch file")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_documented_file_has_every_parameter_at_its_default_and_no_other() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/strata.toml");
    let settings = load::load_file(&path).expect("config/strata.toml loads");
    assert_eq!(settings, Settings::default());
    let text = std::fs::read_to_string(&path).expect("config/strata.toml");
    let document: toml_edit::DocumentMut = text.parse().expect("TOML");
    let documented: BTreeSet<&str> = document.iter().map(|(name, _)| name).collect();
    let parameters: BTreeSet<&str> = PARAMETERS.iter().map(|parameter| parameter.name).collect();
    assert_eq!(documented, parameters);
}

#[test]
fn every_printed_value_reads_back_as_itself() {
    let defaults = Settings::default();
    for parameter in PARAMETERS {
        let printed = parameter.get(&defaults);
        let mut settings = defaults.clone();
        assert_eq!(parameter.set(&mut settings, &printed), Ok(()), "{}", parameter.name);
        assert_eq!(settings, defaults, "{}", parameter.name);
        assert!(!parameter.doc.ends_with('.') && !parameter.doc.contains('\n'), "{}", parameter.name);
    }
}

/// Other than in Redis everything is logged; without a second tier only who asks for the log is told that it cannot be.
#[test]
fn everything_is_logged_by_default() {
    for (arguments, size, log) in [
        (&[][..], "4294967296", "yes"),
        (&["--appendonly", "no"], "4294967296", "no"),
        (&["--l2-size", "0"], "0", "no"),
        (&["--l2-size", "0", "--appendonly", "yes"], "0", "yes"),
    ] {
        let config = load(arguments);
        assert_eq!(
            (value(&config, "l2-size"), value(&config, "appendonly")),
            (size.into(), log.into()),
            "{arguments:?}"
        );
    }
}

#[test]
fn defaults_are_those_of_redis() {
    let config = load(&[]);
    for (name, expected) in [
        ("port", "6379"),
        ("bind", "127.0.0.1 -::1"),
        ("proto-max-bulk-len", "536870912"),
        ("client-query-buffer-limit", "1073741824"),
        ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
        ("maxmemory-policy", "noeviction"),
        ("latency-tracking-info-percentiles", "50 99 99.9"),
        ("unixsocketperm", "0"),
        ("save", ""),
    ] {
        assert_eq!(value(&config, name), expected, "{name}");
    }
    assert!(config.settings().workers >= 1);
}

#[test]
fn later_sources_win_over_earlier_ones() {
    let scratch = Scratch::new();
    let file = scratch.file("port = 7001\nhz = 20\nmaxmemory = \"1mb\"\nprotected-mode = false\n");
    let env = [("STRATA_PORT", "7002"), ("STRATA_HZ", "30"), ("HOME", "/"), ("STRATA_CONFIG", &file)];
    let config = load_with(&["--port", "7003"], &env).expect("valid settings");
    assert_eq!(config.settings().port, 7003);
    assert_eq!(config.settings().hz, 30);
    assert_eq!(config.settings().maxmemory, 1 << 20);
    assert!(!config.settings().protected_mode);
    for args in [["--config", &file].as_slice(), &[&file], &[&file, "-"]] {
        assert_eq!(load(args).settings().port, 7001);
    }
}

#[test]
fn options_take_words_as_redis_server_does() {
    let config = load(&[
        "--port",
        "7000",
        "--maxmemory",
        "8mb",
        "--maxmemory-policy",
        "allkeys-lfu",
        "--save",
        "",
        "--appendonly",
        "no",
    ]);
    assert_eq!(config.settings().maxmemory, 8 << 20);
    assert_eq!(config.settings().maxmemory_policy, Policy::AllkeysLfu);
    let config = load(&[
        "--bind",
        "127.0.0.1",
        "-::1",
        "--slowlog-log-slower-than",
        "-1",
        "-",
        "--client-output-buffer-limit",
        "normal",
        "1kb",
        "0",
        "0",
        "--client-output-buffer-limit",
        "pubsub 1mb 0 0",
        "--requirepass",
        "--secret",
        "--save",
    ]);
    assert_eq!(config.settings().bind, ["127.0.0.1", "-::1"]);
    assert_eq!(config.settings().slowlog_log_slower_than_us, -1);
    assert_eq!(config.settings().client_output_buffer_limit.normal.hard_bytes, 1024);
    assert_eq!(config.settings().client_output_buffer_limit.pubsub.hard_bytes, 1 << 20);
    assert_eq!(config.settings().client_output_buffer_limit.replica.soft_seconds, 60);
    assert_eq!(config.settings().requirepass, "--secret");
    assert_eq!(load(&["--port=7000"]).settings().port, 7000);
    assert_eq!(load(&["--PORT", "7000"]).settings().port, 7000);
}

#[test]
fn a_wrong_setting_is_named_with_its_value_its_source_and_what_is_allowed() {
    let scratch = Scratch::new();
    let mut file = scratch.file("prot = 1");
    for (args, env, parts) in [
        (vec!["--port", "70000"], vec![], ["port", "'70000'", "option --port", "from 0 to 65535"]),
        (vec![], vec![("STRATA_HZ", "x")], ["hz", "'x'", "STRATA_HZ", "whole number"]),
        (vec!["--maxmemory-policy", "lru"], vec![], ["maxmemory-policy", "'lru'", "option", "allkeys-lru"]),
        (vec!["--shards", "3"], vec![], ["shards", "'3'", "power of two", "65536"]),
        (vec!["--save", "3600"], vec![], ["save", "'3600'", "Invalid save parameters", "<seconds>"]),
        (vec!["--appendonly", "maybe"], vec![], ["appendonly", "'maybe'", "option", "yes"]),
        (vec!["--appendfsync", "often"], vec![], ["appendfsync", "'often'", "always", "everysec"]),
        (
            vec!["--maxmemroy", "1"],
            vec![],
            ["unexpected argument", "--maxmemroy", "similar", "'--maxmemory'"],
        ),
        (
            vec![],
            vec![("STRATA_MAXMEMROY", "1")],
            ["unknown", "STRATA_MAXMEMROY", "environment", "'maxmemory'"],
        ),
        (vec![&file], vec![], ["unknown", "'prot'", "file", "'port'"]),
        (vec!["--port"], vec![], ["value is required", "--port", "", ""]),
        (vec!["/nowhere.toml"], vec![], ["/nowhere.toml", "No such file", "", ""]),
    ] {
        let error = refused(&args, &env);
        for part in parts {
            assert!(error.contains(part), "{args:?} {env:?}: {part:?} is not in {error:?}");
        }
    }
    for (text, part) in [
        ("port = [1]", "single"),
        ("unixsocketperm = 700", "must be a text"),
        ("[port]\nx = 1", "single"),
        ("# Ours.\nhz = 10\n\nport = 70000", "line 4"),
        ("port = ", "TOML"),
    ] {
        file = scratch.file(text);
        let error = refused(&[&file], &[]);
        assert!(error.contains(part), "{text:?}: {error:?}");
    }
}

#[test]
fn a_secret_is_not_shown_in_errors() {
    let scratch = Scratch::new();
    let file = scratch.file("requirepass = [\"hunter2\"]");
    assert!(!refused(&[&file], &[]).contains("hunter2"));
}

#[test]
fn service_links_of_containers_are_not_settings() {
    let env = [
        ("STRATA_PORT", "tcp://10.0.0.1:6379"),
        ("STRATA_SERVICE_HOST", "10.0.0.1"),
        ("STRATA_SERVICE_PORT_REDIS", "6379"),
        ("STRATA_PORT_6379_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(load_with(&[], &env).expect("valid").settings().port, 6379);
}

#[test]
fn help_and_version_come_from_the_table() {
    let Err(ConfigError::Usage(help)) = load_with(&["--help"], &[]) else { panic!("help is not a start") };
    let help = help.to_string();
    for parameter in PARAMETERS {
        assert!(help.contains(&format!("--{} ", parameter.name)), "{}", parameter.name);
        assert!(help.contains(parameter.doc), "{}", parameter.name);
    }
    let Err(ConfigError::Usage(version)) = load_with(&["--version"], &[]) else {
        panic!("version is not a start")
    };
    assert_eq!(version.to_string().trim(), concat!("strata ", env!("CARGO_PKG_VERSION")));
    assert_eq!(version.exit_code(), 0);
}

#[test]
fn get_takes_several_globs_and_repeats_nothing() {
    let config = load(&[]);
    let names = |patterns: &[&[u8]]| -> Vec<String> {
        config.get(patterns).into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(&[b"*"]).len(), PARAMETERS.len() + OLD_NAMES.len());
    assert_eq!(names(&[b"lfu*", b"lfu-log-factor", b"LFU-[a-z]*"]), ["lfu-log-factor", "lfu-decay-time"]);
    assert_eq!(names(&[b"MaxMemory"]), ["MaxMemory"]);
    assert_eq!(names(&[b"nothing", b"x*y"]), [""; 0]);
}

#[test]
fn set_changes_all_or_none_and_answers_like_redis() {
    let config = load(&[]);
    let failed =
        |name, reason| Err(format!("CONFIG SET failed (possibly related to argument '{name}') - {reason}"));
    for (pairs, expected) in [
        (
            vec![("maxmemory", "1mb"), ("foo", "1"), ("workers", "1")],
            Err("Unknown option or number of arguments for CONFIG SET - 'foo'".to_owned()),
        ),
        (vec![("maxmemory", "1mb"), ("Databases", "3")], failed("Databases", "can't set immutable config")),
        (vec![("dir", "/")], failed("dir", "can't set protected config")),
        (vec![("maxmemory", "1mb"), ("MAXMEMORY", "2mb")], failed("MAXMEMORY", "duplicate parameter")),
        (
            vec![("maxmemory", "1mb"), ("TIMEOUT", "abc")],
            failed("timeout", "argument couldn't be parsed into an integer"),
        ),
        (vec![("maxmemory", "-1")], failed("maxmemory", "argument must be a memory value")),
        (
            vec![("proto-max-bulk-len", "1")],
            failed(
                "proto-max-bulk-len",
                "argument must be between 1048576 and 9223372036854775807 inclusive",
            ),
        ),
        (
            vec![("maxclients", "0")],
            failed("maxclients", "argument must be between 1 and 4294967295 inclusive"),
        ),
        (
            vec![("slowlog-log-slower-than", "-5")],
            failed(
                "slowlog-log-slower-than",
                "argument must be between -1 and 9223372036854775807 inclusive",
            ),
        ),
        (vec![("latency-tracking", "on")], failed("latency-tracking", "argument must be 'yes' or 'no'")),
        (
            vec![("loglevel", "loud")],
            failed(
                "loglevel",
                "argument(s) must be one of the following: debug, verbose, notice, warning, nothing",
            ),
        ),
        (
            vec![("notify-keyspace-events", "KQ")],
            failed("notify-keyspace-events", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ),
        (vec![("appendonly", "maybe")], failed("appendonly", "argument must be 'yes' or 'no'")),
    ] {
        assert_eq!(set(&config, &pairs), expected);
        assert_eq!(config.generation(), 0);
        assert_eq!(*config.snapshot(), Settings::default());
    }
    assert_eq!(
        set(&config, &[("maxmemory", "1mb"), ("HZ", "1000"), ("notify-keyspace-events", "KEA")]),
        Ok(())
    );
    assert_eq!(config.generation(), 1);
    assert_eq!(value(&config, "maxmemory"), "1048576");
    assert_eq!(value(&config, "hz"), "500");
    assert_eq!(value(&config, "notify-keyspace-events"), "AKE");
    assert_eq!(set(&config, &[]), Ok(()));
}

#[test]
fn what_cannot_be_applied_is_not_published() {
    let config = load(&[]);
    config.on_change(|old, new| match old.port == new.port {
        true => Ok(()),
        false => Err(("port", "Unable to listen on this port. Check server logs.".to_owned())),
    });
    let error = set(&config, &[("hz", "20"), ("port", "1")]);
    assert_eq!(
        error,
        Err("CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
            .to_owned())
    );
    assert_eq!((config.settings().hz, config.settings().port, config.generation()), (10, 6379, 0));
    assert_eq!(set(&config, &[("hz", "20")]), Ok(()));
    assert_eq!(config.generation(), 1);
}

#[test]
fn protected_parameters_can_be_opened_for_local_clients() {
    let scratch = Scratch::new();
    let path = scratch.0.canonicalize().expect("a path");
    let path = path.to_str().expect("a path in UTF-8");
    let config = load(&["--enable-protected-configs", "local"]);
    assert!(set(&config, &[("dir", path)]).is_err());
    assert_eq!(config.set_from(true, &[(b"dir", path.as_bytes())]), Ok(()));
    assert_eq!(value(&config, "dir"), path);
    let missing = config.set_from(true, &[(b"dir", b"/nowhere")]);
    assert_eq!(
        missing.map_err(|error| error.to_string()),
        Err("CONFIG SET failed (possibly related to argument 'dir') - No such file or directory".to_owned())
    );
}

#[test]
fn rewrite_keeps_comments_and_order_and_adds_what_changed() {
    let scratch = Scratch::new();
    let file = scratch
        .file("# mine\nhz = 10 # ten\n\nport = 7000\nmaxmemory = \"1gb\" # one\nbind = [\"127.0.0.1\"]\n");
    let config = load(&[&file, "--port", "7001"]);
    let changes = [
        ("maxmemory", "8388608"),
        ("timeout", "5"),
        ("client-output-buffer-limit", "normal 1 2 3"),
        ("latency-tracking", "no"),
    ];
    assert_eq!(set(&config, &changes), Ok(()));
    assert_eq!(config.rewrite(), Ok(()));
    assert_eq!(
        scratch.text(),
        "# mine\nhz = 10 # ten\n\nport = 7001\nmaxmemory = \"8mb\" # one\nbind = [\"127.0.0.1\"]\ntimeout = 5\n\
         client-output-buffer-limit = [\"normal 1 2 3\", \"slave 268435456 67108864 60\", \"pubsub 33554432 8388608 60\"]\n\
         latency-tracking = false\n"
    );
    assert_eq!(*load(&[&file]).snapshot(), *config.snapshot());
    assert_eq!(config.rewrite(), Ok(()));
    assert_eq!(std::fs::read_dir(&scratch.0).expect("the directory").count(), 1);
}

#[test]
fn rewrite_needs_a_file() {
    let error = load(&[]).rewrite().map_err(|error| error.to_string());
    assert_eq!(error, Err("The server is running without a config file".to_owned()));
}

#[test]
fn the_documented_file_survives_a_rewrite_untouched() {
    let scratch = Scratch::new();
    let documented = include_str!("../../config/strata.toml");
    let file = scratch.file(documented);
    let config = load(&[&file]);
    assert_eq!(config.rewrite(), Ok(()));
    assert_eq!(scratch.text(), documented);
}
