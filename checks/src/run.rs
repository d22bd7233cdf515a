//! The harness: schedules, limits, retries, times and records collectors.
