//! The words of a line.

/// A word, and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// In characters, from 1.
    pub(super) column: usize,
    /// It stood in quotes: blanks and `*` are characters like others.
    pub(super) quoted: bool,
}

impl Word {
    /// Whether it is this word of the language, which is never quoted.
    pub(super) fn is(&self, word: &str) -> bool {
        !self.quoted && self.text == word
    }
}

/// The words of a line; none of an empty one and of a comment.
///
/// # Errors
/// What is wrong, and in which column.
pub(super) fn split(line: &str) -> Result<Vec<Word>, (usize, &'static str)> {
    let mut words = Vec::new();
    let mut chars = line.chars().zip(1_usize..).peekable();
    while let Some((first, column)) = chars.next() {
        match first {
            c if c.is_whitespace() => {}
            '#' if words.is_empty() => return Ok(words),
            '"' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        Some(('"', _)) => break,
                        Some(('\\', at)) => match chars.next() {
                            Some((c @ ('"' | '\\'), _)) => text.push(c),
                            _ => return Err((at, "`\\` in quotes stands before `\"` and `\\`")),
                        },
                        Some((c, _)) => text.push(c),
                        None => return Err((column, "a quote without an end")),
                    }
                }
                if let Some((next, at)) = chars.peek()
                    && !next.is_whitespace()
                {
                    return Err((*at, "a blank is missing behind the quote"));
                }
                words.push(Word {
                    text,
                    column,
                    quoted: true,
                });
            }
            first => {
                let mut text = String::from(first);
                while let Some((c, _)) = chars.next_if(|(c, _)| !c.is_whitespace()) {
                    text.push(c);
                }
                words.push(Word {
                    text,
                    column,
                    quoted: false,
                });
            }
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_end_at_blanks_and_quotes_keep_them() {
        let words = split("\u{e4}  topic \"a \\\" b\\\\\" #\t").unwrap();
        let seen: Vec<_> = (words.iter())
            .map(|w| (&*w.text, w.column, w.quoted))
            .collect();
        let expected = [
            ("\u{e4}", 1, false),
            ("topic", 4, false),
            ("a \" b\\", 10, true),
            ("#", 21, false),
        ];
        assert_eq!(seen, expected);
        assert_eq!(split("  # deny"), Ok(vec![]));
        for (line, column) in [("a \"b", 3), ("\"\\n\"", 2), ("\"a\"b", 4)] {
            assert_eq!(split(line).unwrap_err().0, column, "{line}");
        }
    }
}
