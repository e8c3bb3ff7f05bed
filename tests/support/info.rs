//! What tests ask real nodes about themselves.

use crate::resp::{Client, Reply};

/// One value of a line `<line>:key=value,...` of `INFO raft`.
pub fn info(port: u16, line: &str, key: &str) -> Option<String> {
    let Reply::Bulk(Some(text)) = Client::connect(port).ok()?.call(&["INFO", "raft"]).ok()? else { return None };
    let text = String::from_utf8_lossy(&text).into_owned();
    let found = text.lines().filter_map(|found| found.split_once(':')).find(|(name, _)| *name == line)?.1;
    found.split(',').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == key).map(|(_, v)| v.into())
}
