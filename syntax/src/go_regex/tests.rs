use proptest::prelude::*;

use super::*;

/// Pattern, text, the leftmost match as Go finds it.
const MATCHES: &[(&str, &str, Option<&str>)] = &[
    ("a|ab", "ab", Some("a")),
    ("", "", Some("")),
    // ASCII classes.
    (r"\w+", "é_a1", Some("_a1")),
    (r"\d+", "٣٤5", Some("5")),
    (r"a\sb", "a\u{a0}b", None),
    (r"a\Sb", "a\u{a0}b", Some("a\u{a0}b")),
    (r"\s", "\u{b}", None),
    (r"[[:space:]]", "\u{b}", Some("\u{b}")),
    (r"\bé", "é", None),
    (r"é\b", "éa", Some("é")),
    (r"a\Bb", "ab", Some("ab")),
    (r"\W+", "aé!b", Some("é!")),
    (r"(?i)\w+", "\u{17f}\u{212a}", Some("\u{17f}\u{212a}")),
    // Quoting, escapes, braces.
    (r"\Qa.b(\E+", "a.b((", Some("a.b((")),
    (r"\Qa\", "a\\", Some("a\\")),
    (r"\Qab", "ab", Some("ab")),
    (r"\101\07", "A\u{7}", Some("A\u{7}")),
    (r"\0", "\0", Some("\0")),
    (r"\x41\x{1F600}", "A😀", Some("A😀")),
    (r"\_\-\/", "_-/", Some("_-/")),
    ("a{,2}", "a{,2}", Some("a{,2}")),
    ("a{", "a{", Some("a{")),
    ("{", "{", Some("{")),
    ("a{01}", "a{01}", Some("a{01}")),
    ("a{2}", "aaa", Some("aa")),
    ("a{1,}?", "aaa", Some("a")),
    ("(?U)a+", "aaa", Some("a")),
    ("(?U)a+?", "aaa", Some("aaa")),
    // Classes.
    ("[[]", "[", Some("[")),
    ("[]a]+", "]a", Some("]a")),
    ("[^]a]", "]ab", Some("b")),
    (r"[\w\d\S-_]+", "a-_é", Some("a-_é")),
    ("[a&&b]+", "b&a", Some("b&a")),
    ("[+--b]+", "x,-b", Some(",-b")),
    ("[a~~b]+", "a~b", Some("a~b")),
    ("[[:alpha:][:^digit:]]+", "ab-1", Some("ab-")),
    ("[a[:b]+", "[:", Some("[:")),
    (r"[\]\-\\]+", r"]-\", Some(r"]-\")),
    ("[^a]", "\n", Some("\n")),
    (r"[^\D]", "x5", Some("5")),
    (r"[\x{D800}]|b", "b", Some("b")),
    (r"[^\x{D800}]", "b", Some("b")),
    (r"\pL\p{Greek}\P{^Lu}", "aαA", Some("aαA")),
    (r"\pN", "Ⅷ", Some("Ⅷ")),
    // Anchors and dots.
    ("^a$", "a\n", None),
    ("(?m)^a$", "b\na\n", Some("a")),
    ("a.b", "a\nb", None),
    ("(?s)a.b", "a\nb", Some("a\nb")),
    (r"\Aa\z", "a", Some("a")),
    // Flags.
    ("(?i)straße", "STRAßE", Some("STRAßE")),
    ("a(?i)b|c", "C", Some("C")),
    ("(?i:a)b", "Ab", Some("Ab")),
    ("(?i:a)b", "AB", None),
    ("(?i)a(?-i)b", "AB", None),
    ("(?i)(?-i:a)B", "ab", Some("ab")),
    ("x(?:(?i)a)B", "xAB", Some("xAB")),
    // An operator reaches over flags to the atom before them.
    ("ba(?i)*", "baa", Some("baa")),
    ("(?:ba+(?i)?)c", "bc", Some("bc")),
    // Repetition of what is not a character.
    ("^*a", "a", Some("a")),
    (r"\b+a", "a", Some("a")),
    ("(|a)+", "aa", Some("")),
    ("(?:)", "a", Some("")),
    // Names.
    ("(?P<n>a)(?<n>b)", "ab", Some("ab")),
];

#[test]
fn finds_what_go_finds() {
    for (pattern, text, expected) in MATCHES {
        let regex = GoRegex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        let found = regex.find(text.as_bytes());
        let found = found.map(|span| &text[span]);
        assert_eq!(found, *expected, "{pattern} on {text:?}");
        assert_eq!(
            regex.is_match(text.as_bytes()),
            expected.is_some(),
            "{pattern}"
        );
    }
}

#[test]
fn refuses_in_gos_words() {
    for (pattern, message) in [
        ("a**", "invalid nested repetition operator: `**`"),
        ("x*+", "invalid nested repetition operator: `*+`"),
        ("a+?*", "invalid nested repetition operator: `+?*`"),
        ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("(+)", "missing argument to repetition operator: `+`"),
        ("a|?", "missing argument to repetition operator: `?`"),
        ("{2}", "missing argument to repetition operator: `{2}`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        (
            "a{99999999999999999999,}",
            "invalid repeat count: `{99999999999999999999,}`",
        ),
        ("(?:a{10}b){101}", "invalid repeat count: `{101}`"),
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("x[]", "missing closing ]: `[]`"),
        ("[a--b]", "invalid character class range: `a--`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"\p{Nope}", r"invalid character class range: `\p{Nope}`"),
        (r"\p", r"invalid character class range: `\p`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\xG1", r"invalid escape sequence: `\xG`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("(?<=a)", "invalid named capture: `(?<=a)`"),
        ("(?>a)", "invalid or unsupported Perl syntax: `(?>`"),
        ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?P<a b>x)", "invalid named capture: `(?P<a b>`"),
        ("(?P<>x)", "invalid named capture: `(?P<>`"),
        ("(?P<a", "invalid named capture: `(?P<a`"),
        ("(?P=a)", "invalid or unsupported Perl syntax: `(?P`"),
    ] {
        let refused = GoRegex::new(pattern)
            .map(|_| ())
            .map_err(|error| error.to_string());
        assert_eq!(
            refused,
            Err(format!("error parsing regexp: {message}")),
            "{pattern}"
        );
    }
}

#[test]
fn hostile_patterns_are_refused_not_compiled() {
    let deep = "(".repeat(100_000);
    let nested = format!("{}a{}", "(".repeat(300), ")".repeat(300));
    for pattern in [
        r"(?:\pL{1000}|\pN{1000}){1}\pL{900}\PL{900}",
        &deep,
        &nested,
    ] {
        let message = GoRegex::new(pattern)
            .map(|_| ())
            .map_err(|error| error.to_string());
        assert!(
            message
                .as_ref()
                .is_err_and(|message| message.contains("too")),
            "{message:?}"
        );
    }
}

#[test]
fn bytes_that_are_no_utf8_count_one_character_each() {
    for (pattern, text, span) in [
        ("^.{3}$", &b"a\xFF\xFE"[..], Some(0..3)),
        (r"\x{FFFD}+", b"a\xE2\x82b", Some(1..3)),
        ("[^a]b", b"\xC3b", Some(0..2)),
        ("b$", b"\xFF\xFFab", Some(3..4)),
        ("^..$", "é".as_bytes(), None),
    ] {
        let regex = GoRegex::new(pattern).expect("valid");
        assert_eq!(regex.find(text), span, "{pattern} on {text:?}");
    }
    let regex = GoRegex::new("(.)b").expect("valid");
    let captures = regex.captures(b"\xF0\x9Fb").expect("matches");
    assert_eq!(captures.get(1), Some(&b"\x9F"[..]));
    assert_eq!(captures.get(2), None);
}

#[test]
fn replaces_as_go_does() {
    for (pattern, text, template, expected) in [
        ("", "abc", "-", "-a-b-c-"),
        ("", "é", "-", "-é-"),
        ("a*", "baac", "x", "xbxcx"),
        (
            "(?P<w>a)(b)?",
            "a-ab",
            "<$w|${2}|$$|$1x|$9>",
            "<a||$||>-<a|b|$||>",
        ),
        ("(?P<n>a)|(?P<n>b)", "ab", "[$n]", "[a][b]"),
        ("a", "a", "${x $ ${1", "${x $ ${1"),
        ("a", "a", "$01|$é|$", "||$"),
        (r"\B", "éa", "-", "-éa"),
        (r"(?m)^", "a\nb", ">", ">a\n>b"),
        ("x", "abc", "-", "abc"),
    ] {
        let regex = GoRegex::new(pattern).expect("valid");
        let replaced = regex.replace_all(text.as_bytes(), template.as_bytes());
        assert_eq!(
            String::from_utf8_lossy(&replaced),
            expected,
            "{pattern} on {text:?}"
        );
    }
    let regex = GoRegex::new("b").expect("valid");
    assert_eq!(&*regex.replace_all(b"\xFFb\xFE", b"c"), b"\xFFc\xFE");
}

#[test]
fn knows_names_lines_and_anchors() {
    let regex = GoRegex::new("(?P<a>x)(y)(?<a>z)").expect("valid");
    let names: Vec<_> = regex.group_names().iter().map(Option::as_deref).collect();
    assert_eq!(names, [None, Some("a"), None, Some("a")]);
    for (pattern, newline, anchored) in [
        ("a.*b", false, false),
        ("(?s)a.*b", true, false),
        (r"a\s+b", true, false),
        (r"a[^b]", true, false),
        (r"a\nb", true, false),
        (r"a\x0A?", true, false),
        (r"a\S[^\n]", false, false),
        ("(?m)^a$", false, false),
        ("^a", false, true),
        (r"a\z", false, true),
    ] {
        let regex = GoRegex::new(pattern).expect("valid");
        assert_eq!(regex.may_match_newline(), newline, "{pattern}");
        assert_eq!(regex.anchors_to_text(), anchored, "{pattern}");
    }
}

proptest! {
    /// Whatever translates also compiles, unless it is too large, and no search panics.
    #[test]
    fn never_panics(
        pattern in r"([a-c(){}\[\]|*+?^$.\\,:0-9\-dwsSbBpPQEKux<>=!imU&~é]|\(\?|\\x|\[:|:\]){0,24}",
        text in proptest::collection::vec(any::<u8>(), 0..24),
    ) {
        if let Ok(regex) = GoRegex::new(&pattern) {
            let found = regex.find(&text);
            prop_assert_eq!(found.is_some(), regex.is_match(&text));
            prop_assert_eq!(regex.captures(&text).map(|captures| captures.whole()), found);
            let same = regex.replace_all_with(&text, |captures, out| {
                out.extend_from_slice(captures.get(0).unwrap_or_default());
            });
            prop_assert_eq!(&*same, &text[..]);
        } else {
            let error = translate::translate(&pattern).err();
            prop_assert!(error.is_some(), "translated, but does not compile: {}", pattern);
        }
    }

    /// A quoted text finds itself.
    #[test]
    fn quoting_is_literal(text in "[^\\\\]{1,20}") {
        let regex = GoRegex::new(&format!(r"\Q{text}\E")).expect("quoted");
        prop_assert_eq!(regex.find(text.as_bytes()), Some(0..text.len()));
    }
}
