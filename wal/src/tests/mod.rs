//! The service as its callers see it, on a real directory.

mod cluster;
mod crash;
mod service;
mod support;
