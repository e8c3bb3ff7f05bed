//! JSON to Lua values, with the errors and the leniency of Redis's `cjson`: numbers as C's `strtod` reads them (`0x10`,
//! `inf` and `nan` too, while those are allowed), anything but `"` and `\` as a character of a string.

use mlua::{IntoLua, Lua, Table, Value};

use super::super::arguments::{Outcome, line};
use super::cjson::Options;

/// Nesting that no option exceeds.
const DEPTH_MAX: i64 = 1_000;

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(reason) => reason,
        }
    }
}

/// A table that is being read, and where its next value goes: an index, or a key.
struct Open {
    table: Table,
    place: Value,
}

/// Reads one document.
pub struct Parser<'a> {
    lua: &'a Lua,
    json: &'a [u8],
    options: Options,
    at: usize,
    /// Where the token at hand began.
    start: usize,
}

impl<'a> Parser<'a> {
    /// A parser at the start of a document.
    pub fn new(lua: &'a Lua, json: &'a [u8], options: Options) -> Parser<'a> {
        Parser { lua, json, options, at: 0, start: 0 }
    }

    /// The value of the whole document. What is open lies in a list: nesting costs no stack.
    pub fn document(mut self) -> Outcome<Value> {
        let mut open: Vec<Open> = Vec::new();
        let mut token = self.token();
        'values: loop {
            let mut value = match token {
                Token::String(bytes) => self.lua.create_string(&bytes)?.into_lua(self.lua)?,
                Token::Number(number) => Value::Number(number),
                Token::Boolean(truth) => Value::Boolean(truth),
                Token::Null => Value::NULL,
                Token::ObjectBegin => {
                    self.descend(open.len())?;
                    let table = self.lua.create_table()?;
                    match self.token() {
                        Token::ObjectEnd => Value::Table(table),
                        key => {
                            open.push(Open { table, place: self.key(key)? });
                            token = self.token();
                            continue 'values;
                        }
                    }
                }
                Token::ArrayBegin => {
                    self.descend(open.len())?;
                    let table = self.lua.create_table()?;
                    token = self.token();
                    if !matches!(token, Token::ArrayEnd) {
                        open.push(Open { table, place: Value::Integer(1) });
                        continue 'values;
                    }
                    Value::Table(table)
                }
                other => return self.expected("value", &other),
            };
            // The value is whole: it goes to its place in what is open, which may be whole with it.
            while let Some(Open { table, place }) = open.last_mut() {
                table.raw_set(&*place, value)?;
                let next = self.token();
                match (next, &*place) {
                    (Token::Comma, Value::Integer(index)) => {
                        *place = Value::Integer(index + 1);
                        token = self.token();
                        continue 'values;
                    }
                    (Token::Comma, _) => {
                        let key = self.token();
                        *place = self.key(key)?;
                        token = self.token();
                        continue 'values;
                    }
                    (Token::ArrayEnd, Value::Integer(_)) => {}
                    (Token::ObjectEnd, Value::String(_)) => {}
                    (other, Value::Integer(_)) => return self.expected("comma or array end", &other),
                    (other, _) => return self.expected("comma or object end", &other),
                }
                value = match open.pop() {
                    Some(Open { table, .. }) => Value::Table(table),
                    None => Value::Nil,
                };
            }
            return match self.token() {
                Token::End => Ok(value),
                other => self.expected("the end", &other),
            };
        }
    }

    fn expected<T>(&self, what: &str, found: &Token) -> Outcome<T> {
        line(format!("Expected {what} but found {} at character {}", found.name(), self.start + 1))
    }

    /// A key, and the colon behind it.
    fn key(&mut self, token: Token) -> Outcome<Value> {
        let Token::String(key) = token else { return self.expected("object key string", &token) };
        match self.token() {
            Token::Colon => Ok(self.lua.create_string(&key)?.into_lua(self.lua)?),
            other => self.expected("colon", &other),
        }
    }

    /// Another table opens inside of so many.
    fn descend(&mut self, open: usize) -> Outcome<()> {
        let depth = open as i64 + 1;
        if depth > self.options.decode_depth_max.min(DEPTH_MAX) {
            return line(format!("Found too many nested data structures ({depth}) at character {}", self.at));
        }
        Ok(())
    }

    fn token(&mut self) -> Token {
        while self.json.get(self.at).is_some_and(|byte| b" \t\n\r".contains(byte)) {
            self.at += 1;
        }
        self.start = self.at;
        let rest = &self.json[self.at..];
        let Some(first) = rest.first() else { return Token::End };
        let single = match first {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            // As in C, a zero byte ends the text.
            0 => return Token::End,
            b'"' => return self.string(),
            b'+' | b'-' | b'0'..=b'9' => {
                if !self.options.decode_invalid && is_invalid_number(rest) {
                    return Token::Error("invalid number");
                }
                return self.number();
            }
            _ => return self.word(),
        };
        self.at += 1;
        single
    }

    fn word(&mut self) -> Token {
        let rest = &self.json[self.at..];
        for (word, token) in
            [(&b"true"[..], Token::Boolean(true)), (&b"false"[..], Token::Boolean(false)), (&b"null"[..], Token::Null)]
        {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        if self.options.decode_invalid && is_invalid_number(rest) {
            return self.number();
        }
        Token::Error("invalid token")
    }

    fn number(&mut self) -> Token {
        match read_number(&self.json[self.at..]) {
            Some((value, length)) => {
                self.at += length;
                Token::Number(value)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> Token {
        let mut bytes = Vec::new();
        let mut at = self.at + 1;
        let failed = |at: usize, reason| (at, Token::Error(reason));
        let (end, token) = loop {
            match self.json.get(at) {
                None | Some(0) => break failed(at, "unexpected end of string"),
                Some(b'"') => break (at + 1, Token::String(bytes)),
                Some(b'\\') => {
                    let simple = match self.json.get(at + 1) {
                        Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
                        Some(b'b') => 8,
                        Some(b't') => b'\t',
                        Some(b'n') => b'\n',
                        Some(b'f') => 12,
                        Some(b'r') => b'\r',
                        Some(b'u') => match unicode(&self.json[at..]) {
                            Some((character, length)) => {
                                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                                at += length;
                                continue;
                            }
                            None => break failed(at, "invalid unicode escape code"),
                        },
                        _ => break failed(at, "invalid escape code"),
                    };
                    bytes.push(simple);
                    at += 2;
                }
                Some(byte) => {
                    bytes.push(*byte);
                    at += 1;
                }
            }
        };
        self.at = end;
        if matches!(token, Token::Error(_)) {
            self.start = end;
        }
        token
    }
}

/// `\uXXXX`, or two of them that are one character; and its length.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6).filter(|text| text.starts_with(b"\\u"))?.get(2..)?;
        let digits = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let high = unit(0)?;
    if high & 0xF800 != 0xD800 {
        return Some((char::from_u32(high)?, 6));
    }
    let low = unit(6)?;
    if high & 0x400 != 0 || low & 0xFC00 != 0xDC00 {
        return None;
    }
    Some((char::from_u32(0x10000 + ((high & 0x3FF) << 10) + (low & 0x3FF))?, 12))
}

/// Whether this begins like a number that JSON has not: hexadecimal, with zeros in front, infinite or none.
fn is_invalid_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).unwrap_or(text);
    let lower: Vec<u8> = text.iter().take(3).map(u8::to_ascii_lowercase).collect();
    match &lower[..] {
        [b'0', b'x' | b'0'..=b'9', ..] => true,
        [b'0'..=b'9', ..] => false,
        other => other == b"inf" || other == b"nan",
    }
}

/// The number at the start of a text, as C reads it, and its length.
fn read_number(text: &[u8]) -> Option<(f64, usize)> {
    let signed = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let negative = text.first() == Some(&b'-');
    let sign = |value: f64| if negative { -value } else { value };
    let rest = &text[signed..];
    let lower: Vec<u8> = rest.iter().take(8).map(u8::to_ascii_lowercase).collect();
    if lower.starts_with(b"infinity") {
        return Some((sign(f64::INFINITY), signed + 8));
    }
    if lower.starts_with(b"inf") {
        return Some((sign(f64::INFINITY), signed + 3));
    }
    if lower.starts_with(b"nan") {
        return Some((sign(f64::NAN), signed + 3));
    }
    let digits = |from: usize, is: fn(&u8) -> bool| rest[from..].iter().take_while(|byte| is(byte)).count();
    if lower.starts_with(b"0x") && digits(2, u8::is_ascii_hexdigit) > 0 {
        let count = digits(2, u8::is_ascii_hexdigit);
        let hexadecimal = |byte: &u8| f64::from(char::from(*byte).to_digit(16).unwrap_or(0));
        let value = rest[2..2 + count].iter().fold(0.0, |value, byte| value * 16.0 + hexadecimal(byte));
        return Some((sign(value), signed + 2 + count));
    }
    let whole = digits(0, u8::is_ascii_digit);
    let mut end = whole;
    let mut fraction = 0;
    if rest.get(end) == Some(&b'.') {
        fraction = digits(end + 1, u8::is_ascii_digit);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if whole + fraction == 0 {
        return None;
    }
    if matches!(rest.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(end + 1), Some(b'-' | b'+')));
        let exponent = rest.get(end + 1 + sign..).map_or(0, |_| digits(end + 1 + sign, u8::is_ascii_digit));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let value: f64 = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((sign(value), signed + end))
}
