//! The TLS side.
