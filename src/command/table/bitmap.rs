//! Strings as bits.

use crate::command::spec::{KeySpec, Spec};
use crate::command::{bitfield, bitmap};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("bitcount", -2, "readonly", "bitmap")
        .runs(bitmap::bitcount)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("bitmap", "2.6.0", "O(N)", "Counts the bits that are set in a string, or in a part of it.")
        .arguments("key:key@0 index?(start:integer end:integer unit?~7.0.0<byte/BYTE bit/BIT>)")
        .history(&[("7.0.0", "Options BYTE and BIT.")]),
    Spec::new("bitfield", -2, "write denyoom", "bitmap")
        .runs(bitfield::bitfield)
        .keys(&[KeySpec::one("RW access update variable_flags", 1).notes("only reads without `SET` and `INCRBY`")])
        .doc("bitmap", "3.2.0", "O(1) for each step", "Reads and writes integers of any size within a string.")
        .arguments(
            "key:key@0 operation?*<get-block/GET(encoding:string offset:integer) \
             write(overflow-block/OVERFLOW?<wrap/WRAP sat/SAT fail/FAIL> \
             write-operation<set-block/SET(encoding:string offset:integer value:integer) \
             incrby-block/INCRBY(encoding:string offset:integer increment:integer)>)>",
        ),
    Spec::new("bitfield_ro", -2, "readonly fast", "bitmap")
        .runs(bitfield::bitfield_ro)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("bitmap", "6.0.0", "O(1) for each step", "Reads integers of any size within a string.")
        .arguments("key:key@0 get-block/GET?*+(encoding:string offset:integer)"),
    Spec::new("bitop", -4, "write denyoom", "bitmap")
        .runs(bitmap::bitop)
        .keys(&[KeySpec::one("OW update", 2), KeySpec::rest("RO access", 3)])
        .doc("bitmap", "2.6.0", "O(N)", "Combines strings bit by bit and stores the result.")
        .arguments("operation:string destkey:key@0 key:key@1*"),
    Spec::new("bitpos", -3, "readonly", "bitmap")
        .runs(bitmap::bitpos)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("bitmap", "2.8.7", "O(N)", "Finds the first bit that is set, or clear, in a string or a part of it.")
        .arguments(
            "key:key@0 bit:integer range?(start:integer end-unit-block?(end:integer unit?~7.0.0<byte/BYTE bit/BIT>))",
        )
        .history(&[("7.0.0", "Options BYTE and BIT.")]),
    Spec::new("getbit", 3, "readonly fast", "bitmap")
        .runs(bitmap::getbit)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("bitmap", "2.2.0", "O(1)", "Returns a bit of a string.")
        .arguments("key:key@0 offset:integer"),
    Spec::new("setbit", 4, "write denyoom", "bitmap")
        .runs(bitmap::setbit)
        .keys(&[KeySpec::one("RW access update", 1)])
        .doc("bitmap", "2.2.0", "O(1)", "Sets or clears a bit of a string and returns what it was.")
        .arguments("key:key@0 offset:integer value:integer"),
];
