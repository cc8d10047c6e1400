//! When the disk refuses, or the folder is not what it should be: who is told what, and that nothing is lost.

mod damage;
mod refusals;
mod setup;
