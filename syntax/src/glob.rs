//! Globs: Go `filepath.Match` for bundle files, gobwas/glob with `/` separator for redactor file selectors.
