//! Strings over the wire: every option of SET and GETEX, ranges, counters, LCS, and the errors they give.

use crate::support::*;

fn client() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = server.client();
    (server, client)
}

#[test]
fn set_writes_only_under_its_condition() {
    let (_server, mut c) = client();
    c.expect("SET k v XX", "$-1");
    c.expect("SET k v NX", "+OK");
    c.expect("SET k w NX", "$-1");
    c.expect("SET k w NX GET", "$1 v");
    c.expect("SET k w XX GET", "$1 v");
    c.expect("GET k", "$1 w");
    c.expect("SET other w NX GET", "$-1");
    c.expect("GET other", "$1 w");
}

#[test]
fn set_refuses_options_that_exclude_each_other() {
    let (_server, mut c) = client();
    for options in ["NX XX", "EX 10 PX 10", "EX 10 KEEPTTL", "PXAT 1 EXAT 1", "EX", "BOGUS", "NX NX EX"] {
        c.expect(&format!("SET k v {options}"), "-ERR syntax error");
    }
    for time in ["EX 0", "EX -1", "PX 0", "EX 9223372036854775807", "EXAT -5"] {
        c.expect(&format!("SET k v {time}"), "-ERR invalid expire time in 'set' command");
    }
    c.expect("SET k v EX ten", "-ERR value is not an integer or out of range");
    c.expect("EXISTS k", ":0");
}

#[test]
fn set_drops_the_ttl_unless_told_to_keep_it() {
    let (_server, mut c) = client();
    c.expect("SET k v EX 100", "+OK");
    c.expect("SET k w KEEPTTL", "+OK");
    c.expect("TTL k", ":100");
    c.expect("SET k w", "+OK");
    c.expect("TTL k", ":-1");
    c.expect("SET k w PXAT 4102444800000", "+OK");
    c.expect("PEXPIRETIME k", ":4102444800000");
    c.expect("SET k w EXAT 4102444800", "+OK");
    c.expect("EXPIRETIME k", ":4102444800");
}

#[test]
fn getex_moves_the_ttl_and_returns_the_value() {
    let (_server, mut c) = client();
    c.expect("GETEX k EX 100", "$-1");
    c.expect("SET k v", "+OK");
    c.expect("GETEX k EX 100", "$1 v");
    c.expect("TTL k", ":100");
    c.expect("GETEX k", "$1 v");
    c.expect("TTL k", ":100");
    c.expect("GETEX k PERSIST", "$1 v");
    c.expect("TTL k", ":-1");
    c.expect("GETEX k PERSIST EX 10", "-ERR syntax error");
    c.expect("GETEX k EX 0", "-ERR invalid expire time in 'getex' command");
    c.expect("GETEX k PXAT 1", "$1 v");
    c.expect("EXISTS k", ":0");
}

#[test]
fn getdel_getset_and_setnx_do_both_at_once() {
    let (_server, mut c) = client();
    c.expect("GETSET k a", "$-1");
    c.expect("GETSET k b", "$1 a");
    c.expect("SETNX k c", ":0");
    c.expect("GETDEL k", "$1 b");
    c.expect("GETDEL k", "$-1");
    c.expect("SETNX k c", ":1");
    c.expect("SETEX k 100 v", "+OK");
    c.expect("TTL k", ":100");
    c.expect("PSETEX k 100000 v", "+OK");
    c.expect("TTL k", ":100");
    c.expect("SETEX k 0 v", "-ERR invalid expire time in 'setex' command");
    c.expect("PSETEX k -1 v", "-ERR invalid expire time in 'psetex' command");
}

#[test]
fn counters_stop_at_the_limits_of_64_bits() {
    let (_server, mut c) = client();
    c.expect("SET n 9223372036854775807", "+OK");
    c.expect("INCR n", "-ERR increment or decrement would overflow");
    c.expect("GET n", "$19 9223372036854775807");
    c.expect("DECRBY n 9223372036854775807", ":0");
    c.expect("DECRBY n -9223372036854775808", "-ERR decrement would overflow");
    c.expect("DECR n", ":-1");
    c.expect("INCRBY n 10", ":9");
    for word in ["", "1.0", "+1", "01", "9223372036854775808", "x"] {
        assert_eq!(c.call(&[b"SET", b"w", word.as_bytes()]).text(), "OK");
        c.expect("INCR w", "-ERR value is not an integer or out of range");
    }
}

#[test]
fn incrbyfloat_adds_as_a_long_double_and_prints_no_exponent() {
    let (_server, mut c) = client();
    c.expect("INCRBYFLOAT f 0.1", "$3 0.1");
    c.expect("INCRBYFLOAT f 0.2", "$3 0.3");
    c.expect("INCRBYFLOAT f 5.0e3", "$22 5000.29999999999999982");
    c.expect("SET f 3", "+OK");
    c.expect("INCRBYFLOAT f -3", "$1 0");
    c.expect("INCRBYFLOAT f 1e17", "$18 100000000000000000");
    c.expect("SET f 10.50", "+OK");
    c.expect("INCRBYFLOAT f 0.1", "$4 10.6");
    c.expect("INCRBYFLOAT f x", "-ERR value is not a valid float");
    c.expect("INCRBYFLOAT f inf", "-ERR increment would produce NaN or Infinity");
    c.expect("SET f word", "+OK");
    c.expect("INCRBYFLOAT f 1", "-ERR value is not a valid float");
}

#[test]
fn incrbyfloat_keeps_the_ttl() {
    let (_server, mut c) = client();
    c.expect("SET f 1 EX 100", "+OK");
    c.expect("INCRBYFLOAT f 1", "$1 2");
    c.expect("APPEND f 0", ":2");
    c.expect("INCR f", ":21");
    c.expect("SETRANGE f 0 9", ":2");
    c.expect("TTL f", ":100");
}

#[test]
fn ranges_count_from_either_end() {
    let (_server, mut c) = client();
    c.expect("SET k 0123456789", "+OK");
    for (range, reply) in [
        ("0 -1", "$10 0123456789"),
        ("-3 -1", "$3 789"),
        ("2 4", "$3 234"),
        ("5 2", "$0 "),
        ("-100 2", "$3 012"),
        ("8 100", "$2 89"),
        ("-1 -5", "$0 "),
    ] {
        c.expect(&format!("GETRANGE k {range}"), reply);
        c.expect(&format!("SUBSTR k {range}"), reply);
    }
    c.expect("GETRANGE none 0 -1", "$0 ");
    c.expect("GETRANGE k a b", "-ERR value is not an integer or out of range");
}

#[test]
fn setrange_pads_with_zero_bytes_and_knows_the_limit() {
    let (_server, mut c) = client();
    c.expect("SETRANGE k 3 ab", ":5");
    c.expect("GET k", "$5 \\x00\\x00\\x00ab");
    assert_eq!(c.call(&[b"SETRANGE", b"none", b"5", b""]), Value::Integer(0));
    c.expect("EXISTS none", ":0");
    assert_eq!(c.call(&[b"SETRANGE", b"k", b"100", b""]), Value::Integer(5));
    c.expect("SETRANGE k -1 x", "-ERR offset is out of range");
    let limit = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)";
    c.expect("SETRANGE k 536870912 x", limit);
    c.expect("SETRANGE k 9223372036854775807 x", limit);
}

#[test]
fn mset_writes_all_and_msetnx_all_or_none() {
    let (_server, mut c) = client();
    c.expect("MSET a 1 b 2 a 3", "+OK");
    c.expect("MGET a b none", "*3 $1 3 $1 2 $-1");
    c.expect("MSETNX c 1 a 9", ":0");
    c.expect("EXISTS c", ":0");
    c.expect("MSETNX c 1 d 2", ":1");
    c.expect("MSET a", "-ERR wrong number of arguments for 'mset' command");
    c.expect("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command");
    c.expect("MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command");
}

#[test]
fn lcs_finds_the_longest_common_subsequence() {
    let (_server, mut c) = client();
    c.expect("MSET a ohmytext b mynewtext", "+OK");
    c.expect("LCS a b", "$6 mytext");
    c.expect("LCS a b LEN", ":6");
    c.expect("LCS a b IDX", "*4 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6");
    c.expect("LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN", "*4 $7 matches *1 *3 *2 :4 :7 *2 :5 :8 :4 $3 len :6");
    c.expect("LCS a none", "$0 ");
    c.expect("LCS a b LEN IDX", "-ERR If you want both the length and indexes, please just use IDX.");
    c.expect("LCS a b BOGUS", "-ERR syntax error");
    c.run("HELLO 3");
    c.expect("LCS a b IDX", "%2 $7 matches *2 *2 *2 :4 :7 *2 :5 :8 *2 *2 :2 :3 *2 :0 :1 $3 len :6");
}

#[test]
fn wrong_arity_names_the_command_in_lower_case() {
    let (_server, mut c) = client();
    for command in ["GET", "SET k", "INCR", "APPEND k", "strlen", "GETRANGE k 1", "MGET", "LCS a", "INCRBY k"]
    {
        let name = command.split(' ').next().expect("a word").to_lowercase();
        c.expect(command, &format!("-ERR wrong number of arguments for '{name}' command"));
    }
}

#[test]
fn a_value_of_many_megabytes_comes_back_whole() {
    let (_server, mut c) = client();
    let value = (0..20_000_000u32).map(|index| (index % 251) as u8).collect::<Vec<_>>();
    assert_eq!(c.call(&[b"SET", b"big", &value]).text(), "OK");
    assert_eq!(c.call(&[b"GET", b"big"]), Value::Bulk(value));
    c.expect("STRLEN big", ":20000000");
    c.expect("GETRANGE big 19999999 -1", &format!("$1 {}", show(&[(19_999_999u32 % 251) as u8])));
}

#[test]
fn encodings_are_those_redis_names() {
    let (_server, mut c) = client();
    let long = "x".repeat(45);
    for (value, encoding) in [("12345", "int"), ("abc", "embstr"), (&long[..44], "embstr"), (&long, "raw")] {
        c.run(&format!("SET k {value}"));
        assert_eq!(c.run("OBJECT ENCODING k").text(), encoding, "{value}");
    }
    c.expect("SET k 1", "+OK");
    c.expect("APPEND k 2", ":2");
    c.expect("OBJECT ENCODING k", "$3 raw");
}
