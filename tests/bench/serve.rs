//! The management plane: `pinfold serve`, asked in plain HTTP over its socket, so that no client's costs are in
//! a figure.
//!
//! `cargo bench -- serve` runs all; `"serve: create"`, `"serve: crowd"` and `"serve: requests"` one part.

mod create;
mod crowd;
mod requests;
mod server;

/// What there is, and the names that choose it.
pub const PARTS: [(&str, fn()); 3] = [
    ("serve: create", create::bench),
    ("serve: crowd", crowd::bench),
    ("serve: requests", requests::bench),
];

/// What else the host does.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("load {}", load.split(' ').next().unwrap_or("unknown"))
}
