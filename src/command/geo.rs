//! Geo: places in sorted sets.

use super::parse::{int, is};
use super::row::{ArgKind, Category, Flag, Row, arg, block, key, keys_after, keys_at, one_of, row, token};
use super::zset::{AddOptions, add_members, limits};
use super::{Answer, Ctx, DONE, Error};
use crate::config::NotifyFlags;
use crate::keyspace::{Expiry, Key, Lookup};
use crate::number;
use crate::value::Collection;
use crate::value::geo::{LATITUDE, LONGITUDE, Place, Shape, distance, place, score, text};
use crate::value::zset::Zset;
use smallvec::SmallVec;

/// The place that two arguments are.
fn read_place(longitude: &[u8], latitude: &[u8]) -> Result<Place, Error> {
    let longitude = number::parse_f64(longitude).ok_or(Error::NOT_A_FLOAT)?;
    let latitude = number::parse_f64(latitude).ok_or(Error::NOT_A_FLOAT)?;
    let within = |at: f64, (min, max): (f64, f64)| (min..=max).contains(&at);
    if !within(longitude, LONGITUDE) || !within(latitude, LATITUDE) {
        let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
        return Err(Error::new(text));
    }
    Ok(Place { longitude, latitude })
}

/// How many meters a unit has.
fn unit(word: &[u8]) -> Result<f64, Error> {
    match word {
        _ if is(word, "m") => Ok(1.0),
        _ if is(word, "km") => Ok(1000.0),
        _ if is(word, "ft") => Ok(0.3048),
        _ if is(word, "mi") => Ok(1609.34),
        _ => Err(Error::fixed("ERR unsupported unit provided. please use M, KM, FT, MI")),
    }
}

fn geoadd(ctx: &mut Ctx<'_>) -> Answer {
    let mut options = AddOptions::default();
    let first = options.read_words(ctx, &["nx", "xx", "ch"]);
    let triples = ctx.args.from(first);
    if !triples.len().is_multiple_of(3) || triples.is_empty() || (options.if_absent && options.if_present) {
        return Err(Error::SYNTAX);
    }
    let mut members = SmallVec::new();
    for at in (0..triples.len()).step_by(3) {
        let place = read_place(&triples[at], &triples[at + 1])?;
        members.push((score(place), triples.get(at + 2).unwrap_or_default()));
    }
    add_members(ctx, &options, &members)
}

fn geodist(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    if ctx.args.len() > 5 {
        return Err(Error::SYNTAX);
    }
    let meters = match ctx.args.get(4) {
        Some(word) => unit(word)?,
        None => 1.0,
    };
    let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
    let scores = zset.and_then(|zset| Some((zset.score(&ctx.args[2])?, zset.score(&ctx.args[3])?)));
    match scores {
        Some((one, other)) => reply_distance(ctx, distance(place(one), place(other)) / meters),
        None => ctx.reply.null(),
    }
    DONE
}

fn reply_distance(ctx: &mut Ctx<'_>, distance: f64) {
    ctx.reply.bulk(format!("{distance:.4}").as_bytes());
}

fn geohash(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
    ctx.reply.array(ctx.args.len() - 2);
    for member in ctx.args.from(2).iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => ctx.reply.bulk(&text(place(score))),
            None => ctx.reply.null(),
        }
    }
    DONE
}

fn geopos(ctx: &mut Ctx<'_>) -> Answer {
    let key = ctx.key(0);
    let zset = ctx.access.read::<Zset>(key, Lookup::Read)?;
    ctx.reply.array(ctx.args.len() - 2);
    for member in ctx.args.from(2).iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => {
                let Place { longitude, latitude } = place(score);
                ctx.reply.array(2);
                ctx.reply.decimal(longitude);
                ctx.reply.decimal(latitude);
            }
            None => ctx.reply.null_array(),
        }
    }
    DONE
}

/// Which of the searching commands it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Radius { by_member: bool, stores: bool },
    Search { stores: bool },
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search { .. })
    }
}

/// A search as its arguments say it.
#[derive(Default)]
struct Request<'a> {
    center: Option<Place>,
    /// Whether the middle was given, though it may not be known for want of a key.
    from_given: Option<&'static str>,
    shape: Option<Shape>,
    by_given: Option<&'static str>,
    unit: f64,
    with_distance: bool,
    with_hash: bool,
    with_place: bool,
    any: bool,
    descending: Option<bool>,
    count: usize,
    store: Option<Key<'a>>,
    store_distance: bool,
}

impl<'a> Request<'a> {
    fn center_of(&mut self, zset: Option<&Zset>, member: &[u8]) -> Result<(), Error> {
        if let Some(zset) = zset {
            let score =
                zset.score(member).ok_or(Error::fixed("ERR could not decode requested zset member"))?;
            self.center = Some(place(score));
        }
        Ok(())
    }

    fn radius(&mut self, radius: &[u8], word: &[u8]) -> Result<(), Error> {
        let radius = number::parse_f64(radius).ok_or(Error::fixed("ERR need numeric radius"))?;
        if radius < 0.0 {
            return Err(Error::fixed("ERR radius cannot be negative"));
        }
        self.unit = unit(word)?;
        self.shape = Some(Shape::Circle(radius * self.unit));
        Ok(())
    }

    fn bounds(&mut self, width: &[u8], height: &[u8], word: &[u8]) -> Result<(), Error> {
        let width = number::parse_f64(width).ok_or(Error::fixed("ERR need numeric width"))?;
        let height = number::parse_f64(height).ok_or(Error::fixed("ERR need numeric height"))?;
        if width < 0.0 || height < 0.0 {
            return Err(Error::fixed("ERR height or width cannot be negative"));
        }
        self.unit = unit(word)?;
        self.shape = Some(Shape::Box(width * self.unit, height * self.unit));
        Ok(())
    }

    fn read(ctx: &mut Ctx<'a>, form: Form) -> Result<Request<'a>, Error> {
        let (args, keys) = (ctx.args, ctx.keys);
        let stores_search = form == Form::Search { stores: true };
        let source = keys[usize::from(stores_search)];
        let zset = ctx.access.read::<Zset>(source, Lookup::Read)?;
        let mut request = Request { unit: 1.0, ..Request::default() };
        let mut at = match form {
            Form::Radius { by_member: false, .. } => {
                request.center = Some(read_place(&args[2], &args[3])?);
                request.radius(&args[4], &args[5])?;
                6
            }
            Form::Radius { .. } => {
                if zset.is_some() {
                    request.center_of(zset, &args[2])?;
                    request.radius(&args[3], &args[4])?;
                }
                5
            }
            Form::Search { stores } => {
                request.store = stores.then(|| keys[0]);
                if stores { 3 } else { 2 }
            }
        };
        while let Some(word) = args.get(at) {
            let left = args.len() - at - 1;
            let next = |index: usize| args.get(at + index).unwrap_or_default();
            let radius_stores = matches!(form, Form::Radius { stores: true, .. }) && left >= 1;
            if is(word, "withdist") {
                request.with_distance = true;
            } else if is(word, "withhash") {
                request.with_hash = true;
            } else if is(word, "withcoord") {
                request.with_place = true;
            } else if is(word, "any") {
                request.any = true;
            } else if is(word, "asc") {
                request.descending = Some(false);
            } else if is(word, "desc") {
                request.descending = Some(true);
            } else if is(word, "count") && left >= 1 {
                let count = int(next(1))?;
                let positive = usize::try_from(count).ok().filter(|count| *count > 0);
                request.count = positive.ok_or(Error::fixed("ERR COUNT must be > 0"))?;
                at += 1;
            } else if radius_stores && (is(word, "store") || is(word, "storedist")) {
                request.store_distance = is(word, "storedist");
                request.store = keys[1..].iter().find(|key| key.name == next(1)).copied();
                at += 1;
            } else if stores_search && is(word, "storedist") {
                request.store_distance = true;
            } else if form.is_search()
                && is(word, "frommember")
                && left >= 1
                && request.from_given != Some("fromlonlat")
            {
                request.center_of(zset, next(1))?;
                request.from_given = Some("frommember");
                at += 1;
            } else if form.is_search()
                && is(word, "fromlonlat")
                && left >= 2
                && request.from_given != Some("frommember")
            {
                request.center = Some(read_place(next(1), next(2))?);
                request.from_given = Some("fromlonlat");
                at += 2;
            } else if form.is_search()
                && is(word, "byradius")
                && left >= 2
                && request.by_given != Some("bybox")
            {
                request.radius(next(1), next(2))?;
                request.by_given = Some("byradius");
                at += 2;
            } else if form.is_search()
                && is(word, "bybox")
                && left >= 3
                && request.by_given != Some("byradius")
            {
                request.bounds(next(1), next(2), next(3))?;
                request.by_given = Some("bybox");
                at += 3;
            } else {
                return Err(Error::SYNTAX);
            }
            at += 1;
        }
        request.check(ctx, form)?;
        Ok(request)
    }

    fn check(&self, ctx: &Ctx<'_>, form: Form) -> Result<(), Error> {
        if self.store.is_some() && (self.with_distance || self.with_hash || self.with_place) {
            let what = if form.is_search() { "GEOSEARCHSTORE" } else { "STORE option in GEORADIUS" };
            let text = format!("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options");
            return Err(Error::new(text));
        }
        if form.is_search() && self.from_given.is_none() {
            let text = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ";
            return Err(Error::quoting(text, &ctx.args[0], ""));
        }
        if form.is_search() && self.by_given.is_none() {
            let text = "ERR exactly one of BYRADIUS and BYBOX can be specified for ";
            return Err(Error::quoting(text, &ctx.args[0], ""));
        }
        if self.any && self.count == 0 {
            return Err(Error::fixed("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }
}

/// A member that was found.
struct Found {
    member: Vec<u8>,
    score: f64,
    meters: f64,
}

fn find(zset: &Zset, center: Place, shape: Shape, limit: usize) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (from, to) in shape.ranges(center) {
        if found.len() >= limit {
            break;
        }
        let first = zset.count_scores_while(|score| score < from);
        let end = zset.count_scores_while(|score| score < to);
        zset.visit(first, end, false, |member, score| {
            if found.len() < limit
                && let Some(meters) = shape.distance_inside(center, place(score))
            {
                found.push(Found { member: member.to_vec(), score, meters });
            }
        });
    }
    found
}

fn search(ctx: &mut Ctx<'_>, form: Form) -> Answer {
    let request = Request::read(ctx, form)?;
    let source = ctx.key(usize::from(form == Form::Search { stores: true }));
    let zset = ctx.access.read::<Zset>(source, Lookup::Silent)?;
    let limit = if request.any { request.count } else { usize::MAX };
    let mut found = match (zset, request.center, request.shape) {
        (Some(zset), Some(center), Some(shape)) => find(zset, center, shape, limit),
        _ => Vec::new(),
    };
    let descending = request.descending.or((request.count > 0 && !request.any).then_some(false));
    if let Some(descending) = descending {
        found.sort_by(|a, b| {
            let order = a.meters.total_cmp(&b.meters);
            if descending { order.reverse() } else { order }
        });
    }
    if request.count > 0 {
        found.truncate(request.count);
    }
    if let Some(target) = request.store {
        let event = if form.is_search() { "geosearchstore" } else { "georadiusstore" };
        return store(ctx, target, &found, &request, event);
    }
    let parts =
        usize::from(request.with_distance) + usize::from(request.with_hash) + usize::from(request.with_place);
    ctx.reply.array(found.len());
    for Found { member, score, meters } in &found {
        if parts > 0 {
            ctx.reply.array(parts + 1);
        }
        ctx.reply.bulk(member);
        if request.with_distance {
            reply_distance(ctx, meters / request.unit);
        }
        if request.with_hash {
            ctx.reply.int(*score as i64);
        }
        if request.with_place {
            let Place { longitude, latitude } = place(*score);
            ctx.reply.array(2);
            ctx.reply.decimal(longitude);
            ctx.reply.decimal(latitude);
        }
    }
    DONE
}

fn store(
    ctx: &mut Ctx<'_>,
    target: Key<'_>,
    found: &[Found],
    request: &Request<'_>,
    event: &'static str,
) -> Answer {
    let limits = limits(ctx.settings);
    if found.is_empty() {
        ctx.access.delete(target, NotifyFlags::GENERIC, "del");
    } else {
        let mut zset = Zset::for_members(found.len(), 0, &limits);
        for Found { member, score, meters } in found {
            let score = if request.store_distance { meters / request.unit } else { *score };
            zset.insert(member, score, &limits);
        }
        let zset = Collection::Zset(zset);
        ctx.access.log_room_for(&zset)?;
        ctx.access.put(target, zset, Expiry::Clear, NotifyFlags::ZSET, event);
    }
    ctx.reply.int(found.len() as i64);
    DONE
}

fn georadius(ctx: &mut Ctx<'_>) -> Answer {
    search(ctx, Form::Radius { by_member: false, stores: true })
}

fn georadius_ro(ctx: &mut Ctx<'_>) -> Answer {
    search(ctx, Form::Radius { by_member: false, stores: false })
}

fn georadiusbymember(ctx: &mut Ctx<'_>) -> Answer {
    search(ctx, Form::Radius { by_member: true, stores: true })
}

fn georadiusbymember_ro(ctx: &mut Ctx<'_>) -> Answer {
    search(ctx, Form::Radius { by_member: true, stores: false })
}

fn geosearch(ctx: &mut Ctx<'_>) -> Answer {
    search(ctx, Form::Search { stores: false })
}

fn geosearchstore(ctx: &mut Ctx<'_>) -> Answer {
    search(ctx, Form::Search { stores: true })
}

/// The rows of this family.
pub const ROWS: &[Row] = &[
    row("geoadd", -5, "geo", geoadd)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["RW", "update"])])
        .docs("Adds one or more members to a geospatial index. The key is created if it doesn't exist.", "3.2.0")
        .complexity("O(log(N)) for each item added, where N is the number of elements in the sorted set.")
        .history(&[("6.2.0", "Added the `CH`, `NX` and `XX` options.")])
        .args(&[
            key("key", 0),
            one_of("condition", &[token("nx", "NX"), token("xx", "XX")]).since("6.2.0").optional(),
            token("change", "CH").since("6.2.0").optional(),
            block("data", &[
                arg("longitude", ArgKind::Double),
                arg("latitude", ArgKind::Double),
                arg("member", ArgKind::String),
            ]).multiple(),
        ]),
    row("geodist", -4, "geo", geodist)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the distance between two members of a geospatial index.", "3.2.0")
        .complexity("O(1)")
        .args(&[
            key("key", 0),
            arg("member1", ArgKind::String),
            arg("member2", ArgKind::String),
            one_of("unit", &[
                token("m", "M"),
                token("km", "KM"),
                token("ft", "FT"),
                token("mi", "MI"),
            ]).optional(),
        ]),
    row("geohash", -2, "geo", geohash)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members from a geospatial index as geohash strings.", "3.2.0")
        .complexity("O(1) for each member requested.")
        .args(&[key("key", 0), arg("member", ArgKind::String).optional().multiple()]),
    row("geopos", -2, "geo", geopos)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns the longitude and latitude of members from a geospatial index.", "3.2.0")
        .complexity("O(1) for each member requested.")
        .args(&[key("key", 0), arg("member", ArgKind::String).optional().multiple()]),
    row("georadius", -6, "geo", georadius)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Geo])
        .keys(&[
            keys_at(1, 0, 1, &["RO", "access"]),
            keys_after("STORE", 6, 0, 1, 0, &["OW", "update"]),
            keys_after("STOREDIST", 6, 0, 1, 0, &["OW", "update"]),
        ])
        .docs("Queries a geospatial index for members within a distance from a coordinate, optionally stores the result.", "3.2.0")
        .complexity("O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument"))
        .history(&[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ])
        .args(&[
            key("key", 0),
            arg("longitude", ArgKind::Double),
            arg("latitude", ArgKind::Double),
            arg("radius", ArgKind::Double),
            one_of("unit", &[token("m", "M"), token("km", "KM"), token("ft", "FT"), token("mi", "MI")]),
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            block("count-block", &[
                arg("count", ArgKind::Integer).token("COUNT"),
                token("any", "ANY").since("6.2.0").optional(),
            ]).optional(),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
            one_of("store", &[
                key("storekey", 1).token("STORE").display("key"),
                key("storedistkey", 2).token("STOREDIST").display("key"),
            ]).optional(),
        ]),
    row("georadius_ro", -6, "geo", georadius_ro)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members from a geospatial index that are within a distance from a coordinate.", "3.2.10")
        .complexity("O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`GEOSEARCH` with the `BYRADIUS` argument"))
        .history(&[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ])
        .args(&[
            key("key", 0),
            arg("longitude", ArgKind::Double),
            arg("latitude", ArgKind::Double),
            arg("radius", ArgKind::Double),
            one_of("unit", &[token("m", "M"), token("km", "KM"), token("ft", "FT"), token("mi", "MI")]),
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            block("count-block", &[
                arg("count", ArgKind::Integer).token("COUNT"),
                token("any", "ANY").since("6.2.0").optional(),
            ]).optional(),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
        ]),
    row("georadiusbymember", -5, "geo", georadiusbymember)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Geo])
        .keys(&[
            keys_at(1, 0, 1, &["RO", "access"]),
            keys_after("STORE", 5, 0, 1, 0, &["OW", "update"]),
            keys_after("STOREDIST", 5, 0, 1, 0, &["OW", "update"]),
        ])
        .docs("Queries a geospatial index for members within a distance from a member, optionally stores the result.", "3.2.0")
        .complexity("O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments"))
        .history(&[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ])
        .args(&[
            key("key", 0),
            arg("member", ArgKind::String),
            arg("radius", ArgKind::Double),
            one_of("unit", &[token("m", "M"), token("km", "KM"), token("ft", "FT"), token("mi", "MI")]),
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            block("count-block", &[
                arg("count", ArgKind::Integer).token("COUNT"),
                token("any", "ANY").optional(),
            ]).optional(),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
            one_of("store", &[
                key("storekey", 1).token("STORE").display("key"),
                key("storedistkey", 2).token("STOREDIST").display("key"),
            ]).optional(),
        ]),
    row("georadiusbymember_ro", -5, "geo", georadiusbymember_ro)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Returns members from a geospatial index that are within a distance from a member.", "3.2.10")
        .complexity("O(N+log(M)) where N is the number of elements inside the bounding box of the circular area delimited by center and radius and M is the number of items inside the index.")
        .doc_flags(&["deprecated"])
        .deprecated("6.2.0", Some("`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments"))
        .history(&[
            ("6.2.0", "Added the `ANY` option for `COUNT`."),
            ("7.0.0", "Added support for uppercase unit names."),
        ])
        .args(&[
            key("key", 0),
            arg("member", ArgKind::String),
            arg("radius", ArgKind::Double),
            one_of("unit", &[token("m", "M"), token("km", "KM"), token("ft", "FT"), token("mi", "MI")]),
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
            block("count-block", &[
                arg("count", ArgKind::Integer).token("COUNT"),
                token("any", "ANY").optional(),
            ]).optional(),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
        ]),
    row("geosearch", -7, "geo", geosearch)
        .flags(&[Flag::Readonly])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["RO", "access"])])
        .docs("Queries a geospatial index for members inside an area of a box or a circle.", "6.2.0")
        .complexity("O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape")
        .history(&[("7.0.0", "Added support for uppercase unit names.")])
        .args(&[
            key("key", 0),
            one_of("from", &[
                arg("member", ArgKind::String).token("FROMMEMBER"),
                block("fromlonlat", &[
                    arg("longitude", ArgKind::Double),
                    arg("latitude", ArgKind::Double),
                ]).token("FROMLONLAT"),
            ]),
            one_of("by", &[
                block("circle", &[
                    arg("radius", ArgKind::Double).token("BYRADIUS"),
                    one_of("unit", &[
                        token("m", "M"),
                        token("km", "KM"),
                        token("ft", "FT"),
                        token("mi", "MI"),
                    ]),
                ]),
                block("box", &[
                    arg("width", ArgKind::Double).token("BYBOX"),
                    arg("height", ArgKind::Double),
                    one_of("unit", &[
                        token("m", "M"),
                        token("km", "KM"),
                        token("ft", "FT"),
                        token("mi", "MI"),
                    ]),
                ]),
            ]),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
            block("count-block", &[
                arg("count", ArgKind::Integer).token("COUNT"),
                token("any", "ANY").optional(),
            ]).optional(),
            token("withcoord", "WITHCOORD").optional(),
            token("withdist", "WITHDIST").optional(),
            token("withhash", "WITHHASH").optional(),
        ]),
    row("geosearchstore", -8, "geo", geosearchstore)
        .flags(&[Flag::Write, Flag::DenyOom])
        .acl(&[Category::Geo])
        .keys(&[keys_at(1, 0, 1, &["OW", "update"]), keys_at(2, 0, 1, &["RO", "access"])])
        .docs("Queries a geospatial index for members inside an area of a box or a circle, optionally stores the result.", "6.2.0")
        .complexity("O(N+log(M)) where N is the number of elements in the grid-aligned bounding box area around the shape provided as the filter and M is the number of items inside the shape")
        .history(&[("7.0.0", "Added support for uppercase unit names.")])
        .args(&[
            key("destination", 0),
            key("source", 1),
            one_of("from", &[
                arg("member", ArgKind::String).token("FROMMEMBER"),
                block("fromlonlat", &[
                    arg("longitude", ArgKind::Double),
                    arg("latitude", ArgKind::Double),
                ]).token("FROMLONLAT"),
            ]),
            one_of("by", &[
                block("circle", &[
                    arg("radius", ArgKind::Double).token("BYRADIUS"),
                    one_of("unit", &[
                        token("m", "M"),
                        token("km", "KM"),
                        token("ft", "FT"),
                        token("mi", "MI"),
                    ]),
                ]),
                block("box", &[
                    arg("width", ArgKind::Double).token("BYBOX"),
                    arg("height", ArgKind::Double),
                    one_of("unit", &[
                        token("m", "M"),
                        token("km", "KM"),
                        token("ft", "FT"),
                        token("mi", "MI"),
                    ]),
                ]),
            ]),
            one_of("order", &[token("asc", "ASC"), token("desc", "DESC")]).optional(),
            block("count-block", &[
                arg("count", ArgKind::Integer).token("COUNT"),
                token("any", "ANY").optional(),
            ]).optional(),
            token("storedist", "STOREDIST").optional(),
        ]),
];
