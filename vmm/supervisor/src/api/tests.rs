//! The API over a real socket, with a real keeper, wire and runner, and one task that no machine has.

mod apply;
mod crowd;
mod document;
mod doors;
mod listing;
mod names;
mod poll;
mod refused;
mod rights;
mod routes;
mod stream;
pub mod support;
