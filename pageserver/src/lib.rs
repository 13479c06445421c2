//! pageserver
