//! Forms of the commands of hashes, lists, sets, sorted sets, places, SORT and transactions, and the words they are made of.
//!
//! Few keys and few members, so that commands meet each other's values; small limits of the compact encodings, so that values
//! change theirs in both directions.

use super::generate::{Generator, Request, Step};

/// What the main connection sends, with weights.
pub const MAIN: &[(usize, &str)] = &[
    // Hashes.
    (30, "HSET $hash $member $val [$member $val] [$member $val]"),
    (6, "HMSET $hash $member $val [$member $val|$member]"),
    (6, "HSETNX $hash $member $val"),
    (10, "HGET $hash $member"),
    (8, "HMGET $hash $member..."),
    (10, "HDEL $hash $member..."),
    (6, "HEXISTS $hash $member"),
    (5, "HLEN $hash"),
    (6, "HSTRLEN $hash $member"),
    (8, "(HGETALL|HKEYS|HVALS) $hash"),
    (10, "HINCRBY $hash $member $int"),
    (10, "HINCRBYFLOAT $hash $member $float"),
    (6, "HRANDFIELD $hash [$index [WITHVALUES|$word]]"),
    (5, "HSCAN $hash 0 [COUNT 1000] [MATCH $pattern] [COUNT 1000]"),
    (2, "HSCAN $hash $cursor [COUNT $int] [MATCH $pattern] [$word]"),
    // Lists.
    (30, "(LPUSH|RPUSH) $list $member..."),
    (6, "(LPUSHX|RPUSHX) $list $member..."),
    (12, "(LPOP|RPOP) $list [$index]"),
    (4, "LLEN $list"),
    (12, "LRANGE $list $index $index"),
    (8, "LINDEX $list $index"),
    (8, "LSET $list $index $val"),
    (8, "LINSERT $list (BEFORE|AFTER|BEFORE|AFTER|$word) $member $val"),
    (8, "LREM $list $index $member"),
    (5, "LTRIM $list $index $index"),
    (10, "LPOS $list $member [RANK $index] [COUNT $index] [MAXLEN $index]"),
    (8, "LMOVE $list $list (LEFT|RIGHT|$word) (LEFT|RIGHT)"),
    (5, "RPOPLPUSH $list $list"),
    (8, "LMPOP $numkeys $list $list (LEFT|RIGHT|$word) [COUNT $index]"),
    (3, "(BLPOP|BRPOP) $list $timeout"),
    (4, "(BLPOP|BRPOP) $list $list $list $timeout"),
    (3, "BLMOVE $list $list (LEFT|RIGHT|$word) (LEFT|RIGHT) $timeout"),
    (2, "BRPOPLPUSH $list $list $timeout"),
    (3, "BLMPOP $timeout $numkeys $list $list (LEFT|RIGHT|$word) [COUNT $index]"),
    // Sets.
    (30, "SADD $set $member..."),
    (6, "SADD $set $member... $member... $member... $member..."),
    (12, "SREM $set $member..."),
    (6, "SISMEMBER $set $member"),
    (5, "SMISMEMBER $set $member..."),
    (4, "SCARD $set"),
    (6, "SMEMBERS $set"),
    (8, "SMOVE $set $set $member"),
    (3, "SPOP $set $many"),
    (1, "SPOP $set (0|-1|x||1.5)"),
    (6, "SRANDMEMBER $set [$index]"),
    (12, "(SINTER|SUNION|SDIFF) $set $set [$set]"),
    (8, "(SINTERSTORE|SUNIONSTORE|SDIFFSTORE) $set $set [$set] [$set]"),
    (6, "SINTERCARD $numkeys $set $set [LIMIT $index]"),
    (4, "SSCAN $set 0 [COUNT 1000] [MATCH $pattern]"),
    (2, "SSCAN $set $cursor [COUNT $int] [MATCH $pattern] [$word]"),
    // Sorted sets.
    (30, "ZADD $zset $score $member [$score $member] [$score $member]"),
    (20, "ZADD $zset [NX|XX] [GT|LT] [CH] [INCR] $score $member [$score $member|$member]"),
    (8, "ZADD $zset 0 $member 0 $member 0 $member"),
    (10, "ZINCRBY $zset $score $member"),
    (10, "ZREM $zset $member..."),
    (6, "ZSCORE $zset $member"),
    (5, "ZMSCORE $zset $member..."),
    (8, "(ZRANK|ZREVRANK) $zset $member"),
    (4, "ZCARD $zset"),
    (6, "ZCOUNT $zset $scorebound $scorebound"),
    (12, "ZADD $lex 0 $member 0 $member 0 $member"),
    (6, "ZLEXCOUNT $lex $lexbound $lexbound"),
    (10, "(ZRANGE|ZREVRANGE) $zset $index $index [WITHSCORES]"),
    (10, "ZRANGE $zset $index $index [REV] [WITHSCORES] [LIMIT $index $index]"),
    (10, "ZRANGE $zset $scorebound $scorebound BYSCORE [REV] [LIMIT $index $index] [WITHSCORES]"),
    (8, "ZRANGE $lex $lexbound $lexbound BYLEX [REV] [LIMIT $index $index] [WITHSCORES]"),
    (8, "(ZRANGEBYSCORE|ZREVRANGEBYSCORE) $zset $scorebound $scorebound [WITHSCORES] [LIMIT $index $index]"),
    (6, "(ZRANGEBYLEX|ZREVRANGEBYLEX) $lex $lexbound $lexbound [LIMIT $index $index]"),
    (4, "ZREMRANGEBYRANK $zset $index $index"),
    (3, "ZREMRANGEBYSCORE $zset $scorebound $scorebound"),
    (3, "ZREMRANGEBYLEX $lex $lexbound $lexbound"),
    (6, "ZRANGESTORE $zset $zset $index $index [REV]"),
    (5, "ZRANGESTORE $zset $zset $scorebound $scorebound BYSCORE [REV] [LIMIT $index $index]"),
    (4, "ZRANGESTORE $zset $lex $lexbound $lexbound BYLEX [REV] [LIMIT $index $index]"),
    (6, "(ZPOPMIN|ZPOPMAX) $zset [$index]"),
    (6, "ZMPOP $numkeys $zset $zset (MIN|MAX|$word) [COUNT $index]"),
    (3, "(BZPOPMIN|BZPOPMAX) $zset [$zset] $timeout"),
    (3, "BZMPOP $timeout $numkeys $zset $zset (MIN|MAX|$word) [COUNT $index]"),
    (
        12,
        "(ZUNION|ZINTER) $numkeys $anyset $anyset [$anyset] [WEIGHTS $weight $weight [$weight]] [AGGREGATE (SUM|MIN|MAX|$word)] [WITHSCORES]",
    ),
    (
        8,
        "(ZUNIONSTORE|ZINTERSTORE) $zset $numkeys $anyset $anyset [$anyset] [WEIGHTS $weight $weight [$weight]] [AGGREGATE (SUM|MIN|MAX|$word)]",
    ),
    (6, "ZDIFF $numkeys $anyset $anyset [$anyset] [WITHSCORES]"),
    (4, "ZDIFFSTORE $zset $numkeys $anyset $anyset [$anyset]"),
    (5, "ZINTERCARD $numkeys $anyset $anyset [LIMIT $index]"),
    (6, "ZRANDMEMBER $zset [$index [WITHSCORES|$word]]"),
    (4, "ZSCAN $zset 0 [COUNT 1000] [MATCH $pattern]"),
    (2, "ZSCAN $zset $cursor [COUNT $int] [MATCH $pattern] [$word]"),
    // Places.
    (20, "GEOADD $geo [NX|XX] [CH] $longitude $latitude $member [$longitude $latitude $member]"),
    (5, "GEOPOS $geo $member..."),
    (5, "GEOHASH $geo $member..."),
    (8, "GEODIST $geo $member $member [$unit]"),
    (
        12,
        "GEOSEARCH $geo (FROMMEMBER $member|FROMLONLAT $center $latitude) (BYRADIUS $radius $unit|BYBOX $radius $radius $unit) [ASC|DESC] [COUNT $index] [WITHCOORD] [WITHDIST] [WITHHASH]",
    ),
    (
        6,
        "GEOSEARCHSTORE $zset $geo (FROMMEMBER $member|FROMLONLAT $center $latitude) (BYRADIUS $radius $unit|BYBOX $radius $radius $unit) [ASC|DESC] [COUNT $index] [STOREDIST]",
    ),
    (
        8,
        "(GEORADIUS|GEORADIUS_RO) $geo $center $latitude $radius $unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT $index [ANY]] [ASC|DESC]",
    ),
    (
        8,
        "(GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO) $geo $member $radius $unit [WITHCOORD] [WITHDIST] [WITHHASH] [COUNT $index [ANY]] [ASC|DESC]",
    ),
    (3, "GEORADIUS $geo $center $latitude $radius $unit [COUNT $index] [ASC|DESC] (STORE|STOREDIST) $zset"),
    // Sorting.
    (
        20,
        "SORT $sortable [BY $sortby] [LIMIT $index $index] [GET $sortget] [GET $sortget] [ASC|DESC] [ALPHA] [STORE $list]",
    ),
    (10, "SORT_RO $sortable [BY $sortby] [LIMIT $index $index] [GET $sortget] [ASC|DESC] [ALPHA]"),
    (12, "ZADD $zsorted $random $member $random $member"),
    (6, "SET $weightkey $score"),
    (4, "HSET $weightkey f $score g $val"),
    // Keys of these types.
    (12, "OBJECT (ENCODING|REFCOUNT|IDLETIME) $any"),
    (6, "TYPE $any"),
    (8, "DEL $any..."),
    (3, "UNLINK $any..."),
    (6, "COPY $any $any [REPLACE] [DB $db]"),
    (6, "RENAME $any $any"),
    (3, "RENAMENX $any $any"),
    (3, "MOVE $any $db"),
    (3, "EXPIRE $any $ttl"),
    (3, "TTL $any"),
    (2, "PERSIST $any"),
    (3, "SET $any $val [GET] [KEEPTTL]"),
    (3, "GET $any"),
    (2, "(APPEND|GETSET) $any $val"),
    (2, "(STRLEN|GETDEL|INCR|LLEN|SCARD|ZCARD|HLEN) $any"),
    (2, "DEBUG OBJECT $any"),
    (2, "MEMORY USAGE $any"),
    (3, "SCAN 0 COUNT 1000 [TYPE (hash|list|set|zset|string)]"),
    (2, "SELECT (0|0|0|1)"),
    (1, "FLUSHDB"),
    (8, "CONFIG SET $limit $limitvalue"),
    (2, "COMMAND (GETKEYS|GETKEYSANDFLAGS) $cline"),
    (1, "COMMAND (INFO|DOCS) $ccommand [$ccommand]"),
    // Transactions, out of their order.
    (2, "(MULTI|EXEC|EXEC|DISCARD|UNWATCH)"),
    (1, "WATCH $any..."),
];

/// What the main connection sends besides where the oracle is 7.4.
pub const NEWER: &[(usize, &str)] = &[
    (3, "(ZRANK|ZREVRANK) $zset $member [WITHSCORE|$word]"),
    (3, "HSCAN $hash 0 COUNT 1000 NOVALUES"),
    (6, "HEXPIRE $hash $ttl [NX|XX|GT|LT] FIELDS $numkeys $member $member"),
    (3, "HPEXPIRE $hash $ttlms [NX|XX|GT|LT] FIELDS $numkeys $member $member"),
    (3, "HEXPIREAT $hash $at [NX|XX|GT|LT] FIELDS $numkeys $member $member"),
    (6, "HPEXPIREAT $hash $atms [NX|XX|GT|LT] FIELDS $numkeys $member $member"),
    (6, "(HTTL|HPTTL|HEXPIRETIME|HPEXPIRETIME) $hash FIELDS $numkeys $member $member"),
    (3, "HPERSIST $hash FIELDS $numkeys $member $member"),
    (3, "CONFIG SET (set-max-listpack-entries|set-max-listpack-value) $limitvalue"),
];

/// What another client sends in the middle of a transaction.
pub const OTHERS: &[(usize, &str)] = &[
    (3, "HSET $any $member $val"),
    (3, "(LPUSH|SADD) $any $member"),
    (3, "ZADD $any $score $member"),
    (3, "(LPOP|HDEL|SREM|ZREM) $any $member"),
    (3, "(SET|SETNX) $any $val"),
    (3, "(DEL|UNLINK|GET|TYPE|TOUCH) $any"),
    (2, "EXPIRE $any $ttl"),
    (2, "RENAME $any $any"),
    (1, "(FLUSHALL|FLUSHDB|SWAPDB 0 1)"),
];

/// The limits of the compact encodings, with their defaults.
pub const LIMITS: &[(&str, &str)] = &[
    ("hash-max-listpack-entries", "128"),
    ("hash-max-listpack-value", "64"),
    ("list-max-listpack-size", "-2"),
    ("list-compress-depth", "0"),
    ("set-max-intset-entries", "512"),
    ("set-max-listpack-entries", "128"),
    ("set-max-listpack-value", "64"),
    ("zset-max-listpack-entries", "128"),
    ("zset-max-listpack-value", "64"),
];

const MEMBERS: &[u8] = b"a|b|c|d|e|f|g|aa|ab|abc|b\xc3|B|z||\xff|-1|01|1.5|member";
const SCORE_BOUNDS: &[u8] =
    b"-inf|+inf|-inf|+inf|inf|(0|(1|(2|(5|(-inf|(+inf|0|1|2|3|5|10|-3|1.5|(1.5|nan|(nan|x|(||1e400|(x|[1";
const LEX_BOUNDS: &[u8] = b"-|+|-|+|[a|(a|[b|(c|[e|(z|[|(|[aa|(ab|[\xff|[1|(5|x||a|--|+a";
const SCORES: &[u8] = b"inf|-inf|+inf|0|-0|1.5|-1.5|0.1|3.14|1e10|1e20|1e-7|17179869184|4503599627370497|9007199254740993|nan|x||1e400|1e308|-1e308|0x10|1 | 1";
const WEIGHTS: &[u8] = b"0|1|2|-1|0.5|inf|-inf|1e308|nan|x||2";
const SHORT_TIMEOUTS: &[u8] = b"0.001|0.01|0.0001|-1|x||nan|0.001x";
const TIMEOUTS: &[u8] =
    b"0.001|0.001|0.01|0.001|0.0001|-1|x||99999999999999999999|1e400|inf|nan|9223372036854775807|0.001x";
const NUMBERS_OF_KEYS: &[u8] = b"2|2|2|2|2|2|1|3|0|-1|x||1000|9223372036854775807|9223372036854775808|2.0|02";
const LONGITUDES: &[u8] = b"13.361389|15.087269|13.5|15|14.25|2.349014|-73.9857|179.99|-179.99|0|180|-180|180.1|-181|x||nan|inf|1e-5";
/// Not at the date line: there Redis misses what lies on the other side.
const CENTERS: &[u8] = b"13.361389|15.087269|13.5|15|14.25|2.349014|-73.9857|0|180.1|-181|x||nan|inf|1e-5";
const LATITUDES: &[u8] = b"38.115556|37.502669|37|38|37.75|48.864716|40.7484|85|-85|0|85.05112878|-85.05112878|85.1|-90|x||nan|1e-5";
const RADIUSES: &[u8] = b"0|1|10|100|200|200|500|1000|5000|20000|0.5|1e7|-1|x||nan|inf|1e300";
const SORT_PATTERNS: &[u8] = b"w_*|w_*|w_*->f|w_*->g|nosort|*|w_*->|*_*|nosuch_*|w_*->nosuch|x->y|";
const SORT_GETS: &[u8] = b"#|#|w_*|w_*->f|w_*->g|*|nosuch_*|w_1|w_1->f|w_*->|";
const LIMIT_VALUES: &[u8] = b"0|1|2|3|4|5|8|16|128|512|-1|-2|-5|-6|x|";

/// Whole commands for COMMAND GETKEYS.
const LINES: &str = "HSET h f v;HGET h f;LPUSH l a;LMOVE a b LEFT RIGHT;BLPOP a b 0;BLMOVE a b LEFT RIGHT 0;LMPOP 2 a b LEFT;\
    BLMPOP 0 2 a b LEFT;LMPOP 9 a b LEFT;SADD s a;SMOVE a b m;SINTERCARD 2 a b;ZADD z 1 a;ZUNION 2 a b;\
    ZUNIONSTORE d 2 a b WEIGHTS 1 2;ZUNIONSTORE d 0 a;ZUNIONSTORE d x a;ZINTERCARD 1 a;ZMPOP 1 a MIN;BZMPOP 0 1 a MIN;BZPOPMIN a b 0;\
    ZRANGESTORE d s 0 1;GEOADD g 1 2 m;GEORADIUS g 1 2 3 m STORE d;GEORADIUS g 1 2 3 m STOREDIST d;GEORADIUS g 1 2 3 m;\
    GEORADIUSBYMEMBER g m 3 m STORE d STOREDIST e;GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m;SORT l STORE d;\
    SORT l BY w_* GET # STORE d STORE e;SORT l GET STORE;SORT_RO l;WATCH a b;MULTI;EXEC;PFCOUNT a b;PFMERGE a b;BITOP NOT a b;\
    ZDIFF 2 a b;ZDIFFSTORE d 2 a b;RPOPLPUSH a b;BRPOPLPUSH a b 0;HSCAN h 0;SDIFF a b c;SDIFFSTORE d a b";

/// Their names, for COMMAND.
pub const COMMANDS: &str = "blmove;blmpop;blpop;brpop;brpoplpush;bzmpop;bzpopmax;bzpopmin;discard;exec;geoadd;geodist;geohash;\
    geopos;georadius;georadius_ro;georadiusbymember;georadiusbymember_ro;geosearch;geosearchstore;hdel;hexists;hget;hgetall;\
    hincrby;hincrbyfloat;hkeys;hlen;hmget;hmset;hrandfield;hscan;hset;hsetnx;hstrlen;hvals;lindex;linsert;llen;lmove;lmpop;lpop;\
    lpos;lpush;lpushx;lrange;lrem;lset;ltrim;multi;rpop;rpoplpush;rpush;rpushx;sadd;scard;sdiff;sdiffstore;sinter;sintercard;\
    sinterstore;sismember;smembers;smismember;smove;sort;sort_ro;spop;srandmember;srem;sscan;sunion;sunionstore;unwatch;watch;\
    zadd;zcard;zcount;zdiff;zdiffstore;zincrby;zinter;zintercard;zinterstore;zlexcount;zmpop;zmscore;zpopmax;zpopmin;\
    zrandmember;zrange;zrangebylex;zrangebyscore;zrangestore;zrank;zrem;zremrangebylex;zremrangebyrank;zremrangebyscore;\
    zrevrange;zrevrangebylex;zrevrangebyscore;zrevrank;zscan;zscore;zunion;zunionstore";

/// The argument that a placeholder of these forms stands for, if it is one.
pub fn word(generator: &mut Generator, word: &str) -> Option<Vec<u8>> {
    let argument = match word {
        "$hash" | "$list" | "$set" | "$zset" | "$geo" if generator.random.chance(4) => any_key(generator),
        "$hash" => generator.one_of(b"hash:1|hash:2|hash:3"),
        "$list" => generator.one_of(b"list:1|list:2|list:3"),
        "$set" => generator.one_of(b"set:1|set:2|set:3|set:4"),
        "$zset" => generator.one_of(b"zset:1|zset:2|zset:3"),
        // Of one score, without which a range of names says nothing; sorted, which alone makes Redis unpack it.
        "$lex" => generator.one_of(b"lex:1|lex:2"),
        "$zsorted" => generator.one_of(b"zs:1|zs:2"),
        "$center" => generator.one_of(CENTERS),
        "$geo" => generator.one_of(b"geo:1|geo:2"),
        "$anyset" => generator.one_of(b"zset:1|zset:2|zset:3|set:1|set:2|set:3|geo:1"),
        "$sortable" => generator.one_of(b"list:1|list:2|set:1|set:2|zs:1|zs:2|list:3|hash:1|nosuch"),
        "$any" => any_key(generator),
        "$member" => match generator.random.below(20) {
            0..=9 => generator.random.below(30).to_string().into_bytes(),
            10..=16 => generator.one_of(MEMBERS),
            17 => generator.random.next().to_string().into_bytes(),
            _ => generator.value(),
        },
        "$score" if generator.random.chance(60) => generator.random.below(10).to_string().into_bytes(),
        "$score" => generator.one_of(SCORES),
        "$random" => generator.random.below(100).to_string().into_bytes(),
        "$scorebound" => generator.one_of(SCORE_BOUNDS),
        "$lexbound" => generator.one_of(LEX_BOUNDS),
        "$weight" => generator.one_of(WEIGHTS),
        "$timeout" => generator.one_of(TIMEOUTS),
        "$numkeys" => generator.one_of(NUMBERS_OF_KEYS),
        "$many" => generator.one_of(b"10000|100000|9223372036854775807"),
        "$longitude" => generator.one_of(LONGITUDES),
        "$latitude" => generator.one_of(LATITUDES),
        "$radius" => generator.one_of(RADIUSES),
        "$unit" => generator.one_of(b"m|km|km|ft|mi|KM|x|"),
        "$sortby" => generator.one_of(SORT_PATTERNS),
        "$sortget" => generator.one_of(SORT_GETS),
        "$weightkey" => generator.one_of(b"w_1|w_2|w_3|w_4|w_5|w_a|w_b|w_c|w_"),
        "$limit" => {
            let known = &LIMITS[..if newer_oracle() { LIMITS.len() } else { 5 }];
            match known[generator.random.below(known.len())].0 {
                // What SUNIONSTORE and SDIFFSTORE make depends on the order in which they come to integers.
                "set-max-intset-entries" if newer_oracle() => b"set-max-listpack-entries".to_vec(),
                name => name.into(),
            }
        }
        "$limitvalue" => generator.one_of(LIMIT_VALUES),
        "$ccommand" => {
            let names = COMMANDS.split(';').collect::<Vec<_>>();
            generator.random.pick(&names).as_bytes().to_vec()
        }
        _ => return None,
    };
    Some(argument)
}

/// A whole command for COMMAND GETKEYS.
pub fn line(generator: &mut Generator) -> Request {
    let lines = LINES.split(';').collect::<Vec<_>>();
    let line = generator.random.pick(&lines);
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn any_key(generator: &mut Generator) -> Vec<u8> {
    generator.one_of(
        b"hash:1|hash:2|hash:3|list:1|list:2|list:3|set:1|set:2|set:3|set:4|zset:1|zset:2|zset:3|geo:1|geo:2|a|b|hll:1|w_1",
    )
}

/// A transaction from WATCH to EXEC; sometimes another client changes a key in between.
pub fn transaction(generator: &mut Generator) -> Vec<Step> {
    let mut steps = Vec::new();
    let request = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Request>();
    if generator.random.chance(40) {
        let mut watch = vec![b"WATCH".to_vec()];
        (0..1 + generator.random.below(3)).for_each(|_| watch.push(any_key(generator)));
        steps.push(Step::Main(watch));
        match generator.random.below(4) {
            0 => steps.push(Step::Session(vec![generator.request(OTHERS)])),
            1 => steps.extend(main_steps(generator)),
            _ => {}
        }
    }
    steps.push(Step::Main(request("MULTI")));
    for _ in 0..generator.random.below(8) {
        steps.extend(main_steps(generator));
        if generator.random.chance(5) {
            steps.push(Step::Session(vec![generator.request(OTHERS)]));
        }
    }
    steps.push(Step::Main(request(if generator.random.chance(85) { "EXEC" } else { "DISCARD" })));
    steps
}

/// A step, and before a SORT one that clears C's `errno`: Redis takes what an earlier command left there for a score that is none.
pub fn main_steps(generator: &mut Generator) -> Vec<Step> {
    let request = generator.request(MAIN);
    let mut steps = Vec::new();
    if request[0].to_ascii_uppercase().starts_with(b"SORT") {
        steps.push(Step::Main([&b"ZADD"[..], b"zs:none", b"XX", b"1.5", b"a"].map(<[u8]>::to_vec).to_vec()));
    }
    // A quicklist goes on with the limit that it was made with.
    let remakes_lists = request.iter().any(|word| word.starts_with(b"list-max"));
    steps.push(Step::Main(request));
    if remakes_lists {
        steps.push(Step::Main(vec![b"FLUSHALL".to_vec()]));
    }
    steps
}

/// Whether the oracle is 7.4: it then has field expiry, listpacks of sets, and so on.
pub fn newer_oracle() -> bool {
    std::env::var_os("STRATA_TEST_ORACLE").is_some()
}

/// What may be done with a sorted set of one score.
const KEEPS_SCORES: &[&[u8]] = &[
    b"ZREM",
    b"ZREMRANGEBYLEX",
    b"ZREMRANGEBYRANK",
    b"ZRANGEBYLEX",
    b"ZREVRANGEBYLEX",
    b"ZLEXCOUNT",
    b"ZRANGE",
    b"ZRANGESTORE",
    b"ZCARD",
    b"DEL",
    b"TYPE",
];

/// False for what would wait, answer with millions of elements, or choose by chance what it changes. `None`: see elsewhere.
pub fn is_harmless(name: &[u8], request: &Request) -> Option<bool> {
    let at = |index: usize| request.get(index).map_or(&b""[..], |word| word);
    let number =
        |index: usize| std::str::from_utf8(at(index)).ok().and_then(|text| text.trim().parse::<i64>().ok());
    let is_timeout = |word: &[u8]| {
        // 7.0 calls what is too long negative.
        let known = if newer_oracle() { TIMEOUTS } else { SHORT_TIMEOUTS };
        known.split(|byte| *byte == b'|').any(|known| known == word)
    };
    let is_plain = |score: &Vec<u8>| score == b"0";
    let has = |word: &[u8]| request.iter().any(|other| other.eq_ignore_ascii_case(word));
    // 7.4 counts a negative offset from the end, in a skiplist only.
    let limit = request.iter().position(|word| word.eq_ignore_ascii_case(b"LIMIT"));
    if newer_oracle() && name.starts_with(b"Z") && limit.is_some_and(|limit| at(limit + 1).starts_with(b"-"))
    {
        return Some(false);
    }
    Some(match name {
        b"BLPOP" | b"BRPOP" | b"BZPOPMIN" | b"BZPOPMAX" => {
            request.len() < 3 || is_timeout(at(request.len() - 1))
        }
        b"BRPOPLPUSH" => request.len() != 4 || is_timeout(at(3)),
        b"BLMOVE" => request.len() != 6 || is_timeout(at(5)),
        b"BLMPOP" | b"BZMPOP" => request.len() < 5 || is_timeout(at(1)),
        b"SPOP" => request.len() != 2 && number(2).is_none_or(|count| count <= 0 || count >= 10_000),
        b"SRANDMEMBER" | b"HRANDFIELD" | b"ZRANDMEMBER" => {
            number(2).is_none_or(|count| !(i64::MIN / 2..-1000).contains(&count))
                && at(2) != b"-9223372036854775808"
                && at(2) != b"-9223372036854775807"
        }
        // The order of what weighs the same is the sort's own affair: nothing may be made of it.
        b"SORT" | b"SORT_RO" => !(has(b"ALPHA") && has(b"BY") && has(b"STORE")),
        b"ZRANK" | b"ZREVRANK" => request.len() <= 3 || newer_oracle(),
        b"ZADD" if at(1).starts_with(b"lex:") => request.iter().skip(2).step_by(2).all(is_plain),
        // What is of one score stays so, and ranges of names are asked of nothing else.
        _ if request.iter().skip(1).any(|word| word.starts_with(b"lex:"))
            && !KEEPS_SCORES.contains(&name) =>
        {
            false
        }
        b"ZRANGESTORE" if at(1).starts_with(b"lex:") => false,
        b"ZRANGESTORE" if has(b"BYLEX") => at(2).starts_with(b"lex:"),
        _ if name.starts_with(b"Z") && (has(b"BYLEX") || name.ends_with(b"LEX") || name == b"ZLEXCOUNT") => {
            at(1).starts_with(b"lex:")
        }
        // Of places that are equally far any may be among the first so many.
        b"GEOSEARCHSTORE" | b"GEORADIUS" | b"GEORADIUSBYMEMBER"
            if has(b"COUNT") && (name == b"GEOSEARCHSTORE" || has(b"STORE") || has(b"STOREDIST")) =>
        {
            false
        }
        // 7.4 cuts the index down to 32 bits.
        // What 7.4 refuses, or reads otherwise than 7.0: `collections.rs` has the first.
        b"LREM" | b"LPOS" => newer_oracle() || request.iter().all(|word| word != b"-9223372036854775808"),
        b"SSCAN" | b"ZSCAN" | b"HSCAN" if !newer_oracle() => {
            !has(b"NOVALUES") && !at(2).is_empty() && !at(2).starts_with(b"-") && !at(2).starts_with(b" ")
        }
        // Where the number of keys is none, Redis asks the command's own rules, which read it by C's `atoi`.
        b"COMMAND" => {
            let is_odd = |word: &Vec<u8>| {
                matches!(word.first(), Some(b'0'..=b'9' | b'-' | b'+' | b' ')) && word.len() > 1
            };
            (newer_oracle() || request.len() != 3) && !request.iter().any(is_odd)
        }
        b"LSET" => !newer_oracle() || at(2).len() < 10,
        b"CONFIG" => return None,
        _ => return None,
    })
}
