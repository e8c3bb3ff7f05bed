//! Strings.

use crate::command::spec::{KeySpec, Spec};
use crate::command::string;

pub(super) const ROWS: &[Spec] = &[Spec::new("get", 2, "readonly fast", "string")
    .runs(string::get)
    .keys(&[KeySpec::one("RO access", 1)])
    .doc("string", "1.0.0", "O(1)", "Returns the string at a key.")
    .arguments("key:key@0")];
