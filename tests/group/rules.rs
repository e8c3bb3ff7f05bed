//! One test per rule; see `docs/engine-rules` for the rules and where they come from.

use holdfast::host::Config;

use super::world::World;

#[test]
fn a_cluster_elects_and_replicates() {
    let mut world = World::ready(Config::default());
    for payload in ["a", "b", "c"] {
        world.propose(2, payload);
    }
    world.advance(100);
    for node in 1..=3 {
        assert_eq!(world.payloads(node), ["a", "b", "c"]);
    }
}
