//! Booleans as Go `strconv.ParseBool` reads them (`exclude`, `strict`, `when`).
