//! Running plans: the row path, the analytic path, definitions, SHOW.
