//! The do-nothing filesystem: what FUSE itself costs.
