//! Reviews as a real API server sent them, answered byte for byte.
//!
//! `tests/cluster/reviews.rs` captures the reviews; `UPDATE_GOLDEN=1` writes the answers anew.

use std::{env, fs, path::Path};

use chartgate::{
    admission::{self, Endpoint},
    policy::{Facts, Settings},
};

#[test]
fn answers_captured_reviews_byte_for_byte() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let reviews = fs::read_dir(fixtures.join("reviews")).expect("the reviews are committed");
    let mut seen = 0;
    for review in reviews {
        let review = review.expect("the folder can be listed").path();
        let answer = fixtures.join("answers").join(review.file_name().expect("a file has a name"));
        let body = fs::read(&review).expect("a review can be read");
        let ours = admission::review(&body, Endpoint::Mutate, &Settings::default(), &Facts::default())
            .expect("the API server sends reviews")
            .body;
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(fixtures.join("answers")).expect("the folder can be made");
            fs::write(&answer, &ours).expect("an answer can be written");
        }
        let golden = fs::read(&answer).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&golden), "{}", answer.display());
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} reviews");
}
