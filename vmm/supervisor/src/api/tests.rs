//! The API over a real socket, with a real keeper, wire and runner, and one task that no machine has.

mod crowd;
mod document;
mod doors;
mod refused;
mod rights;
mod routes;
mod stream;
mod support;
