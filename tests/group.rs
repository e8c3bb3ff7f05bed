//! Groups and hosts: the rules of the engine that live in `group` and `host`, each with the test that fails without
//! it, and scripts (`group/*.txt`) whose whole output is compared.

#[path = "group/chance.rs"]
mod chance;
#[path = "group/leadership.rs"]
mod leadership;
#[path = "group/leases.rs"]
mod leases;
#[path = "group/membership.rs"]
mod membership;
#[path = "group/rules.rs"]
mod rules;
#[path = "group/scenarios.rs"]
mod scenarios;
#[path = "group/scripts.rs"]
mod scripts;
#[path = "group/world.rs"]
mod world;
