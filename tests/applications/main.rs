//! Applications as Debian ships them, unmodified, with nothing but Drumlin below them: installed, visited, searched.
//!
//! Their packages are unpacked, not installed: a web server that comes with one must not start on this machine. PHP's own
//! web server runs them.

#[path = "../harness/mod.rs"]
mod harness;

mod mediawiki;
mod php;
mod phpmyadmin;
mod wordpress;
