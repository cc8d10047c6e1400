//! The checker: says yes to good histories, no to bad ones, and names what is wrong.

mod bad;
mod generated;
mod good;
mod orchestra;
mod tale;
