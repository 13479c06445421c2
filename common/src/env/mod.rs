//! The environment: time, randomness, disk and object store. Everything above takes these from here, so that a whole
//! cluster can run from one seed; each has a real form and one that a test controls.

pub mod clock;
pub mod data_dir;
pub mod file_store;
pub mod metered_store;
pub mod object_store;
pub mod objects;
pub mod planted;
pub mod random;
pub mod retry;
pub mod threads;

pub use clock::{Clock, ManualClock, SystemClock};
pub use data_dir::{DataDir, DataDirError};
pub use object_store::{Store, StoreError};
pub use objects::{Created, ObjectError, Objects};
pub use random::Random;
