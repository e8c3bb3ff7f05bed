//! Places.

use crate::command::geo::{self, search};
use crate::command::spec::{KeySpec, Spec};

pub(super) const ROWS: &[Spec] = &[
    Spec::new("geoadd", -5, "write denyoom", "geo")
        .runs(geo::geoadd)
        .keys(&[KeySpec::one("RW update", 1)])
        .doc("geo", "3.2.0", "O(log(N)) for each place", "Adds places to a sorted set; makes it if there is none.")
        .arguments(
            "key:key@0 condition?~6.2.0<nx/NX xx/XX> change/CH?~6.2.0 \
             data*(longitude:double latitude:double member:string)",
        )
        .history(&[("6.2.0", "Options CH, NX and XX.")]),
    Spec::new("geodist", -4, "readonly", "geo")
        .runs(geo::geodist)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("geo", "3.2.0", "O(log(N))", "Returns the distance between two members.")
        .arguments("key:key@0 member1:string member2:string unit?<m/M km/KM ft/FT mi/MI>"),
    Spec::new("geohash", -2, "readonly", "geo")
        .runs(geo::geohash)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("geo", "3.2.0", "O(log(N)) for each member", "Returns the places of members as geohashes.")
        .arguments("key:key@0 member:string*"),
    Spec::new("geopos", -2, "readonly", "geo")
        .runs(geo::geopos)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("geo", "3.2.0", "O(log(N)) for each member", "Returns longitude and latitude of members.")
        .arguments("key:key@0 member:string*"),
    Spec::new("georadius", -6, "write denyoom", "geo")
        .runs(search::georadius)
        .keys(&[
            KeySpec::one("RO access", 1),
            KeySpec::after("OW update", "STORE", 6),
            KeySpec::after("OW update", "STOREDIST", 6),
        ])
        .doc("geo", "3.2.0", "O(N+log(M))", "Finds the members within a distance from a place; may store them.")
        .arguments(
            "key:key@0 longitude:double latitude:double radius:double unit<m/M km/KM ft/FT mi/MI> \
             withcoord/WITHCOORD? withdist/WITHDIST? withhash/WITHHASH? \
             count-block?(count:integer/COUNT any/ANY?~6.2.0) order?<asc/ASC desc/DESC> \
             storekey:key/STORE@1? storedistkey:key/STOREDIST@2?",
        )
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`")
        .history(&[("6.2.0", "ANY for COUNT."), ("7.0.0", "Uppercase unit names.")]),
    Spec::new("georadius_ro", -6, "readonly", "geo")
        .runs(search::georadius_ro)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("geo", "3.2.10", "O(N+log(M))", "Finds the members within a distance from a place.")
        .arguments(
            "key:key@0 longitude:double latitude:double radius:double unit<m/M km/KM ft/FT mi/MI> \
             withcoord/WITHCOORD? withdist/WITHDIST? withhash/WITHHASH? \
             count-block?(count:integer/COUNT any/ANY?~6.2.0) order?<asc/ASC desc/DESC>",
        )
        .deprecated("6.2.0", "`GEOSEARCH` with `BYRADIUS`")
        .history(&[("6.2.0", "ANY for COUNT."), ("7.0.0", "Uppercase unit names.")]),
    Spec::new("georadiusbymember", -5, "write denyoom", "geo")
        .runs(search::georadiusbymember)
        .keys(&[
            KeySpec::one("RO access", 1),
            KeySpec::after("OW update", "STORE", 5),
            KeySpec::after("OW update", "STOREDIST", 5),
        ])
        .doc("geo", "3.2.0", "O(N+log(M))", "Finds the members within a distance from a member; may store them.")
        .arguments(
            "key:key@0 member:string radius:double unit<m/M km/KM ft/FT mi/MI> \
             withcoord/WITHCOORD? withdist/WITHDIST? withhash/WITHHASH? \
             count-block?(count:integer/COUNT any/ANY?) order?<asc/ASC desc/DESC> \
             storekey:key/STORE@1? storedistkey:key/STOREDIST@2?",
        )
        .deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS` and `FROMMEMBER`")
        .history(&[("6.2.0", "ANY for COUNT."), ("7.0.0", "Uppercase unit names.")]),
    Spec::new("georadiusbymember_ro", -5, "readonly", "geo")
        .runs(search::georadiusbymember_ro)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("geo", "3.2.10", "O(N+log(M))", "Finds the members within a distance from a member.")
        .arguments(
            "key:key@0 member:string radius:double unit<m/M km/KM ft/FT mi/MI> \
             withcoord/WITHCOORD? withdist/WITHDIST? withhash/WITHHASH? \
             count-block?(count:integer/COUNT any/ANY?) order?<asc/ASC desc/DESC>",
        )
        .deprecated("6.2.0", "`GEOSEARCH` with `BYRADIUS` and `FROMMEMBER`"),
    Spec::new("geosearch", -7, "readonly", "geo")
        .runs(search::geosearch)
        .keys(&[KeySpec::one("RO access", 1)])
        .doc("geo", "6.2.0", "O(N+log(M))", "Finds the members within a circle or a rectangle.")
        .arguments(
            "key:key@0 from<member:string/FROMMEMBER \
             fromlonlat/FROMLONLAT(longitude:double latitude:double)> \
             by<circle(radius:double/BYRADIUS unit<m/M km/KM ft/FT mi/MI>) \
             box(width:double/BYBOX height:double unit<m/M km/KM ft/FT mi/MI>)> \
             order?<asc/ASC desc/DESC> count-block?(count:integer/COUNT any/ANY?) \
             withcoord/WITHCOORD? withdist/WITHDIST? withhash/WITHHASH?",
        )
        .history(&[("7.0.0", "Uppercase unit names.")]),
    Spec::new("geosearchstore", -8, "write denyoom", "geo")
        .runs(search::geosearchstore)
        .keys(&[KeySpec::one("OW update", 1), KeySpec::one("RO access", 2)])
        .doc("geo", "6.2.0", "O(N+log(M))", "Stores the members within a circle or a rectangle in another sorted set.")
        .arguments(
            "destination:key@0 source:key@1 from<member:string/FROMMEMBER \
             fromlonlat/FROMLONLAT(longitude:double latitude:double)> \
             by<circle(radius:double/BYRADIUS unit<m/M km/KM ft/FT mi/MI>) \
             box(width:double/BYBOX height:double unit<m/M km/KM ft/FT mi/MI>)> \
             order?<asc/ASC desc/DESC> count-block?(count:integer/COUNT any/ANY?) \
             storedist/STOREDIST?",
        )
        .history(&[("7.0.0", "Uppercase unit names.")]),
];
