//! Words of texts, as InnoDB's full-text parser finds them.

/// innodb_ft_min_token_size and innodb_ft_max_token_size, in characters.
const CHARACTERS: std::ops::RangeInclusive<usize> = 3..=84;

/// information_schema.INNODB_FT_DEFAULT_STOPWORD.
pub const STOPWORDS: [&str; 36] = [
    "a", "about", "an", "are", "as", "at", "be", "by", "com", "de", "en", "for", "from", "how", "i", "in", "is", "it",
    "la", "of", "on", "or", "that", "the", "this", "to", "was", "what", "when", "where", "who", "will", "with", "und",
    "the", "www",
];

/// A letter, a digit or an underscore.
pub fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// All words, also those that are not searched for.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character| !is_of_word(character)).filter(|word| !word.is_empty())
}

/// Whether an index would have the word.
pub fn is_searched(word: &str) -> bool {
    CHARACTERS.contains(&word.chars().count()) && !is_stopword(word)
}

pub fn is_stopword(word: &str) -> bool {
    STOPWORDS.iter().any(|stopword| stopword.eq_ignore_ascii_case(word))
}

/// The columns of a row, as words.
pub struct Document<'a> {
    /// In each column all of them in order, so that phrases find their neighbours.
    columns: Vec<Vec<&'a str>>,
}

impl<'a> Document<'a> {
    pub fn of(texts: impl Iterator<Item = &'a str>) -> Document<'a> {
        Document { columns: texts.map(|text| split(text).collect()).collect() }
    }

    /// How often a word that `is` the one stands in it.
    pub fn count(&self, is: impl Fn(&str) -> bool) -> usize {
        self.columns.iter().flatten().filter(|word| is_searched(word) && is(word)).count()
    }

    /// How often the words follow each other.
    pub fn count_phrase(&self, phrase: &[String], equal: &dyn Fn(&str, &str) -> bool) -> usize {
        let alike = |window: &[&str]| window.iter().zip(phrase).all(|(word, wanted)| equal(word, wanted));
        let windows = |column: &Vec<&str>| column.windows(phrase.len()).filter(|window| alike(window)).count();
        if phrase.is_empty() { 0 } else { self.columns.iter().map(windows).sum() }
    }

    /// How often all of the words stand within so many words of each other.
    pub fn count_near(&self, phrase: &[String], distance: usize, equal: &dyn Fn(&str, &str) -> bool) -> usize {
        let near = |window: &[&str]| phrase.iter().all(|wanted| window.iter().any(|word| equal(word, wanted)));
        let count = |column: &Vec<&str>| {
            let width = distance.clamp(1, column.len().max(1));
            column.windows(width).filter(|window| near(window)).count()
        };
        if phrase.is_empty() { 0 } else { self.columns.iter().map(count).sum() }
    }
}
