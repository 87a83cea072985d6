//! Random commands from a table of forms.
//!
//! A form is words and placeholders: `$key` is replaced by a random key, `[a|b c]` is one of its branches or, more often,
//! nothing, `(a|b)` is one of its branches, and a word ending in `...` is repeated up to three times. Names and options get
//! random case, and one command in eight is then broken: arguments dropped, doubled, swapped, replaced, added.

use std::collections::VecDeque;

use super::collections;
use crate::support::Random;

pub type Request = Vec<Vec<u8>>;

/// One step of a run, on one of the connections that each server has.
#[derive(Clone, Debug)]
pub enum Step {
    /// A command on the main connection: exactly one reply.
    Main(Request),
    /// A command on the connection that listens to channels and to keyspace notifications.
    Listener(Request),
    /// A connection of its own: these commands, QUIT, and everything up to the close.
    Session(Vec<Request>),
}

/// What the main connection sends, with weights.
const MAIN: &[(usize, &str)] = &[
    (30, "SET $key $val"),
    (40, "SET $key $val [NX|XX] [GET] [EX $ttl|PX $ttlms|EXAT $at|PXAT $atms|KEEPTTL]"),
    (10, "SET $key $val [EX $ttl|PX $ttlms|KEEPTTL] [GET] [NX|XX] [NX|XX|GET|KEEPTTL]"),
    (20, "GET $key"),
    (8, "GETDEL $key"),
    (20, "GETEX $key [EX $ttl|PX $ttlms|EXAT $at|PXAT $atms|PERSIST] [PERSIST|EX $ttl]"),
    (8, "GETSET $key $val"),
    (8, "SETNX $key $val"),
    (8, "SETEX $key $ttl $val"),
    (8, "PSETEX $key $ttlms $val"),
    (15, "APPEND $key $val"),
    (8, "STRLEN $key"),
    (15, "(GETRANGE|SUBSTR) $key $index $index"),
    (15, "SETRANGE $key $offset $val"),
    (15, "(INCR|DECR) $key"),
    (20, "(INCRBY|DECRBY) $key $int"),
    (20, "SET $key $int"),
    (20, "SET $key $float"),
    (20, "INCRBYFLOAT $key $float"),
    (10, "MGET $key..."),
    (10, "MSET $key $val [$key $val] [$key $val|$key]"),
    (10, "MSETNX $key $val [$key $val] [$key $val|$key]"),
    (15, "LCS $key $key [LEN] [IDX] [MINMATCHLEN $index] [WITHMATCHLEN]"),
    (15, "SETBIT $key $bit [$bit] (0|1|1|$word)"),
    (10, "GETBIT $key $bit"),
    (10, "BITCOUNT $key [$index $index [BIT|BYTE|$word]]"),
    (10, "BITPOS $key (0|1|$word) [$index [$index [BIT|BYTE|$word]]]"),
    (10, "BITOP (AND|OR|XOR|AND|OR|XOR|$word) $key $key..."),
    (5, "BITOP NOT $key $key"),
    (10, "BITFIELD $key $fieldop..."),
    (5, "BITFIELD_RO $key $fieldop..."),
    (10, "PFADD $hll $element... [$element...] [$element...]"),
    (2, "PFADD $key [$element...]"),
    (8, "PFCOUNT $hll"),
    (4, "PFCOUNT $hll $hll..."),
    (3, "PFCOUNT $key..."),
    (4, "PFMERGE $hll $hll..."),
    (2, "PFMERGE $key $key..."),
    (4, "PFDEBUG (ENCODING|DECODE|TODENSE|GETREG|$word) $hll"),
    (6, "GET $hll"),
    (2, "SET $hll $hyll"),
    (2, "SETRANGE $hll $hyllat $hyllbyte"),
    (2, "DEL $hll"),
    (40, "XADD $stream [NOMKSTREAM] $newid $val $val [$val $val]"),
    (12, "XADD $stream (MAXLEN|MINID) [=|~] $trim [LIMIT $index] $newid name $val [age $int]"),
    (15, "XADD $stream $newid name $val age $int"),
    (5, "XADD $stream $sid name $val"),
    (6, "XLEN $stream"),
    (12, "XRANGE $stream $bound $bound [COUNT $index]"),
    (8, "XREVRANGE $stream $bound $bound [COUNT $index]"),
    (10, "XDEL $stream $sid [$sid] [$sid]"),
    (6, "XTRIM $stream (MAXLEN|MINID) [=|~] $trim [LIMIT $index]"),
    (12, "XGROUP CREATE $stream $group ($|0|0|$sid) [MKSTREAM] [ENTRIESREAD $int]"),
    (4, "XGROUP SETID $stream $group ($|0|$bound) [ENTRIESREAD $int]"),
    (1, "XGROUP DESTROY $stream $group"),
    (4, "XGROUP CREATECONSUMER $stream $group $consumer"),
    (2, "XGROUP DELCONSUMER $stream $group $consumer"),
    (1, "XGROUP (HELP|$word)"),
    (25, "XREADGROUP GROUP $group $consumer [COUNT $index] [NOACK] STREAMS $stream (>|>|>|0|$sid)"),
    (5, "XREADGROUP GROUP $group $consumer [COUNT $index] STREAMS $stream $stream (>|0) (>|$sid)"),
    (8, "XREAD [COUNT $index] STREAMS $stream ($|0|$sid)"),
    (6, "XREAD [COUNT $index] STREAMS $stream $stream (0|$sid) (0|$sid)"),
    (10, "XACK $stream $group $sid [$sid] [$sid]"),
    (
        8,
        "XCLAIM $stream $group $consumer 0 $sid [$sid] [$sid] [IDLE 5|TIME 5] [RETRYCOUNT $index] [FORCE] [JUSTID] [LASTID $sid]",
    ),
    (6, "XAUTOCLAIM $stream $group $consumer 0 $bound [COUNT $index] [JUSTID]"),
    (6, "XPENDING $stream $group"),
    (8, "XPENDING $stream $group [IDLE 0] $bound $bound $index [$consumer]"),
    (8, "XINFO STREAM $stream [FULL [COUNT $index]]"),
    (5, "XINFO GROUPS $stream"),
    (4, "XINFO CONSUMERS $stream $group"),
    (1, "XINFO (HELP|$word)"),
    (1, "DEL $stream"),
    (2, "OBJECT ENCODING $stream"),
    (2, "TYPE $stream"),
    (2, "COPY $stream $stream [REPLACE]"),
    (2, "(GET|STRLEN|GETBIT|PFCOUNT) $stream [0]"),
    (15, "DEL $key..."),
    (8, "UNLINK $key..."),
    (10, "EXISTS $key..."),
    (8, "TOUCH $key..."),
    (8, "TYPE $key"),
    (10, "RENAME $key $key"),
    (10, "RENAMENX $key $key"),
    (15, "COPY $key $key [DB $db] [REPLACE] [DB $db]"),
    (10, "MOVE $key $db"),
    (3, "RANDOMKEY"),
    (6, "KEYS $pattern"),
    (10, "SCAN 0 COUNT 1000 [MATCH $pattern] [TYPE (string|hash|STRING)]"),
    (4, "SCAN $cursor [COUNT $int] [MATCH $pattern] [TYPE $word]"),
    (10, "OBJECT (ENCODING|REFCOUNT) $key"),
    (5, "OBJECT (IDLETIME|FREQ) $key"),
    (1, "OBJECT (HELP|$word)"),
    (15, "EXPIRE $key $ttl [NX|XX|GT|LT] [NX|XX|GT|LT]"),
    (15, "PEXPIRE $key $ttlms [NX|XX|GT|LT] [NX|XX|GT|LT]"),
    (15, "EXPIREAT $key $at [NX|XX|GT|LT] [NX|XX|GT|LT]"),
    (15, "PEXPIREAT $key $atms [NX|XX|GT|LT] [NX|XX|GT|LT]"),
    (8, "PERSIST $key"),
    (15, "(TTL|PTTL|EXPIRETIME|PEXPIRETIME) $key"),
    (3, "SWAPDB $db $db"),
    (8, "SELECT $db"),
    (4, "DBSIZE"),
    (1, "FLUSHDB [ASYNC|SYNC|$word]"),
    (1, "FLUSHALL [ASYNC|SYNC|$word]"),
    (10, "PUBLISH $channel $val"),
    (6, "SPUBLISH $channel $val"),
    (4, "PUBSUB (CHANNELS|SHARDCHANNELS) [$pattern]"),
    (4, "PUBSUB (NUMSUB|SHARDNUMSUB) [$channel...]"),
    (2, "PUBSUB (NUMPAT|HELP|$word)"),
    (5, "PING [$val]"),
    (5, "ECHO $val"),
    (2, "AUTH $word [$word]"),
    (2, "TIME"),
    (1, "LOLWUT [VERSION (5|6|99)]"),
    (2, "CLIENT (ID|GETNAME|INFO|HELP|UNPAUSE|GETREDIR|TRACKINGINFO|$word)"),
    (2, "CLIENT LIST [TYPE (normal|pubsub|master|replica|$word)|ID $int]"),
    (3, "CLIENT SETNAME $word"),
    (2, "CLIENT SETINFO (LIB-NAME|LIB-VER|$word) $word"),
    (2, "CLIENT (NO-EVICT|NO-TOUCH) (ON|OFF|$word)"),
    (2, "CLIENT UNBLOCK $int [TIMEOUT|ERROR|$word]"),
    (2, "CLIENT KILL $word"),
    (
        4,
        "CLIENT KILL ID $int [USER $word|ADDR 1.2.3.4:5|LADDR 1.2.3.4:5|SKIPME (yes|no|$word)|TYPE $word|MAXAGE $int]",
    ),
    (1, "CLIENT PAUSE $word [WRITE|ALL]"),
    (1, "CLIENT REPLY $word"),
    (2, "INFO [server|clients|memory|stats|replication|cpu|keyspace|commandstats|errorstats|$word]"),
    (2, "CONFIG GET $parameter..."),
    (2, "CONFIG SET $parameter $setting [$parameter $setting]"),
    (1, "CONFIG (RESETSTAT|HELP|$word)"),
    (2, "SLOWLOG (GET [$int]|LEN|RESET|HELP|$word)"),
    (2, "LATENCY (LATEST|RESET|DOCTOR|HELP|HISTORY $word|GRAPH $word|RESET $word|$word)"),
    (1, "LATENCY HISTOGRAM [$command]"),
    (3, "MEMORY USAGE $key [SAMPLES $int]"),
    (1, "MEMORY (DOCTOR|HELP|STATS|PURGE|$word)"),
    (1, "DEBUG (SLEEP 0|OBJECT $key|$word)"),
    (1, "COMMAND COUNT"),
    (1, "COMMAND (HELP|$word)"),
    (3, "COMMAND INFO $command [$command]"),
    (3, "COMMAND DOCS $command [$command]"),
    (1, "COMMAND LIST [FILTERBY (MODULE $word|ACLCAT $category|PATTERN $pattern|$word)]"),
    (6, "COMMAND (GETKEYS|GETKEYSANDFLAGS) $line"),
    (1, "COMMAND (GETKEYS|GETKEYSANDFLAGS) $command [$key]"),
    (3, "$word [$key] [$val] [$val]"),
];

/// What the main connection sends besides where the oracle is 7.4.
const NEWER: &[(usize, &str)] = &[
    (5, "XSETID $stream $sid [ENTRIESADDED $int] [MAXDELETEDID $sid]"),
    (5, "XREAD [COUNT $index] STREAMS $stream +"),
    (5, "XINFO CONSUMERS $stream $group"),
    (5, "XINFO STREAM $stream FULL"),
];

/// What the listener sends.
const LISTENER: &[(usize, &str)] = &[
    (4, "SUBSCRIBE $channel..."),
    (4, "PSUBSCRIBE $pattern..."),
    (4, "SSUBSCRIBE $channel..."),
    (3, "UNSUBSCRIBE $channel..."),
    (3, "PUNSUBSCRIBE $pattern..."),
    (3, "SUNSUBSCRIBE $channel..."),
    (1, "(UNSUBSCRIBE|SUNSUBSCRIBE)"),
    (1, "PING $val"),
    (1, "GET $key"),
    (1, "$word"),
];

/// What a session sends: what changes the connection itself.
const SESSION: &[(usize, &str)] = &[
    (4, "PING [$val]"),
    (3, "GET $key"),
    (2, "SET $key $val"),
    (2, "INCR $key"),
    (4, "HELLO [2|3|3|$int]"),
    (2, "HELLO (2|3|$int) [AUTH $word $word] [SETNAME $word] [AUTH default $word|$word]"),
    (2, "AUTH $word [$word]"),
    (2, "SELECT $db"),
    (2, "RESET"),
    (2, "CLIENT REPLY (ON|OFF|SKIP|$word)"),
    (2, "CLIENT SETNAME $word"),
    (2, "CLIENT GETNAME"),
    (1, "CLIENT (GETREDIR|TRACKINGINFO)"),
    (4, "SUBSCRIBE $channel..."),
    (3, "PSUBSCRIBE $channel..."),
    (3, "SSUBSCRIBE $channel..."),
    (3, "UNSUBSCRIBE [$channel]"),
    (2, "PUNSUBSCRIBE [$channel]"),
    (2, "SUNSUBSCRIBE [$channel]"),
    (3, "PUBLISH $channel $val"),
    (2, "SPUBLISH $channel $val"),
    (1, "QUIT [$word]"),
    (2, "$word [$val]"),
];

// The pools: words parted by `|`.

const KEYS: &[u8] = b"a|b|c|d|key:1|key:2|key:3|{tag}:1|{tag}:2||\x00\xff\r\n|with space|\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87|KEY:1";
const INTEGERS: &[u8] = b"0|1|2|-1|10|-7|100|9999|10000|2147483647|-2147483648|4294967296|9223372036854775807|-9223372036854775808|\
    9223372036854775806|-9223372036854775807|9223372036854775808|-9223372036854775809|18446744073709551615|\
    99999999999999999999|+1|01|-0|00| 1|1 ||-|1.0|1e3|0x10|ten|1\x00";
const FLOATS: &[u8] = b"0|0.1|0.2|-0.3|3.0|3.14159265358979|1e3|1E3|5.0e3|1e-3|-1.5e-5|1e17|1e18|123456789.987654321|\
    0.000000000000000001|1e-20|10.50|-0.0|-0|+1.5|.5|5.|1e308|-1e308|1e309|1e4000|1e4932|1e5000|inf|-inf|+inf|\
    Infinity|nan|NaN|0x1p3|0x10|1_000| 1.5|1.5 |1.5abc||-|.|e5|1.7976931348623157e308|9007199254740993|\
    0.30000000000000004|99999999999999999999|1.5\x00";
const PATTERNS: &[u8] = b"*|k*|key:?|[ab]|[^a]|[a-c]|[c-a]|key:[12]|\\*|\\a|*:*|*[|[|[a|[^|\\|?|??||**a**|{tag}*|[\\a]|*\xff*|a*b*c|\
    []a]|news.*|n?ws.[ab]|KEY*";
const CHANNELS: &[u8] = b"news.a|news.b|a||\x00\xff|chat";
const WORDS: &[u8] = b"foo|NX|XX|GET|EX|PX|KEEPTTL|COUNT|MATCH|TYPE|ASYNC|on|1|-1||no\nline|two words|\xff\xfe|default|nosuchcommand|\
    'quoted'|\"double\"|100|abcdefgh|\
    a-very-long-word-a-very-long-word-a-very-long-word-a-very-long-word-a-very-long-word-a-very-long-word-a-very-long-word-a-very-long-word";
const INDEXES: &[u8] = b"0|1|2|5|-1|-2|-100|100|3|9223372036854775807|-9223372036854775808|x||1.5";
const OFFSETS: &[u8] = b"0|1|5|40|45|100|-1|536870912|4294967296|9223372036854775807|9223372036854775808|x|";
const BITS: &[u8] =
    b"0|1|2|7|8|9|31|32|63|64|100|1000|#0|#1|#2|#9|-1|#-1|4294967295|4294967296|9223372036854775807|x||#x|#";
const FIELDS: &[u8] =
    b"u1|u2|u8|u16|u31|u32|u63|i1|i2|i5|i8|i16|i32|i63|i64|u64|i65|u0|i0|u-1|u|i|x8||U8|u8x|u8\x00x";
const IDS: &[u8] = b"0|0-0|0-1|1|1-1|2-0|5-*|0-*|18446744073709551615|18446744073709551615-18446744073709551615|x|1-x||-|+|*|1-1-1|-1| 1|01-1";
const BOUNDS: &[u8] =
    b"-|+|-|+|-|+|0|(|(0|(-|(0-0|(18446744073709551615-18446744073709551615|x|18446744073709551616";
/// HyperLogLogs by their own account.
const HYPERLOGLOGS: &[u8] = b"HYLL|HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff|\
    HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xfe|HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xfe\x80|\
    HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80|HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff|\
    HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80|12345";
const DATABASES: &[u8] = b"0|0|1|1|2|15|16|-1|x||9223372036854775808|2147483648|01";
/// Times that are no time, or long past, or so far ahead that the command refuses them.
const ODD_TIMES: &[u8] = b"0|-1|-1000|9223372036854775807|9223372036854775|9223372036854776|-9223372036854775808|9223372036854775808|x||\
    1.5| 100|1e10";
const MOMENTS: &[u8] = b"4102444800|4102444801|4102444800|32503680000";
const MOMENTS_MS: &[u8] = b"4102444800000|4102444800001|4102444801000|32503680000000";
const CURSORS: &[u8] = b"0|x||-1|18446744073709551616| 0|+0|0x0";
const CATEGORIES: &[u8] = b"string|keyspace|pubsub|connection|nosuch|slow|fast|read";

/// Parameters both servers have, with values to set, right and wrong. The run resets them all when it starts over.
pub const PARAMETERS: &[(&str, &str, &str)] = &[
    ("maxmemory", "0", "0|1gb|2g|3000mb|4000000000|-1|x|1.5gb|1zb|"),
    ("maxmemory-policy", "noeviction", "allkeys-lru|volatile-ttl|noeviction|allkeys-lfu|NOEVICTION|x"),
    ("maxmemory-samples", "5", "5|10|0|-1|x"),
    ("timeout", "0", "0|1000|-1|x|99999999999"),
    ("tcp-keepalive", "300", "300|0|60|-1"),
    ("slowlog-max-len", "128", "128|1|0|-1|x"),
    ("latency-monitor-threshold", "0", "0|100000|-1"),
    ("proto-max-bulk-len", "536870912", "512mb|1mb|1024|x|1048576"),
    ("client-query-buffer-limit", "1073741824", "1gb|1mb|1024|x"),
    ("lfu-log-factor", "10", "10|0|-1|x"),
    ("lfu-decay-time", "1", "1|0|-1"),
    ("hll-sparse-max-bytes", "3000", "3000|100|20|0|-1|x|16000"),
    ("hz", "10", "10|100|1000|0|x"),
    ("maxclients", "4000", "4000|3000|0|-1|x"),
    ("notify-keyspace-events", "AKE", "KEA||Kx|Eg$|KEAmn|Z|AKE|E$xe|K|gA"),
    ("lazyfree-lazy-user-del", "no", "yes|no|YES|1|"),
    ("lazyfree-lazy-expire", "no", "yes|no|maybe"),
    (
        "client-output-buffer-limit",
        "normal 0 0 0 pubsub 33554432 8388608 60",
        "normal 0 0 0|pubsub 32mb 8mb 60|pubsub 1 2|nobody 1 2 3|normal 1gb 512mb 10 pubsub 64mb 16mb 30|normal x 0 0||replica 256mb 64mb 60|normal 0 0 -1",
    ),
    ("port", "", ""),
    ("nosuchparameter", "", "1"),
];

/// Whole commands for COMMAND GETKEYS.
const LINES: &str = "GET k;SET k v;MSET a 1 b 2;MSET a 1 b;DEL a b c;RENAME a b;COPY a b;MGET a b;LCS a b;PING;OBJECT ENCODING k;\
    MEMORY USAGE k;GETEX k EX 10;SET k v EX 10 GET;SET k;GET;GET a b;EXISTS a b;CONFIG GET x;PUBLISH c m;\
    SPUBLISH c m;SSUBSCRIBE a b;SUBSCRIBE a;KEYS *;SCAN 0;TOUCH a b;UNLINK a;SETEX k 1 v;nosuch a;CLIENT KILL x;\
    OBJECT NOSUCH k;OBJECT;MSETNX a 1;DEBUG OBJECT k;GETSET k v;GETDEL k;EXPIRE k 1;TTL k;MOVE k 1;APPEND k v;\
    INCR k;SETRANGE k 0 v;SWAPDB 0 1;BITOP AND d a b;BITFIELD k GET u8 0;BITCOUNT k;\
    XADD k * f v;XREAD COUNT 1 STREAMS a b 0 0;XREADGROUP GROUP g c STREAMS a >;XREAD STREAMS a;\
    XGROUP CREATE k g 0;XINFO STREAM k;XREADGROUP GROUP STREAMS c STREAMS a >";

/// The commands that both servers have, subcommands included.
const COMMANDS: &str = "append;auth;bitcount;bitfield;bitfield_ro;bitop;bitpos;client;client|getname;client|getredir;client|help;client|id;client|info;client|kill;client|list;\
    client|no-evict;client|pause;client|reply;client|setname;client|trackinginfo;client|unblock;client|unpause;\
    command;command|count;command|docs;command|getkeys;command|getkeysandflags;command|help;command|info;\
    command|list;config;config|get;config|help;config|resetstat;config|rewrite;config|set;copy;dbsize;debug;decr;\
    decrby;del;echo;exists;expire;expireat;expiretime;flushall;flushdb;get;getbit;getdel;getex;getrange;getset;hello;\
    incr;incrby;incrbyfloat;info;keys;latency;latency|doctor;latency|graph;latency|help;latency|histogram;\
    latency|history;latency|latest;latency|reset;lcs;lolwut;memory;memory|doctor;memory|help;memory|malloc-stats;\
    memory|purge;memory|stats;memory|usage;mget;monitor;move;mset;msetnx;object;object|encoding;object|freq;\
    object|help;object|idletime;object|refcount;persist;pexpire;pexpireat;pexpiretime;pfadd;pfcount;pfdebug;pfmerge;pfselftest;ping;psetex;psubscribe;pttl;\
    publish;pubsub;pubsub|channels;pubsub|help;pubsub|numpat;pubsub|numsub;pubsub|shardchannels;\
    pubsub|shardnumsub;punsubscribe;quit;randomkey;rename;renamenx;reset;scan;select;set;setbit;setex;setnx;setrange;\
    shutdown;slowlog;slowlog|get;slowlog|help;slowlog|len;slowlog|reset;spublish;ssubscribe;strlen;subscribe;\
    substr;sunsubscribe;swapdb;time;touch;ttl;type;unlink;unsubscribe;xack;xadd;xautoclaim;\
    xclaim;xdel;xgroup;xgroup|create;xgroup|createconsumer;xgroup|delconsumer;xgroup|destroy;xgroup|help;\
    xgroup|setid;xinfo;xinfo|consumers;xinfo|groups;xinfo|help;xinfo|stream;xlen;xpending;xrange;xread;\
    xreadgroup;xrevrange;xsetid;xtrim";

/// True for a command, or a subcommand in the form `name|sub`, that both servers have.
pub fn is_shared(name: &str) -> bool {
    COMMANDS.split(';').chain(collections::COMMANDS.split(';')).any(|command| command == name)
}

/// Draws steps from the tables.
pub struct Generator {
    pub random: Random,
    /// The milliseconds of the last ID that was made up for an entry of a stream.
    pub clock: u64,
    /// Steps that must follow the last one.
    pub next: VecDeque<Step>,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { random: Random::new(seed), clock: 1, next: VecDeque::new() }
    }

    /// A step, or a few that belong together, mostly of the commands of collections.
    pub fn collection_steps(&mut self) -> Vec<Step> {
        match self.random.below(100) {
            0..=1 => collections::transaction(self),
            2..=5 if collections::newer_oracle() => vec![Step::Main(self.request(collections::NEWER))],
            _ => collections::main_steps(self),
        }
    }

    pub fn step(&mut self) -> Step {
        if let Some(step) = self.next.pop_front() {
            return step;
        }
        let step = self.any_step();
        if let Step::Main(request) = &step {
            self.next = consumers_of(request).map(Step::Main).collect();
        }
        self.next.push_back(step);
        self.step()
    }

    fn any_step(&mut self) -> Step {
        match self.random.below(100) {
            0..=1 => Step::Listener(self.request(LISTENER)),
            2..=3 => {
                let length = 1 + self.random.below(8);
                Step::Session((0..length).map(|_| self.request(SESSION)).collect())
            }
            4..=5 if std::env::var_os("STRATA_TEST_ORACLE").is_some() => Step::Main(self.request(NEWER)),
            _ => Step::Main(self.request(MAIN)),
        }
    }

    pub fn request(&mut self, table: &[(usize, &str)]) -> Request {
        let total = table.iter().map(|(weight, _)| weight).sum();
        loop {
            let mut at = self.random.below(total);
            let (_, form) = table
                .iter()
                .find(|(weight, _)| match at.checked_sub(*weight) {
                    Some(rest) => {
                        at = rest;
                        false
                    }
                    None => true,
                })
                .expect("a weight below the total");
            let mut request = Vec::new();
            self.expand(form, &mut request);
            if self.random.chance(12) {
                self.break_somewhere(&mut request);
            }
            if is_harmless(
                &request,
                ![LISTENER, SESSION].iter().any(|other| other.as_ptr() == table.as_ptr()),
            ) {
                return request;
            }
        }
    }

    /// Appends what `form` stands for.
    fn expand(&mut self, form: &str, request: &mut Request) {
        let mut rest = form.trim();
        while !rest.is_empty() {
            if rest.starts_with(['[', '(']) {
                let end = closing(rest);
                let taken = rest.starts_with('(') || self.random.chance(35);
                if taken {
                    let branches = split_branches(&rest[1..end]);
                    let branch = branches[self.random.below(branches.len())];
                    self.expand(branch, request);
                }
                rest = rest[end + 1..].trim_start();
                continue;
            }
            let end = rest.find(' ').unwrap_or(rest.len());
            let word = &rest[..end];
            rest = rest[end..].trim_start();
            match word.strip_suffix("...") {
                Some(word) => (0..1 + self.random.below(3)).for_each(|_| self.word(word, request)),
                None => self.word(word, request),
            }
        }
    }

    fn word(&mut self, word: &str, request: &mut Request) {
        let argument = match word {
            "$key" => self.one_of(KEYS),
            "$val" => self.value(),
            "$int" if self.random.chance(40) => self.random.below(1000).to_string().into_bytes(),
            "$int" => self.one_of(INTEGERS),
            "$float" => self.one_of(FLOATS),
            "$pattern" => self.one_of(PATTERNS),
            "$channel" => self.one_of(CHANNELS),
            "$index" => self.one_of(INDEXES),
            "$offset" => self.one_of(OFFSETS),
            "$bit" => self.one_of(BITS),
            "$fieldop" => {
                let form = "[OVERFLOW (WRAP|SAT|FAIL|$word)] (GET $field $bit|SET $field $bit $int|INCRBY $field $bit $int)";
                return self.expand(form, request);
            }
            "$field" => self.one_of(FIELDS),
            "$hll" => self.one_of(b"hll:1|hll:2|hll:3|hll:4|hll:dense"),
            "$element" if self.random.chance(10) => self.value(),
            "$element" => self.random.below(100_000).to_string().into_bytes(),
            "$hyll" => self.one_of(HYPERLOGLOGS),
            "$hyllat" => self.one_of(b"0|4|5|8|15"),
            "$hyllbyte" => self.one_of(b"x|\x00|\x01|\x02|\x80"),
            "$stream" if self.random.chance(5) => self.one_of(KEYS),
            "$stream" => self.one_of(b"s:1|s:2|s:3"),
            "$newid" if self.random.chance(10) => self.one_of(IDS),
            "$newid" => {
                // Mostly later than all before it, so that streams grow.
                self.clock += self.random.below(3) as u64 / 2;
                let number =
                    if self.random.chance(80) { "*".to_string() } else { self.random.below(300).to_string() };
                format!("{}-{number}", self.clock).into_bytes()
            }
            "$sid" | "$bound" | "$trim" if self.random.chance(60) => {
                let ms = self.clock.saturating_sub(self.random.below(30) as u64);
                let number = self.random.below(4);
                let exclusive = if word == "$bound" && self.random.chance(20) { "(" } else { "" };
                format!("{exclusive}{ms}-{number}").into_bytes()
            }
            "$sid" => self.one_of(IDS),
            "$bound" => self.one_of(BOUNDS),
            "$trim" => self.one_of(b"0|1|3|5|10|20|50|100|-1|x"),
            "$group" => self.one_of(b"g1|g1|g2|"),
            "$consumer" => self.one_of(b"alice|bob|carol|"),
            "$db" => self.one_of(DATABASES),
            "$cursor" => self.one_of(CURSORS),
            "$category" => self.one_of(CATEGORIES),
            "$word" => self.one_of(WORDS),
            "$ttl" | "$ttlms" | "$at" | "$atms" if self.random.chance(20) => self.one_of(ODD_TIMES),
            // Drawn from so wide a range that two are never close: GT and LT then never depend on a millisecond.
            "$ttl" => (1_000_000 + self.random.below(1_000_000_000)).to_string().into_bytes(),
            "$ttlms" => (1_000_000_000 + self.random.below(1_000_000_000_000)).to_string().into_bytes(),
            "$at" => self.one_of(MOMENTS),
            "$atms" => self.one_of(MOMENTS_MS),
            "$command" if self.random.chance(10) => b"nosuch".to_vec(),
            "$command" => {
                let names = COMMANDS.split(';').collect::<Vec<_>>();
                self.random.pick(&names).as_bytes().to_vec()
            }
            "$parameter" => PARAMETERS[self.random.below(PARAMETERS.len())].0.into(),
            "$setting" => return self.setting(request),
            "$line" => {
                let lines = LINES.split(';').collect::<Vec<_>>();
                let line = self.random.pick(&lines);
                return request.extend(line.split(' ').map(|word| word.as_bytes().to_vec()));
            }
            "$cline" => return request.extend(collections::line(self)),
            _ => collections::word(self, word).unwrap_or_else(|| self.odd_case(word)),
        };
        request.push(argument);
    }

    /// A value for the parameter named just before.
    fn setting(&mut self, request: &mut Request) {
        let name = request.last().expect("a parameter");
        let known = PARAMETERS.iter().find(|(known, ..)| known.as_bytes() == name);
        let values = known.map_or("1", |(_, _, values)| values);
        request.push(self.one_of(values.as_bytes()));
    }

    pub fn one_of(&mut self, pool: &[u8]) -> Vec<u8> {
        let words = pool.split(|&byte| byte == b'|').collect::<Vec<_>>();
        self.random.pick(&words).to_vec()
    }

    pub fn value(&mut self) -> Vec<u8> {
        match self.random.below(10) {
            0..=2 => self.one_of(INTEGERS),
            3 => self.one_of(FLOATS),
            4..=6 => self.one_of(b"foo|bar|foobar|ohmytext|mynewtext|x|"),
            7 => {
                // Around the 44 bytes up to which Redis stores a string in one piece.
                let length = [43, 44, 45, 64, 200][self.random.below(5)];
                vec![b'v'; length]
            }
            _ => {
                let length = self.random.below(20);
                self.random.bytes(length)
            }
        }
    }

    fn odd_case(&mut self, word: &str) -> Vec<u8> {
        if !self.random.chance(10) {
            return word.as_bytes().to_vec();
        }
        let flip = |byte: u8| {
            if self.random.chance(50) { byte.to_ascii_lowercase() } else { byte.to_ascii_uppercase() }
        };
        word.bytes().map(flip).collect()
    }

    fn break_somewhere(&mut self, request: &mut Request) {
        let at = self.random.below(request.len());
        match self.random.below(6) {
            0 if request.len() > 1 => drop(request.remove(at.max(1))),
            1 => request.insert(at, request[at].clone()),
            2 => request.push(self.one_of(WORDS)),
            3 if at > 0 => request[at] = self.one_of(INTEGERS),
            4 if at > 0 => {
                let other = 1 + self.random.below(request.len() - 1);
                request.swap(at, other);
            }
            _ => request.truncate(at.max(1)),
        }
    }
}

/// The index of the bracket that closes the one `text` begins with.
fn closing(text: &str) -> usize {
    let mut depth = 0;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'(' => depth += 1,
            b']' | b')' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return index;
        }
    }
    panic!("no closing bracket in {text:?}");
}

fn split_branches(text: &str) -> Vec<&str> {
    let (mut branches, mut depth, mut start) = (Vec::new(), 0, 0);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'(' => depth += 1,
            b']' | b')' => depth -= 1,
            b'|' if depth == 0 => {
                branches.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    branches.push(&text[start..]);
    branches
}

/// What makes the consumers that a request is for: 7.0 makes none for one who gets nothing, 7.4 does.
fn consumers_of(request: &Request) -> impl Iterator<Item = Request> + '_ {
    let word = |text: &[u8]| request.iter().position(|word| word.eq_ignore_ascii_case(text));
    let (names, keys) = match request[0].to_ascii_uppercase().as_slice() {
        b"XCLAIM" | b"XAUTOCLAIM" => (2, 1..2),
        b"XREADGROUP" => {
            let group = word(b"GROUP").unwrap_or(request.len());
            let first =
                request.iter().rposition(|word| word.eq_ignore_ascii_case(b"STREAMS")).map_or(0, |at| at + 1);
            (group + 1, first..(first + request.len()) / 2)
        }
        _ => (request.len(), 0..0),
    };
    let names = request.get(names..names + 2).unwrap_or_default();
    let keys = keys.filter(move |_| names.len() == 2);
    keys.filter_map(|at| request.get(at)).map(move |key| {
        [b"XGROUP".as_slice(), b"CREATECONSUMER", key, &names[0], &names[1]].map(<[u8]>::to_vec).to_vec()
    })
}

/// Whether one of the servers is another Redis than the oracle's 7.0.
fn newer() -> bool {
    ["STRATA_TEST_SERVER", "STRATA_TEST_ORACLE"].iter().any(|name| std::env::var_os(name).is_some())
}

/// False for what would end or stall a server, change what the run stands on, or depend on the moment.
fn is_harmless(request: &Request, main: bool) -> bool {
    let upper = |index: usize| request.get(index).map(|word| word.to_ascii_uppercase()).unwrap_or_default();
    let number = |index: usize| {
        let text = request.get(index).and_then(|word| std::str::from_utf8(word).ok());
        text.and_then(|text| text.trim().parse::<i64>().ok())
    };
    // A key must neither expire during the run nor have done so a moment ago.
    let soon = |from: usize| {
        (from..request.len()).any(|index| number(index).is_some_and(|n| (1..1_000_000).contains(&n)))
    };
    let (name, second) = (upper(0), upper(1));
    if let Some(harmless) = collections::is_harmless(&name, request) {
        return harmless;
    }
    match name.as_slice() {
        b"SHUTDOWN" | b"MONITOR" => false,
        b"HELLO" if main => false,
        b"QUIT" | b"RESET" | b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE"
        | b"PUNSUBSCRIBE" | b"SUNSUBSCRIBE" => !main,
        b"DEBUG" => match second.as_slice() {
            b"SLEEP" => upper(2) == b"0",
            b"OBJECT" => true,
            _ => false,
        },
        b"CLIENT" => match second.as_slice() {
            b"REPLY" => !main || request.len() != 3,
            b"PAUSE" => number(2).is_none_or(|milliseconds| milliseconds < 0),
            b"KILL" => {
                request.len() < 4
                    || (upper(2) == b"ID" && number(3).is_none_or(|id| !(1..100_000).contains(&id)))
            }
            b"TRACKING" | b"CACHING" => false,
            // Redis 7.4 stops looking at a zero byte, 7.0 refuses it.
            b"SETNAME" => request.iter().all(|word| !word.contains(&0)),
            _ => true,
        },
        b"CONFIG" => second != b"SET" || request.iter().skip(2).all(|word| word != b"port"),
        b"SETRANGE" => number(2).is_none_or(|offset| !(10_000..536_870_912).contains(&offset)),
        // 7.0 looks for the key, and tells of a miss, before it reads these arguments; 7.4 after.
        b"BITCOUNT" | b"BITPOS" => {
            let plain =
                |index: usize| number(index).is_some_and(|n| n.to_string().as_bytes() == request[index]);
            let unit = |index: usize| matches!(upper(index).as_slice(), b"BIT" | b"BYTE");
            let first = if name == b"BITPOS" { 3 } else { 2 };
            let numbers = request.len().min(first + 2);
            request.len() <= first + 3
                && (first..numbers).all(plain)
                && (name == b"BITPOS" || request.len() != 3)
                && (request.len() < first + 3 || unit(first + 2))
        }
        // Neither are megabytes of zeros.
        b"SETBIT" => number(2).is_none_or(|offset| !(100_000..4_294_967_296).contains(&offset)),
        // IDs by the clock of the server are not the same twice, and nothing may wait.
        b"XADD" => request.iter().all(|word| word != b"*"),
        b"XREAD" | b"XREADGROUP" => {
            request.iter().all(|word| !word.eq_ignore_ascii_case(b"BLOCK") && word != b"+")
                || std::env::var_os("STRATA_TEST_ORACLE").is_some()
        }
        b"BITFIELD" => request.iter().skip(2).all(|word| {
            let text = std::str::from_utf8(word).map_or("", |text| text.trim_start_matches('#'));
            text.parse::<i64>().is_ok_and(|n| !(10_000..1 << 36).contains(&n)) || text.parse::<i64>().is_err()
        }),
        b"EXPIRE" | b"PEXPIRE" | b"SETEX" | b"PSETEX" | b"GETEX" => !soon(2),
        b"SET" => !soon(3),
        // Redis 7.4 itself leaves this error out when other replies wait before it.
        b"AUTH" | b"HELLO" if request.len() > 2 && newer() => false,
        // 7.0 checks a password as it comes to it, 7.4 after it has read all options: see `connection.rs`.
        // With one option at most: of several, 7.0 has applied those before the first wrong one.
        b"HELLO" => match request.get(2).map(|word| word.to_ascii_uppercase()).as_deref() {
            Some(b"AUTH") => request.len() == 5,
            Some(b"SETNAME") => request.len() <= 4,
            _ => request.len() <= 3,
        },
        _ => true,
    }
}
