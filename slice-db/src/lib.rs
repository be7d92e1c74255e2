//! slice-db.
