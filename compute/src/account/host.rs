//! Host patterns of accounts. Manual: "Specifying Account Names" (8.2.4), "Access Control, Stage 1" (8.2.6).

use std::net::IpAddr;

/// Whether a client is of a host that the pattern names. `host`: `localhost` for loopback, else the address.
pub fn matches(pattern: &str, host: &str, address: IpAddr) -> bool {
    let address_text = address.to_canonical().to_string();
    if pattern == host || pattern == address_text {
        return true;
    }
    if let Some((network, mask)) = pattern.split_once('/') {
        return in_network(network, mask, address.to_canonical());
    }
    (pattern.contains(['%', '_']) || pattern.is_empty()) && (like(pattern, host) || like(pattern, &address_text))
}

/// How far down a pattern stands when the most specific that matches is wanted: smaller comes first.
pub fn rank(pattern: &str) -> (u8, usize) {
    if pattern == "%" || pattern.is_empty() {
        return (3, 0);
    }
    match pattern.find(['%', '_']) {
        Some(first) => (2, usize::MAX - first),
        None if pattern.contains('/') => (1, 0),
        None => (0, 0),
    }
}

/// `198.51.100.0/255.255.255.0` or `198.51.100.0/24`.
fn in_network(network: &str, mask: &str, address: IpAddr) -> bool {
    match (network.parse::<IpAddr>(), address) {
        (Ok(IpAddr::V4(network)), IpAddr::V4(address)) => {
            let mask = match (mask.parse::<std::net::Ipv4Addr>(), mask.parse::<u32>()) {
                (Ok(mask), _) => u32::from(mask),
                (_, Ok(bits @ 1..=32)) => u32::MAX << (32 - bits),
                (_, Ok(0)) => 0,
                _ => return false,
            };
            u32::from(network) & mask == u32::from(address) & mask
        }
        (Ok(IpAddr::V6(network)), IpAddr::V6(address)) => match mask.parse::<u32>() {
            Ok(0) => true,
            Ok(bits @ 1..=128) => {
                let mask = u128::MAX << (128 - bits);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        },
        _ => false,
    }
}

/// LIKE in any case, with `%`, `_` and backslash: of hosts, and of databases in GRANT.
pub fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position) = (0, 0);
    // Where to go on if what follows the last `%` does not fit: one byte further.
    let mut retry: Option<(usize, usize)> = None;
    while position < text.len() {
        let (literal, length) = match pattern.get(at) {
            Some(b'%') => {
                retry = Some((at + 1, position));
                at += 1;
                continue;
            }
            Some(b'\\') if at + 1 < pattern.len() => (Some(pattern[at + 1]), 2),
            Some(b'_') => (None, 1),
            Some(byte) => (Some(*byte), 1),
            None => (Some(0), 0),
        };
        let fits = length > 0 && literal.is_none_or(|byte| byte.eq_ignore_ascii_case(&text[position]));
        if fits {
            at += length;
            position += 1;
        } else if let Some((after, from)) = retry {
            retry = Some((after, from + 1));
            at = after;
            position = from + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'%')
}
