//! Go's regular expressions on our engine: a pattern, a line feed, a text.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use syntax::go_regex::GoRegex;

fuzz_target!(|input: &[u8]| {
    let end = input.iter().position(|byte| *byte == b'\n');
    let (pattern, text) = input.split_at(end.unwrap_or(input.len()));
    let text = text.get(1..).unwrap_or_default();
    let Ok(pattern) = std::str::from_utf8(pattern) else {
        return;
    };
    if !pattern.contains('\\') {
        let literal = GoRegex::new(&format!(r"\Q{pattern}\E")).expect("quoted");
        assert_eq!(literal.find(pattern.as_bytes()), Some(0..pattern.len()));
    }
    let Ok(regex) = GoRegex::new(pattern) else {
        return;
    };
    let found = regex.find(text);
    assert_eq!(found.is_some(), regex.is_match(text));
    let captures = regex.captures(text);
    assert_eq!(captures.as_ref().map(|captures| captures.whole()), found);
    if let Some(captures) = &captures {
        for index in 0..=regex.group_names().len() {
            if let Some(span) = captures.span(index) {
                let whole = captures.whole();
                assert!(whole.start <= span.start && span.end <= whole.end);
            }
        }
    }
    if let Ok(Some(streamed)) = regex.streamed() {
        let read = streamed
            .find(&mut Cursor::new(text))
            .expect("a text in memory");
        let whole = found.clone();
        assert_eq!(
            read,
            whole.map(|whole| whole.start as u64..whole.end as u64)
        );
        if let (Some(whole), Some(captures)) = (&found, &captures) {
            let alone = streamed.captures(text, whole.clone()).expect("the match");
            for index in 0..regex.group_names().len() {
                assert_eq!(alone.span(index), captures.span(index));
            }
        }
    }
    let mut last = None;
    regex.each_match(text, |captures| {
        let whole = captures.whole();
        assert!(last.is_none_or(|end| end <= whole.start), "matches overlap");
        if last.is_none() {
            assert_eq!(Some(&whole), found.as_ref());
        }
        if whole.contains(&usize::MAX) || text[whole.clone()].contains(&b'\n') {
            assert!(regex.may_match_newline(), "a match holds a line feed");
        }
        last = Some(whole.end);
    });
    let same = regex.replace_all_with(text, |captures, out| {
        out.extend_from_slice(captures.get(0).unwrap_or_default());
    });
    assert_eq!(&*same, text);
});
