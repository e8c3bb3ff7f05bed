//! Generates the peer protocol's types from `proto/`. Needs `protoc`.

fn main() -> std::io::Result<()> {
    tonic_prost_build::configure()
        // Payloads share the memory of the frame they came in.
        .bytes(".")
        .compile_protos(&["proto/peer.proto"], &["proto"])
}
