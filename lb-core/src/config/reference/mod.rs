//! The reference of the file, `docs/reference.md` and `docs/lb.schema.json`, made from two sources: what the reader
//! accepts, which is found out by asking it, and what `conf/full.toml` says of each key.

mod page;
mod schema;
mod shape;
mod text;

use std::path::Path;

use self::shape::Shape;

fn full_toml() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/full.toml");
    std::fs::read_to_string(path).expect("conf/full.toml")
}

#[test]
fn the_reference_of_keys_is_as_generated() {
    let file = Shape::of_file();
    let sections = text::sections(&full_toml(), &file);
    let untold = page::untold(&file, &sections);
    assert!(untold.is_empty(), "conf/full.toml does not show {}", untold.join(", "));
    crate::generated::assert_is("docs/reference.md", &page::page(&file, &sections));
    crate::generated::assert_is("docs/lb.schema.json", &schema::schema(&file, &sections));
}
