//! The copy of the API's description in `docs/`, for who reads it without a supervisor.

use utoipa::OpenApi;

use crate::api::openapi::Document;

const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

/// With `PINFOLD_BLESS=1` in the environment it writes the copy instead.
#[test]
fn the_copy_in_docs_is_what_is_served() {
    let mut served = Document::openapi().to_pretty_json().unwrap();
    served.push('\n');
    if std::env::var_os("PINFOLD_BLESS").is_some() {
        std::fs::write(COPY, &served).unwrap();
    }
    let copy = std::fs::read_to_string(COPY).unwrap_or_default();
    assert!(
        copy == served,
        "docs/openapi.json is stale: PINFOLD_BLESS=1 cargo test -p supervisor --lib api::tests::document writes it anew"
    );
}
