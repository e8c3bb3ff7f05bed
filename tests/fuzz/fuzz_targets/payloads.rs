//! Values for RESTORE, with a checksum that is right: a value comes of it or an error, and of a value that is dumped in either
//! form the same value.

#![no_main]

use holdfast::rdb::{self, Object};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(object) = rdb::load(&rdb::sealed(data.to_vec(), rdb::VERSION)) else { return };
    for packed in [false, true] {
        let again = rdb::load(&rdb::dump(&object, packed)).map(in_one_order);
        assert_eq!(again, Ok(in_one_order(object.clone())));
    }
});

/// Integers of a set are sorted in one piece, as are fields by their deadlines, and large sorted sets are written from behind.
/// Entries of a stream that were deleted are left out.
fn in_one_order(mut object: Object) -> Object {
    match &mut object {
        Object::String(_) | Object::List(_) | Object::Hash(_) => {}
        Object::TimedHash(fields) => fields.sort(),
        Object::Set(members) => members.sort(),
        Object::Zset(members) => members.sort_by(|(one, _), (other, _)| one.cmp(other)),
        Object::Stream(stream) => {
            stream.pages.iter_mut().for_each(|page| page.retain(|entry| !entry.is_dead));
            stream.pages.retain(|page| !page.is_empty());
            stream.added.get_or_insert(stream.pages.iter().map(Vec::len).sum::<usize>() as u64);
        }
    }
    object
}
