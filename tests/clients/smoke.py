"""What a program on redis-py does, against every node of a cluster, in RESP2 and RESP3, synchronous and asyncio.

usage: smoke.py PORT...
"""

import asyncio
import sys
import threading
import time

import redis
import redis.asyncio


def expect(actual, expected):
    assert actual == expected, f"expected {expected!r}, got {actual!r}"


def strings(r):
    expect(r.set("s", "hello", ex=100), True)
    expect(r.get("s"), "hello")
    expect(0 < r.ttl("s") <= 100, True)
    expect(r.set("s", "x", nx=True), None)
    expect(r.append("s", " world"), 11)
    expect(r.getrange("s", 0, 4), "hello")
    expect(r.mset({"m1": "1", "m2": "2"}), True)
    expect(r.mget("m1", "none", "m2"), ["1", None, "2"])
    expect(r.incrby("n", 5), 5)
    expect(r.incrbyfloat("f", "1.5"), 1.5)
    expect(r.delete("s", "m1", "m2", "n", "f"), 5)
    expect(r.exists("s"), 0)


def hashes(r):
    expect(r.hset("h", mapping={"a": "1", "b": "2"}), 2)
    expect(r.hgetall("h"), {"a": "1", "b": "2"})
    expect(r.hincrby("h", "a", 41), 42)
    expect(sorted(r.hkeys("h")), ["a", "b"])
    expect(dict(r.hscan_iter("h")), {"a": "42", "b": "2"})
    large = {f"field{i}": str(i) for i in range(1000)}
    expect(r.hset("large", mapping=large), 1000)
    expect(r.hlen("large"), 1000)
    expect(dict(r.hscan_iter("large")), large)
    expect(r.delete("h", "large"), 2)


def transactions(r):
    with r.pipeline(transaction=True) as pipe:
        pipe.set("t", 1)
        pipe.incr("t")
        pipe.hset("th", "f", "v")
        expect(pipe.execute(), [True, 2, 1])
    with r.pipeline() as pipe:
        pipe.watch("t")
        current = int(pipe.get("t"))
        r.set("t", 100)
        pipe.multi()
        pipe.set("t", current + 1)
        try:
            pipe.execute()
            raise AssertionError("the watched key had changed")
        except redis.WatchError:
            pass
    expect(r.get("t"), "100")
    expect(r.delete("t", "th"), 2)


def keyspace(r):
    expect(r.flushall(), True)
    r.mset({f"key:{i}": i for i in range(500)})
    expect(sorted(r.scan_iter("key:1*", count=50)), sorted(f"key:{i}" for i in range(500) if str(i).startswith("1")))
    expect(r.dbsize(), 500)
    expect(r.rename("key:0", "renamed"), True)
    expect(r.type("renamed"), "string")
    expect(r.randomkey() is not None, True)
    other = redis.Redis(port=r.connection_pool.connection_kwargs["port"], db=3, decode_responses=True)
    expect(other.dbsize(), 0)
    expect(other.set("x", 1), True)
    expect(other.flushdb(), True)
    expect(r.dbsize(), 500)
    expect(r.flushall(), True)
    expect(r.dbsize(), 0)


def locks(r):
    def work():
        for _ in range(50):
            r.incr("shared")

    def guarded():
        for _ in range(10):
            with r.lock("guard", timeout=30, blocking_timeout=30):
                # Read and write are two commands: only the lock keeps them together.
                r.set("kept", int(r.get("kept") or 0) + 1)

    threads = [threading.Thread(target=work) for _ in range(4)] + [threading.Thread(target=guarded) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(r.get("shared"), "200")
    expect(r.get("kept"), "30")
    lock = r.lock("guard", timeout=30)
    expect(lock.acquire(blocking=False), True)
    expect(lock.locked() and lock.owned(), True)
    expect(r.lock("guard", timeout=30).acquire(blocking=False), False)
    expect(lock.extend(60, replace_ttl=True), True)
    expect(30 < r.ttl("guard") <= 60, True)
    expect(lock.reacquire(), True)
    lock.release()
    try:
        lock.release()
        raise AssertionError("the lock was released twice")
    except redis.exceptions.LockError:
        pass
    other = r.lock("guard", timeout=30)
    expect(other.acquire(blocking=False), True)
    r.delete("guard")
    try:
        other.release()
        raise AssertionError("the lock had gone to somebody else")
    except redis.exceptions.LockNotOwnedError:
        pass
    r.delete("shared", "kept")


def heard(listener):
    """The next message of a listener, whatever the confirmations before it."""
    while True:
        message = listener.get_message(timeout=10)
        assert message is not None, "no message came"
        if message["type"] in ("message", "pmessage", "smessage") and message["channel"] != "nobody":
            return message["type"], message["channel"], message["data"]


def channels(r):
    listener = r.pubsub()
    listener.subscribe("news", "other")
    listener.psubscribe("n*")
    listener.get_message(timeout=10)
    # Nodes hear of each other's listeners a little later: the leader counts them.
    deadline = time.monotonic() + 10
    while r.publish("nobody", "probe") != 1:
        assert time.monotonic() < deadline, "the leader does not hear who listens"
    expect(sorted(r.pubsub_channels()), ["news", "other"])
    expect(r.publish("news", "hello"), 2)
    expect([heard(listener), heard(listener)], [("message", "news", "hello"), ("pmessage", "news", "hello")])
    with r.pipeline(transaction=True) as pipe:
        pipe.set("told", "yes")
        pipe.publish("other", "written")
        pipe.execute()
    expect(heard(listener), ("message", "other", "written"))
    expect(r.getdel("told"), "yes")
    listener.unsubscribe()
    listener.punsubscribe()
    listener.ping()
    listener.close()


def server(r):
    expect(r.ping(), True)
    expect(r.info()["redis_version"], "7.2.4")
    expect(r.config_get("databases"), {"databases": "16"})
    expect(len(r.client_list()) >= 1, True)
    expect(r.command_count() > 50, True)
    expect(r.client_setname("smoke"), True)
    expect(r.client_getname(), "smoke")
    expect(r.wait(1, 100) >= 0, True)
    try:
        r.execute_command("NOSUCHCOMMAND", "a")
        raise AssertionError("there is no such command")
    except redis.ResponseError as error:
        expect(str(error), "unknown command 'NOSUCHCOMMAND', with args beginning with: 'a' ")


async def concurrent(port, protocol):
    r = redis.asyncio.Redis(port=port, protocol=protocol, decode_responses=True)
    await asyncio.gather(*(r.incr("async") for _ in range(80)))
    expect(await r.get("async"), "80")
    async with r.pipeline(transaction=False) as pipe:
        for i in range(100):
            pipe.set(f"p{i}", i)
            pipe.get(f"p{i}")
        replies = await pipe.execute()
    expect(replies[1::2], [str(i) for i in range(100)])
    await r.hset("h", mapping={"a": "1"})
    expect(await r.hgetall("h"), {"a": "1"})

    async def guarded():
        for _ in range(10):
            async with r.lock("guard", timeout=30, blocking_timeout=30):
                await r.set("kept", int(await r.get("kept") or 0) + 1)

    await asyncio.gather(*(guarded() for _ in range(3)))
    expect(await r.get("kept"), "30")
    listener = r.pubsub(ignore_subscribe_messages=True)
    await listener.subscribe("news")
    await r.publish("news", "hello")
    message = None
    while message is None:
        message = await asyncio.wait_for(listener.get_message(timeout=10), 20)
    expect((message["channel"], message["data"]), ("news", "hello"))
    await listener.aclose()
    await r.flushall()
    await r.aclose()


def main():
    ports = [int(port) for port in sys.argv[1:]]
    for port in ports:
        for protocol in (2, 3):
            r = redis.Redis(port=port, protocol=protocol, decode_responses=True)
            for part in (strings, hashes, transactions, keyspace, locks, channels, server):
                part(r)
            r.close()
            asyncio.run(concurrent(port, protocol))
    # What one node acknowledged, the others answer at once.
    nodes = [redis.Redis(port=port, decode_responses=True) for port in ports]
    for i in range(300):
        nodes[i % len(nodes)].set("seen", i)
        expect(nodes[(i + 1) % len(nodes)].get("seen"), str(i))
    nodes[0].delete("seen")
    # What one publishes, listeners at all others hear, in one order.
    listeners = [node.pubsub(ignore_subscribe_messages=True) for node in nodes]
    for listener in listeners:
        listener.subscribe("all")
        listener.get_message(timeout=10)
    for i in range(90):
        nodes[i % len(nodes)].publish("all", i)
    for listener in listeners:
        expect([heard(listener)[2] for _ in range(90)], [str(i) for i in range(90)])
        listener.close()
    print(f"redis-py {redis.__version__} is content with {len(ports)} node(s)")


main()
