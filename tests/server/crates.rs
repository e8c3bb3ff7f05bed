//! Clients that Rust programs have, the crates `redis` and `fred`, at each of three nodes: what one of them does through one
//! node, others see through the next.

use std::future::Future;
use std::time::Duration;

use fred::interfaces::{
    ClientLike, EventInterface, KeysInterface, ListInterface, PubsubInterface, StreamsInterface, TransactionInterface,
};
use fred::types::RespVersion;
use redis::{AsyncCommands, Commands, RedisResult, Script};
use tokio::runtime::Runtime;
use tokio_stream::StreamExt;

use crate::nodes::Nodes;
use crate::resp::PATIENCE;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("in time") })
}

/// Everything that the synchronous client of `redis` does, at one node.
fn with_redis(address: &str, protocol: &str, sum: i64) -> RedisResult<()> {
    let client = redis::Client::open(format!("redis://{address}/?protocol={protocol}"))?;
    let mut connection = client.get_connection()?;
    let key = format!("{{{address}}}:{protocol}");
    let _: () = connection.set(&key, "value")?;
    assert_eq!(connection.get::<_, String>(&key)?, "value");
    let (before, after): (i64, i64) =
        redis::pipe().atomic().incr(format!("{key}:n"), 1).incr(format!("{key}:n"), 2).query(&mut connection)?;
    assert_eq!((before, after), (1, 3));
    let counter = ["sum"];
    let total: (i64,) = redis::transaction(&mut connection, &counter, |connection, pipe| {
        let old: Option<i64> = connection.get("sum")?;
        pipe.set("sum", old.unwrap_or(0) + 1).ignore().get("sum").query(connection)
    })?;
    assert_eq!(total, (sum,), "nobody else counts");
    let script = Script::new("redis.call('rpush', KEYS[1], ARGV[1]); return redis.call('llen', KEYS[1])");
    assert_eq!(script.key(format!("{key}:l")).arg("a").invoke::<i64>(&mut connection)?, 1);
    let _: () = connection.hset_multiple(format!("{key}:h"), &[("a", 1), ("b", 2)])?;
    let fields: std::collections::BTreeMap<String, i64> = connection.hgetall(format!("{key}:h"))?;
    assert_eq!(fields.into_iter().collect::<Vec<_>>(), [("a".into(), 1), ("b".into(), 2)]);
    let _: () = connection.zadd_multiple(format!("{key}:z"), &[(1.5, "x"), (0.5, "y")])?;
    let ranked: Vec<(String, f64)> = connection.zrange_withscores(format!("{key}:z"), 0, -1)?;
    assert_eq!(ranked, [("y".into(), 0.5), ("x".into(), 1.5)]);
    let _: String = connection.xadd(format!("{key}:x"), "1-1", &[("field", "value")])?;
    let options = redis::streams::StreamReadOptions::default().block(50);
    let read: redis::streams::StreamReadReply = connection.xread_options(&[format!("{key}:x")], &["0"], &options)?;
    assert_eq!(read.keys[0].ids[0].id, "1-1");
    let scanned: Vec<String> = connection.scan_match(format!("*{protocol}:?"))?.collect::<RedisResult<_>>()?;
    assert!(scanned.contains(&format!("{key}:x")), "{scanned:?}");
    let error = connection.incr::<_, _, i64>(&key, 1).expect_err("it is no number");
    assert!(error.to_string().contains("not an integer"), "{error}");
    Ok(())
}

#[test]
fn redis_works_at_every_node() {
    let nodes = Nodes::start(3, &[]);
    let mut sum = 0;
    for address in nodes.addresses() {
        for protocol in ["resp2", "resp3"] {
            sum += 1;
            with_redis(&address, protocol, sum).unwrap_or_else(|error| panic!("{address} {protocol}: {error}"));
        }
    }
    nodes.stop();
}

#[test]
fn redis_in_tasks_listens_and_comes_back_after_a_restart() {
    let mut nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let runtime = Runtime::new().expect("a runtime");
    let open = |n: usize| redis::Client::open(format!("redis://{}/", addresses[n])).expect("an address");
    let mut manager = runtime.block_on(async {
        let mut listener = open(0).get_async_pubsub().await.expect("a listener");
        listener.subscribe("news").await.expect("subscribed");
        listener.psubscribe("ne*").await.expect("subscribed");
        let mut manager = open(1).get_connection_manager().await.expect("a connection");
        let _: i64 = manager.publish("news", "first").await.expect("published");
        let mut messages = listener.into_on_message();
        for _ in 0..2 {
            let message = messages.next().await.expect("a message");
            assert_eq!(message.get_payload::<String>().expect("text"), "first");
        }
        let _: () = manager.set("kept", 1).await.expect("written");
        manager
    });
    nodes.kill(1);
    nodes.restart(1);
    block_on(async {
        // What was under way when the connection broke is an error; the manager connects again by itself.
        while manager.get::<_, i64>("kept").await.is_err() {}
        assert_eq!(manager.incr::<_, _, i64>("kept", 1).await.expect("counted"), 2);
    });
    drop(runtime);
    nodes.stop();
}

async fn fred_at(address: &str, version: RespVersion) -> fred::clients::Client {
    let mut config = fred::types::config::Config::from_url(&format!("redis://{address}")).expect("an address");
    config.version = version;
    let policy = fred::types::config::ReconnectPolicy::new_constant(0, 50);
    let client = fred::types::Builder::from_config(config).set_policy(policy).build().expect("a client");
    client.init().await.expect("connected");
    client
}

#[test]
fn fred_works_at_every_node() {
    let nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    block_on(async {
        for (n, address) in addresses.iter().enumerate() {
            for version in [RespVersion::RESP2, RespVersion::RESP3] {
                let client = fred_at(address, version.clone()).await;
                let other = fred_at(&addresses[(n + 1) % 3], version).await;
                let _: () = client.set("key", n as i64, None, None, false).await.expect("written");
                assert_eq!(other.get::<i64, _>("key").await.expect("read"), n as i64);
                let pipeline = client.pipeline();
                let _: () = pipeline.incr("key").await.expect("queued");
                let _: () = pipeline.incr_by("key", 5).await.expect("queued");
                assert_eq!(pipeline.all::<Vec<i64>>().await.expect("counted"), [n as i64 + 1, n as i64 + 6]);
                let block = client.multi();
                let _: () = block.decr("key").await.expect("queued");
                let _: () = block.del("key").await.expect("queued");
                assert_eq!(block.exec::<Vec<i64>>(true).await.expect("ran"), [n as i64 + 5, 1]);
                let waits = tokio::spawn(async move {
                    let taken: (String, String) = other.blpop("queue", 0.0).await.expect("served");
                    other.quit().await.expect("closed");
                    taken
                });
                let _: () = client.rpush("queue", "work").await.expect("pushed");
                assert_eq!(waits.await.expect("it ends"), ("queue".into(), "work".into()));
                let id: String =
                    client.xadd("stream", false, None, "*", vec![("field", "value")]).await.expect("added");
                assert!(id.contains('-'), "{id}");
                client.quit().await.expect("closed");
            }
        }
    });
    nodes.stop();
}

#[test]
fn fred_subscribes_again_after_a_restart() {
    let mut nodes = Nodes::start(3, &[]);
    let addresses = nodes.addresses();
    let runtime = Runtime::new().expect("a runtime");
    let (subscriber, publisher) = runtime.block_on(async {
        let config = fred::types::config::Config::from_url(&format!("redis://{}", addresses[0])).expect("an address");
        let policy = fred::types::config::ReconnectPolicy::new_constant(0, 50);
        let builder = fred::types::Builder::from_config(config).set_policy(policy).build_subscriber_client();
        let subscriber = builder.expect("a client");
        subscriber.init().await.expect("connected");
        let _kept = subscriber.manage_subscriptions();
        subscriber.subscribe("news").await.expect("subscribed");
        (subscriber, fred_at(&addresses[1], RespVersion::RESP3).await)
    });
    let hear = async |text: &str| {
        let mut messages = subscriber.message_rx();
        // Nobody tells when the subscription is back: so it is said until it is heard.
        let said = async {
            let mut interval = tokio::time::interval(Duration::from_millis(20));
            loop {
                interval.tick().await;
                let _: Result<i64, _> = publisher.publish("news", text).await;
            }
        };
        let heard = async {
            loop {
                let message = messages.recv().await.expect("a message");
                if message.value.convert::<String>().is_ok_and(|value| value == text) {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, async {
            tokio::select! { () = said => {}, () = heard => {} }
        })
        .await
        .expect("heard");
    };
    runtime.block_on(hear("before"));
    nodes.kill(0);
    nodes.restart(0);
    runtime.block_on(hear("after"));
    drop(runtime);
    nodes.stop();
}
