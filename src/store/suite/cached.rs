//! cached
