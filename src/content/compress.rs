//! Compression of a page: lz4 where it gains, nothing where a sample says it will not.
