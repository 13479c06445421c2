//! The contents of the example marketplace: the same for the same sizes, on every machine.
//!
//! A few items are hot: item `n` is chosen with a weight of about `1/n`. Bids rise, so that each item's price is its
//! highest bid.

use common::env::Random;
use std::fmt::Write;

pub const CATEGORIES: [&str; 8] =
    ["art", "bicycles", "books", "cameras", "furniture", "instruments", "records", "watches"];
const ADJECTIVES: [&str; 10] =
    ["antique", "blue", "curious", "fine", "large", "mint", "rare", "restored", "signed", "small"];
const THINGS: [&str; 8] =
    ["lithograph", "racing bicycle", "first edition", "rangefinder", "armchair", "violin", "pressing", "chronograph"];
const COUNTRIES: [&str; 8] = ["DE", "FR", "GB", "IT", "JP", "NL", "SE", "US"];
const FIRST_NAMES: [&str; 12] =
    ["Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Farid", "Greta", "Hana", "Ivo", "Jun", "Karin", "Luis"];
const LAST_NAMES: [&str; 10] =
    ["Abel", "Berg", "Costa", "Dubois", "Endo", "Fischer", "Garcia", "Hansen", "Ito", "Jansen"];
/// Bids are spread over two weeks.
const MINUTES_OF_BIDDING: u64 = 14 * 24 * 60;

#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub users: u32,
    pub items: u32,
    pub bids: u32,
}

/// What becomes of an item by the bids that are loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Price {
    starting_cents: u32,
    high: Option<(u32, u32)>,
    bid_count: u32,
}

/// All rows, as the text between `VALUES` and the end of an INSERT, in an order that satisfies the foreign keys.
pub struct Marketplace {
    pub categories: Vec<String>,
    pub users: Vec<String>,
    pub items: Vec<String>,
    pub bids: Vec<String>,
    pub watchlist: Vec<String>,
}

pub fn generate(sizes: Sizes) -> Marketplace {
    let random = Random::seeded(2026);
    let users = (1..=sizes.users).map(|id| user(id, &random)).collect();
    let mut prices: Vec<Price> = (0..sizes.items)
        .map(|_| Price { starting_cents: 100 * (1 + random.below(200) as u32), ..Price::default() })
        .collect();
    let bids = (0..sizes.bids).map(|at| bid(at, sizes, &mut prices, &random)).collect();
    let items = prices.iter().zip(1..).map(|(price, id)| item(id, price, sizes, &random)).collect();
    let categories = CATEGORIES.iter().zip(1..).map(|(name, id)| format!("({id},'{name}')")).collect();
    let watchlist = (1..=sizes.users).flat_map(|user| watched(user, sizes, &random)).collect();
    Marketplace { categories, users, items, bids, watchlist }
}

fn one_of<'a>(choices: &[&'a str], random: &Random) -> &'a str {
    choices[random.below(choices.len() as u64) as usize]
}

fn user(id: u32, random: &Random) -> String {
    let (first, last) = (one_of(&FIRST_NAMES, random), one_of(&LAST_NAMES, random));
    let email = format!("{}.{}.{id}@example.com", first.to_lowercase(), last.to_lowercase());
    let (country, rating) = (one_of(&COUNTRIES, random), 300 + random.below(201));
    let (year, month, day) = (2018 + random.below(8), 1 + random.below(12), 1 + random.below(28));
    format!(
        "({id},'{first} {last}','{email}','{country}',{}.{:02},'{year}-{month:02}-{day:02} 12:00:00')",
        rating / 100,
        rating % 100
    )
}

/// An item's number from 0, the small ones far more often: uniform in the logarithm.
pub fn hot_item(items: u32, random: &Random) -> u32 {
    let fraction = random.below(1 << 32) as f64 / (1u64 << 32) as f64;
    let number = f64::from(items + 1).powf(fraction) as u32;
    number.saturating_sub(1).min(items - 1)
}

fn bid(at: u32, sizes: Sizes, prices: &mut [Price], random: &Random) -> String {
    let item = hot_item(sizes.items, random);
    let user = 1 + random.below(u64::from(sizes.users)) as u32;
    let price = &mut prices[item as usize];
    let amount = price.high.map_or(price.starting_cents, |(cents, _)| cents) + 25 * (1 + random.below(8) as u32);
    price.high = Some((amount, user));
    price.bid_count += 1;
    // Bids are placed one after the other over two weeks.
    let minute = MINUTES_OF_BIDDING * u64::from(at) / u64::from(sizes.bids.max(1));
    let (day, hour, minute) = (1 + minute / 1440, minute / 60 % 24, minute % 60);
    format!("({},{user},{amount},'2026-11-{day:02} {hour:02}:{minute:02}:{:02}')", item + 1, random.below(60))
}

fn item(id: u32, price: &Price, sizes: Sizes, random: &Random) -> String {
    let category = random.below(CATEGORIES.len() as u64) as usize;
    let title = format!("{} {}", one_of(&ADJECTIVES, random), THINGS[category]);
    let seller = 1 + random.below(u64::from(sizes.users));
    let (day, hour) = (15 + random.below(14), random.below(24));
    let mut row = format!("({id},{seller},{},'{title}',{},", category + 1, price.starting_cents);
    match price.high {
        Some((cents, user)) => write!(row, "{cents},{user},"),
        None => write!(row, "NULL,NULL,"),
    }
    .expect("writing to a string");
    row + &format!("{},'open','2026-11-{day:02} {hour:02}:00:00')", price.bid_count)
}

/// Up to eight items, each once.
fn watched(user: u32, sizes: Sizes, random: &Random) -> Vec<String> {
    let mut items: Vec<u32> = (0..random.below(9)).map(|_| 1 + hot_item(sizes.items, random)).collect();
    items.sort_unstable();
    items.dedup();
    items.into_iter().map(|item| format!("({user},{item},'2026-11-01 08:00:00')")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { users: 50, items: 100, bids: 2000 };

    #[test]
    fn the_same_sizes_give_the_same_rows() {
        let (first, second) = (generate(SIZES), generate(SIZES));
        assert_eq!((first.bids, first.items, first.users), (second.bids, second.items, second.users));
        assert_eq!(first.watchlist, second.watchlist);
    }

    #[test]
    fn prices_are_the_highest_bids_and_few_items_are_hot() {
        let made = generate(SIZES);
        let mut highest = vec![(0u32, 0usize); 101];
        for bid in &made.bids {
            let fields: Vec<&str> = bid.trim_matches(['(', ')']).split(',').collect();
            let (item, amount): (usize, u32) = (fields[0].parse().unwrap(), fields[2].parse().unwrap());
            assert!(amount > highest[item].0, "bids rise");
            highest[item] = (amount, highest[item].1 + 1);
        }
        for (row, (amount, count)) in made.items.iter().zip(&highest[1..]) {
            let fields: Vec<&str> = row.split(',').collect();
            let (cents, counted) = (fields[5].parse::<u32>().unwrap_or(0), fields[7].parse::<usize>().unwrap());
            assert_eq!((cents, counted), (*amount, *count), "{row}");
        }
        let top_ten: usize = highest[1..11].iter().map(|(_, count)| count).sum();
        assert!(top_ten * 3 > made.bids.len(), "{top_ten} of {}", made.bids.len());
    }
}
