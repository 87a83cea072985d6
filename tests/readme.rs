//! The README's table of commands is made from the command table; this test fails when it is stale.
//!
//! `STRATA_README=write cargo test --test readme` writes it.

use std::fmt::Write;
use std::fs;
use strata::command::{Row, all_rows};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- commands -->\n";
const END: &str = "<!-- /commands -->";
const COMMAND: &str = "STRATA_README=write cargo test --test readme";

/// Groups of the documentation in the order in which they are shown, with their titles.
const GROUPS: &[(&str, &str)] = &[
    ("string", "Strings"),
    ("bitmap", "Bitmaps"),
    ("hyperloglog", "HyperLogLogs"),
    ("hash", "Hashes"),
    ("list", "Lists"),
    ("set", "Sets"),
    ("sorted-set", "Sorted sets"),
    ("geo", "Geo"),
    ("stream", "Streams"),
    ("generic", "Keys"),
    ("transactions", "Transactions"),
    ("pubsub", "Pub/sub"),
    ("connection", "Connection"),
    ("server", "Server"),
];

/// Cells are Markdown: a bar would end one.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn subcommands(row: &Row) -> String {
    let mut names: Vec<_> = row.subcommands.iter().map(|sub| sub.name.to_ascii_uppercase()).collect();
    names.sort_unstable();
    names.join(" ")
}

fn table() -> String {
    let mut text = String::new();
    for (group, title) in GROUPS {
        let mut rows: Vec<_> = all_rows().filter(|row| row.group == *group).collect();
        rows.sort_unstable_by_key(|row| row.name);
        let _ = writeln!(text, "\n**{title}** ({})\n", rows.len());
        text.push_str("| command | since | what it does |\n|---|---|---|\n");
        for row in rows {
            let name = row.name.to_ascii_uppercase();
            let summary = cell(row.summary);
            let _ = match subcommands(row) {
                none if none.is_empty() => writeln!(text, "| `{name}` | {} | {summary} |", row.since),
                names => writeln!(text, "| `{name}` | {} | {summary} Subcommands: {names} |", row.since),
            };
        }
    }
    text.push('\n');
    text
}

#[test]
fn the_table_of_commands_is_fresh() {
    let readme = fs::read_to_string(README).expect("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has a line <!-- commands -->");
    let (shown, after) = rest.split_once(END).expect("README.md has a line <!-- /commands -->");
    let expected = table();
    if shown == expected {
        return;
    }
    if std::env::var_os("STRATA_README").is_some_and(|value| value == "write") {
        fs::write(README, [before, BEGIN, &expected, END, after].concat()).expect("README.md can be written");
        return;
    }
    let stale = shown.lines().zip(expected.lines()).find(|(shown, expected)| shown != expected);
    let stale = stale.unwrap_or(("(its end)", "(its end)"));
    panic!(
        "the table of commands in README.md is stale; {COMMAND} writes it.\nREADME.md: {}\ncommand table: {}",
        stale.0, stale.1
    );
}

/// A command of a group that has no title would be missing from the table without a word.
#[test]
fn every_command_is_in_the_table() {
    let table = table();
    for row in all_rows() {
        let name = row.name.to_ascii_uppercase();
        assert!(table.contains(&format!("| `{name}` |")), "{name} of the group {} is not shown", row.group);
        assert!(!row.summary.is_empty() && !row.since.is_empty(), "{name} has no summary or no version");
    }
}
