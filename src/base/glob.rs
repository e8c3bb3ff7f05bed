//! Glob patterns as KEYS, SCAN, PSUBSCRIBE and CONFIG GET understand them.
//!
//! `*` stands for any bytes, `?` for one, `[...]` for one of a class (`^` first negates, `a-z` is a range), and a
//! backslash takes the next byte as it is. Two rules of Redis are easy to miss and kept here: a class without its
//! closing bracket ends with the pattern, and an empty text matches nothing but the empty pattern (the commands
//! treat a lone `*` as "no filter" before they come here).
//!
//! Invariant: time is at most pattern length times text length, whatever the pattern. Only the last `*` is ever
//! retried, because what an earlier one could still match, the last one can match as well; so there is neither
//! recursion nor a pattern that takes exponential time.

/// Whether `text` as a whole matches `pattern`. Bytes, not characters; case counts.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, false)
}

/// Like [`matches`], but ASCII letters match in either case (Redis does not fold an escaped byte of a class).
pub fn matches_ignoring_case(pattern: &[u8], text: &[u8]) -> bool {
    run(pattern, text, true)
}

/// Whether a pattern stands for exactly one text, itself: it has no special byte.
pub fn is_literal(pattern: &[u8]) -> bool {
    !pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

fn run(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut position) = (0, 0);
    // Where to go on when a byte does not match: behind the last `*`, one byte of text further than last time.
    let mut retry: Option<(usize, usize)> = None;
    while position < text.len() {
        if pattern.get(at) == Some(&b'*') {
            at += 1;
            retry = Some((at, position));
            continue;
        }
        let element = pattern.get(at..).and_then(|rest| element(rest, text[position], fold));
        match (element, &mut retry) {
            (Some(length), _) => {
                at += length;
                position += 1;
            }
            (None, Some((after_star, start))) => {
                *start += 1;
                at = *after_star;
                position = *start;
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte with the pattern element at the start of `pattern` (never a `*`) and returns the element's
/// length; `None` if they differ or nothing is left of the pattern.
fn element(pattern: &[u8], byte: u8, fold: bool) -> Option<usize> {
    let same = |a: u8| a == byte || (fold && a.eq_ignore_ascii_case(&byte));
    match *pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'[', ref class @ ..] => {
            let (length, matched) = in_class(class, byte, fold);
            matched.then_some(1 + length)
        }
        [b'\\', literal, ..] => same(literal).then_some(2),
        [literal, ..] => same(literal).then_some(1),
    }
}

/// Reads a class up to and with its closing bracket (or the end of the pattern): its length, and whether it
/// contains `byte`.
fn in_class(class: &[u8], byte: u8, fold: bool) -> (usize, bool) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match class[at..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [first, b'-', last, ..] => {
                found |= in_range(first, last, byte, fold);
                at += 3;
            }
            [single, ..] => {
                found |= single == byte || (fold && single.eq_ignore_ascii_case(&byte));
                at += 1;
            }
        }
    }
    (at, found != negated)
}

/// Whether a byte lies between two others, given in either order.
fn in_range(first: u8, last: u8, byte: u8, fold: bool) -> bool {
    let (low, high) = (first.min(last), first.max(last));
    if fold {
        (low.to_ascii_lowercase()..=high.to_ascii_lowercase()).contains(&byte.to_ascii_lowercase())
    } else {
        (low..=high).contains(&byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} should match {text:?}");
        }
        for text in no {
            assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern:?} should not match {text:?}");
        }
    }

    #[test]
    fn stars_and_question_marks() {
        check("h?llo", &["hello", "hallo"], &["hllo", "heello"]);
        check("h*llo", &["hllo", "heeello", "hllollo"], &["hll", "hllox"]);
        check("a*b*c", &["abc", "axxbxxc", "abcbc"], &["ab", "acb", "abcd"]);
        check("**a**", &["a", "xa", "ax", "xax"], &["b"]);
        check("*?", &["a", "ab"], &[]);
        check("abc*", &["abc", "abcd"], &["ab"]);
    }

    #[test]
    fn an_empty_text_matches_only_an_empty_pattern() {
        check("", &[""], &["a"]);
        check("*", &["a"], &[""]);
        check("a", &[], &[""]);
    }

    #[test]
    fn classes() {
        check("h[ae]llo", &["hello", "hallo"], &["hillo", "hllo"]);
        check("h[^e]llo", &["hallo", "h^llo"], &["hello", "hllo"]);
        check("[a-c]", &["a", "b", "c"], &["d", "-", ""]);
        check("[c-a]", &["a", "b", "c"], &["d"]);
        check(r"[\]]", &["]"], &["\\"]);
        check(r"[a\-c]", &["a", "-", "c"], &["b"]);
        check("[]", &[], &["]", "a"]);
        check("[^]", &["]", "a"], &["aa"]);
    }

    #[test]
    fn a_class_without_its_end_ends_with_the_pattern() {
        check("[ab", &["a", "b"], &["c", "[ab", "ab"]);
        check("[", &[], &["[", "a"]);
        check("[^", &["a", "^"], &["ab"]);
        check("[a-", &["a", "-"], &["b"]);
        check(r"[\", &["\\"], &["a"]);
        check("x[a-]", &["xa", "x^", "x]"], &["xb", "x-"]);
    }

    #[test]
    fn backslashes() {
        check(r"\*", &["*"], &["a", "\\*"]);
        check(r"a\", &["a\\"], &["a"]);
        check(r"\a", &["a"], &["\\a"]);
    }

    #[test]
    fn case_can_be_ignored() {
        assert!(matches_ignoring_case(b"MAX*", b"maxmemory"));
        assert!(matches_ignoring_case(b"[A-C]x", b"bX"));
        assert!(!matches_ignoring_case(br"[\A]", b"a"));
        assert!(!matches(b"MAX*", b"maxmemory"));
    }

    #[test]
    fn literals_are_told_apart() {
        assert!(is_literal(b"user:1"));
        assert!(is_literal(b"a]"));
        assert!(!is_literal(b"user:*") && !is_literal(b"a?") && !is_literal(b"[a]") && !is_literal(br"\a"));
    }

    /// A matcher that tries every star recursively would need more steps here than the universe has seconds.
    #[test]
    fn many_stars_take_bounded_time() {
        let pattern = "a*".repeat(5_000) + "b";
        assert!(!matches(pattern.as_bytes(), "a".repeat(20_000).as_bytes()));
        assert!(matches(pattern.as_bytes(), ("a".repeat(20_000) + "b").as_bytes()));
    }
}
