//! Bitmaps over the wire: what the differential test cannot show, because it is large or new in 7.4.

use crate::support::*;

fn client() -> (Server, Client) {
    let server = Server::start(&[]);
    let client = server.client();
    (server, client)
}

#[test]
fn bits_are_counted_from_the_highest_of_the_first_byte() {
    let (_server, mut c) = client();
    c.expect("SETBIT k 7 1", ":0");
    c.expect("SETBIT k 7 1", ":1");
    c.expect("GET k", "$1 \\x01");
    c.expect("GETBIT k 7", ":1");
    c.expect("GETBIT k 100", ":0");
    c.expect("GETBIT none 0", ":0");
    c.expect("SETBIT k 4294967295 0 x", "-ERR wrong number of arguments for 'setbit' command");
    c.expect("SETBIT k 4294967296 1", "-ERR bit offset is not an integer or out of range");
    c.expect("SETBIT k 0 2", "-ERR bit is not an integer or out of range");
}

#[test]
fn an_integer_becomes_a_text_when_a_bit_of_it_is_set() {
    let (_server, mut c) = client();
    c.expect("SET n 12 EX 100", "+OK");
    c.expect("SETBIT n 7 1", ":1");
    c.expect("OBJECT ENCODING n", "$3 raw");
    c.expect("SETBIT n 14 1", ":1");
    c.expect("SETBIT n 15 1", ":0");
    c.expect("INCR n", ":14");
    c.expect("TTL n", ":100");
}

#[test]
fn arguments_are_read_before_the_key_is_looked_for() {
    let (_server, mut c) = client();
    c.expect("BITCOUNT none x 1", "-ERR value is not an integer or out of range");
    c.expect("BITCOUNT none 0 1 WORD", "-ERR syntax error");
    c.expect("BITPOS none 1 x", "-ERR value is not an integer or out of range");
    c.expect("BITPOS none 2", "-ERR The bit argument must be 1 or 0.");
    c.expect("BITCOUNT none 0", "-ERR syntax error");
    c.expect("BITCOUNT none", ":0");
}

#[test]
fn a_zero_is_found_behind_a_string_unless_its_range_has_an_end() {
    let (_server, mut c) = client();
    assert_eq!(c.call(&[b"SET", b"k", b"\xff\xff\xff"]).text(), "OK");
    c.expect("BITPOS k 0", ":24");
    c.expect("BITPOS k 0 1", ":24");
    c.expect("BITPOS k 0 0 -1", ":-1");
    c.expect("BITPOS k 0 5", ":-1");
    c.expect("BITPOS none 0", ":0");
    c.expect("BITPOS k 1 9 -1 BIT", ":9");
    c.expect("BITCOUNT k 5 30 BIT", ":19");
}

#[test]
fn a_bitmap_of_many_megabytes_is_edited_where_it_is() {
    let (_server, mut c) = client();
    c.expect("SETBIT big 800000000 1", ":0");
    c.expect("STRLEN big", ":100000001");
    for index in 0..1000 {
        c.expect(&format!("SETBIT big {} 1", index * 799_999), ":0");
    }
    c.expect("BITCOUNT big", ":1001");
    c.expect("BITPOS big 1 1", ":799999");
    c.expect("BITFIELD big GET u8 800000000 SET u8 800000000 255", "*2 :128 :128");
    c.expect("BITOP NOT inverse big", ":100000001");
    c.expect("BITCOUNT inverse", &format!(":{}", 100_000_001_u64 * 8 - 1008));
}

#[test]
fn a_field_that_overflows_wraps_saturates_or_stays() {
    let (_server, mut c) = client();
    c.expect("BITFIELD k SET u8 #0 250", "*1 :0");
    c.expect("BITFIELD k INCRBY u8 0 10", "*1 :4");
    c.expect("BITFIELD k OVERFLOW SAT INCRBY u8 0 1000 INCRBY u8 0 -1000", "*2 :255 :0");
    c.expect("BITFIELD k OVERFLOW FAIL INCRBY i8 0 200 GET u8 0", "*2 $-1 :0");
    c.expect("BITFIELD_RO k GET u8 0", "*1 :0");
    c.expect("BITFIELD_RO k SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand");
    c.expect("BITFIELD new OVERFLOW FAIL INCRBY u2 0 5", "*1 $-1");
    c.expect("STRLEN new", ":1");
    c.expect("BITFIELD k", "*0");
}
