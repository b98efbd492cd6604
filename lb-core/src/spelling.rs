//! What somebody meant who made a slip.

/// The word of `known` that `word` is a slip of: the nearest, unless it takes more changes than a third of the letters.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(word, name), name));
    let (distance, name) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= word.chars().count().div_ceil(3)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_a_third_of_the_letters_at_most() {
        let known = ["listen", "limits"];
        for (word, meant) in [
            ("listen", Some("listen")),
            ("lsiten", Some("listen")),
            ("lisn", Some("listen")),
            ("lmt", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word:?}");
        }
        assert_eq!(nearest("a", []), None);
    }
}
