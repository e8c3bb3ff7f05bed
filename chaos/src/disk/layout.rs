//! Which node has which disk. Where power is to be cut, every node is on the own file system, but for one in half of the runs:
//! that one has a real file system that can be filled. The own one can be filled as well, so no kind of fault depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Disk;
use super::fuse::Fuse;
use super::loop_fs::LoopFs;
use crate::dice::Dice;
use crate::kinds::Need;

/// Room on the disk that can be filled. What is not written takes none of the machine's.
const LOOP_BYTES: u64 = 512 << 20;
/// How many of a hundred runs have a node on a file system in a file, if the own one works.
const LOOP_PERCENT: u64 = 50;

/// Makes the disks of so many nodes. What cannot be made is in `missing`, and the nodes are in plain directories.
pub fn make(
    work: &Path,
    nodes: usize,
    needs: &BTreeSet<Need>,
    missing: &mut BTreeMap<Need, String>,
    dice: &mut Dice,
) -> BTreeMap<usize, Disk> {
    let mut order: Vec<usize> = (1..=nodes).collect();
    dice.shuffle(&mut order);
    let wants_loop = dice.chance(LOOP_PERCENT);
    let (mut disks, mut left) = (BTreeMap::new(), order);
    if needs.contains(&Need::Fuse) {
        match left.iter().map(|node| Ok((*node, Disk::Fuse(mount(work, *node)?)))).collect() {
            Ok(mounted) => disks = mounted,
            Err(why) => {
                missing.insert(Need::Fuse, why);
            }
        }
    }
    if needs.contains(&Need::SmallDisk) && (wants_loop || disks.is_empty()) {
        match LoopFs::create(work, "loop", LOOP_BYTES) {
            Ok(disk) => {
                disks.extend(left.first().map(|node| (*node, Disk::Loop(disk))));
            }
            Err(why) if disks.is_empty() => {
                missing.insert(Need::SmallDisk, why);
            }
            Err(why) => eprintln!("no file system in a file here ({why}): the own one is filled"),
        }
    }
    left.retain(|node| !disks.contains_key(node));
    disks.extend(left.into_iter().map(|node| (node, Disk::Plain(work.to_owned()))));
    disks
}

fn mount(work: &Path, node: usize) -> Result<Fuse, String> {
    Fuse::mount(&work.join(format!("fuse{node}"))).map_err(|why| format!("FUSE cannot be mounted: {why}"))
}
