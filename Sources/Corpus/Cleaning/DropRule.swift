/// Why a document is left out; the raw values stand in dataset.json.
package enum DropRule: String, CaseIterable, Sendable {
  case empty
  /// A row of a table, or a line of .jsonl, that has no text.
  case tooShort = "too_short"
  case tooLong = "too_long"
  case language

  case gopherWords = "gopher_words"
  case gopherWordLength = "gopher_word_length"
  case gopherSymbols = "gopher_symbols"
  case gopherBullets = "gopher_bullets"
  case gopherEllipses = "gopher_ellipses"
  case gopherLetters = "gopher_letters"
  case gopherStopWords = "gopher_stop_words"

  case repeatedLines = "repeated_lines"
  case repeatedParagraphs = "repeated_paragraphs"
  case frequentGrams = "frequent_n_grams"
  case repeatedGrams = "repeated_n_grams"

  case c4Sentences = "c4_sentences"
  case c4Braces = "c4_braces"
  case c4Placeholder = "c4_placeholder"

  case contaminated
  case exactDuplicate = "exact_duplicate"
  case nearDuplicate = "near_duplicate"
  case onlyRepeatedLines = "only_repeated_lines"

  /// In words, for the report.
  package var meaning: String {
    switch self {
    case .empty: "nothing but white space"
    case .tooShort: "fewer characters than asked for"
    case .tooLong: "more characters than asked for"
    case .language: "not in a language that was asked for"
    case .gopherWords: "fewer than 50 or more than 100,000 words"
    case .gopherWordLength: "words of fewer than 3 or more than 10 characters in the mean"
    case .gopherSymbols: "more than one # or … for every ten words"
    case .gopherBullets: "more than nine of ten lines begin with a bullet"
    case .gopherEllipses: "more than three of ten lines end with an ellipsis"
    case .gopherLetters: "more than two of ten words have no letter"
    case .gopherStopWords: "fewer than two of the most common words"
    case .repeatedLines: "lines that occur several times"
    case .repeatedParagraphs: "paragraphs that occur several times"
    case .frequentGrams: "one sequence of two to four words again and again"
    case .repeatedGrams: "sequences of five to ten words that occur several times"
    case .c4Sentences: "fewer than three sentences after lines without an end were left out"
    case .c4Braces: "a curly bracket: code, not prose"
    case .c4Placeholder: "“lorem ipsum”"
    case .contaminated: "shares a sequence of 13 words with an evaluation set"
    case .exactDuplicate: "same text as an earlier one"
    case .nearDuplicate: "nearly the same text as an earlier one"
    case .onlyRepeatedLines: "nothing but lines that stand in many documents"
    }
  }
}
