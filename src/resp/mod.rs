//! RESP2 and RESP3: bytes to requests, values to bytes. Incremental and bounded; nothing is allocated from a
//! length that a client only declared (rule 40). Source: Redis serialization protocol specification.

mod decode;
mod encode;
mod reply;
mod value;

pub use decode::{Bounds, Decoder, ProtocolError, split_line};
pub use encode::{double_text, put_bulk, put_integer, put_length};
pub use reply::parse_reply;
pub use value::{Protocol, Value, c_string};
