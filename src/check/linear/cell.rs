//! One string of an object as the search sees it: a [`Cell`], and what each command does to it.
//!
//! A text is only told from another where somebody could tell: a text that no reply of the history shows, and that
//! cannot grow into one, is [`Content::Opaque`]. Values that nobody saw then are all the same, and so are the writes
//! of unknown outcome that would have written them. A [`Dictionary`] holds the texts that were seen.
//! Source of the meanings: the Redis 7.2 command documentation.

use std::borrow::Cow;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    /// Nothing.
    Absent,
    /// A text that is the decimal form of a number, where commands on numbers are used.
    Number(i64),
    /// The first so many bytes of a text that was seen; of all such texts the first one, so that equal is the same.
    Known { text: u32, bytes: u32 },
    /// Any other text.
    Opaque { bytes: u32 },
}

/// A key's content, and which deadline it has: 0 for none, otherwise the number of the operation that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    pub content: Content,
    pub deadline: u32,
}

impl Cell {
    /// A key that does not exist.
    pub const ABSENT: Cell = Cell { content: Content::Absent, deadline: 0 };

    /// A number without a deadline.
    pub fn number(number: i64) -> Cell {
        Cell { content: Content::Number(number), deadline: 0 }
    }

    fn exists(self) -> bool {
        self.content != Content::Absent
    }
}

/// When a SET writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    Always,
    IfAbsent,
    IfPresent,
}

/// What APPEND adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// A text of the dictionary.
    Text(u32),
    /// A text of so many bytes that is no part of one that was seen.
    Opaque(u32),
}

/// A command on one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    Get,
    Exists,
    Strlen,
    /// `old`: the reply is what was there before. `keep`: an earlier deadline stays.
    Set {
        value: Content,
        when: When,
        deadline: u32,
        keep: bool,
        old: bool,
    },
    Del,
    Getdel,
    Append {
        token: Token,
    },
    Add(i64),
    Cas {
        old: Content,
        new: Content,
    },
    /// PEXPIRE: sets this deadline.
    Expire {
        deadline: u32,
    },
    Persist,
    /// The moment when this deadline has passed. No client's command.
    Lapse {
        deadline: u32,
    },
}

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// It was not recorded, or there was no answer.
    Any,
    Nil,
    /// The status OK.
    Done,
    Int(i64),
    Value(Content),
}

/// What a deed needs to find to be answered as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing particular.
    Nothing,
    /// Exactly this.
    Exactly(Content),
    /// One of several contents.
    Something,
}

impl Deed {
    /// What becomes of a cell when the command is answered so; `None`: it cannot be.
    pub fn apply(self, dictionary: &Dictionary, cell: Cell, seen: Seen) -> Option<Cell> {
        let flag = |did: bool| matches!(seen, Seen::Any) || seen == Seen::Int(i64::from(did));
        let value = || match (seen, cell.content) {
            (Seen::Any, _) | (Seen::Nil, Content::Absent) => true,
            (Seen::Value(seen), content) => seen == content,
            _ => false,
        };
        let number = |number: i64| matches!(seen, Seen::Any) || seen == Seen::Int(number);
        let (fits, after) = match self {
            Deed::Get => (value(), cell),
            Deed::Exists => (flag(cell.exists()), cell),
            Deed::Strlen => (number(dictionary.bytes(cell.content)), cell),
            Deed::Set { value: new, when, deadline, keep, old } => {
                let writes = match when {
                    When::Always => true,
                    When::IfAbsent => !cell.exists(),
                    When::IfPresent => cell.exists(),
                };
                let fits = match seen {
                    Seen::Any => true,
                    _ if old => value(),
                    Seen::Done => writes,
                    Seen::Nil => !writes,
                    _ => flag(writes),
                };
                let deadline = if keep { cell.deadline } else { deadline };
                (fits, if writes { Cell { content: new, deadline } } else { cell })
            }
            Deed::Del => (flag(cell.exists()), Cell::ABSENT),
            Deed::Getdel => (value(), Cell::ABSENT),
            Deed::Append { token } => {
                let content = dictionary.append(cell.content, token);
                (number(dictionary.bytes(content)), Cell { content, ..cell })
            }
            Deed::Add(by) => {
                let before = match cell.content {
                    Content::Absent => 0,
                    Content::Number(number) => number,
                    // An error, which is no outcome that took effect.
                    Content::Known { .. } | Content::Opaque { .. } => return None,
                };
                let after = before.checked_add(by)?;
                (number(after), Cell { content: Content::Number(after), ..cell })
            }
            Deed::Cas { old, new } => {
                let equal = cell.content == old;
                (flag(equal), if equal { Cell { content: new, deadline: 0 } } else { cell })
            }
            Deed::Expire { deadline } => {
                (flag(cell.exists()), if cell.exists() { Cell { deadline, ..cell } } else { cell })
            }
            Deed::Persist => (flag(cell.deadline != 0), Cell { deadline: 0, ..cell }),
            Deed::Lapse { deadline } => (true, if cell.deadline == deadline { Cell::ABSENT } else { cell }),
        };
        fits.then_some(after)
    }

    /// Whether it changes nothing whenever it can be answered so.
    pub fn is_inert(self, seen: Seen) -> bool {
        match self {
            Deed::Get | Deed::Exists | Deed::Strlen => true,
            Deed::Set { when: When::Always, .. } => false,
            Deed::Set { when: When::IfAbsent, old: true, .. } => matches!(seen, Seen::Value(_)),
            Deed::Set { when: When::IfPresent | When::IfAbsent, .. } => matches!(seen, Seen::Nil | Seen::Int(0)),
            Deed::Del | Deed::Cas { .. } | Deed::Expire { .. } | Deed::Persist => seen == Seen::Int(0),
            Deed::Getdel => seen == Seen::Nil,
            Deed::Append { .. } | Deed::Add(_) | Deed::Lapse { .. } => false,
        }
    }

    /// Whether it always can be answered so, and leaves the same whatever was there before.
    pub fn is_blind(self, seen: Seen) -> bool {
        match self {
            Deed::Set { when: When::Always, keep: false, old, .. } => seen == Seen::Any || !old && seen == Seen::Done,
            Deed::Del | Deed::Getdel => seen == Seen::Any,
            _ => false,
        }
    }

    /// What it needs to find. `Nothing` only for what [`Deed::is_blind`] and for a lapse.
    pub fn wants(self, seen: Seen) -> Want {
        if self.is_blind(seen) {
            return Want::Nothing;
        }
        match (self, seen) {
            (Deed::Lapse { .. }, _) => Want::Nothing,
            (Deed::Get | Deed::Getdel | Deed::Set { old: true, .. }, Seen::Value(content)) => Want::Exactly(content),
            (Deed::Get | Deed::Getdel | Deed::Set { old: true, .. }, Seen::Nil) => Want::Exactly(Content::Absent),
            (Deed::Exists | Deed::Del | Deed::Strlen, Seen::Int(0)) if self != Deed::Strlen => {
                Want::Exactly(Content::Absent)
            }
            (Deed::Set { when: When::IfAbsent, .. }, Seen::Done | Seen::Int(1)) => Want::Exactly(Content::Absent),
            (Deed::Set { when: When::IfPresent, .. }, Seen::Nil) => Want::Exactly(Content::Absent),
            (Deed::Cas { old, .. }, Seen::Int(1)) => Want::Exactly(old),
            // From 0 it may also be found absent.
            (Deed::Add(by), Seen::Int(after)) if after != by => {
                after.checked_sub(by).map_or(Want::Something, |before| Want::Exactly(Content::Number(before)))
            }
            _ => Want::Something,
        }
    }

    /// The content that it leaves, where that does not depend on what was there before.
    pub fn leaves(self) -> Option<Content> {
        match self {
            Deed::Set { value, .. } => Some(value),
            Deed::Del | Deed::Getdel => Some(Content::Absent),
            Deed::Cas { new, .. } => Some(new),
            _ => None,
        }
    }
}

/// The texts of one key that matter.
#[derive(Clone, Debug, Default)]
pub struct Dictionary {
    /// Seen in replies, sorted, each once.
    seen: Vec<String>,
    /// What is appended.
    tokens: Vec<String>,
    /// Commands on numbers are used.
    numeric: bool,
    /// APPEND is used, so that a text may grow.
    grows: bool,
    /// Some reply tells a length.
    measured: bool,
}

impl Dictionary {
    /// Of all texts that replies show or comparisons name, and all that is appended.
    pub fn new(mut seen: Vec<String>, mut tokens: Vec<String>, numeric: bool, measured: bool) -> Dictionary {
        let grows = !tokens.is_empty();
        if numeric && grows {
            // The two texts that are no number and can grow into one.
            seen.extend([String::new(), "-".to_owned()]);
        }
        seen.sort_unstable();
        seen.dedup();
        tokens.sort_unstable();
        tokens.dedup();
        Dictionary { seen, tokens, numeric, grows, measured: measured || grows }
    }

    /// What a key with this text holds.
    pub fn content(&self, text: &str) -> Content {
        if self.numeric
            && let Some(number) = canonical(text)
        {
            return Content::Number(number);
        }
        let at = self.seen.partition_point(|seen| seen.as_str() < text);
        let known = self.seen.get(at).is_some_and(|seen| seen == text || self.grows && seen.starts_with(text));
        if known {
            return Content::Known { text: at as u32, bytes: text.len() as u32 };
        }
        Content::Opaque { bytes: if self.measured { text.len() as u32 } else { 0 } }
    }

    /// A text that is appended. Looking through all texts is worth it only for unknown outcomes (not `is_firm`), which
    /// it makes the same.
    pub fn token(&self, text: &str, is_firm: bool) -> Token {
        if !is_firm && !self.numeric && !self.seen.iter().any(|seen| seen.contains(text)) {
            return Token::Opaque(text.len() as u32);
        }
        Token::Text(self.tokens.partition_point(|token| token.as_str() < text) as u32)
    }

    /// The text, where it is known.
    pub fn text(&self, content: Content) -> Option<Cow<'_, str>> {
        match content {
            Content::Number(number) => Some(Cow::Owned(number.to_string())),
            // Byte positions are those of texts that were compared as a whole, so they are at the edge of a character.
            Content::Known { text, bytes } => self.seen[text as usize].get(..bytes as usize).map(Cow::Borrowed),
            Content::Absent | Content::Opaque { .. } => None,
        }
    }

    /// Whether values can come from several operations.
    pub fn grows(&self) -> bool {
        self.grows
    }

    fn bytes(&self, content: Content) -> i64 {
        match content {
            Content::Absent => 0,
            Content::Number(number) => number.to_string().len() as i64,
            Content::Known { bytes, .. } | Content::Opaque { bytes } => i64::from(bytes),
        }
    }

    fn append(&self, content: Content, token: Token) -> Content {
        let opaque = |bytes: u32| Content::Opaque { bytes };
        match (content, token) {
            // What is no beginning of a text that was seen does not become one by growing.
            (Content::Opaque { bytes }, Token::Opaque(more)) => opaque(bytes.saturating_add(more)),
            (Content::Opaque { bytes }, Token::Text(token)) => {
                opaque(bytes.saturating_add(self.tokens[token as usize].len() as u32))
            }
            (content, Token::Opaque(more)) => opaque((self.bytes(content) as u32).saturating_add(more)),
            (content, Token::Text(token)) => {
                let mut text = self.text(content).unwrap_or_default().into_owned();
                text.push_str(&self.tokens[token as usize]);
                self.content(&text)
            }
        }
    }
}

/// The number whose decimal form is exactly this text: what INCR accepts.
fn canonical(text: &str) -> Option<i64> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn only_what_somebody_could_tell_apart_is_kept_apart() {
        let plain = Dictionary::new(texts(&["b", "a"]), Vec::new(), false, false);
        assert_ne!(plain.content("a"), plain.content("b"));
        assert_eq!(plain.content("c"), plain.content("longer"));
        assert_eq!(plain.text(plain.content("b")).unwrap(), "b");

        let growing = Dictionary::new(texts(&["1,2,", "1,2,3,"]), texts(&["1,", "2,", "3,", "44,"]), false, false);
        let mut content = Content::Absent;
        for token in ["1,", "2,"] {
            content = growing.append(content, growing.token(token, true));
        }
        assert_eq!(content, growing.content("1,2,"));
        assert_eq!(growing.append(content, growing.token("44,", true)), Content::Opaque { bytes: 7 });
        assert_eq!(growing.append(content, growing.token("3,", true)), growing.content("1,2,3,"));
        assert_eq!(growing.token("44,", false), Token::Opaque(3));
        assert_eq!(growing.append(content, Token::Opaque(3)), Content::Opaque { bytes: 7 });
    }

    #[test]
    fn numbers_are_what_incr_accepts() {
        let dictionary = Dictionary::new(texts(&["7"]), texts(&["5"]), true, false);
        assert_eq!(dictionary.content("7"), Content::Number(7));
        assert_eq!(dictionary.content("-0"), Content::Opaque { bytes: 2 });
        let grow = |text: &str| dictionary.append(dictionary.content(text), dictionary.token("5", true));
        assert_eq!([grow(""), grow("-"), grow("3")], [5, -5, 35].map(Content::Number));
        let add = |content, seen| Deed::Add(1).apply(&dictionary, Cell { content, deadline: 0 }, seen);
        assert_eq!(add(Content::Number(7), Seen::Int(8)), Some(Cell::number(8)));
        assert_eq!(add(Content::Number(7), Seen::Int(9)), None);
        assert_eq!(add(Content::Number(i64::MAX), Seen::Any), None);
        assert_eq!(add(Content::Opaque { bytes: 1 }, Seen::Any), None);
    }

    /// Every deed with every reply on every cell: what is called inert, blind or wanting is so.
    #[test]
    fn the_properties_of_deeds_are_those_of_what_they_do() {
        let dictionary = Dictionary::new(texts(&["a", "b", "3"]), texts(&["a"]), true, true);
        let [a, b] = ["a", "b"].map(|text| dictionary.content(text));
        let mut deeds = vec![
            Deed::Get,
            Deed::Exists,
            Deed::Strlen,
            Deed::Del,
            Deed::Getdel,
            Deed::Append { token: Token::Text(0) },
            Deed::Add(3),
            Deed::Add(0),
            Deed::Cas { old: a, new: b },
            Deed::Cas { old: Content::Absent, new: b },
            Deed::Expire { deadline: 2 },
            Deed::Persist,
        ];
        for when in [When::Always, When::IfAbsent, When::IfPresent] {
            for (keep, old) in [(false, false), (true, false), (false, true)] {
                deeds.push(Deed::Set { value: a, when, deadline: 0, keep, old });
            }
        }
        let contents = [Content::Absent, a, b, Content::Number(0), Content::Number(3), Content::Opaque { bytes: 1 }];
        let cells: Vec<Cell> =
            contents.iter().flat_map(|&content| [0, 1].map(|deadline| Cell { content, deadline })).collect();
        // What does not exist has no deadline.
        let cells: Vec<Cell> = cells.into_iter().filter(|cell| cell.exists() || cell.deadline == 0).collect();
        let mut replies = vec![Seen::Any, Seen::Nil, Seen::Done, Seen::Value(a), Seen::Value(b)];
        replies.extend((0..8).map(Seen::Int));
        for &deed in &deeds {
            for &seen in &replies {
                let results: Vec<_> = cells.iter().map(|&cell| (cell, deed.apply(&dictionary, cell, seen))).collect();
                let possible = results.iter().filter(|(_, after)| after.is_some());
                let inert = possible.clone().all(|(before, after)| Some(*before) == *after);
                assert!(!deed.is_inert(seen) || inert, "{deed:?} {seen:?}");
                let blind = results.iter().all(|(_, after)| after.is_some() && *after == results[0].1);
                assert!(!deed.is_blind(seen) || blind, "{deed:?} {seen:?}");
                if let Want::Exactly(content) = deed.wants(seen) {
                    assert!(possible.clone().all(|(before, _)| before.content == content), "{deed:?} {seen:?}");
                }
                if let Some(content) = deed.leaves() {
                    let changed = possible.clone().filter(|(before, after)| Some(*before) != *after);
                    assert!(changed.clone().all(|(_, after)| after.unwrap().content == content), "{deed:?} {seen:?}");
                }
            }
        }
    }
}
