"""Queues, caches and other clients as programs use them: work is put in through one node and done through another, each
piece once.

usage: frameworks.py NAME PORT PORT      puts work in at the first port, does it at the second
       frameworks.py --worker NAME PORT  what the above starts to do the work

Needs celery, rq, huey, dramatiq, django-redis, bullmq and coredis from PyPI.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time

import redis

TASKS = 40
PATIENCE = 60


def expect(actual, expected):
    assert actual == expected, f"expected {expected!r}, got {actual!r}"


def done(port):
    """Counts a piece of work; tasks call it."""
    return redis.Redis(port=port, db=5).incr("done")


def until(what, wanted):
    """Waits until a value is what it should be."""
    deadline = time.monotonic() + PATIENCE
    while (value := what()) != wanted:
        assert time.monotonic() < deadline, f"{value!r} instead of {wanted!r} after {PATIENCE} s"
        time.sleep(0.05)


class Worker:
    """A process that does the work until the block ends."""

    def __init__(self, name, port):
        self.command = [sys.executable, __file__, "--worker", name, str(port)]
        folder = os.path.dirname(os.path.abspath(__file__))
        self.environment = {**os.environ, "PYTHONPATH": folder, "WORK_PORT": str(port)}

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, env=self.environment, start_new_session=True, stdout=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


# celery: a list as broker, results by SUBSCRIBE

def celery_app(port):
    import celery

    app = celery.Celery("work", broker=f"redis://127.0.0.1:{port}/6", backend=f"redis://127.0.0.1:{port}/7")
    app.conf.broker_connection_retry_on_startup = True
    app.conf.worker_hijack_root_logger = False

    @app.task(name="add")
    def add(x, y):
        done(port)
        return x + y

    @app.task(name="total")
    def total(numbers):
        return sum(numbers)

    return app, add


def run_celery(here, there):
    from celery import chord, group

    app, add = celery_app(here)

    with Worker("celery", there):
        results = [add.delay(n, 1) for n in range(TASKS)]
        expect([result.get(timeout=PATIENCE) for result in results], [n + 1 for n in range(TASKS)])
        expect(group(add.s(n, n) for n in range(5))().get(timeout=PATIENCE), [0, 2, 4, 6, 8])
        gather = chord((add.s(n, n) for n in range(3)), app.signature("total"))
        expect(gather.apply_async().get(timeout=PATIENCE), 6)
    return TASKS + 5 + 3


def work_celery(port):
    app, _ = celery_app(port)
    app.worker_main(["worker", "--pool", "solo", "--loglevel", "ERROR", "--without-mingle"])


# rq: lists, sorted sets, pub/sub for commands to workers

def rq_task(x, y):
    done(int(os.environ["WORK_PORT"]))
    return x * y


def run_rq(here, there):
    import rq
    import frameworks

    queue = rq.Queue("work", connection=redis.Redis(port=here, db=6))
    with Worker("rq", there):
        jobs = [queue.enqueue(frameworks.rq_task, n, 2) for n in range(TASKS)]
        for n, job in enumerate(jobs):
            until(lambda: job.get_status(refresh=True).value, "finished")
            expect(job.return_value(), 2 * n)
    return TASKS


def work_rq(port):
    import rq

    rq.SimpleWorker(["work"], connection=redis.Redis(port=port, db=6)).work(logging_level="ERROR")


# huey: a list and hashes

def huey_app(port):
    import huey

    app = huey.RedisHuey("work", url=f"redis://127.0.0.1:{port}/6")

    @app.task()
    def add(x, y):
        done(port)
        return x + y

    return app, add


def run_huey(here, there):
    _, add = huey_app(here)
    with Worker("huey", there):
        results = [add(n, 10) for n in range(TASKS)]
        expect([result.get(blocking=True, timeout=PATIENCE) for result in results], [n + 10 for n in range(TASKS)])
        later = add.schedule((1, 2), delay=1)
        expect(later.get(blocking=True, timeout=PATIENCE), 3)
    return TASKS + 1


def work_huey(port):
    app, _ = huey_app(port)
    app.create_consumer(workers=2).run()


# dramatiq: Lua over lists, hashes and sorted sets

def dramatiq_actor(port):
    import dramatiq
    from dramatiq.brokers.redis import RedisBroker
    from dramatiq.results import Results
    from dramatiq.results.backends import RedisBackend

    broker = RedisBroker(url=f"redis://127.0.0.1:{port}/6")
    broker.add_middleware(Results(backend=RedisBackend(url=f"redis://127.0.0.1:{port}/7")))
    dramatiq.set_broker(broker)

    @dramatiq.actor(store_results=True)
    def add(x, y):
        done(port)
        return x + y

    return broker, add


def run_dramatiq(here, there):
    _, add = dramatiq_actor(here)
    with Worker("dramatiq", there):
        messages = [add.send(n, 3) for n in range(TASKS)]
        values = [message.get_result(block=True, timeout=PATIENCE * 1000) for message in messages]
        expect(values, [n + 3 for n in range(TASKS)])
    return TASKS


def work_dramatiq(port):
    import dramatiq

    broker, _ = dramatiq_actor(port)
    worker = dramatiq.Worker(broker, worker_threads=2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    worker.start()
    signal.pause()


# bullmq: large scripts, BZPOPMIN, streams for events

def run_bullmq(here, there):
    from bullmq import Queue

    async def put():
        queue = Queue("work", {"connection": f"redis://127.0.0.1:{here}/6"})
        for n in range(TASKS):
            await queue.add("add", {"x": n})
        deadline = time.monotonic() + PATIENCE
        while (counts := await queue.getJobCounts("completed", "waiting", "active", "failed"))["completed"] < TASKS:
            assert time.monotonic() < deadline, counts
            await asyncio.sleep(0.1)
        expect(counts, {"completed": TASKS, "waiting": 0, "active": 0, "failed": 0})
        await queue.close()

    with Worker("bullmq", there):
        asyncio.run(put())
    return TASKS


def work_bullmq(port):
    from bullmq import Worker as BullWorker

    async def work():
        async def process(job, token):
            return done(port)

        worker = BullWorker("work", process, {"connection": f"redis://127.0.0.1:{port}/6"})
        await asyncio.Event().wait()
        await worker.close()

    asyncio.run(work())


# django-redis: Django's cache

def run_django(here, there):
    from django.conf import settings

    def cache(port):
        return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://127.0.0.1:{port}/6"}

    settings.configure(CACHES={"default": cache(here), "other": cache(there)}, SECRET_KEY="x")
    import django
    from django.core.cache import caches

    django.setup()
    cache, other = caches["default"], caches["other"]
    cache.clear()
    expect(cache.set("k", {"a": [1, 2]}, 100), True)
    expect(other.get("k"), {"a": [1, 2]})
    expect(cache.add("k", 1), False)
    expect(cache.get_or_set("n", lambda: 5, 100), 5)
    expect(other.incr("n"), 6)
    cache.set_many({f"m{n}": n for n in range(50)}, 100)
    expect(other.get_many([f"m{n}" for n in range(50)]), {f"m{n}": n for n in range(50)})
    expect(other.ttl("k") in (99, 100), True)
    expect(sorted(cache.keys("m1*")), sorted(["m1"] + [f"m1{n}" for n in range(10)]))
    expect(cache.delete_pattern("m*"), 50)
    with cache.lock("lock", timeout=10):
        expect("lock" in other, True)
    expect(cache.touch("k", 5), True)
    expect(cache.delete("k"), True)
    expect(other.get("k", "gone"), "gone")
    cache.clear()
    return 0


# coredis: RESP3 and asyncio

def run_coredis(here, there):
    import coredis

    async def run():
        async with coredis.Redis(port=here, decode_responses=True) as one, coredis.Redis(port=there) as two:
            expect(await one.set("c", "v", ex=100), True)
            expect(await two.get("c"), b"v")
            expect(await one.hset("ch", {"a": "1", "b": "2"}), 2)
            expect(await one.hgetall("ch"), {"a": "1", "b": "2"})
            expect(await one.zadd("cz", {"m": 1.5, "n": 2}), 2)
            expect(await one.zrange("cz", 0, -1, withscores=True), (("m", 1.5), ("n", 2.0)))
            expect(await one.sadd("cs", ["x", "y"]), 2)
            expect(await one.smembers("cs"), {"x", "y"})
            identifier = await one.xadd("cx", {"f": "v"})
            expect((await one.xrange("cx"))[0].identifier, identifier)

            async def wait():
                return await two.blpop(["cl"], timeout=PATIENCE)

            waiting = asyncio.create_task(wait())
            expect(await one.rpush("cl", ["e"]), 1)
            expect(await waiting, [b"cl", b"e"])
            expect(await one.delete(["c", "ch", "cz", "cs", "cx"]), 5)

    asyncio.run(run())
    return 0


RUNS = {
    "celery": (run_celery, work_celery),
    "rq": (run_rq, work_rq),
    "huey": (run_huey, work_huey),
    "dramatiq": (run_dramatiq, work_dramatiq),
    "bullmq": (run_bullmq, work_bullmq),
    "django-redis": (run_django, None),
    "coredis": (run_coredis, None),
}


def main(arguments):
    if arguments[0] == "--worker":
        name, port = arguments[1], int(arguments[2])
        return RUNS[name][1](port)
    name, here, there = arguments[0], int(arguments[1]), int(arguments[2])
    counter = redis.Redis(port=here, db=5)
    counter.delete("done")
    for db in (6, 7):
        redis.Redis(port=here, db=db).flushdb()
    tasks = RUNS[name][0](here, there)
    expect(int(counter.get("done") or 0), tasks)
    print(f"{name} is content: {tasks} tasks done once" if tasks else f"{name} is content")


if __name__ == "__main__":
    main(sys.argv[1:])
