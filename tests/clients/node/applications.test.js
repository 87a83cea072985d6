// Applications over the server, as they come: Express with its sessions in connect-redis, and workers of a consumer group, one of
// which dies with work in hand, in ioredis and in node-redis.
// Run by tests/run with the server's port in STRATA_TEST_PORT, with Node's own test runner.

const { test, afterEach, beforeEach } = require('node:test');
const assert = require('node:assert');
const http = require('node:http');
const { once } = require('node:events');
const { setTimeout: sleep } = require('node:timers/promises');
const express = require('express');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const Redis = require('ioredis');
const { createClient } = require('redis');

const port = Number(process.env.STRATA_TEST_PORT);
const patience = { timeout: 20000 };

// Whatever a test opens, closed whatever becomes of it, or the run would never end.
const opened = [];
afterEach(() => opened.splice(0).forEach((close) => close()));

async function nodeRedis() {
  const client = await createClient({ socket: { port } }).connect();
  opened.push(() => client.isOpen && client.destroy());
  return client;
}

function ioredis() {
  const client = new Redis({ port });
  opened.push(() => client.disconnect());
  return client;
}

beforeEach(async () => {
  await ioredis().flushall();
});

test('express-session keeps its sessions in connect-redis', patience, async () => {
  const client = await nodeRedis();
  const store = new RedisStore({ client, prefix: 'shop:', ttl: 100 });
  const application = express();
  application.use(session({ store, secret: 'secret', resave: false, saveUninitialized: false }));
  application.get('/visit', (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1;
    response.json(request.session.visits);
  });
  application.get('/leave', (request, response) => request.session.destroy(() => response.json(null)));
  const server = application.listen(0, '127.0.0.1');
  opened.push(() => server.close());
  await once(server, 'listening');

  const get = async (path, cookie) => {
    const [response] = await once(
      http.get({ port: server.address().port, path, agent: false, headers: cookie ? { cookie } : {} }), 'response');
    const text = (await response.toArray()).join('');
    return { value: JSON.parse(text), cookie: response.headers['set-cookie']?.[0].split(';')[0] };
  };
  const { value, cookie } = await get('/visit');
  assert.strictEqual(value, 1);
  assert.strictEqual((await get('/visit', cookie)).value, 2);
  assert.strictEqual((await get('/visit')).value, 1);
  const [key] = await client.keys('shop:*');
  const ttl = await client.ttl(key);
  assert.ok(ttl > 90 && ttl <= 100, `${ttl}`);
  assert.strictEqual(await new Promise((resolve) => store.length((_, length) => resolve(length))), 2);
  assert.strictEqual((await store.ids()).length, 2);
  await get('/leave', cookie);
  assert.strictEqual(await new Promise((resolve) => store.length((_, length) => resolve(length))), 1);
  assert.strictEqual((await get('/visit', cookie)).value, 1);
  await store.clear();
  assert.deepStrictEqual(await client.keys('shop:*'), []);
});

// Two workers read a group; the first dies between reading and acknowledging, and the second takes over what it had.
const libraries = {
  ioredis: async () => {
    const client = ioredis();
    const entries = (streams) => (streams ?? []).flatMap(([, list]) => list.map(([id, [, value]]) => [id, value]));
    return {
      add: (value) => client.xadd('jobs', '*', 'job', value),
      group: () => client.xgroup('CREATE', 'jobs', 'workers', '0', 'MKSTREAM'),
      read: async (name, count) => entries(
        await client.xreadgroup('GROUP', 'workers', name, 'COUNT', count, 'BLOCK', 200, 'STREAMS', 'jobs', '>')),
      ack: (id) => client.xack('jobs', 'workers', id),
      claim: async (name, idle, cursor) => {
        const [next, list] = await client.xautoclaim('jobs', 'workers', name, idle, cursor, 'COUNT', 3);
        return [next, list.map(([id, [, value]]) => [id, value])];
      },
      pending: async () => (await client.xpending('jobs', 'workers'))[0],
      kill: () => client.disconnect(),
    };
  },
  'node-redis': async () => {
    const client = await nodeRedis();
    const entries = (messages) => messages.map(({ id, message }) => [id, message.job]);
    return {
      add: (value) => client.xAdd('jobs', '*', { job: value }),
      group: () => client.xGroupCreate('jobs', 'workers', '0', { MKSTREAM: true }),
      read: async (name, count) => {
        const streams = await client.xReadGroup('workers', name, { key: 'jobs', id: '>' }, { COUNT: count, BLOCK: 200 });
        return (streams ?? []).flatMap(({ messages }) => entries(messages));
      },
      ack: (id) => client.xAck('jobs', 'workers', id),
      claim: async (name, idle, cursor) => {
        const { nextId, messages } = await client.xAutoClaim('jobs', 'workers', name, idle, cursor, { COUNT: 3 });
        return [nextId, entries(messages)];
      },
      pending: async () => (await client.xPending('jobs', 'workers')).pending,
      kill: () => client.destroy(),
    };
  },
};

for (const [name, open] of Object.entries(libraries)) {
  test(`${name}: no job is lost when a worker of a group dies`, patience, async () => {
    const [producer, doomed, survivor] = [await open(), await open(), await open()];
    await producer.group();
    const jobs = Array.from({ length: 40 }, (_, number) => `job-${number}`);
    const produced = (async () => {
      for (const job of jobs) await producer.add(job);
    })();

    const done = [];
    // It acknowledges every other job, and dies with the rest of ten in hand.
    const work = async () => {
      let taken = 0;
      while (taken < 10) {
        for (const [id, job] of await doomed.read('doomed', 2)) {
          taken += 1;
          if (taken % 2 === 0) {
            done.push(job);
            await doomed.ack(id);
          }
        }
      }
      doomed.kill();
    };
    const read = async () => {
      let idle = 0;
      while (idle < 2) {
        const list = await survivor.read('survivor', 5);
        idle = list.length ? 0 : idle + 1;
        for (const [id, job] of list) {
          done.push(job);
          await survivor.ack(id);
        }
      }
    };
    await Promise.all([produced, work(), read()]);
    const left = await producer.pending();
    assert.ok(left >= 5, `${left} left`);
    await sleep(20);
    let cursor = '0-0';
    do {
      const [next, list] = await survivor.claim('survivor', 10, cursor);
      for (const [id, job] of list) {
        done.push(job);
        await survivor.ack(id);
      }
      cursor = next;
    } while (cursor !== '0-0');
    assert.strictEqual(await producer.pending(), 0);
    assert.deepStrictEqual(done.toSorted(), jobs.toSorted());
  });
}
