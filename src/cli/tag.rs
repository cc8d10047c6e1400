//! A tag on the command line: `KEY=VALUE`.

use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    pub key: String,
    pub value: String,
}

impl FromStr for Tag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Tag, &'static str> {
        let (key, value) = text.split_once('=').ok_or("a tag is written KEY=VALUE")?;
        Ok(Tag { key: key.into(), value: value.into() })
    }
}
