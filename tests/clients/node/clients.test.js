// ioredis and node-redis (in RESP2 and RESP3), as an application uses them.
// Run by tests/run with the server's port in STRATA_TEST_PORT, with Node's own test runner.

const { test, describe, before, after, beforeEach, afterEach } = require('node:test');
const assert = require('node:assert');
const { once } = require('node:events');
const Redis = require('ioredis');
const { createClient } = require('redis');

const port = Number(process.env.STRATA_TEST_PORT);
const patience = { timeout: 20000 };

// Connections that tests open beside the suite's own; closed whatever becomes of the test, or the run would never end.
const opened = [];
const closeOpened = () => opened.splice(0).forEach((close) => close());

function openIoredis(options) {
  const connection = new Redis({ port, ...options });
  opened.push(() => connection.disconnect());
  return connection;
}

async function openNodeRedis(client) {
  const connection = await client.duplicate().connect();
  opened.push(() => connection.destroy());
  return connection;
}

describe('ioredis', patience, () => {
  let client;
  before(() => { client = new Redis({ port }); });
  after(() => client.disconnect());
  beforeEach(() => client.flushall());
  afterEach(closeOpened);

  test('strings have their Redis meaning', async () => {
    assert.strictEqual(await client.set('k', 'v'), 'OK');
    assert.strictEqual(await client.get('k'), 'v');
    assert.strictEqual(await client.get('none'), null);
    assert.strictEqual(await client.set('k', 'w', 'NX'), null);
    assert.strictEqual(await client.set('k', 'w', 'GET'), 'v');
    assert.strictEqual(await client.incrby('n', 5), 5);
    assert.strictEqual(await client.incrbyfloat('f', 0.1), '0.1');
    assert.deepStrictEqual(await client.mget('k', 'none', 'n'), ['w', null, '5']);
    assert.strictEqual(await client.mset({ a: 1, b: 2 }), 'OK');
    await assert.rejects(client.incr('k'), /not an integer or out of range/);
  });

  test('binary values come back as they went', async () => {
    const value = Buffer.from(Array.from({ length: 70000 }, (_, index) => index % 256));
    await client.set(Buffer.from([0, 255, 13, 10]), value);
    assert.deepStrictEqual(await client.getBuffer(Buffer.from([0, 255, 13, 10])), value);
  });

  test('keys expire, and the notification says so', async () => {
    await client.config('SET', 'notify-keyspace-events', 'Ex');
    const listener = openIoredis();
    await listener.psubscribe('__keyevent@*__:expired');
    const expired = once(listener, 'pmessage');
    await client.set('k', 'v', 'PX', 20);
    assert.deepStrictEqual(await expired, ['__keyevent@*__:expired', '__keyevent@0__:expired', 'k']);
    assert.strictEqual(await client.ttl('k'), -2);
    await client.config('SET', 'notify-keyspace-events', '');
  });

  test('pub/sub delivers to channels and patterns', async () => {
    const listener = openIoredis();
    assert.strictEqual(await listener.subscribe('news', 'chat'), 2);
    assert.strictEqual(await listener.psubscribe('n*'), 3);
    const message = once(listener, 'message');
    const pattern = once(listener, 'pmessage');
    assert.strictEqual(await client.publish('news', 'hello'), 2);
    assert.deepStrictEqual(await message, ['news', 'hello']);
    assert.deepStrictEqual(await pattern, ['n*', 'news', 'hello']);
    assert.strictEqual(await listener.unsubscribe('news', 'chat'), 1);
  });

  test('pipelines answer in order', async () => {
    const pipeline = client.pipeline();
    for (let number = 0; number < 1000; number += 1) pipeline.set(`k${number}`, number).get(`k${number}`);
    const replies = await pipeline.exec();
    assert.ok(replies.every(([error]) => error === null));
    assert.deepStrictEqual(replies.filter((_, at) => at % 2).map(([, value]) => Number(value)), [...Array(1000).keys()]);
  });

  test('a scan stream returns every key', async () => {
    const pipeline = client.pipeline();
    for (let number = 0; number < 2000; number += 1) pipeline.set(`user:${number}`, 1);
    await pipeline.exec();
    await client.set('other', 1);
    const keys = new Set();
    for await (const page of client.scanStream({ match: 'user:*', count: 100 })) page.forEach((key) => keys.add(key));
    assert.strictEqual(keys.size, 2000);
  });

  test('the ready check, a name and a database are taken', async () => {
    const other = openIoredis({ db: 2, connectionName: 'other' });
    await other.set('k', 'two');
    assert.strictEqual(await other.client('GETNAME'), 'other');
    assert.match(await other.client('INFO'), / db=2 /);
    assert.strictEqual(await client.get('k'), null);
  });
});

for (const RESP of [2, 3]) {
  describe(`node-redis in RESP${RESP}`, patience, () => {
    let client;
    before(async () => { client = await createClient({ socket: { port }, RESP }).connect(); });
    after(() => client.destroy());
    beforeEach(() => client.flushAll());
    afterEach(closeOpened);

    test('strings have their Redis meaning', async () => {
      assert.strictEqual(await client.set('k', 'v'), 'OK');
      assert.strictEqual(await client.get('k'), 'v');
      assert.strictEqual(await client.get('none'), null);
      assert.strictEqual(await client.set('k', 'w', { condition: 'NX' }), null);
      assert.strictEqual(await client.set('k', 'w', { GET: true }), 'v');
      assert.strictEqual(await client.incrBy('n', 5), 5);
      assert.deepStrictEqual(await client.mGet(['k', 'none', 'n']), ['w', null, '5']);
      assert.strictEqual(await client.getEx('k', { type: 'EX', value: 100 }), 'w');
      assert.ok([99, 100].includes(await client.ttl('k')));
      await assert.rejects(client.incr('k'), /not an integer or out of range/);
    });

    test('pub/sub delivers to channels and patterns', async () => {
      const listener = await openNodeRedis(client);
      const message = new Promise((resolve) => { listener.subscribe(`news${RESP}`, (...got) => resolve(got)); });
      const pattern = new Promise((resolve) => { listener.pSubscribe(`n*${RESP}`, (...got) => resolve(got)); });
      await listener.ping();
      assert.strictEqual(await client.publish(`news${RESP}`, 'hello'), 2);
      assert.deepStrictEqual(await message, ['hello', `news${RESP}`]);
      assert.deepStrictEqual(await pattern, ['hello', `news${RESP}`]);
      await listener.unsubscribe(`news${RESP}`);
      await listener.pUnsubscribe(`n*${RESP}`);
    });

    test('shard channels deliver', async () => {
      const listener = await openNodeRedis(client);
      const message = new Promise((resolve) => { listener.sSubscribe('shard', (...got) => resolve(got)); });
      await listener.ping();
      assert.strictEqual(await client.sPublish('shard', 'hello'), 1);
      assert.deepStrictEqual(await message, ['hello', 'shard']);
    });

    test('commands of one tick answer in order', async () => {
      const replies = await Promise.all([...Array(1000)].map(() => client.incr('n')));
      assert.deepStrictEqual(replies, [...Array(1000).keys()].map((number) => number + 1));
    });

    test('a scan returns every key', async () => {
      await client.mSet([...Array(2000).keys()].map((number) => [`user:${number}`, '1']));
      const keys = new Set();
      for await (const page of client.scanIterator({ MATCH: 'user:*', COUNT: 100 })) page.forEach((key) => keys.add(key));
      assert.strictEqual(keys.size, 2000);
    });

    test('the client describes itself', async () => {
      await client.clientSetName('tester');
      const info = await client.clientInfo();
      assert.strictEqual(info.name, 'tester');
      assert.strictEqual(info.resp, RESP);
      assert.strictEqual(await client.clientId(), info.id);
      assert.strictEqual((await client.configGet('maxmemory-policy'))['maxmemory-policy'], 'noeviction');
    });
  });
}
