//! What the dialogue runner and the differential test share: a reply as a client sees it, and the two things that
//! can be asked for one: Holdfast's evaluation inside this process, and any RESP server behind a socket.

pub mod client;
pub mod local;
pub mod notation;
pub mod reply;

use bytes::Bytes;
use reply::Reply;

/// Something that answers commands: the protocol version and the selected database are its own state.
pub trait Target {
    /// Runs one command (name first) and returns its reply.
    fn call(&mut self, args: &[Bytes]) -> Reply;

    /// Switches the protocol, 2 or 3.
    fn protocol(&mut self, version: u8);

    /// Selects a database.
    fn select(&mut self, db: u8);

    /// Panics if what is stored contradicts itself, where that can be seen.
    fn audit(&mut self) {}

    /// Back to the start: no keys in any database, database 0, RESP2.
    fn reset(&mut self) {
        self.audit();
        self.protocol(2);
        self.select(0);
        let reply = self.call(&words("FLUSHALL"));
        assert_eq!(reply, Reply::Simple("OK".into()), "FLUSHALL failed");
    }
}

/// A command line without quotes as arguments.
pub fn words(line: &str) -> Vec<Bytes> {
    line.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}
