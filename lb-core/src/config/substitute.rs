//! `${VAR}` inside string values.
//!
//! `${VAR}` is the variable's value, `${VAR:-default}` the default where the variable is unset or empty (the
//! shell's rule), `$${` a literal `${`. A `$` that no `{` follows is itself, so regular expressions need no escape.
//! What a variable holds is not looked at again. The environment is the caller's: this crate reads none.

use std::borrow::Cow;

/// The caller's environment: the value of a variable, `None` where it is unset.
pub(crate) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Why a text can't be expanded, and the part of it that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubstituteError {
    #[error("`${{{0}}}` names an environment variable that is not set")]
    Unset(String),
    #[error("`{0}` is not closed")]
    Unclosed(String),
    #[error("`{0}` is not a variable")]
    NotAName(String),
    #[error("`{0}` nests one variable in another")]
    Nested(String),
}

impl SubstituteError {
    /// What to do about it.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::Unset(name) => format!("set it, or give a default: `${{{name}:-...}}`"),
            Self::Unclosed(_) => "add `}`, or write `$${` for a literal `${`".to_owned(),
            Self::NotAName(_) => {
                "write `${NAME}` or `${NAME:-default}`, or `$${` for a literal `${`".to_owned()
            }
            Self::Nested(_) => "use a plain default".to_owned(),
        }
    }

    /// The text that stands in the file at the place to blame.
    pub(crate) fn blamed(&self) -> String {
        match self {
            Self::Unset(name) => format!("${{{name}"),
            Self::Unclosed(text) | Self::NotAName(text) | Self::Nested(text) => text.clone(),
        }
    }
}

/// Replaces every variable in `text`; borrowed where there is none.
pub(crate) fn substitute<'t>(text: &'t str, env: &Environment<'_>) -> Result<Cow<'t, str>, SubstituteError> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let before = rest.get(..at).unwrap_or_default();
        let after = rest.get(at + 2..).unwrap_or_default();
        if let Some(literal) = before.strip_suffix('$') {
            expanded.push_str(literal);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let (inside, behind) =
            after.split_once('}').ok_or_else(|| SubstituteError::Unclosed(format!("${{{after}")))?;
        expanded.push_str(&expand(inside, env)?);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(Cow::Owned(expanded))
}

fn expand(inside: &str, env: &Environment<'_>) -> Result<String, SubstituteError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        return Err(SubstituteError::NotAName(format!("${{{inside}}}")));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(SubstituteError::Nested(format!("${{{inside}}}")));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(SubstituteError::Unset(name.to_owned())),
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("web1".to_owned()),
            "EMPTY" => Some(String::new()),
            "LOOP" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expected) in [
            ("", ""),
            ("plain $ text $1 ^/x$", "plain $ text $1 ^/x$"),
            ("${HOST}:80", "web1:80"),
            ("a${HOST}b${HOST}c", "aweb1bweb1c"),
            ("${PORT:-80}", "80"),
            ("${HOST:-other}", "web1"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("${LOOP}", "${HOST}"),
        ] {
            assert_eq!(substitute(text, &env).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_variable_is_refused() {
        for (text, expected) in [
            ("${NONE}", SubstituteError::Unset("NONE".into())),
            ("x${HOST", SubstituteError::Unclosed("${HOST".into())),
            ("${}", SubstituteError::NotAName("${}".into())),
            ("${1X}", SubstituteError::NotAName("${1X}".into())),
            ("${HOST-x}", SubstituteError::NotAName("${HOST-x}".into())),
            ("${A:-${HOST}}", SubstituteError::Nested("${A:-${HOST}".into())),
        ] {
            assert_eq!(substitute(text, &env), Err(expected), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(text in ".*") {
            let _ = substitute(&text, &env);
        }

        #[test]
        fn an_escaped_text_comes_back(text in "[a-z${}:-]*") {
            let escaped = text.replace("${", "$${");
            // A run of dollars before a brace is ambiguous to write, not to read.
            if !text.contains("$$") {
                let expanded = substitute(&escaped, &env);
                proptest::prop_assert_eq!(expanded.as_deref(), Ok(text.as_str()));
            }
        }
    }
}
