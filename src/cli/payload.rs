//! A payload on the command line: the text itself, `-` for stdin, or `@file`.

use std::{
    fs,
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
};

use anyhow::Context;

use super::Error;

/// Where a payload is taken from. It is sent as it is: JSON by convention, never checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    Text(String),
    Stdin,
    File(PathBuf),
}

impl Payload {
    pub fn read(self) -> Result<String, Error> {
        match self {
            Payload::Text(text) => Ok(text),
            Payload::Stdin => {
                let mut text = String::new();
                io::stdin().read_to_string(&mut text).context("the input can't be read from stdin")?;
                Ok(text)
            }
            Payload::File(path) => Ok(fs::read_to_string(&path)
                .with_context(|| format!("the input can't be read from the file {}", path.display()))?),
        }
    }
}

impl FromStr for Payload {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Payload, &'static str> {
        match text.strip_prefix('@') {
            Some("") => Err("the name of a file must follow the @"),
            Some(path) => Ok(Payload::File(path.into())),
            None if text == "-" => Ok(Payload::Stdin),
            None => Ok(Payload::Text(text.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_a_text_stdin_or_a_file() {
        let cases = [
            (r#"{"a":1}"#, Ok(Payload::Text(r#"{"a":1}"#.into()))),
            ("", Ok(Payload::Text(String::new()))),
            ("-1", Ok(Payload::Text("-1".into()))),
            ("-", Ok(Payload::Stdin)),
            ("@in.json", Ok(Payload::File("in.json".into()))),
            ("@", Err("the name of a file must follow the @")),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
