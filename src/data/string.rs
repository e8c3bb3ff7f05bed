//! Strings: bytes, which are also numbers.
