//! The query string: names without regard to case, values decoded.

use percent_encoding::percent_decode_str;
use prost_types::Timestamp;

use super::Problem;

#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; what it says beyond what is asked of it, such as an access key, is passed over.
    pub fn parse(text: &str) -> Result<Query, Problem> {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let decoded = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        });
        decoded.collect::<Result<_, Problem>>().map(Query)
    }

    /// Every value of the name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of the name; an empty one counts as none.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let value = values.next().filter(|value| !value.is_empty());
        match values.next() {
            Some(_) => Err(Problem::invalid(name, "must be given once")),
            None => Ok(value),
        }
    }

    pub fn text(&self, name: &str) -> Result<String, Problem> {
        Ok(self.one(name)?.unwrap_or_default().to_owned())
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.one(name)? {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(Problem::invalid(name, "must be true or false")),
        }
    }

    pub fn number<N: std::str::FromStr>(&self, name: &str) -> Result<Option<N>, Problem> {
        let number = |text: &str| text.parse().map_err(|_| Problem::invalid(name, "must be a whole number"));
        self.one(name)?.map(number).transpose()
    }

    pub fn moment(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        // The plus of an offset, which many forget to encode, was read as a space.
        let text = if text.contains(['T', 't']) { text.replace(' ', "+") } else { text.to_owned() };
        let allowed = "must be a time such as 2026-11-23T16:55:30Z";
        text.parse().map(Some).map_err(|_| Problem::invalid(name, allowed))
    }
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(Into::into).map_err(|_| Problem::invalid("query", "must be UTF-8, percent-encoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_no_case_and_values_are_decoded() {
        let query = Query::parse("TaskHub=a%2Fb+c&x&code=&n=7").unwrap();
        assert_eq!(query.one("taskhub").unwrap(), Some("a/b c"));
        assert_eq!(query.one("x").unwrap(), None);
        assert_eq!(query.one("code").unwrap(), None);
        assert_eq!(query.number::<u32>("N").unwrap(), Some(7));
        assert!(query.flag("absent", true).unwrap());
    }

    #[test]
    fn what_can_not_be_meant_is_refused() {
        assert!(Query::parse("a=%ff").is_err());
        let query = Query::parse("a=1&A=2&flag=yes&n=-1&t=noon").unwrap();
        assert!(query.one("a").is_err());
        assert!(query.flag("flag", false).is_err());
        assert!(query.number::<u32>("n").is_err());
        assert!(query.moment("t").is_err());
    }

    #[test]
    fn a_plus_that_was_not_encoded_is_an_offset() {
        let query = Query::parse("a=2026-11-23T17:00:00+01:00&b=2026-11-23T16:00:00Z&c=2026-11-23").unwrap();
        assert_eq!(query.moment("a").unwrap(), query.moment("b").unwrap());
        assert!(query.moment("c").unwrap().is_some());
    }
}
