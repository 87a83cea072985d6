//! Lists, sets, sorted sets and places: what the differential test found, each with its story, and what its oracle, Redis 7.0,
//! answers otherwise than 7.4.

use crate::support::{Server, strata_only};

/// Redis reads a bound of a range by C's `strtod` alone: Strata refused what overflows, and a space before the number.
#[test]
fn bounds_of_scores_are_read_as_by_strtod() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("ZADD z 1 a 2 b inf c", ":3");
    client.expect("ZCOUNT z 1e400 +inf", ":1");
    client.expect("ZCOUNT z -1e400 1e-400", ":0");
    assert_eq!(client.call(&[b"ZCOUNT", b"z", b" 2", b""]).integer(), 0);
    assert_eq!(client.call(&[b"ZCOUNT", b"z", b" 1", b"(2"]).integer(), 1);
    client.expect("ZCOUNT z 1x 2", "-ERR min or max is not a float");
    client.expect("ZCOUNT z nan 2", "-ERR min or max is not a float");
}

/// -INT64_MIN is no integer: Redis 7.4 refuses it where a count or rank is negated.
#[test]
fn a_count_that_cannot_be_negated_is_refused() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let refusal =
        "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    client.expect("LREM l -9223372036854775808 x", refusal);
    client.expect("LPOS l x RANK -9223372036854775808", refusal);
    client.expect("LREM l -9223372036854775807 x", ":0");
}

/// BLMPOP and BZMPOP look at their options before the timeout; Strata did it the other way round. And a timeout that is a number,
/// but too large a one, is out of range rather than none.
#[test]
fn a_wrong_option_comes_before_a_wrong_timeout() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("BLMPOP x 0 l LEFT", "-ERR numkeys should be greater than 0");
    client.expect("BZMPOP -1 1 z SIDEWAYS", "-ERR syntax error");
    client.expect("BZMPOP -1 1 z MIN", "-ERR timeout is negative");
    client.expect("BLPOP l 1e400", "-ERR timeout is out of range");
    client.expect("BLPOP l inf", "-ERR timeout is out of range");
    client.expect("BLPOP l x", "-ERR timeout is not a float or out of range");
}

/// A BLMOVE whose time is up has no array to answer with; in a transaction, where it may not wait, it has no element.
#[test]
fn blmove_answers_nothing_in_two_ways() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("BLMOVE a b LEFT LEFT 0.01", "*-1");
    client.expect("BRPOPLPUSH a b 0.01", "*-1");
    client.expect("MULTI", "+OK");
    client.expect("BLMOVE a b LEFT LEFT 0", "+QUEUED");
    client.expect("BLPOP a 0", "+QUEUED");
    client.expect("EXEC", "*2 $-1 *-1");
}

/// Redis adds to the score that is there; where there is none it takes the increment as it is: Strata made 0 of -0. In a
/// listpack the score is an integer, which has no -0.
#[test]
fn an_increment_of_negative_zero_is_kept_where_the_encoding_can() {
    let server = Server::start(&["--zset-max-listpack-entries", "1"]);
    let mut client = server.client();
    client.expect("ZINCRBY packed -0 a", "$2 -0");
    client.expect("ZSCORE packed a", "$1 0");
    client.expect("ZADD table -0 a 1 b", ":2");
    client.expect("ZSCORE table a", "$2 -0");
}

/// GEODIST with a word too many was told off for its unit.
#[test]
fn geodist_counts_its_words_first() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("GEODIST g a b furlong x", "-ERR syntax error");
    client.expect("GEODIST g a b furlong", "-ERR unsupported unit provided. please use M, KM, FT, MI");
}

/// A place at 180 degrees east has a cell of its own beyond the last one; a search around it did not look there.
#[test]
fn a_place_on_the_edge_of_the_map_finds_itself() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("GEOADD g 180 48.864716 east 0 85.05112878 north", ":2");
    client.expect("GEORADIUSBYMEMBER g east 0.5 ft", "*1 $4 east");
    client.expect("GEOSEARCH g FROMMEMBER north BYBOX 1 1 m", "*1 $5 north");
}

/// SORT with a BY that is no pattern compares nothing, but DESC still turns a list; Strata left it as it was. What SORT compares
/// as numbers is read as C reads strings.
#[test]
fn sort_turns_a_list_that_it_does_not_sort() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("RPUSH l c a b", ":3");
    client.expect("SORT l BY nosort DESC", "*3 $1 b $1 a $1 c");
    client.expect("SORT l BY nosort DESC LIMIT 0 1 STORE d", ":1");
    client.expect("LRANGE d 0 -1", "*1 $1 b");
    client.expect("SORT l BY nosort", "*3 $1 c $1 a $1 b");
    for number in [&b" 3"[..], b"2\0x", b""] {
        client.call(&[b"RPUSH", b"n", number]);
    }
    client.expect("SORT n", "*3 $0  $3 2\\x00x $2  3");
}

/// A set that SORT has nothing to compare of is stored in a stable order.
#[test]
fn a_set_that_is_not_sorted_is_stored_in_the_order_of_names() {
    let server = Server::start(&[]);
    let mut client = server.client();
    client.expect("SADD s c a b", ":3");
    client.expect("SORT s BY nosort STORE d", ":3");
    client.expect("LRANGE d 0 -1", "*3 $1 a $1 b $1 c");
}

/// LSET and LINSERT make room before they look for the place, so that a list leaves its one pack even if they then find none.
#[test]
fn lset_and_linsert_unpack_a_list_before_they_look() {
    let server = Server::start(&["--list-max-listpack-size", "1"]);
    if strata_only("Redis 7.0 has no lists in one pack") {
        return;
    }
    let mut client = server.client();
    client.expect("RPUSH l a", ":1");
    client.expect("OBJECT ENCODING l", "$8 listpack");
    client.expect("LSET l 5 b", "-ERR index out of range");
    client.expect("OBJECT ENCODING l", "$9 quicklist");
}

/// COMMAND GETKEYS answered with arguments that are no keys where the number of keys was too large.
#[test]
fn command_getkeys_checks_the_number_of_keys() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let invalid = "-ERR Invalid arguments specified for command";
    client.expect("COMMAND GETKEYS LMPOP 9 a b LEFT", invalid);
    client.expect("COMMAND GETKEYS LMPOP x a b LEFT", invalid);
    client.expect("COMMAND GETKEYS ZUNIONSTORE d 0 a", invalid);
    client.expect("COMMAND GETKEYS LMPOP 2 a b LEFT", "*2 $1 a $1 b");
    client.expect("COMMAND GETKEYS MIGRATE host 6379 key 0 10", "*1 $3 key");
    let several: [&[u8]; 11] =
        [b"COMMAND", b"GETKEYS", b"MIGRATE", b"host", b"6379", b"", b"0", b"10", b"KEYS", b"a", b"b"];
    let keys: Vec<String> = client.call(&several).items().iter().map(|key| key.text()).collect();
    assert_eq!(keys, ["a", "b"]);
    client.expect("COMMAND GETKEYS SORT l GET # d STORE e", "*2 $1 l $1 e");
}

/// The limits of the compact encodings: those of bytes are memory values, but for that of sets.
#[test]
fn limits_in_bytes_take_units() {
    let server = Server::start(&[]);
    if strata_only("7.0 has none of sets") {
        return;
    }
    let mut client = server.client();
    client.expect("CONFIG SET hash-max-listpack-value 1k zset-max-listpack-value 2kb", "+OK");
    client.expect("CONFIG GET hash-max-listpack-value", "*2 $23 hash-max-listpack-value $4 1000");
    let refused = client.run("CONFIG SET set-max-listpack-value 1k").text();
    assert!(refused.ends_with("argument couldn't be parsed into an integer"), "{refused}");
}

/// A command that adds more members than a compact form may have unpacks the value first, even if it has them all already.
#[test]
fn many_arguments_unpack_a_set_that_has_them() {
    let server = Server::start(&["--set-max-intset-entries", "2", "--zset-max-listpack-entries", "2"]);
    if strata_only("7.0 does not") {
        return;
    }
    let mut client = server.client();
    client.expect("SADD s 1", ":1");
    client.expect("SADD s 1 1 1", ":0");
    client.expect("OBJECT ENCODING s", "$9 hashtable");
    client.expect("ZADD z 1 a", ":1");
    client.expect("ZADD z 1 a 1 a 1 a", ":0");
    client.expect("OBJECT ENCODING z", "$8 skiplist");
}
