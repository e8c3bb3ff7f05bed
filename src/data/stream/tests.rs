//! Streams against a plain model.
