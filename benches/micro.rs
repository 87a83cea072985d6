//! The three things that every command goes through, alone: scanning requests, finding a key, writing replies.
//!
//! ```text
//! cargo bench --bench micro                   all
//! cargo bench --bench micro -- table          those whose name contains "table"
//! ```
//!
//! These say where a change of `compare` came from; what counts is `compare`. All data fits the processor's caches
//! except where a name says `cold`.

use ahash::RandomState;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use strata::memory::{Entry, KeyHash, Table};
use strata::resp::{Args, Limits, Output, Reply, Scan, Scanner};
use strata::value::string::NewString;

/// Requests in one buffer, as a deep pipeline brings them.
const PIPELINE: usize = 64;
const LIMITS: Limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };

fn request(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

fn scanner(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scanner");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let value = "x".repeat(64);
    let mget: Vec<&str> =
        std::iter::once("MGET").chain(std::iter::repeat_n("key:000000000001", 10)).collect();
    for (name, one) in [
        ("get", request(&["GET", "key:000000000001"])),
        ("set of 64 bytes", request(&["SET", "key:000000000001", &value])),
        ("mget of 10", request(&mget)),
        ("inline get", b"GET key:000000000001\r\n".to_vec()),
    ] {
        let mut buffer = one.repeat(PIPELINE);
        let mut args = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut scanner = Scanner::default();
                args.clear();
                while scanner.scan(&mut buffer, &mut args, &LIMITS) == Scan::Request {}
                black_box(Args::new(&buffer, &args).len())
            });
        });
    }
    group.finish();
}

/// A table of `count` keys with 64-byte values, and the keys with their positions.
fn filled(count: usize) -> (Table, Vec<(u32, String)>) {
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let mut table = Table::default();
    let mut keys = Vec::with_capacity(count);
    for number in 0..count {
        let key = format!("key:{number:012}");
        let position = KeyHash(hasher.hash_one(key.as_bytes())).position();
        table.insert(position, Entry::new(key.as_bytes(), NewString::Inline(&[b'x'; 64]), None));
        keys.push((position, key));
    }
    (table, keys)
}

fn table(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table");
    group.throughput(Throughput::Elements(1));
    // A shard of the default thousand holds about this many of a million keys.
    let (mut small, keys) = filled(1000);
    let mut at = 0;
    let mut next = move |count: usize| {
        at = (at + 7919) % count;
        at
    };
    group.bench_function("find", |bencher| {
        bencher.iter(|| {
            let (position, key) = &keys[next(keys.len())];
            black_box(small.get(*position, key.as_bytes()).is_some())
        });
    });
    group.bench_function("miss", |bencher| {
        bencher.iter(|| {
            let (position, _) = &keys[next(keys.len())];
            black_box(small.get(*position, b"key:not here").is_some())
        });
    });
    group.bench_function("overwrite", |bencher| {
        bencher.iter(|| {
            let (position, key) = &keys[next(keys.len())];
            if let Some(mut entry) = small.get_mut(*position, key.as_bytes()) {
                entry.overwrite(NewString::Inline(&[b'y'; 64]), None);
            }
        });
    });
    group.bench_function("remove and insert", |bencher| {
        bencher.iter(|| {
            let (position, key) = &keys[next(keys.len())];
            if let Some(entry) = small.remove(*position, key.as_bytes()) {
                small.insert(*position, entry);
            }
        });
    });
    group.throughput(Throughput::Elements(10_000));
    group.bench_function("grow to 10000", |bencher| {
        let (_, keys) = filled(10_000);
        bencher.iter_batched_ref(
            Table::default,
            |table| {
                for (position, key) in &keys {
                    table.insert(*position, Entry::new(key.as_bytes(), NewString::Int(1), None));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn cold_shards(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("table, cold");
    // A million keys in a thousand tables: each access is a miss of the caches, as it is for a server.
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let mut tables: Vec<Table> = (0..1024).map(|_| Table::default()).collect();
    let keys: Vec<(KeyHash, String)> = (0..1_000_000)
        .map(|number| format!("key:{number:012}"))
        .map(|key| (KeyHash(hasher.hash_one(key.as_bytes())), key))
        .collect();
    let shard_of = |hash: &KeyHash| (hash.0 & 1023) as usize;
    for (hash, key) in &keys {
        let entry = Entry::new(key.as_bytes(), NewString::Inline(&[b'x'; 64]), None);
        tables[shard_of(hash)].insert(hash.position(), entry);
    }
    let mut at = 0;
    let mut next = move || {
        at = (at + 611_953) % 1_000_000;
        at
    };
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("find 64", |bencher| {
        bencher.iter(|| {
            let found = (0..PIPELINE).filter(|_| {
                let (hash, key) = &keys[next()];
                tables[shard_of(hash)].get(hash.position(), key.as_bytes()).is_some()
            });
            black_box(found.count())
        });
    });
    group.finish();
}

fn reply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reply");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    let mut out = Output::default();
    let value = [b'x'; 64];
    let mut bench = |name: &str, write: &dyn Fn(&mut Reply<'_>)| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear(256 * 1024);
                let mut reply = Reply::new(&mut out, false);
                (0..PIPELINE).for_each(|_| write(&mut reply));
                black_box(out.len())
            });
        });
    };
    bench("ok", &|reply| reply.ok());
    bench("null", &|reply| reply.null());
    bench("integer", &|reply| reply.int(black_box(1_234_567)));
    bench("bulk of 64 bytes", &|reply| reply.bulk(black_box(&value)));
    bench("double", &|reply| reply.double(black_box(0.123_456)));
    bench("array of 10 bulks", &|reply| {
        reply.array(10);
        (0..10).for_each(|_| reply.bulk(black_box(&value)));
    });
    group.finish();
}

criterion_group!(micro, scanner, table, cold_shards, reply);
criterion_main!(micro);
