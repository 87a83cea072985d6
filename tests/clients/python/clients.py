"""redis-py, synchronous and asyncio, in both protocols, as an application uses it.

Run by tests/run with the server's port in STRATA_TEST_PORT; closes with a line `python: N passed, M failed`.
"""

import asyncio
import os
import sys
import time
import unittest

import redis
import redis.asyncio

PORT = int(os.environ["STRATA_TEST_PORT"])
PATIENCE = 10


def next_message(pubsub, kind):
    """The next message of a kind; others (confirmations) are passed over."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        message = pubsub.get_message(timeout=1)
        if message and message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} in {PATIENCE} s")


class Sync:
    """Every claim is made in RESP2 and in RESP3, by the two classes below."""

    protocol = None

    def setUp(self):
        self.client = redis.Redis(port=PORT, protocol=self.protocol, decode_responses=True)
        self.addCleanup(self.client.close)
        self.client.flushall()

    def test_strings_have_their_redis_meaning(self):
        client = self.client
        self.assertIs(client.set("k", "v"), True)
        self.assertEqual(client.get("k"), "v")
        self.assertIsNone(client.get("missing"))
        self.assertIsNone(client.set("k", "w", nx=True))
        self.assertEqual(client.set("k", "w", get=True), "v")
        self.assertEqual(client.incr("n", 5), 5)
        self.assertEqual(client.incrbyfloat("f", 0.5), 0.5)
        self.assertEqual(client.mget("k", "none", "n"), ["w", None, "5"])
        self.assertTrue(client.mset({"a": 1, "b": 2}))
        self.assertIs(client.msetnx({"a": 1, "c": 2}), False)
        self.assertEqual(client.append("k", "xyz"), 4)
        self.assertEqual(client.getrange("k", 1, 2), "xy")
        self.assertEqual(client.setrange("k", 1, "Z"), 4)
        self.assertEqual(client.strlen("k"), 4)
        self.assertEqual(client.getdel("k"), "wZyz")
        self.assertEqual(client.lcs("a", "b"), "")
        self.assertEqual(client.getex("a", persist=True), "1")

    def test_binary_values_come_back_as_they_went(self):
        raw = redis.Redis(port=PORT, protocol=self.protocol)
        value = bytes(range(256)) * 300
        raw.set(b"\x00\xff\r\n", value)
        self.assertEqual(raw.get(b"\x00\xff\r\n"), value)
        raw.close()

    def test_errors_are_raised_as_response_errors(self):
        self.client.set("k", "v")
        with self.assertRaisesRegex(redis.ResponseError, "value is not an integer or out of range"):
            self.client.incr("k")
        with self.assertRaisesRegex(redis.ResponseError, "unknown command"):
            self.client.execute_command("NOSUCH", "a")

    def test_keys_expire_when_they_should(self):
        client = self.client
        client.set("k", "v", ex=100)
        self.assertIn(client.ttl("k"), (99, 100))
        self.assertTrue(client.expire("k", 200, gt=True))
        self.assertFalse(client.expire("k", 100, gt=True))
        self.assertTrue(client.persist("k"))
        self.assertEqual(client.ttl("k"), -1)
        self.assertEqual(client.ttl("missing"), -2)
        client.psetex("soon", 20, "v")
        deadline = time.monotonic() + PATIENCE
        while client.exists("soon") and time.monotonic() < deadline:
            pass
        self.assertIsNone(client.get("soon"))

    def test_pubsub_delivers_to_channels_and_patterns(self):
        pubsub = self.client.pubsub()
        pubsub.subscribe("news")
        pubsub.psubscribe("n?ws*")
        next_message(pubsub, "psubscribe")
        self.assertEqual(self.client.publish("news", "hello"), 2)
        message = next_message(pubsub, "message")
        self.assertEqual((message["channel"], message["data"]), ("news", "hello"))
        message = next_message(pubsub, "pmessage")
        self.assertEqual((message["pattern"], message["channel"]), ("n?ws*", "news"))
        self.assertEqual(self.client.pubsub_channels(), ["news"])
        self.assertEqual(self.client.pubsub_numsub("news"), [("news", 1)])
        self.assertEqual(self.client.pubsub_numpat(), 1)
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        next_message(pubsub, "punsubscribe")
        self.assertEqual(self.client.publish("news", "nobody"), 0)
        pubsub.close()

    def test_keyspace_notifications_arrive(self):
        self.client.config_set("notify-keyspace-events", "KEA")
        pubsub = self.client.pubsub()
        pubsub.psubscribe("__keyevent@0__:*")
        next_message(pubsub, "psubscribe")
        self.client.set("k", "v", px=20)
        self.assertEqual(next_message(pubsub, "pmessage")["channel"], "__keyevent@0__:set")
        self.assertEqual(next_message(pubsub, "pmessage")["channel"], "__keyevent@0__:expire")
        message = next_message(pubsub, "pmessage")
        self.assertEqual((message["channel"], message["data"]), ("__keyevent@0__:expired", "k"))
        self.client.config_set("notify-keyspace-events", "")
        pubsub.close()

    def test_pipelines_answer_in_order(self):
        pipeline = self.client.pipeline(transaction=False)
        for number in range(2000):
            pipeline.set(f"k{number}", number)
            pipeline.get(f"k{number}")
        replies = pipeline.execute()
        self.assertEqual(replies[1::2], [str(number) for number in range(2000)])

    def test_an_error_in_a_pipeline_leaves_the_others_alone(self):
        pipeline = self.client.pipeline(transaction=False)
        pipeline.set("k", "v").incr("k").get("k")
        replies = pipeline.execute(raise_on_error=False)
        self.assertIsInstance(replies[1], redis.ResponseError)
        self.assertEqual(replies[2], "v")

    def test_scan_iter_returns_every_key(self):
        self.client.mset({f"user:{number}": number for number in range(3000)})
        self.client.set("other", 1)
        self.assertEqual(len(set(self.client.scan_iter("user:*", count=100))), 3000)
        self.assertEqual(set(self.client.scan_iter("other", _type="string")), {"other"})
        self.assertEqual(self.client.dbsize(), 3001)

    def test_the_client_describes_itself(self):
        self.client.client_setname("tester")
        self.assertEqual(self.client.client_getname(), "tester")
        info = self.client.client_info()
        self.assertEqual(int(info["id"]), self.client.client_id())
        self.assertEqual(info["lib-name"], "redis-py")
        self.assertEqual(str(info["resp"]), str(self.protocol))
        self.assertIn("tester", [client["name"] for client in self.client.client_list()])
        self.assertEqual(self.client.info("server")["redis_version"].split(".")[0], "7")

    def test_a_pool_is_shared_by_threads(self):
        import threading

        pool = redis.ConnectionPool(port=PORT, protocol=self.protocol, max_connections=20)
        client = redis.Redis(connection_pool=pool)

        def work():
            for _ in range(100):
                client.incr("counter")

        threads = [threading.Thread(target=work) for _ in range(10)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(client.get("counter"), b"1000")
        pool.disconnect()

    def test_databases_are_apart(self):
        other = redis.Redis(port=PORT, protocol=self.protocol, db=3, decode_responses=True)
        other.set("k", "three")
        self.assertIsNone(self.client.get("k"))
        self.assertTrue(other.move("k", 0))
        self.assertEqual(self.client.get("k"), "three")
        other.close()

    def test_configuration_is_read_and_set(self):
        before = self.client.config_get("maxmemory*")
        self.assertIn("maxmemory-policy", before)
        self.client.config_set("maxmemory-policy", "allkeys-lru")
        self.assertEqual(self.client.config_get("maxmemory-policy"), {"maxmemory-policy": "allkeys-lru"})
        self.client.config_set("maxmemory-policy", before["maxmemory-policy"])


class Sync2(Sync, unittest.TestCase):
    protocol = 2


class Sync3(Sync, unittest.TestCase):
    protocol = 3


class Async:
    protocol = None

    async def asyncSetUp(self):
        self.client = redis.asyncio.Redis(port=PORT, protocol=self.protocol, decode_responses=True)
        await self.client.flushall()

    async def asyncTearDown(self):
        await self.client.aclose()

    async def test_strings_and_expiry(self):
        await self.client.set("k", "v", ex=50)
        self.assertEqual(await self.client.get("k"), "v")
        self.assertIn(await self.client.ttl("k"), (49, 50))
        self.assertEqual(await self.client.getex("k", persist=True), "v")
        self.assertEqual(await self.client.ttl("k"), -1)

    async def test_many_tasks_share_a_pool(self):
        await asyncio.gather(*(self.client.incr("counter") for _ in range(300)))
        self.assertEqual(await self.client.get("counter"), "300")

    async def test_pipelines_answer_in_order(self):
        async with self.client.pipeline(transaction=False) as pipeline:
            for number in range(500):
                pipeline.incr("n")
            self.assertEqual(await pipeline.execute(), list(range(1, 501)))

    async def test_scan_iter_returns_every_key(self):
        await self.client.mset({f"k{number}": number for number in range(1000)})
        keys = {key async for key in self.client.scan_iter("k*", count=50)}
        self.assertEqual(len(keys), 1000)

    async def test_pubsub_delivers_to_patterns(self):
        async with self.client.pubsub() as pubsub:
            await pubsub.psubscribe("room.*")
            await self.message(pubsub, "psubscribe")
            self.assertEqual(await self.client.publish("room.1", "hi"), 1)
            message = await self.message(pubsub, "pmessage")
            self.assertEqual((message["channel"], message["data"]), ("room.1", "hi"))

    async def message(self, pubsub, kind):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message = await pubsub.get_message(timeout=1)
            if message and message["type"] == kind:
                return message
        raise AssertionError(f"no {kind}")


class Async2(Async, unittest.IsolatedAsyncioTestCase):
    protocol = 2


class Async3(Async, unittest.IsolatedAsyncioTestCase):
    protocol = 3


if __name__ == "__main__":
    result = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    failed = len(result.failures) + len(result.errors)
    print(f"python: {result.testsRun - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
