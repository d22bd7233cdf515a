//! Durations as Go `time.ParseDuration` reads and `Duration.String` prints them.
