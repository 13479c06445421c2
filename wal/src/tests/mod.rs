//! The service as its callers see it, on a real directory.

mod alone;
mod archive;
mod cluster;
mod crash;
mod prepared;
mod remote;
mod service;
mod support;
mod versions;
