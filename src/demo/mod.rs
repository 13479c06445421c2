//! Examples that the binary can load into a running server.

mod auction;
mod bidding;
mod marketplace;

use crate::failure::Failure;

#[derive(clap::Subcommand)]
pub enum Example {
    /// A marketplace: users, items, bids and watchlists (see examples/auction)
    Auction(auction::Arguments),
}

pub async fn run(example: Example) -> Result<(), Failure> {
    match example {
        Example::Auction(arguments) => auction::run(arguments).await,
    }
}
