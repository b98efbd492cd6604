//! A message as it lay on the wire.

/// A request or a response, read strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The request line or status line, without its line end.
    pub start: String,
    /// The fields in their order, bytes above 127 as Latin-1.
    pub fields: Vec<(String, String)>,
    /// The content, decoded.
    pub body: Vec<u8>,
    /// The fields behind a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Message {
    /// A response's status.
    ///
    /// # Panics
    /// When this is no response.
    pub fn status(&self) -> u16 {
        let code = self.start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("not a response: {:?}", self.start))
    }

    /// A request's method.
    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// A request's target.
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the field called `name`, in any case; none where it is missing.
    ///
    /// # Panics
    /// When there are several.
    pub fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.fields_named(name);
        let value = values.next();
        assert_eq!(values.next(), None, "several fields {name}: {:?}", self.fields);
        value
    }

    /// The values of all fields called `name`.
    pub fn fields_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = move |(field, _): &&(String, String)| field.eq_ignore_ascii_case(name);
        self.fields.iter().filter(of_name).map(|(_, value)| value.as_str())
    }

    /// Whether the field called `name` lists `option`.
    pub fn lists(&self, name: &str, option: &str) -> bool {
        self.fields_named(name)
            .flat_map(|value| value.split(','))
            .any(|one| one.trim().eq_ignore_ascii_case(option))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
