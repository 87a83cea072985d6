"""Applications over the server, as they come: Django's cache, Flask's sessions, kombu's queues, Celery's tasks, a rate limiter
and a leaderboard. Celery's worker needs scripts (EVALSHA, for a lock): it is skipped while the server has none.

Run by tests/run with the server's port in STRATA_TEST_PORT; closes with a line `applications: N passed, M failed`.
"""

import os
import sys
import threading
import time
import unittest
import unittest.mock

import redis

PORT = int(os.environ["STRATA_TEST_PORT"])
URL = f"redis://127.0.0.1:{PORT}"
PATIENCE = 10


def eventually(condition, what):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"never {what}")


class Application(unittest.TestCase):
    def setUp(self):
        self.client = redis.Redis(port=PORT, decode_responses=True)
        self.addCleanup(self.client.close)
        self.client.flushall()

    def has_scripts(self):
        return "evalsha" in self.client.command_list()


class DjangoCache(Application):
    def setUp(self):
        super().setUp()
        from django.core.cache.backends.redis import RedisCache

        self.cache = RedisCache(f"{URL}/1", {"KEY_PREFIX": "site", "VERSION": 1, "TIMEOUT": 300})

    def test_one_key(self):
        cache = self.cache
        self.assertIsNone(cache.get("k"))
        self.assertEqual(cache.get("k", "default"), "default")
        cache.set("k", {"a": [1, "ж", None]})
        self.assertEqual(cache.get("k"), {"a": [1, "ж", None]})
        self.assertFalse(cache.add("k", 1))
        self.assertTrue(cache.add("new", 1))
        self.assertIn("k", cache)
        self.assertTrue(cache.has_key("k"))
        self.assertTrue(cache.delete("k"))
        self.assertFalse(cache.delete("k"))
        cache.set("gone at once", 1, timeout=0)
        self.assertNotIn("gone at once", cache)

    def test_numbers(self):
        self.cache.set("n", 41)
        self.assertEqual(self.cache.incr("n"), 42)
        self.assertEqual(self.cache.decr("n", 40), 2)
        with self.assertRaises(ValueError):
            self.cache.incr("missing")

    def test_timeouts(self):
        cache, raw = self.cache, redis.Redis(port=PORT, db=1)
        cache.set("k", 1)
        self.assertTrue(290 < raw.ttl("site:1:k") <= 300)
        self.assertTrue(cache.touch("k", 10))
        self.assertTrue(0 < raw.ttl("site:1:k") <= 10)
        self.assertTrue(cache.touch("k", None))
        self.assertEqual(raw.ttl("site:1:k"), -1)
        self.assertFalse(cache.touch("missing"))
        cache.set("forever", 1, timeout=None)
        self.assertEqual(raw.ttl("site:1:forever"), -1)
        raw.close()

    def test_many_keys_and_versions(self):
        cache = self.cache
        self.assertEqual(cache.set_many({f"k{i}": i for i in range(100)}, timeout=60), [])
        self.assertEqual(cache.get_many(["k1", "k50", "none"]), {"k1": 1, "k50": 50})
        cache.delete_many(["k1", "k2"])
        self.assertEqual(cache.get_many(["k1", "k2", "k3"]), {"k3": 3})
        cache.set("v", "one", version=1)
        self.assertEqual(cache.incr_version("v"), 2)
        self.assertIsNone(cache.get("v", version=1))
        self.assertEqual(cache.get("v", version=2), "one")
        self.assertEqual(cache.get_or_set("lazy", lambda: 7), 7)
        cache.clear()
        self.assertIsNone(cache.get("lazy"))


class FlaskSessions(Application):
    def test_a_session_lives_between_requests_and_ends(self):
        import flask
        import flask_session

        app = flask.Flask("shop")
        app.config.update(SESSION_TYPE="redis", SESSION_REDIS=redis.Redis(port=PORT), SESSION_PERMANENT=True)
        flask_session.Session(app)

        @app.get("/add/<item>")
        def add(item):
            flask.session.setdefault("basket", []).append(item)
            flask.session.modified = True
            return {"basket": flask.session["basket"]}

        @app.get("/leave")
        def leave():
            flask.session.clear()
            return {}

        one, other = app.test_client(), app.test_client()
        one.get("/add/tea")
        self.assertEqual(other.get("/add/salt").json, {"basket": ["salt"]})
        self.assertEqual(one.get("/add/cup").json, {"basket": ["tea", "cup"]})
        keys = self.client.keys("session:*")
        self.assertEqual(len(keys), 2)
        self.assertTrue(all(self.client.ttl(key) > 86_400 for key in keys))
        one.get("/leave")
        self.assertEqual(len(self.client.keys("session:*")), 1)


class Kombu(Application):
    def setUp(self):
        super().setUp()
        if not self.has_scripts():
            # It would give back what was not acknowledged in an hour, under a lock that is released by a script.
            import kombu.transport.redis

            patch = unittest.mock.patch.object(kombu.transport.redis.QoS, "restore_visible")
            patch.start()
            self.addCleanup(patch.stop)

    def test_messages_are_delivered_acknowledged_and_given_back(self):
        import kombu

        with kombu.Connection(f"{URL}/2") as connection:
            queue = connection.SimpleQueue("orders")
            for number in range(20):
                queue.put({"order": number})
            self.assertEqual(queue.qsize(), 20)
            first = queue.get(timeout=PATIENCE)
            self.assertEqual(first.payload, {"order": 0})
            unacked = redis.Redis(port=PORT, db=2)
            self.assertEqual(unacked.hlen("unacked"), 1)
            self.assertEqual(unacked.zcard("unacked_index"), 1)
            first.requeue()
            seen = []
            for _ in range(20):
                message = queue.get(timeout=PATIENCE)
                seen.append(message.payload["order"])
                message.ack()
            self.assertEqual(sorted(seen), list(range(20)))
            self.assertEqual(unacked.exists("unacked", "unacked_index", "orders"), 0)
            with self.assertRaises(queue.Empty):
                queue.get(timeout=0.1)
            queue.close()
            unacked.close()

    def test_exchanges_route_by_topic_and_to_all(self):
        import kombu

        with kombu.Connection(f"{URL}/2") as connection, connection.channel() as channel:
            topic = kombu.Exchange("news", "topic")
            everyone = kombu.Exchange("bell", "fanout")
            got = []
            queues = [kombu.Queue("sport", topic, "sport.#"), kombu.Queue("all", topic, "#"), kombu.Queue("b", everyone)]
            with kombu.Consumer(channel, queues, callbacks=[lambda body, message: (got.append(body), message.ack())]):
                producer = kombu.Producer(channel)
                producer.publish("goal", exchange=topic, routing_key="sport.football")
                producer.publish("rain", exchange=topic, routing_key="weather")
                deadline = time.monotonic() + PATIENCE
                rung = False
                while len(got) < 4 and time.monotonic() < deadline:
                    try:
                        connection.drain_events(timeout=0.1)
                    except TimeoutError:
                        if not rung:
                            # Only who has subscribed hears a fanout.
                            producer.publish("ring", exchange=everyone)
                            rung = True
            self.assertEqual(sorted(got), ["goal", "goal", "rain", "ring"])


class Celery(Application):
    def test_tasks_run_and_their_results_come_back(self):
        if not self.has_scripts():
            self.skipTest("the server has no scripts")

        import celery
        from celery.contrib.testing.worker import start_worker

        app = celery.Celery("tasks", broker=f"{URL}/3", backend=f"{URL}/4")
        app.conf.update(broker_connection_retry_on_startup=True, task_track_started=True)

        @app.task
        def add(a, b):
            return a + b

        @app.task
        def total(numbers):
            return sum(numbers)

        @app.task(bind=True, max_retries=1)
        def fails_once(self):
            if self.request.retries == 0:
                raise self.retry(countdown=0)
            return "done"

        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE):
            self.assertEqual(add.delay(2, 3).get(timeout=PATIENCE), 5)
            group = celery.group(add.s(number, number) for number in range(10))()
            self.assertEqual(group.get(timeout=PATIENCE), [number * 2 for number in range(10)])
            chain = celery.chain(add.s(1, 2), add.s(10))()
            self.assertEqual(chain.get(timeout=PATIENCE), 13)
            self.assertEqual(celery.chord([add.s(1, 1), add.s(2, 2)])(total.s()).get(timeout=PATIENCE), 6)
            self.assertEqual(fails_once.delay().get(timeout=PATIENCE), "done")


class Patterns(Application):
    def test_a_rate_limiter_lets_so_many_through_in_a_window(self):
        client, limit, window_ms = self.client, 5, 300

        def allowed(user):
            now = time.time_ns()
            key = f"rate:{user}"
            with client.pipeline() as transaction:
                transaction.zremrangebyscore(key, "-inf", now - window_ms * 1_000_000)
                transaction.zadd(key, {str(now): now})
                transaction.zcard(key)
                transaction.pexpire(key, window_ms)
                return transaction.execute()[2] <= limit

        self.assertEqual([allowed("ann") for _ in range(8)], [True] * 5 + [False] * 3)
        self.assertTrue(allowed("bob"))
        eventually(lambda: not client.exists("rate:ann"), "forgotten")
        self.assertTrue(allowed("ann"))

    def test_a_counter_in_a_fixed_window_is_right_under_many_threads(self):
        passed = []

        def work():
            client = redis.Redis(port=PORT)
            for _ in range(50):
                with client.pipeline() as transaction:
                    count, _ = transaction.incr("window").expire("window", 60, nx=True).execute()
                if count <= 100:
                    passed.append(count)
            client.close()

        threads = [threading.Thread(target=work) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        self.assertEqual(sorted(passed), list(range(1, 101)))

    def test_a_leaderboard_ranks_and_pages(self):
        client = self.client
        client.zadd("board", {f"player-{number:03}": number * 10 for number in range(300)})
        self.assertEqual(client.zincrby("board", 2995, "player-000"), 2995)
        top = client.zrevrange("board", 0, 2, withscores=True)
        self.assertEqual(top, [("player-000", 2995.0), ("player-299", 2990.0), ("player-298", 2980.0)])
        self.assertEqual(client.zrevrank("board", "player-298"), 2)
        self.assertEqual(client.zrank("board", "player-000", withscore=True), [299, 2995.0])
        self.assertEqual(client.zadd("board", {"player-298": 1}, gt=True), 0)
        self.assertEqual(client.zcount("board", "(2980", "+inf"), 2)
        page = client.zrange("board", "+inf", "-inf", desc=True, byscore=True, offset=100, num=3)
        self.assertEqual(page, ["player-200", "player-199", "player-198"])
        client.zadd("friends", {"player-298": 0, "player-007": 0})
        self.assertEqual(client.zinterstore("mine", {"board": 1, "friends": 0}), 2)
        self.assertEqual(client.zrange("mine", 0, -1, withscores=True), [("player-007", 70.0), ("player-298", 2980.0)])
        self.assertEqual(client.zremrangebyrank("board", 0, -101), 200)
        self.assertEqual(client.zcard("board"), 100)


if __name__ == "__main__":
    result = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))
    failed = len(result.failures) + len(result.errors)
    print(f"applications: {result.testsRun - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)
