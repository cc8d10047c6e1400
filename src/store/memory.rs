//! in memory
