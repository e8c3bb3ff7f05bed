//! The arguments of a command as the table writes them, and as COMMAND DOCS tells them.
//!
//! ```text
//! arguments  argument { " " argument }
//! argument   name [":" type] ["/" TOKEN] ["@" key spec] ["?"] ["*"] ["+"] ["~" version] ["!" version] [choice | block]
//! choice     "<" arguments ">"        one of them
//! block      "(" arguments ")"        all of them, in order
//! ```
//!
//! `?` is optional, `*` repeats, `+` repeats together with its token, `~` tells since when there is the argument, `!` since
//! when it is deprecated. A token may also be one of `= ~ * $`, or `''` for an empty one; an argument with a token and
//! without a type is a word that stands for itself. Example: `key:key@0 value:string condition?<nx/NX xx/XX>
//! ttl:integer/EX?`.

use crate::resp::Value;

/// One argument.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    name: &'static str,
    kind: &'static str,
    token: Option<&'static str>,
    key: Option<i64>,
    flags: Vec<&'static str>,
    since: Option<&'static str>,
    deprecated: Option<&'static str>,
    inner: Vec<Argument>,
}

/// The arguments as COMMAND DOCS tells them; `None` if this is not the notation above.
pub(super) fn documented(arguments: &'static str) -> Option<Vec<Value>> {
    let mut parser = Parser { rest: arguments };
    let parsed = parser.arguments()?;
    parser.rest.is_empty().then(|| parsed.into_iter().map(Argument::into_value).collect())
}

struct Parser {
    rest: &'static str,
}

impl Parser {
    fn arguments(&mut self) -> Option<Vec<Argument>> {
        let mut found = vec![self.argument()?];
        while self.eat(' ') {
            found.push(self.argument()?);
        }
        Some(found)
    }

    fn argument(&mut self) -> Option<Argument> {
        let name = self.word()?;
        let mut kind = if self.eat(':') { Some(self.word()?) } else { None };
        let token = if self.eat('/') { Some(self.symbol().or_else(|| self.word())?) } else { None };
        let key = if self.eat('@') { Some(self.word()?.parse().ok()?) } else { None };
        let marks = [('?', "optional"), ('*', "multiple"), ('+', "multiple_token")];
        let flags = marks.into_iter().filter(|(mark, _)| self.eat(*mark)).map(|(_, flag)| flag).collect();
        let since = if self.eat('~') { Some(self.version()?) } else { None };
        let deprecated = if self.eat('!') { Some(self.version()?) } else { None };
        let mut inner = Vec::new();
        for (open, close, group) in [('<', '>', "oneof"), ('(', ')', "block")] {
            if self.eat(open) {
                kind = Some(group);
                inner = self.arguments()?;
                if !self.eat(close) {
                    return None;
                }
            }
        }
        // A word that stands for itself needs the word.
        let kind = kind.or(token.map(|_| "pure-token"))?;
        Some(Argument { name, kind, token, key, flags, since, deprecated, inner })
    }

    fn word(&mut self) -> Option<&'static str> {
        self.until(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_')
    }

    fn symbol(&mut self) -> Option<&'static str> {
        if self.eat_text("''") {
            return Some("");
        }
        ["=", "~", "*", "$"].into_iter().find(|symbol| self.eat_text(symbol))
    }

    fn version(&mut self) -> Option<&'static str> {
        self.until(|c: char| !c.is_ascii_digit() && c != '.')
    }

    fn until(&mut self, is_end: fn(char) -> bool) -> Option<&'static str> {
        let (word, rest) = self.rest.split_at(self.rest.find(is_end).unwrap_or(self.rest.len()));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn eat(&mut self, mark: char) -> bool {
        self.eat_text(mark.encode_utf8(&mut [0; 4]))
    }

    fn eat_text(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

impl Argument {
    fn into_value(self) -> Value {
        let text = |text: &'static str| Value::bulk(text);
        let mut fields = vec![(text("name"), text(self.name)), (text("type"), text(self.kind))];
        if self.inner.is_empty() {
            fields.push((text("display_text"), text(self.name)));
        }
        fields.extend(self.key.map(|key| (text("key_spec_index"), Value::Integer(key))));
        fields.extend(self.token.map(|token| (text("token"), text(token))));
        fields.extend(self.since.map(|version| (text("since"), text(version))));
        fields.extend(self.deprecated.map(|version| (text("deprecated_since"), text(version))));
        if !self.flags.is_empty() {
            let flags = self.flags.into_iter().map(|flag| Value::Simple(flag.into())).collect();
            fields.push((text("flags"), Value::Set(flags)));
        }
        if !self.inner.is_empty() {
            let inner = self.inner.into_iter().map(Argument::into_value).collect();
            fields.push((text("arguments"), Value::Array(inner)));
        }
        Value::Map(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(name: &'static str, kind: &'static str) -> Argument {
        Argument { name, kind, token: None, key: None, flags: vec![], since: None, deprecated: None, inner: vec![] }
    }

    #[test]
    fn the_notation_is_read() {
        let mut parser =
            Parser { rest: "key:key@0*!6.0.0 when?~2.6.12<nx/NX ex:integer/EX~7.0.0> pair*+(a:string b:string)" };
        let expected = vec![
            Argument { key: Some(0), flags: vec!["multiple"], deprecated: Some("6.0.0"), ..leaf("key", "key") },
            Argument {
                flags: vec!["optional"],
                since: Some("2.6.12"),
                inner: vec![
                    Argument { token: Some("NX"), ..leaf("nx", "pure-token") },
                    Argument { token: Some("EX"), since: Some("7.0.0"), ..leaf("ex", "integer") },
                ],
                ..leaf("when", "oneof")
            },
            Argument {
                flags: vec!["multiple", "multiple_token"],
                inner: vec![leaf("a", "string"), leaf("b", "string")],
                ..leaf("pair", "block")
            },
        ];
        assert_eq!(parser.arguments(), Some(expected));
        assert_eq!(parser.rest, "");
    }

    #[test]
    fn tokens_may_be_empty() {
        let mut parser = Parser { rest: "none/''" };
        let none = Argument { token: Some(""), ..leaf("none", "pure-token") };
        assert_eq!(parser.arguments(), Some(vec![none]));
    }

    #[test]
    fn tokens_may_be_symbols() {
        let symbol = |name, token| Argument { token: Some(token), ..leaf(name, "pure-token") };
        let mut parser = Parser { rest: "equal/= about/~?~1.0 auto/** new/$" };
        let about = Argument { flags: vec!["optional"], since: Some("1.0"), ..symbol("about", "~") };
        let auto = Argument { flags: vec!["multiple"], ..symbol("auto", "*") };
        assert_eq!(parser.arguments(), Some(vec![symbol("equal", "="), about, auto, symbol("new", "$")]));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "a", "a:", "a:b ", "a:b@x", "a<b:c", "a(b:c>", "a:b)", "a:b  c:d"] {
            assert_eq!(documented(text), None, "{text:?}");
        }
    }
}
