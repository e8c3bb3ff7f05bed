//! The libraries that Redis adds to Lua, and what replaces parts of Lua's own.

mod bit;
mod cjson;
mod cjson_parse;
mod cmsgpack;
mod math;
mod structure;

pub use bit::open as open_bit;
pub use cjson::open as open_cjson;
pub use cmsgpack::open as open_cmsgpack;
pub use math::open as open_math;
pub use structure::open as open_struct;
