#!/usr/bin/env bash
# Many seeds, and every planted bug, in one go: for a quiet machine. About 0.4 s of CPU for each seed in a debug build.
# DRUMLIN_SIMULATION_SEEDS (default 5000) and DRUMLIN_SIMULATION_SEEDS_PER_BUG (default 1000) say how many.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export DRUMLIN_SIMULATION_SEEDS="${DRUMLIN_SIMULATION_SEEDS:-5000}"
export DRUMLIN_SIMULATION_SEEDS_PER_BUG="${DRUMLIN_SIMULATION_SEEDS_PER_BUG:-1000}"
exec cargo test --workspace --test simulation -- --nocapture "$@"
