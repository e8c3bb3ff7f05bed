//! The load for etcd: the same clients in a closed loop, each with a connection of its own, as calls of its gRPC service.
//!
//! Only what a comparison of writes and reads needs of the service is spelled out: the key and the value of a put, the key
//! of a range, and that answers end. Source of the names and field numbers: etcd's API reference, `etcdserverpb.KV`.
//! A range is linearizable unless told otherwise, like every read of Holdfast's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use super::histogram::Histogram;
use super::keys::{Distribution, Keys};
use super::report::{Part, Report};
use super::{Amount, CONNECT_PATIENCE, now};
use crate::base::Rng;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Put a key.
    Put,
    /// Get a key.
    Get,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where members of the cluster listen; clients take them in turn.
    pub addresses: Vec<String>,
    /// What is asked.
    pub question: Question,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Keys are numbered from 0 to this, exclusively.
    pub keys: u64,
    /// How keys are chosen.
    pub distribution: Distribution,
    /// Connections.
    pub clients: usize,
    /// How much is asked.
    pub amount: Amount,
    /// Equal seeds ask for the same keys.
    pub seed: u64,
}

/// A put, as far as it is used here.
#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// A range of one key.
#[derive(Clone, PartialEq, prost::Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

/// Any answer: what is in it is passed over.
#[derive(Clone, PartialEq, prost::Message)]
struct Answer {}

/// Runs the load to its end. The error is a sentence.
pub fn run(options: &Options) -> Result<Report, String> {
    if options.addresses.is_empty() || options.keys == 0 || options.clients == 0 {
        return Err("addresses, keys and clients must be at least 1".into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|why| format!("no thread for the clients: {why}"))?;
    runtime.block_on(load(options))
}

async fn load(options: &Options) -> Result<Report, String> {
    let mut clients = Vec::new();
    for n in 0..options.clients {
        clients.push(Client::open(options, n).await?);
    }
    let (requests, time) = match options.amount {
        Amount::Requests(requests) => (requests, Duration::MAX),
        Amount::Time(time) => (u64::MAX, time),
    };
    let left = Arc::new(AtomicU64::new(requests));
    let keys = Keys::new(options.distribution, options.keys);
    let begun = now();
    let tasks: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let (left, keys) = (left.clone(), keys.clone());
            tokio::spawn(async move {
                let mut times = Histogram::default();
                let more = |left: u64| left.checked_sub(1);
                while begun.elapsed() < time && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() {
                    let asked = now();
                    client.ask(&keys).await?;
                    times.record(asked.elapsed().as_nanos() as u64, 1);
                }
                Ok::<_, String>(times)
            })
        })
        .collect();
    let mut times = Histogram::default();
    for task in tasks {
        times.add(&task.await.map_err(|why| format!("a client ended early: {why}"))??);
    }
    let mut report = Report::default();
    report.add(&Part::of(times, begun.elapsed().as_nanos() as u64));
    Ok(report)
}

/// One connection.
struct Client {
    grpc: Grpc<Channel>,
    address: String,
    question: Question,
    value: Bytes,
    rng: Rng,
}

impl Client {
    async fn open(options: &Options, n: usize) -> Result<Client, String> {
        let address = options.addresses[n % options.addresses.len()].clone();
        let failed = |why: tonic::transport::Error| format!("no connection to {address}: {why}");
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(failed)?;
        let channel = endpoint.tcp_nodelay(true).connect_timeout(CONNECT_PATIENCE).connect().await.map_err(failed)?;
        let mut client = Client {
            grpc: Grpc::new(channel),
            address,
            question: options.question,
            value: vec![b'x'; options.value_bytes].into(),
            rng: Rng::new(options.seed.wrapping_add(n as u64)),
        };
        // What refuses is found before anything is measured.
        client.ask(&Keys::new(Distribution::Uniform, options.keys)).await?;
        Ok(client)
    }

    async fn ask(&mut self, keys: &Keys) -> Result<(), String> {
        let key = Bytes::from(format!("key:{:012}", keys.next(&mut self.rng)));
        let answer = match self.question {
            Question::Put => self.call("/etcdserverpb.KV/Put", PutRequest { key, value: self.value.clone() }).await,
            Question::Get => self.call("/etcdserverpb.KV/Range", RangeRequest { key }).await,
        };
        answer.map_err(|why| format!("{} cannot be measured: it answers {why}", self.address))
    }

    async fn call<T>(&mut self, path: &'static str, request: T) -> Result<(), Status>
    where
        T: prost::Message + Default + 'static,
    {
        self.grpc.ready().await.map_err(|why| Status::unavailable(why.to_string()))?;
        let codec = ProstCodec::<T, Answer>::default();
        self.grpc.unary(Request::new(request), PathAndQuery::from_static(path), codec).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn requests_are_the_bytes_that_etcd_reads() {
        let put = PutRequest { key: "k".into(), value: "vv".into() };
        assert_eq!(put.encode_to_vec(), b"\x0a\x01k\x12\x02vv");
        assert_eq!(RangeRequest { key: "k".into() }.encode_to_vec(), b"\x0a\x01k");
        // A header and a revision, which nobody asks for.
        assert_eq!(Answer::decode(&b"\x0a\x02\x08\x01\x20\x05"[..]), Ok(Answer {}));
    }

    #[test]
    fn nobody_there_is_a_sentence() {
        let options = Options {
            addresses: vec!["127.0.0.1:1".into()],
            question: Question::Put,
            value_bytes: 1,
            keys: 1,
            distribution: Distribution::Uniform,
            clients: 1,
            amount: Amount::Requests(1),
            seed: 1,
        };
        let why = run(&options).expect_err("nobody listens there");
        assert!(why.contains("no connection to 127.0.0.1:1"), "{why}");
    }
}
