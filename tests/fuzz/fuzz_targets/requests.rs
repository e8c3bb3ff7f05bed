//! The request parser: however the bytes are cut into reads, the same requests come out, and the same error ends them.
//! The first byte chooses whether the client is authenticated.

#![no_main]

use bytes::{Bytes, BytesMut};
use holdfast::resp::{Bounds, Decoder};
use libfuzzer_sys::fuzz_target;

/// Inputs up to this length are cut in two at every byte; longer ones are only read byte by byte.
const CUT_EVERYWHERE_MAX: usize = 96;

/// What came out: requests, and the text of the error after which nothing is read any more.
type Outcome = (Vec<Vec<Bytes>>, Option<String>);

fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>, bounds: &Bounds) -> Outcome {
    let mut decoder = Decoder::default();
    let mut buffer = BytesMut::new();
    let mut requests = Vec::new();
    for part in parts {
        buffer.extend_from_slice(part);
        loop {
            match decoder.decode(&mut buffer, bounds) {
                Ok(Some(request)) => {
                    assert!(!request.is_empty(), "a request without a name");
                    requests.push(request);
                }
                Ok(None) => break,
                Err(error) => return (requests, Some(error.to_string())),
            }
        }
    }
    (requests, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, data)) = data.split_first() else { return };
    let bounds = if first & 1 == 0 { Bounds::AUTHENTICATED } else { Bounds::UNAUTHENTICATED };
    let whole = read([data], &bounds);
    let error = whole.1.as_deref().unwrap_or_default();
    assert!(!error.contains(['\r', '\n']), "an error text that would end its line early: {error:?}");
    assert_eq!(whole, read(data.chunks(1), &bounds), "read byte by byte");
    if data.len() <= CUT_EVERYWHERE_MAX {
        for at in 1..data.len() {
            assert_eq!(whole, read([&data[..at], &data[at..]], &bounds), "cut at byte {at}");
        }
    }
});
