//! What can be set about the page server of this process: the same flags for `drumlin start` and `drumlin node start`.

use crate::failure::Failure;
use pageserver::{Config, DiskCacheConfig};
use std::path::Path;
use std::time::Duration;

const CACHE_MEMORY_BYTES_MIN: u64 = 16 << 20;
/// Below this a disk cache is not worth its files.
const CACHE_DISK_BYTES_MIN: u64 = 64 << 20;

#[derive(Debug, Clone, clap::Args)]
pub struct Settings {
    /// Memory for blocks read from the store, for example 512M or 8G; memtables take up to 256M beside it
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = parse_size, help_heading = "Page server")]
    cache_memory: u64,
    /// Disk space for blocks read from the store, below the data directory; 0 for none
    #[arg(long, value_name = "SIZE", default_value = "4G", value_parser = parse_size, help_heading = "Page server")]
    cache_disk: u64,
    /// How long old versions of rows are kept, for example 30m or 24h; what an open transaction reads is kept for a day,
    /// then its reads are refused
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_time, help_heading = "Page server")]
    pub retention: Duration,
}

impl Settings {
    /// What the command line parser cannot see.
    pub fn check(&self) -> Result<(), Failure> {
        if self.cache_memory < CACHE_MEMORY_BYTES_MIN {
            return Err(Failure::settings("--cache-memory must be at least 16M"));
        }
        if (1..CACHE_DISK_BYTES_MIN).contains(&self.cache_disk) {
            return Err(Failure::settings("--cache-disk must be 0 (none) or at least 64M"));
        }
        // Snapshots in use are told every few seconds: until then the retention alone keeps what they read.
        if self.retention < Duration::from_secs(60) {
            return Err(Failure::settings("--retention must be at least 1m"));
        }
        Ok(())
    }

    pub fn config(&self, data_dir: &Path) -> Config {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut config = Config { retention: self.retention, ..Config::default() };
        config.snapshot_age_max = config.snapshot_age_max.max(self.retention);
        config.cache.memory_bytes = size(self.cache_memory);
        config.cache.disk = (self.cache_disk > 0)
            .then(|| DiskCacheConfig { directory: data_dir.join("cache"), bytes: size(self.cache_disk) });
        config
    }
}

/// Bytes, or a number with K, M, G or T (powers of 1024).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let (number, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        Some((at, 't' | 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = number.parse().map_err(|_| "expected bytes, or a number with K, M, G or T".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| "too large".to_owned())
}

/// Seconds, or a number with s, m, h or d.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let (number, seconds) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    let number: u32 = number.parse().map_err(|_| "expected seconds, or a number with s, m, h or d".to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in
            [("0", 0), ("17", 17), ("3k", 3 << 10), ("256M", 256 << 20), ("8G", 8 << 30), ("1T", 1 << 40)]
        {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for text in ["", "G", "1.5G", "-1", "16777217T", "10 GB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, expected) in [("90", 90), ("5s", 5), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(parse_time(text), Ok(Duration::from_secs(expected)), "{text}");
        }
        for text in ["", "h", "1.5h", "-1", "1w", "4294967296"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}
