//! RESP2 and RESP3: bytes to requests, values to bytes. Incremental and bounded; nothing is allocated from a
//! length that a client only declared (rule 40). Source: Redis serialization protocol specification.

mod decode;
mod encode;
mod value;

pub use value::{Protocol, Value};
