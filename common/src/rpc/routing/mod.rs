//! Both services over several nodes, as one: calls go to the node that can answer, and again where that is safe.
//!
//! ```text
//! WalRouter  ── calls ──▶ the leader            PageRouter ── calls ──▶ the owner, or whoever has the data
//!     ▲ who leads, in which term                    ▲ who answers, who owns
//! leader (one task, asks the members)           health (one task, asks the page servers)
//! ```
//!
//! What always holds
//! - A call that is on its way to a node which has lost its place is given up at once, not at its deadline.
//! - A call ends within its patience. Only calls that may safely run twice are sent twice; a commit is one of them,
//!   because the log knows it by its id.

mod health;
mod leader;
mod page;
mod read_lsn;
mod wal;

pub use page::PageRouter;
pub use wal::WalRouter;

use std::time::Duration;

/// Before a call is sent again; doubles each time.
const RETRY_WAIT_FIRST: Duration = Duration::from_millis(5);
const RETRY_WAIT_MAX: Duration = Duration::from_millis(100);
