//! A user: whether and with which passwords one may log in as it, and its rights.

use std::sync::Arc;

use bytes::Bytes;

use super::sha256::Digest;
use super::{Mistake, Rights, Selector};
use crate::command::args::is;
use crate::resp::split_line;

/// The user of a connection that says nothing of itself. It always exists.
pub const DEFAULT: Bytes = Bytes::from_static(b"default");

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    enabled: bool,
    /// Any password will do.
    open: bool,
    /// Payloads of RESTORE need not be looked at closely. Shown, and of no effect: here they always are.
    trusts_payloads: bool,
    passwords: Vec<Digest>,
    rights: Arc<Rights>,
}

/// Marks the beginning and the end of a selector among [`User::words`].
const OPEN: Bytes = Bytes::from_static(b"(");
const CLOSE: Bytes = Bytes::from_static(b")");

impl User {
    /// A user as SETUSER makes it if nothing else is said: nobody may log in, and nothing may be done.
    pub fn new(name: Bytes) -> User {
        User {
            enabled: false,
            open: false,
            trusts_payloads: false,
            passwords: Vec::new(),
            rights: Arc::new(Rights { user: name, selectors: vec![Selector::none()] }),
        }
    }

    /// The default user where nobody said otherwise: it may do everything, with this password if there is one.
    pub fn default_with(password: Option<&[u8]>) -> User {
        User {
            enabled: true,
            open: password.is_none(),
            trusts_payloads: false,
            passwords: password.map(Digest::of).into_iter().collect(),
            rights: Arc::new(Rights { user: DEFAULT, selectors: vec![Selector::all()] }),
        }
    }

    /// Its name.
    pub fn name(&self) -> &Bytes {
        &self.rights.user
    }

    /// What it may do.
    pub fn rights(&self) -> &Arc<Rights> {
        &self.rights
    }

    /// Whether one is this user without a word.
    pub fn is_open(&self) -> bool {
        self.enabled && self.open
    }

    /// Whether it takes any password.
    pub fn takes_any_password(&self) -> bool {
        self.open
    }

    /// Whether one may log in with this password. Every password of the user is compared as a whole.
    pub fn admits(&self, password: &[u8]) -> bool {
        let given = Digest::of(password);
        let right = self.passwords.iter().fold(false, |right, known| known.is(&given) | right);
        self.enabled && (self.open || right)
    }

    /// Takes the rules of a SETUSER, selectors merged ([`super::merge_selectors`]). The first that is none is the error,
    /// by its place; what was taken before it is to be forgotten with the user.
    pub fn apply(&mut self, rules: &[Bytes]) -> Result<(), (usize, Mistake)> {
        rules.iter().enumerate().try_for_each(|(at, rule)| self.rule(rule).map_err(|mistake| (at, mistake)))
    }

    fn rule(&mut self, rule: &Bytes) -> Result<(), Mistake> {
        match &rule[..] {
            [] => {}
            _ if is(rule, "on") => self.enabled = true,
            _ if is(rule, "off") => self.enabled = false,
            _ if is(rule, "nopass") => {
                self.open = true;
                self.passwords.clear();
            }
            _ if is(rule, "resetpass") => {
                self.open = false;
                self.passwords.clear();
            }
            _ if is(rule, "skip-sanitize-payload") => self.trusts_payloads = true,
            _ if is(rule, "sanitize-payload") => self.trusts_payloads = false,
            _ if is(rule, "clearselectors") => self.selectors().truncate(1),
            _ if is(rule, "reset") => {
                let name = self.rights.user.clone();
                *self = User::new(name);
            }
            [b'>', password @ ..] => self.add_password(Digest::of(password)),
            [b'#', hash @ ..] => self.add_password(Digest::parse(hash).ok_or(Mistake::Hash)?),
            [b'<', password @ ..] => self.remove_password(&Digest::of(password))?,
            [b'!', hash @ ..] => self.remove_password(&Digest::parse(hash).ok_or(Mistake::Hash)?)?,
            [b'(', inner @ .., b')'] => {
                let mut selector = Selector::none();
                // As in Redis, where a quote is not closed nothing was said.
                for rule in split_line(inner).unwrap_or_default() {
                    selector.apply(&rule)?;
                }
                self.selectors().push(selector);
            }
            _ => self.root().apply(rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, password: Digest) {
        self.open = false;
        if !self.passwords.contains(&password) {
            self.passwords.push(password);
        }
    }

    fn remove_password(&mut self, password: &Digest) -> Result<(), Mistake> {
        let at = self.passwords.iter().position(|known| known == password).ok_or(Mistake::NoSuchPassword)?;
        self.passwords.remove(at);
        Ok(())
    }

    fn selectors(&mut self) -> &mut Vec<Selector> {
        &mut Arc::make_mut(&mut self.rights).selectors
    }

    /// The user's own rules, outside of parentheses.
    fn root(&mut self) -> &mut Selector {
        let selectors = self.selectors();
        if selectors.is_empty() {
            selectors.push(Selector::none());
        }
        &mut selectors[0]
    }

    /// What GETUSER shows as flags.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.open {
            flags.push("nopass");
        }
        flags.push(if self.trusts_payloads { "skip-sanitize-payload" } else { "sanitize-payload" });
        flags
    }

    /// SHA-256 of each password, in hexadecimal digits.
    pub fn passwords(&self) -> impl Iterator<Item = String> {
        self.passwords.iter().map(Digest::hex)
    }

    /// All that there is to say of it, rule by rule; a selector is the rules between `(` and `)`. From this a user is
    /// made again ([`User::from_words`]), whatever bytes its patterns have.
    pub fn words(&self) -> Vec<Bytes> {
        let mut words: Vec<Bytes> = self.flags().into_iter().map(Bytes::from).collect();
        words.extend(self.passwords().map(|hash| Bytes::from(format!("#{hash}"))));
        words.extend(self.rights.words());
        words
    }

    /// The user that these words tell of. Names of commands that are not known are those of another version, and left
    /// out; a user with any other word that is not understood may do nothing, and nobody may log in as it.
    pub fn from_words(name: Bytes, words: &[Bytes]) -> User {
        let mut user = User::new(name.clone());
        let mut rights = Vec::new();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let of_user = match &word[..] {
                [b'#', ..] => true,
                word => ["on", "off", "nopass", "sanitize-payload", "skip-sanitize-payload"]
                    .iter()
                    .any(|flag| is(word, flag)),
            };
            if !of_user {
                rights.push(word.clone());
                rights.extend(rest.by_ref().cloned());
            } else if user.rule(word).is_err() {
                return User::new(name);
            }
        }
        match Rights::from_words(name.clone(), &rights) {
            Some(rights) => User { rights: Arc::new(rights), ..user },
            None => User::new(name),
        }
    }

    /// One line, as ACL LIST shows it behind the name.
    pub fn line(&self) -> Vec<u8> {
        let mut words: Vec<Bytes> = self.flags().into_iter().map(Bytes::from).collect();
        words.extend(self.passwords().map(|hash| Bytes::from(format!("#{hash}"))));
        let mut line = words.join(&b' ');
        for (at, selector) in self.rights.selectors.iter().enumerate() {
            let rules = selector.words().join(&b' ');
            let (open, close): (&[u8], &[u8]) = if at == 0 { (b" ", b"") } else { (b" (", b")") };
            line.extend([open, &rules, close].concat());
        }
        line
    }
}

impl Rights {
    /// The rules, the user's own first, each further selector between `(` and `)`.
    pub fn words(&self) -> Vec<Bytes> {
        let mut words = Vec::new();
        for (at, selector) in self.selectors.iter().enumerate() {
            if at == 0 {
                words.extend(selector.words());
            } else {
                words.push(OPEN);
                words.extend(selector.words());
                words.push(CLOSE);
            }
        }
        words
    }

    /// The rights that these words tell of; see [`User::from_words`].
    pub fn from_words(user: Bytes, words: &[Bytes]) -> Option<Rights> {
        let mut selectors = vec![Selector::none()];
        let mut is_open = false;
        for word in words {
            if *word == OPEN && !is_open {
                selectors.push(Selector::none());
                is_open = true;
            } else if *word == CLOSE && is_open {
                is_open = false;
            } else {
                let selector = if is_open { selectors.last_mut()? } else { selectors.first_mut()? };
                match selector.apply(word) {
                    Ok(()) | Err(Mistake::UnknownName) => {}
                    Err(_) => return None,
                }
            }
        }
        Some(Rights { user, selectors })
    }
}

/// A rule of SETUSER as it may travel and be kept: with the hash in the place of a password.
pub fn hide_password(rule: &Bytes) -> Bytes {
    match &rule[..] {
        [b'>', password @ ..] => format!("#{}", Digest::of(password).hex()).into(),
        [b'<', password @ ..] => format!("!{}", Digest::of(password).hex()).into(),
        _ => Bytes::copy_from_slice(rule),
    }
}
